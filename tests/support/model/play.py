"""One run of a scenario: who takes part, what troubles them, and what must hold at the end."""

from __future__ import annotations

from random import Random
from typing import Any

from holdfast import BackendError, LoadTimeout
from support.model import callers, changes, troubles
from support.model.actors import Actor
from support.model.broken import Broken
from support.model.callers import SourceDown
from support.model.port import WorldPort
from support.model.process import Process
from support.model.promises import Promises
from support.model.scenario import KEY, PURE, TAG, Scenario
from support.model.world import World

_NEVER_FAIL = {"fetch", "fetch_many", "nested", "read", "read_many"}
"""What goes on without Redis where that is bypassed."""


class Play:
    """One run of a scenario."""

    def __init__(self, scenario: Scenario, world: World) -> None:
        self.scenario = scenario
        self.world = world
        self.chance = world.chance
        self.key = KEY if scenario.keeps else PURE
        self.tags = (TAG,) if scenario.tags == "declared" else ()
        self.promises = Promises(world, scenario.near)
        self.processes = [Process(world, number, scenario) for number in range(1, scenario.processes + 1)]
        self.users: list[Actor] = []
        self.late: list[Actor] = []
        """Those who begin when a change has returned."""
        self.patient: list[Actor] = []
        """Changes that begin when something was loaded."""
        self._troubles = self.chance.randrange(scenario.most_troubles + 1) if scenario.troubles else 0

    async def load(self) -> int:
        """Read the source."""
        return await callers.load(self)

    def cast(self) -> None:
        """Choose who takes part."""
        scenario, chance, first = self.scenario, self.chance, self.scenario.layout
        patience = 0.6
        if chance.random() < scenario.filled:
            patience = 0.2
            self._fill()
        if self._troubles:
            self.world.trouble = self._trouble
        for number in range(scenario.least_callers + chance.randrange(scenario.most_callers)):
            self._add(chance.choice(scenario.callers), self._somewhere(first[0]) if number else self.processes[0])
        for _ in range(1 + chance.randrange(scenario.most_changes)):
            actor = self._add(chance.choice(scenario.changes), self._somewhere(first[1]))
            if chance.random() < patience:
                self._hold(actor, self.patient)
        for _ in range(1 + chance.randrange(scenario.most_callers)):
            verb = chance.choice(scenario.late or scenario.callers)
            self._hold(self._add(verb, self._somewhere(first[2])), self.late)

    def _fill(self) -> None:
        """Have an entry, and let it grow old or not."""
        self._add("fetch", self.chance.choice(self.processes))
        self.world.run()
        if self.chance.random() < self.scenario.aged:
            self.world.leap(self.world.time + self.chance.choice(self.scenario.leaps))

    def _somewhere(self, first: float) -> Process:
        """Return the first process or the last."""
        return self.processes[0 if self.chance.random() < first else -1]

    def _add(self, verb: str, process: Process) -> Actor:
        place = self.chance.choice(self.scenario.places)
        port, number, blocking = process.port(place)
        name = f"{verb}{len(self.users)} in process {process.number} {place}"
        actor = self.world.add(name, self._act(verb, process, port), number, process, blocking=blocking)
        self.users.append(actor)
        return actor

    async def _act(self, verb: str, process: Process, port: WorldPort) -> None:
        """Do something; what may fail in this scenario may."""
        act: Any = getattr(callers, verb, None) or getattr(changes, verb)
        try:
            await act(self, process, port)
        except SourceDown:
            self.world.say("    the source is down")
        except LoadTimeout as error:
            if not self.scenario.may_time_out:
                self.world.broken("error", f"{verb} raised {error!r}")
        except BackendError as error:
            if not process.failures or (self.scenario.bypass and verb in _NEVER_FAIL):
                self.world.broken("error", f"{verb} raised {error!r}")

    @staticmethod
    def _hold(actor: Actor, where: list[Actor]) -> None:
        actor.ready = False
        where.append(actor)

    def let_in(self, held: list[Actor], chance: float = 1.0) -> None:
        """Let those begin who are held, or some of them."""
        for actor in tuple(held):
            if self.chance.random() < chance:
                actor.ready = not actor.over
                held.remove(actor)

    def promise(
        self, process: Process, called: tuple[int, float, int], *, soft: bool = False, news: bytes = b"gone"
    ) -> None:
        """Note that a change has returned; from now on it counts."""
        self.promises.returned(process, called, soft=soft, news=news)
        self.let_in(self.late, self.scenario.eager)

    def run(self) -> None:
        """Let everybody act; then see that all came to an end, and left nothing behind."""
        world = self.world
        world.run()
        while self.patient or self.late:
            while self.chance.random() < 0.4:
                world.leap(world.time + self.chance.choice(self.scenario.leaps))
            self.let_in(self.patient or self.late)
            world.run()
        if world.actors:
            world.broken("P3", f"waiting for ever: {', '.join(actor.name for actor in world.actors)}")
        for process in self.processes:
            if books := process.left_behind():
                world.broken("books", f"process {process.number} has left {books}")

    def _trouble(self) -> None:
        if self.chance.random() >= self.scenario.rate:
            return
        if getattr(troubles, self.chance.choice(self.scenario.troubles))(self):
            self._troubles -= 1
            if not self._troubles:
                self.world.trouble = None


def play(scenario: Scenario, seed: int, *, verbose: bool = False, **options: Any) -> World:
    """Run a scenario once; the same seed gives the same run.

    Raises:
        Broken: a promise was broken; `told` has the log.
    """
    chance = Random(f"{scenario.name}:{seed}")
    world = World(
        chance,
        cluster=chance.random() < scenario.cluster,
        loss=scenario.loss if chance.random() < 0.8 else 0.0,
        restless=chance.choice((0.03, 0.1, 0.4)),
        verbose=verbose,
        **options,
    )
    run = Play(scenario, world)
    try:
        run.cast()
        run.run()
    except Broken as broken:
        broken.log = world.log
        raise
    finally:
        world.close()
    return world


def told(scenario: Scenario, seed: int, **options: Any) -> str:
    """Return the log of a run, one line a step, and what came of it."""
    try:
        world = play(scenario, seed, verbose=True, **options)
    except Broken as broken:
        return "\n".join([*broken.log, str(broken)])
    return "\n".join([*world.log, "every promise held"])
