"""Who takes part: callers of the cache, and those who change its entries, in processes that share one Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from itertools import count
from random import Random
from typing import Any

from holdfast import BackendError, BackendTimeout, BackendUnavailable, LoadTimeout, current_entry
from holdfast._near import Near
from holdfast.core import changing, many, single
from holdfast.core.caching import Caching
from holdfast.core.records import Recorder
from holdfast.policy.names import Names
from support.model.actors import Actor, current, pause
from support.model.news import Subscriber
from support.model.port import WorldPort
from support.model.promises import Promises
from support.model.scenarios import Refused, Scenario
from support.model.world import Broken, World

NAMES = Names("m")
KEY = "m:cache:{k}"
PURE = "m:flight:{k}"
TAG = "t"


class SourceDown(Exception):  # noqa: N818 - what happened
    """The loader fails."""


class Process:
    """One process: its cache, its loops and threads, its ear for messages."""

    def __init__(self, world: World, number: int, scenario: Scenario) -> None:
        self.number = number
        self.dead = False
        self.failures = 0
        self.world = world
        self._places = count(number * 100 + 10)
        self.clockwork = number * 100 + 1
        self.caching = Caching(NAMES, Recorder(), Near(64, 1 << 16), bypass=True)
        self.plan = scenario.plan()
        self.subscriber = Subscriber(number, world.published, rank=world.chance.random())
        world.subscribers.append(self.subscriber)
        if self.plan.near:
            self.subscriber.subscribe(NAMES.patterns, self.caching.nearby)
        self._loops: dict[int, WorldPort] = {}

    def port(self, place: str) -> tuple[WorldPort, int, bool]:
        """Return a port, the place it is for, and whether it blocks: of a loop, or of a new thread."""
        if place == "thread":
            thread = next(self._places)
            return WorldPort(self.world, self, thread, blocking=True), thread, True
        loop = self.number * 100 + (3 if place == "other loop" else 2)
        if place == "sync in loop":
            return WorldPort(self.world, self, loop, blocking=True), loop, True
        port = self._loops.get(loop)
        if port is None:
            port = self._loops[loop] = WorldPort(self.world, self, loop, blocking=False)
        return port, loop, False


class Play:
    """One run of a scenario."""

    def __init__(self, scenario: Scenario, seed: int, world: World) -> None:
        self.scenario = scenario
        self.seed = seed
        self.world = world
        self.chance = world.chance
        self.key = KEY if scenario.keeps else PURE
        self.tags = (TAG,) if scenario.tags == "declared" else ()
        self.promises = Promises(world, scenario.near)
        self.processes = [Process(world, number, scenario) for number in range(1, scenario.processes + 1)]
        self.late: list[Actor] = []
        self.callers: list[Actor] = []
        self.killed = False
        world.leaps = scenario.leaps
        self._troubles = self.chance.randrange(scenario.most_troubles + 1) if scenario.troubles else 0
        if self._troubles:
            world.trouble = self._trouble

    def cast(self) -> None:
        """Choose who takes part."""
        scenario, chance = self.scenario, self.chance
        for _ in range(1 + chance.randrange(scenario.most_callers)):
            self._add(chance.choice(scenario.callers))
        for _ in range(1 + chance.randrange(scenario.most_changes)):
            self._add(chance.choice(scenario.changes))
        for _ in range(1 + chance.randrange(scenario.most_callers)):
            self._add(chance.choice(scenario.late or scenario.callers), late=True)

    def _add(self, verb: str, *, late: bool = False) -> None:
        process = self.chance.choice(self.processes)
        place = self.chance.choice(self.scenario.places)
        port, number, blocking = process.port(place)
        name = f"{verb}{len(self.callers)}{' late' if late else ''} in process {process.number} {place}"
        work = self._act(getattr(self, verb), process, port)
        actor = self.world.add(name, work, number, process, blocking=blocking)
        if late:
            actor.ready = False
            self.late.append(actor)
        self.callers.append(actor)

    async def _act(self, verb: Callable[..., Coroutine[Any, Any, None]], process: Process, port: WorldPort) -> None:
        try:
            await verb(process, port)
        except (SourceDown, LoadTimeout, BackendError) as error:
            self.world.say(f"    failed with {error!r}")

    def run(self) -> None:
        """Let everybody act; then see that all came to an end, and left nothing behind."""
        world = self.world
        world.run()
        while self.late:
            self._let_in()
            world.run()
        waiting = [actor.name for actor in world.actors]
        if waiting:
            world.broken("P3", f"waiting for ever: {', '.join(waiting)}")
        for actor in self.callers:
            error = actor.error
            if isinstance(error, Broken):
                raise error
            if error is not None and not isinstance(error, asyncio.CancelledError):
                world.broken("error", f"{actor.name} raised {error!r}")
        for process in self.processes:
            self._look_at_books(process)

    def _look_at_books(self, process: Process) -> None:
        flights, nearby = process.caching.flights, process.caching.nearby
        books: list[Any] = [flights._open, flights._blocked, nearby._own, process.subscriber.ears[bool(process.plan.near):]]
        if not process.dead and any(books):
            self.world.broken("books", f"process {process.number} has left {books}")

    def _let_in(self) -> None:
        """Let those begin who wait for a change to have returned."""
        for actor in self.late:
            actor.ready = not actor.over
        self.late.clear()

    # Callers.

    async def load(self) -> int:
        """Read the source at some moment; a stubborn loader goes on when it is cancelled."""
        actor, chance = current[0], self.chance
        number = self.promises.loading(actor.home, leased=actor.leased)
        stubborn = chance.random() < 0.5
        if self.scenario.tags == "entry":
            current_entry().tags = [TAG]
        if chance.random() < 0.5:
            await pause()
        version = self.promises.version
        self.world.say("    LOADED", version)
        if chance.random() < self.scenario.failing:
            if chance.random() < self.scenario.refusing:
                raise Refused(str(version * 1000 + number))
            raise SourceDown
        try:
            await pause()
        except asyncio.CancelledError:
            if not stubborn:
                raise
            await pause()
        return version * 1000 + number

    async def fetch(self, process: Process, port: WorldPort) -> None:
        await self._called(process, lambda: process.caching.fetch(port, process.plan, self.key, self.load, self.tags))

    async def refresh(self, process: Process, port: WorldPort) -> None:
        version, since = self.promises.version, len(self.world.published)
        caching, plan = process.caching, process.plan
        raw = await self._called(process, lambda: caching.refresh(port, plan, self.key, self.load, self.tags))
        if raw is not None and not process.plan.near:
            self._promise(process, version, since)

    async def _called(self, process: Process, call: Callable[[], Coroutine[Any, Any, Any]]) -> bytes | None:
        caller = self.promises.begin(process)
        try:
            value, status, raw = await call()
        except Refused as error:
            self.promises.check(caller, int(error.args[0]), "error")
            return None
        self.promises.check(caller, value, status)
        entry: bytes | None = raw
        return entry

    async def read(self, process: Process, port: WorldPort) -> None:
        caller = self.promises.begin(process)
        try:
            outcome, _ = await process.caching.find(port, process.plan, self.key, self.tags)
        except Refused as error:
            self.promises.check(caller, int(error.args[0]), "error")
            return
        if outcome is not None:
            self.promises.check(caller, outcome[0], outcome[1])

    async def read_many(self, process: Process, port: WorldPort) -> None:
        caller = self.promises.begin(process)
        found = await many.read_many(process.caching, port, self.scenario.bare_plan(), [self.key, "m:cache:{o}"])
        if self.key in found:
            self.promises.check(caller, found[self.key], "hit")

    async def info(self, process: Process, port: WorldPort) -> None:
        floor = len(self.promises.changes)
        found = await single.info(process.caching, port, process.plan, self.key, self.tags)
        del floor, found

    # Changes.

    async def commit(self, process: Process, port: WorldPort) -> None:
        self.promises.commit()

    async def invalidate(self, process: Process, port: WorldPort) -> None:
        await self._changed(process, lambda: changing.remove(process.caching, port, process.plan, [self.key]))

    async def delete(self, process: Process, port: WorldPort) -> None:
        keys = [self.key, "m:cache:{o}"]
        await self._changed(process, lambda: changing.remove(process.caching, port, process.plan, keys))

    async def hard(self, process: Process, port: WorldPort) -> None:
        await self._tagged(process, port, soft=False)

    async def soft(self, process: Process, port: WorldPort) -> None:
        await self._tagged(process, port, soft=True)

    async def _tagged(self, process: Process, port: WorldPort, *, soft: bool) -> None:
        work = lambda: changing.invalidate_tags(process.caching, port, process.plan, [TAG], soft=soft)  # noqa: E731
        await self._changed(process, work, soft=soft)

    async def expire(self, process: Process, port: WorldPort) -> None:
        await changing.expire(process.caching, port, process.plan, self.key, 30)

    async def write(self, process: Process, port: WorldPort) -> None:
        number = self.promises.loading(process, leased=True)
        since, version = len(self.world.published), self.promises.commit()
        await pause()
        await changing.write(process.caching, port, process.plan, self.key, version * 1000 + number, self.tags)
        self._promise(process, version, since)

    async def _changed(
        self, process: Process, change: Callable[[], Coroutine[Any, Any, Any]], *, soft: bool = False
    ) -> None:
        self.promises.commit()
        if self.chance.random() < 0.5:
            await pause()
        version, since = self.promises.version, len(self.world.published)
        await change()
        self._promise(process, version, since, soft=soft)

    def _promise(self, process: Process, version: int, since: int, *, soft: bool = False) -> None:
        self.promises.returned(process, version, since, soft=soft)
        self._let_in()

    # Troubles.

    def _trouble(self) -> None:
        if self.chance.random() >= 0.025:
            return
        kind = self.chance.choice(self.scenario.troubles)
        if getattr(self, f"_{kind}")():
            self._troubles -= 1
            if not self._troubles:
                self.world.trouble = None

    def _evict(self) -> bool:
        keys = sorted(self.world.redis._values)
        if keys:
            key = self.chance.choice(keys)
            self.world.say("evicted:", key.decode())
            self.world.redis.expire_now(key.decode())
            self.world.ledger.vanished(key)
        return bool(keys)

    def _leap(self) -> bool:
        world = self.world
        dues = [timer.due for timer in world.timers] + [end / 1000 + 0.002 for end in world.redis._deadlines.values()]
        dues += [world.time + seconds for seconds in world.leaps]
        dues = [due for due in dues if due > world.time]
        if dues:
            world.leap(self.chance.choice(dues))
        return bool(dues)

    def _kill(self) -> bool:
        living = [process for process in self.processes if not process.dead]
        if len(living) < 2 or self.world.steps < 5:
            return False
        process = self.chance.choice(living)
        self.world.kill(process)
        self.late = [actor for actor in self.late if not actor.over]
        return True

    def _cancel(self) -> bool:
        victims = [actor for actor in self.world.actors if actor in self.callers and not actor.blocking]
        if victims:
            self.chance.choice(victims).cancel()
        return bool(victims)

    def _fail(self) -> bool:
        batches = {sent.batch: None for line in self.world.lines for sent in (*line.outgoing, *line.incoming)}
        victims = [batch for batch in batches if batch.sender is not None]
        if victims:
            error = self.chance.choice((BackendUnavailable, BackendTimeout))("lost")
            self.world.give_up(self.chance.choice(victims), error)
        return bool(victims)

    def _twin(self) -> bool:
        sent = [one for line in self.world.lines for one in (*line.outgoing, *line.incoming)]
        sent = [one for one in sent if one.batch.sender is not None and not one.command.words[0] == "GET"]
        if sent:
            self.world.again([self.chance.choice(sent)])
        return bool(sent)

    def _cut(self) -> bool:
        subscriber = self.chance.choice(self.world.subscribers)
        subscriber.cut(at_once=self.chance.random() < 0.5)
        self.world.say(f"    the subscriber of process {subscriber.number} is cut off")
        return True


def play(scenario: Scenario, seed: int, *, verbose: bool = False, **options: Any) -> World:
    """Run a scenario once; the same seed gives the same run.

    Raises:
        Broken: a promise was broken; run it again with `verbose` for the log.
    """
    chance = Random(f"{scenario.name}:{seed}")
    world = World(
        chance,
        cluster=chance.random() < scenario.cluster,
        loss=scenario.loss if chance.random() < 0.5 else 0.0,
        restless=chance.choice((0.03, 0.1, 0.4)),
        verbose=verbose,
        **options,
    )
    piece = Play(scenario, seed, world)
    try:
        piece.cast()
        piece.run()
    finally:
        world.close()
    return world
