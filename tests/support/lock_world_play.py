"""One run of a scenario of locks: who takes part, what troubles them, and what must hold at the end."""

from __future__ import annotations

from random import Random
from typing import Any

from holdfast.core.lock_claims import Claim
from holdfast.errors import BackendError, LockLost, LockNotAcquired
from holdfast.lock_handles import Held
from holdfast.lock_several import MultiHeld
from support import lock_world_troubles as troubles
from support.lock_world import LockWorld
from support.lock_world_actors import LockActor
from support.lock_world_port import LockPort
from support.lock_world_process import LockProcess
from support.lock_world_scenario import LockScenario
from support.model.actors import Actor, current, pause
from support.model.broken import Broken


class LockPlay:
    """One run of a scenario."""

    def __init__(self, scenario: LockScenario, world: LockWorld) -> None:
        self.scenario = scenario
        self.world = world
        self.chance = world.chance
        world.watch.longest = max(scenario.leases) * 2
        self.processes = [LockProcess(world, number) for number in range(1, scenario.processes + 1)]
        self.users: list[Actor] = []
        self.empty = world.books.snapshot()
        self.snapshots: list[Any] = []
        """What replicas may have."""
        self.evicted = False
        """Whether a fencing token was lost."""
        self._keeps = "failover" in scenario.troubles
        self._troubles = self.chance.randrange(scenario.most_troubles + 1) if scenario.troubles else 0

    def run(self) -> None:
        """Let everybody act; then see that all came to an end, and left nothing behind."""
        if self._troubles:
            self.world.trouble = self._trouble
        for number in range(self.scenario.users + self.chance.randrange(3)):
            self._add(number)
        self.world.run()
        living = [actor.name for actor in self.world.actors]
        if living:
            self.world.broken("live", f"waiting for ever: {', '.join(living)}")

    def _add(self, number: int) -> None:
        kind, place = self.chance.choice(self.scenario.kinds), self.chance.choice(self.scenario.places)
        process = self.chance.choice(self.processes)
        port = process.port(place)
        claims = self.scenario.claims(kind, self.chance)
        name = f"{kind}{number} in process {process.number} {place}"
        blocking = place == "thread"
        actor = self.world.add(name, self._use(process, port, claims), port.place(), process, blocking=blocking)
        self.users.append(actor)

    async def _use(self, process: LockProcess, port: LockPort, claims: list[Claim]) -> None:
        """Take, hold and give back, some times."""
        for _ in range(self.chance.choice((1, 1, 2))):
            if self.chance.random() < 0.3:
                await port.sleep(self.chance.choice(self.scenario.stays))
            held = await self._acquired(process, port, claims)
            if held is not None:
                await self._stay(process, port, held)

    async def _acquired(self, process: LockProcess, port: LockPort, claims: list[Claim]) -> Held | MultiHeld | None:
        actor, locks = current[0], process.keeper
        assert isinstance(actor, LockActor)
        failures = process.failures
        if len(claims) == 1:
            actor.waits_for, actor.since = claims[0].places.held, self.world.time
        try:
            if len(claims) == 1:
                holds = [await locks.acquire(port, claims[0], port.token())]
            else:
                holds = await locks.acquire_all(port, claims)
        except LockNotAcquired as error:
            if claims[0].wait is None:
                self.world.broken("error", f"{actor.name} raised {error!r}")
            return None
        except BackendError as error:
            if process.failures == failures and not process.troubled:
                self.world.broken("error", f"{actor.name} raised {error!r}")
            return None
        finally:
            actor.waits_for = ""
        self.world.say("    ACQUIRED", *(f"{hold.member} {hold.fence}" for hold in holds))
        self.world.watch.holds.extend(holds)
        held = [Held(process, hold) for hold in holds]
        return held[0] if len(held) == 1 else MultiHeld(process, held)

    async def _stay(self, process: LockProcess, port: LockPort, held: Held | MultiHeld) -> None:
        """Do what is done in a block, and what its end does."""
        parts = held.held if isinstance(held, MultiHeld) else (held,)
        try:
            try:
                for _ in range(self.chance.randrange(self.scenario.rounds + 1)):
                    await self._act(port, self.chance.choice(parts))
            except GeneratorExit:  # the process is dead
                raise
            except BaseException as error:
                await held.leave_block(port, error)
                raise
            await held.leave_block(port, None)
        except LockLost:
            for part in parts:
                if part._hold.reason is not None:
                    self.world.watch.was_lost(part._hold)
        except BackendError as error:
            if not process.failures:
                self.world.broken("error", repr(error))
        finally:
            gone = [part._hold for part in parts]
            self.world.watch.holds = [hold for hold in self.world.watch.holds if hold not in gone]

    async def _act(self, port: LockPort, held: Held) -> None:
        chance = self.chance.random()
        if chance < 0.3:
            await pause()
        elif chance < 0.6:
            await port.sleep(self.chance.choice(self.scenario.stays))
        elif chance < 0.8:
            held.check()
            await pause()
            self.world.watch.write(held._hold)
        else:
            await held._extend(port, self.chance.choice((None, held._hold.claim.lease * 2)))

    def _trouble(self) -> None:
        if self._keeps and not self.world.away:
            self._keep()
        if self.chance.random() >= self.scenario.rate:
            return
        if getattr(troubles, self.chance.choice(self.scenario.troubles))(self):
            self._troubles -= 1
            if not self._troubles:
                self.world.trouble = None

    def _keep(self) -> None:
        """Keep what replicas may have, as it was a few steps ago or is now."""
        self.snapshots = [*self.snapshots[-5:], self.world.books.snapshot()]


def play(scenario: LockScenario, seed: int, *, verbose: bool = False, **options: Any) -> LockWorld:
    """Run a scenario once; the same seed gives the same run.

    Raises:
        Broken: a promise was broken; `told` has the log.
    """
    chance = Random(f"{scenario.name}:{seed}")
    world = LockWorld(
        chance,
        loss=scenario.loss if chance.random() < 0.8 else 0.0,
        restless=chance.choice((0.03, 0.1, 0.4)),
        verbose=verbose,
        **options,
    )
    try:
        LockPlay(scenario, world).run()
    except Broken as broken:
        broken.log = world.log
        raise
    finally:
        world.close()
    return world


def told(scenario: LockScenario, seed: int, **options: Any) -> str:
    """Return the log of a run, one line a step, and what came of it."""
    try:
        world = play(scenario, seed, verbose=True, **options)
    except Broken as broken:
        return "\n".join([*broken.log, str(broken)])
    return "\n".join([*world.log, "every promise held"])
