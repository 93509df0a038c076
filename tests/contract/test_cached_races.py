"""Invalidation is final within a process, in whichever order chance lets commands, loads and callers go on.

A value of the source is its version, a number that each invalidation raises before it invalidates. A caller that starts
after an invalidation returned must get at least the version of that invalidation.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from holdfast import MISSING, BackendError, Layer
from holdfast.core import many, single
from holdfast.core.caching import Caching
from holdfast.core.plan import Plan
from holdfast.core.records import Recorder
from holdfast.engine import Options
from support.schedule import Actor, Impatient, World, WorldPort, _Until

KEY = "cache:{k}"
OUTER = "cache:{outer}"
PLACES = ("loop", "loop", "other loop", "thread", "sync in loop")
LOOP, OTHER_LOOP, FIRST_THREAD = 1, 2, 3
RUNS = 700


@dataclass
class Play:
    """One process: its cache, its source, and what it has promised so far."""

    world: World
    plan: Plan
    caching: Caching
    kind: type[WorldPort]
    version: int = 0
    floor: int = 0
    """The newest version that later callers must see: its invalidation has returned."""
    loops: dict[int, WorldPort] = field(default_factory=dict)
    places: tuple[str, ...] = PLACES
    threads: int = FIRST_THREAD

    def port(self, place: str) -> WorldPort:
        """Return a port: of a loop, of a new thread, or a blocking one in the thread of a loop."""
        if place == "thread":
            self.threads += 1
            return self.kind(self.world, self.threads, blocking=True)
        number = OTHER_LOOP if place == "other loop" else LOOP
        if place == "sync in loop":
            return self.kind(self.world, number, blocking=True)
        return self.loops.setdefault(number, self.kind(self.world, number, blocking=False))

    def play(self, verb: str, *, late: bool = False) -> Actor:
        """Add an actor in some place; a late one begins after a change has returned."""
        place = self.world.chance.choice(self.places)
        port = self.port(place)
        blocking = place in {"thread", "sync in loop"}
        actor = self.world.add(f"{verb}@{place}", getattr(self, verb)(port), port.place(), blocking=blocking)
        if late:
            actor.ready = lambda: self.floor > 0
        return actor

    async def load(self) -> int:
        """Read the source at some moment; a stubborn loader goes on when it is cancelled."""
        stubborn = self.world.chance.random() < 0.5
        await _pause()
        version = self.version
        try:
            await _pause()
        except asyncio.CancelledError:
            if not stubborn:
                raise
            await _pause()
        return version

    async def load_outer(self, port: WorldPort) -> int:
        """Read the inner entry, as a function does that calls another decorated one."""
        await _pause()
        value: int = (await self.caching.fetch(port, self.plan, KEY, self.load))[0]
        await _pause()
        return value

    async def fetch(self, port: WorldPort) -> None:
        need = self.floor
        value, _, _ = await self.caching.fetch(port, self.plan, KEY, self.load)
        assert value >= need, f"got {value}, needed {need}"

    async def fetch_outer(self, port: WorldPort) -> None:
        need = self.floor
        value, _, _ = await self.caching.fetch(port, self.plan, OUTER, lambda: self.load_outer(port))
        assert value >= need, f"got {value}, needed {need}"

    async def read(self, port: WorldPort) -> None:
        need = self.floor
        found = await single.read(self.caching, port, self.plan, KEY)
        assert found is MISSING or found >= need, f"read {found}, needed {need}"

    async def read_many(self, port: WorldPort) -> None:
        need = self.floor
        found = await many.read_many(self.caching, port, self.plan, [KEY])
        assert found.get(KEY, need) >= need, f"read {found}, needed {need}"

    async def commit(self, port: WorldPort) -> None:
        del port
        self.version += 1

    async def refresh(self, port: WorldPort) -> None:
        need = self.floor
        value, _, _ = await self.caching.refresh(port, self.plan, KEY, self.load)
        assert value >= need, f"refreshed to {value}, needed {need}"
        self.floor = max(self.floor, value)

    async def invalidate(self, port: WorldPort) -> None:
        self.version += 1
        version = self.version
        await single.invalidate(self.caching, port, self.plan, KEY)
        self.floor = max(self.floor, version)

    async def invalidate_both(self, port: WorldPort) -> None:
        self.version += 1
        version = self.version
        await single.remove(self.caching, port, self.plan, [OUTER, KEY])
        self.floor = max(self.floor, version)

    async def write(self, port: WorldPort) -> None:
        self.version += 1
        version = self.version
        await single.write(self.caching, port, self.plan, KEY, version)
        self.floor = max(self.floor, version)

    async def write_many(self, port: WorldPort) -> None:
        self.version += 1
        version = self.version
        await many.write_many(self.caching, port, self.plan, {KEY: version, OUTER: version}, 60)
        self.floor = max(self.floor, version)


async def _pause() -> None:
    await _Until(lambda: True)


async def _cancel(victim: Actor, steps: int) -> None:
    for _ in range(steps):
        await _pause()
    victim.cancelled = not victim.over


@pytest.fixture(scope="module")
def plan() -> Plan:
    with Layer() as layer:
        return layer.engine.plan(Options.of(60), "race", Any)


@dataclass(frozen=True)
class Cast:
    """Who takes part in a play: some of the callers, late ones among them, and some of the changes."""

    callers: tuple[str, ...]
    changes: tuple[str, ...]
    most: int = 1
    """How many changes there are at most."""
    loss: float = 0.0
    cancel: float = 0.0
    crowd: int = 3
    """How many callers there are at most, and as many late ones."""
    late: tuple[str, ...] = ("fetch",)
    places: tuple[str, ...] = PLACES


CASTS = {
    "crowd": Cast(("fetch", "fetch", "read"), ("invalidate",), most=2),
    "cancel": Cast(("fetch",), ("invalidate",), most=2, cancel=1.0),
    "lonely": Cast(("fetch",), ("invalidate",), cancel=1.0, crowd=1),
    "read": Cast(("fetch",), ("invalidate",), crowd=1, late=("read", "read_many")),
    # A fill that cannot be waited for is taken back, but not if Redis is gone just then: so these all can wait.
    "loss": Cast(("fetch", "read"), ("invalidate",), most=2, loss=0.15, cancel=0.3, places=PLACES[:-1]),
    "nested": Cast(("fetch_outer", "fetch_outer", "fetch"), ("invalidate_both",), 2, cancel=0.2, late=("fetch_outer",)),
    # Of two values that are set at the same time either may stay, and a refresh counts from when it has loaded.
    "write": Cast(("fetch", "fetch", "read"), ("write", "write_many")),
    "refresh": Cast(("fetch", "fetch", "commit"), ("refresh",)),
}


def enact(seed: int, plan: Plan, cast: Cast, kind: type[WorldPort]) -> None:
    """Let some callers race with some changes, and look at what they got and what stays."""
    chance = random.Random(seed)
    world = World(chance, cast.loss)
    play = Play(world, plan, Caching(Recorder(), bypass=True), kind, places=cast.places)
    for _ in range(chance.randrange(cast.crowd) + 1):
        play.play(chance.choice(cast.callers))
        play.play(chance.choice(cast.late), late=True)
    for _ in range(chance.randrange(cast.most) + 1):
        play.play(chance.choice(cast.changes))
    victims = [actor for actor in world.actors if not actor.blocking and actor.name.startswith("fetch")]
    if victims and chance.random() < cast.cancel:
        cancel = world.add("cancel", _cancel(chance.choice(victims), chance.randrange(8)), 0, blocking=False)
        cancel.ready = lambda: any(actor.name == "load" for actor in world.actors)
    run(world, seed, allowed=(asyncio.CancelledError, BackendError) if cast.loss else (asyncio.CancelledError,))
    world.loss = 0.0
    play.play("fetch")
    if "fetch_outer" in cast.callers:
        play.play("fetch_outer")
    run(world, seed, allowed=())
    flights = play.caching.flights
    books = [flights._open, flights._filling, flights._held, flights._barriers, flights._blocked]
    assert not any(books), f"seed {seed}: {books}"


def run(world: World, seed: int, allowed: tuple[type[BaseException], ...]) -> None:
    new = [actor for actor in world.actors if not actor.over]
    world.run()
    for actor in new:
        if actor.error is not None and not isinstance(actor.error, allowed):
            msg = f"seed {seed}: {actor.name}: {actor.error!r}: {' '.join(world.log)}"
            raise AssertionError(msg) from actor.error


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, kind) for name in CASTS for kind in (WorldPort, Impatient) if (name, kind) != ("loss", Impatient)],
)
def test_nobody_gets_an_older_value_than_was_changed(plan: Plan, name: str, kind: type[WorldPort]) -> None:
    """Threads, two loops and blocking calls on a loop race with changes: later callers and Redis have the newer value.

    No wait is endless, and nothing stays behind in the books.
    """
    for seed in range(RUNS):
        enact(seed, plan, CASTS[name], kind)
