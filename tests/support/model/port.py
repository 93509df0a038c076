"""What the core sees of the world: the port of a loop, or of a thread.

The tasks of a loop share a connection; a thread has one for each call. A blocking port suspends its actor like any
other, but the actor keeps its place meanwhile. `call_now` is missing: it could not be held up between its instants.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from holdfast.backend.slots import slot_of
from holdfast.backend.together import in_turn
from holdfast.commands import Command, Reply
from holdfast.errors import BackendError
from holdfast.port import Cancel, Listener, WaitOver
from support.model.actors import SUSPENDED, Actor, current
from support.model.ledger import script_of
from support.model.lines import Batch, Line, Sent
from support.model.world import World

T = TypeVar("T")


class WorldPort:
    """A port of one process."""

    def __init__(self, world: World, home: Any, place: int, *, blocking: bool) -> None:
        self._world = world
        self._home = home
        self._place = place
        self._blocking = blocking
        self._lines: dict[str, Line] = {}
        self.closed = False
        """Whether its loop was closed under its tasks."""

    async def call(self, command: Command) -> Reply:
        """Send a command; wait until it is executed, then until its reply is here."""
        return (await self.pipeline([command]))[0]

    async def pipeline(self, commands: Sequence[Command]) -> list[Reply]:
        """Send commands together; on a cluster each slot executes its own, in any order."""
        actor = current[0]
        batch = Batch([None] * len(commands), actor, len(commands))
        lines: dict[str, Line] = {} if self._blocking else self._lines
        for place, command in enumerate(commands):
            node = command.keys[0].partition("{")[2] if self._world.cluster else ""
            line = lines.get(node)
            if line is None:
                line = lines[node] = self._world.lines.open(self, kept=not self._blocking)
            line.outgoing.append(Sent(command, batch, place))
        self._world.say(f"    {actor.name} sends", *(command.name for command in commands))
        while not batch.over:
            await SUSPENDED
        if batch.error is not None:
            self._home.failures += 1
            raise batch.error
        for command, reply in zip(commands, batch.replies, strict=True):
            if script_of(command) == "acquire" and reply[0] == 1:
                actor.leased = True
                actor.granted.append(reply[1])
        return batch.replies

    async def outcomes(self, commands: Sequence[Command]) -> list[Reply]:
        """Send commands together; what breaks one connection is the same error for all."""
        try:
            return await self.pipeline(commands)
        except BackendError as error:
            return [error] * len(commands)

    async def steps(self, *steps: Sequence[Command]) -> list[Reply]:
        """Send groups of commands, one after the other on a cluster, together on one server."""
        if not self._world.cluster:
            return await self.pipeline([command for group in steps for command in group])
        return [reply for group in steps for reply in await self.pipeline(group)]

    async def together(self, calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        """Run calls one after the other, in either colour."""
        return await in_turn(calls)

    def slots(self, keys: Sequence[str]) -> Sequence[int]:
        return [slot_of(key) if self._world.cluster else 0 for key in keys]

    def now(self) -> float:
        return self._world.time

    monotonic = now

    async def sleep(self, seconds: float) -> None:
        """Suspend the actor for a while."""
        await self._wait(lambda: False, current[0], seconds)

    def token(self) -> str:
        return f"{self._world.chance.getrandbits(60):016x}"

    def random(self) -> float:
        return self._world.chance.random()

    def lifeline(self) -> Callable[[], bool]:
        return lambda: not self.closed

    def free_hands(self) -> bool:
        return self._world.chance.random() < 0.9

    def place(self) -> int:
        return self._place

    def may_wait_for(self, place: int) -> bool:
        return not self._blocking or place != self._place

    def start(self, work: Coroutine[Any, Any, None], ended: Callable[[], object]) -> Cancel:
        """Add an actor; a blocking caller is held up by it until it is through."""
        return self._begin(work, ended, self._place)

    def spawn(self, work: Coroutine[Any, Any, None], ended: Callable[[], object]) -> Cancel:
        """Add an actor, of a thread of its own if the caller blocks."""
        return self._begin(work, ended, self._home.new_place() if self._blocking else self._place, apart=True)

    def afterwards(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Add an actor, which holds up a blocking caller until it is through."""
        if self.closed:
            raise RuntimeError("no loop runs here")
        if not (self._home.dead or self._world.over):
            self._begin(work(), lambda: None, self._place)

    def _begin(
        self, work: Coroutine[Any, Any, None], ended: Callable[[], object], place: int, *, apart: bool = False
    ) -> Cancel:
        if self._home.dead or self._world.over:
            work.close()
            return lambda: None
        actor = self._world.add(f"work of {current[0].name}", work, place, self._home, blocking=self._blocking)
        actor.ended = ended
        if self._blocking and not apart:
            self._world.stacks[place].append(actor)
        return (lambda: None) if self._blocking else actor.cancel

    def every(self, seconds: float, work: Callable[[], Coroutine[Any, Any, bool]]) -> Cancel:
        """Add an actor each time that the work is due."""
        return Recurring(self._world, self._home, self, seconds, work, blocking=self._blocking).cancel

    def subscribe(self, topic: str, listener: Listener, *, pattern: bool = False) -> Cancel:
        cancel: Cancel = self._home.subscriber.subscribe((topic,), listener)
        return cancel

    async def wait(self, future: Future[T], patience: float | None) -> T:
        """Wait for a result until patience is over, which time decides."""
        actor = current[0]
        future.add_done_callback(actor.wake)
        await self._wait(future.done, actor, patience)
        if not future.done():
            raise WaitOver
        return future.result()

    async def _wait(self, check: Callable[[], bool], actor: Actor, patience: float | None) -> None:
        over: list[bool] = []

        def fire() -> None:
            over.append(True)
            actor.wake()

        timer = None if patience is None else self._world.timers.add(self.now() + patience, fire, self._home)
        try:
            while not (over or check()):
                await SUSPENDED
        finally:
            self._world.timers.stop(timer)


class Recurring:
    """Work that is run again and again."""

    def __init__(
        self,
        world: World,
        home: Any,
        port: WorldPort,
        seconds: float,
        work: Callable[[], Coroutine[Any, Any, bool]],
        *,
        blocking: bool,
    ) -> None:
        self._world, self._home, self._blocking = world, home, blocking
        self._port = port
        self._place = home.clockwork if blocking else port.place()
        self._seconds, self._work = seconds, work
        self._over = False
        self._actor: Actor | None = None
        self._timer = world.timers.add(world.time + seconds, self._run, home)

    def _run(self) -> None:
        if not self._over and not self._port.closed:
            self._actor = self._world.add("renewal", self._round(), self._place, self._home, blocking=self._blocking)

    async def _round(self) -> None:
        again = await self._work()
        self._actor = None
        if again and not self._over:
            self._timer = self._world.timers.add(self._world.time + self._seconds, self._run, self._home)

    def cancel(self) -> None:
        """End it; the run of a task is cancelled, that of a thread goes on."""
        self._over = True
        self._world.timers.stop(self._timer)
        actor, self._actor = self._actor, None
        if actor is not None and not self._blocking and actor is not (current[0] if current else None):
            actor.cancel()
