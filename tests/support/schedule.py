"""A world in which chance decides who goes on: for tests that look for a bad order of events among very many.

Actors are coroutines over a port of this world. A command has three instants: sent, executed, answered; between two of
them anybody else may go on. Threads have a connection for each command, so that theirs are executed in any order; the
tasks of one loop share a connection, so that theirs keep their order. A blocking actor holds up its place: while it
runs, no task of that place does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Sequence
from concurrent.futures import Future
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

from holdfast.commands import Command, Reply
from holdfast.errors import BackendUnavailable
from holdfast.port import WaitOver

T = TypeVar("T")
Check = Callable[[], bool]


class _Until:
    """Awaited, it suspends an actor until a check holds."""

    def __init__(self, check: Check) -> None:
        self._check = check

    def __await__(self) -> Generator[Check, None, None]:
        yield self._check


@dataclass(eq=False, slots=True)
class Actor:
    """One coroutine, where it runs, and what it waits for."""

    name: str
    work: Coroutine[Any, Any, Any]
    place: int
    blocking: bool
    context: Context
    ready: Check = lambda: True
    ended: Callable[[], object] = lambda: None
    begun: bool = False
    over: bool = False
    cancelled: bool = False
    result: Any = None
    error: BaseException | None = None

    def step(self) -> None:
        """Go on to the next wait, or to the end."""
        self.begun = True
        try:
            if self.cancelled:
                self.cancelled = False
                self.ready = self.context.run(self.work.throw, asyncio.CancelledError())
            else:
                self.ready = self.context.run(self.work.send, None)
        except StopIteration as stop:
            self.result, self.over = stop.value, True
        except BaseException as error:  # whatever it is, it is the actor's result
            self.error, self.over = error, True
        if self.over:
            self.ended()


@dataclass(eq=False, slots=True)
class _Sent:
    command: Command
    reply: Reply = None
    executed: bool = False
    answered: bool = False
    lost: bool = False


@dataclass
class World:
    """A Redis, a clock, and everybody who uses them."""

    chance: Random
    loss: float = 0.0
    """How likely it is that a command never reaches Redis and its sender is told so."""
    stored: dict[str, bytes] = field(default_factory=dict)
    actors: list[Actor] = field(default_factory=list)
    connections: list[deque[_Sent]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    time: float = 1_000_000.0
    restless: float = 0.1
    """How likely the next one is anybody, not who was preferred before."""
    _ranks: dict[Actor | _Sent, float] = field(default_factory=dict)
    _stacks: dict[int, list[Actor]] = field(default_factory=dict)

    def add(self, name: str, work: Coroutine[Any, Any, Any], place: int, *, blocking: bool) -> Actor:
        """Let an actor take part."""
        actor = Actor(name, work, place, blocking, copy_context())
        self.actors.append(actor)
        return actor

    def run(self) -> None:
        """Let chance choose until everybody is through. Who has had no reason to begin is sent home.

        Raises:
            AssertionError: somebody waits for ever.
        """
        while choices := [*self._movable_actors(), *self._movable_commands()]:
            choice = self._choose(choices)
            self.time += 0.001
            if isinstance(choice, Actor):
                self._step(choice)
            else:
                self._move(choice)
        for actor in self.actors:
            if not actor.over and not actor.begun:
                actor.work.close()
                actor.over = True
        waiting = [actor.name for actor in self.actors if not actor.over]
        assert not waiting, f"waiting for ever: {waiting}; {' '.join(self.log)}"

    def _choose(self, choices: list[Actor | _Sent]) -> Actor | _Sent:
        """Prefer the same ones for a while: what is held up for long is where bad orders hide."""
        if self.chance.random() < self.restless:
            return self.chance.choice(choices)
        return max(choices, key=self._rank)

    def _rank(self, choice: Actor | _Sent) -> float:
        if choice not in self._ranks or self.chance.random() < 0.05:
            self._ranks[choice] = self.chance.random()
        return self._ranks[choice]

    def _step(self, actor: Actor) -> None:
        self.log.append(actor.name)
        stack = self.stack(actor.place)
        if actor.blocking and actor not in stack:
            stack.append(actor)
        actor.step()
        if actor.over and actor in stack:
            stack.remove(actor)

    def _movable_actors(self) -> list[Actor]:
        return [
            actor
            for actor in self.actors
            if not actor.over and self.stack(actor.place)[-1:] in ([], [actor]) and (actor.cancelled or actor.ready())
        ]

    def stack(self, place: int) -> list[Actor]:
        """Return the blocking actors that hold a place, the one that may go on last."""
        return self._stacks.setdefault(place, [])

    def _movable_commands(self) -> list[_Sent]:
        return [connection[0] for connection in self.connections if connection]

    def _move(self, sent: _Sent) -> None:
        if not sent.executed:
            sent.executed = True
            sent.lost = self.chance.random() < self.loss
            if not sent.lost:
                sent.reply = self._execute(sent.command)
            self.log.append(f"[{sent.command.name}{' lost' if sent.lost else ''}]")
            return
        sent.answered = True
        for connection in self.connections:
            if connection and connection[0] is sent:
                connection.popleft()

    def _execute(self, command: Command) -> Reply:
        name, *words = command.words
        if name == "GET":
            return self.stored.get(str(words[0]))
        if name == "MGET":
            return [self.stored.get(str(key)) for key in words]
        if name == "SET":
            self.stored[str(words[0])] = bytes(words[1])  # type: ignore[arg-type]  # a frame
            return "OK"
        if name == "UNLINK":
            return sum(self.stored.pop(str(key), None) is not None for key in words)
        raise AssertionError(name)


class WorldPort:
    """A port of a place in a world: of a loop, which all its tasks share, or of a thread."""

    def __init__(self, world: World, place: int, *, blocking: bool) -> None:
        self._world = world
        self._place = place
        self._blocking = blocking
        self._connection: deque[_Sent] = deque()
        world.connections.append(self._connection)

    async def call(self, command: Command) -> Reply:
        """Send a command; wait until it is executed, then until its reply is here."""
        sent = _Sent(command)
        connection: deque[_Sent] = deque() if self._blocking else self._connection
        connection.append(sent)
        if self._blocking:
            self._world.connections.append(connection)
        await _Until(lambda: sent.answered)
        if sent.lost:
            raise BackendUnavailable(command.name)
        return sent.reply

    async def pipeline(self, commands: Sequence[Command]) -> list[Reply]:
        """Send commands one after the other."""
        return [await self.call(command) for command in commands]

    def now(self) -> float:
        return self._world.time

    monotonic = now

    async def sleep(self, seconds: float) -> None:
        await _Until(lambda: True)

    def token(self) -> str:
        return f"{self._world.chance.getrandbits(60):016x}"

    def random(self) -> float:
        return self._world.chance.random()

    def lifeline(self) -> Callable[[], bool]:
        return lambda: True

    def start(self, work: Coroutine[Any, Any, None], ended: Callable[[], object]) -> Callable[[], object]:
        """Add an actor; a blocking caller is held up by it until it is through."""
        actor = self._world.add("load", work, self._place, blocking=self._blocking)
        actor.ended = ended
        if self._blocking:
            self._world.stack(self._place).append(actor)

        def cancel() -> None:
            actor.cancelled = not actor.over and not self._blocking

        return cancel

    def place(self) -> int:
        return self._place

    def may_wait_for(self, place: int) -> bool:
        return not self._blocking or place != self._place

    async def wait(self, future: Future[T], patience: float | None) -> T:
        """Wait for a result; patience is over when chance says so, but for loads and fills nobody is in a hurry."""
        del patience
        await _Until(future.done)
        return future.result()


class Impatient(WorldPort):
    """A port whose waiters give up when chance says so."""

    async def wait(self, future: Future[T], patience: float | None) -> T:
        """Wait for a result for a while."""
        if patience is None:
            return await super().wait(future, patience)
        for _ in range(self._world.chance.randrange(8)):
            if future.done():
                break
            await _Until(lambda: True)
        if not future.done():
            raise WaitOver
        return future.result()
