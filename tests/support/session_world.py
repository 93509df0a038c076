"""A model of the world around sessions: one Redis, requests over both middlewares, and chance that decides who goes on.

The sessions are the real ones, and so are the middlewares and the scripts. A request is held up before each of its
commands, before each reply, and wherever its app likes. `session_books` says what must be true, `session_play` who
takes part, and `session_bugs` has the mistakes that must be found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Final

from holdfast import Layer
from holdfast.commands import Command, Reply
from support.model.actors import SUSPENDED
from support.model.broken import Broken
from support.session_actors import SessionActor, TaskActor, ThreadActor
from support.session_books import Books
from support.session_redis import SessionRedis

_TICK: Final = 0.0005
_MOST_STEPS: Final = 3000
_LEAPS: Final = (0.6, 3.0, 6.0, 11.0, 45.0, 45.0, 70.0, 101.0)
_BEGIN: Final = 1_790_000_000.0


class SessionWorld:
    """Everything outside the sessions.

    Args:
        chance: decides.
        layer: whose ports are the world's from now on.
        texts: other texts for some scripts, by name.
        ignored: promises that are not looked at.
        verbose: whether there is to be a log.
    """

    def __init__(
        self,
        chance: Random,
        layer: Layer,
        *,
        texts: Mapping[str, str] | None = None,
        ignored: frozenset[str] = frozenset(),
        verbose: bool = False,
    ) -> None:
        self.chance = chance
        self.namespace = layer.engine.namespace
        self.codec = layer.sessions.codec()
        self.time = _BEGIN
        self.skew = chance.choice((-1000.0, 0.0, 0.0, 1000.0))
        """Seconds by which the clock of the processes is ahead of that of Redis."""
        self.texts = texts or {}
        self.ignored = ignored
        self.verbose = verbose
        self.log: list[str] = []
        self.redis = SessionRedis(lambda: self.time)
        self.books = Books(self)
        self.touched: dict[str, float] = {}
        """When a session was used last, by handle."""
        self.actors: list[SessionActor] = []
        self.current: SessionActor
        self.restless = chance.choice((0.05, 0.2, 1.0))
        self.leaping = chance.choice((0.0, 0.0, 0.01, 0.05))
        engine: Any = layer.engine
        engine.asyncio, engine.blocking = _AsyncPort(self), _BlockingPort(self)

    def key(self, handle: str) -> str:
        """Return the key of a session."""
        return f"{self.namespace}:session:{{{handle}}}"

    def stored(self, handle: str) -> dict[str, Any]:
        """Return the data of a session as they are in Redis."""
        fields = self.redis.hash(self.key(handle)) or {}
        return {
            name[1:].decode(): self.codec.value(self.codec.open(f"session:{handle}:{name[1:].decode()}", frame))
            for name, frame in fields.items()
            if name[:1] == b"."
        }

    def say(self, *what: object) -> None:
        """Note a step in the log."""
        if self.verbose:
            self.log.append(f"{self.time - _BEGIN:8.3f} {' '.join(map(str, what))}")

    def broken(self, promise: str, what: str) -> None:
        """Raise, unless this promise is not looked at."""
        if promise not in self.ignored:
            raise Broken(promise, what)

    def run(self) -> None:
        """Let chance choose until all are through.

        Raises:
            Broken: a promise was.
        """
        chance = self.chance
        for _ in range(_MOST_STEPS):
            if not self.actors:
                self.books.before(self.time)
                self.books.quiet(self.time)
                return
            self.time += _TICK
            if self.leaping and chance.random() < self.leaping:
                self.time += chance.choice(_LEAPS)
                self.say("time passes")
            actor = chance.choice(self.actors) if chance.random() < self.restless else max(self.actors, key=_rank)
            self.step(actor)
        self.broken("error", f"no end after {_MOST_STEPS} steps")

    def step(self, actor: SessionActor) -> None:
        """Let one go on."""
        self.current = actor
        actor.step()
        if self.chance.random() < 0.1:
            actor.rank = self.chance.random()
        if not actor.over:
            return
        if actor in self.actors:
            self.actors.remove(actor)
        self.say(actor.name, "is through:", actor.error or actor.result)
        if isinstance(actor.error, Broken):
            raise actor.error

    def execute(self, command: Command) -> Reply:
        """Execute a command of the current actor, and see that it kept the rules."""
        actor, text = self.current, self.texts.get(command.name)
        if actor.is_reader and command.name != "session_load":
            self.broken("reader", f"{actor.name} writes nothing, and sends {command.name}")
        if text is not None:
            command = command._replace(words=("EVALSHA", "", *command.words[2:]), fallback=("EVAL", text))
        self.books.before(self.time)
        reply = self.redis.execute(command)
        if self.verbose:
            self.say(
                "   ", actor.name, command.name, *[str(word)[:22] for word in command.words[3:9]], "->", str(reply)[:60]
            )
        self.books.executed(command, reply, actor, self.time)
        return reply

    def close(self) -> None:
        """End whoever is not through, when nothing counts any more."""
        for actor in self.actors:
            actor.discard()
        self.actors.clear()


def _rank(actor: SessionActor) -> float:
    return actor.rank


class _Port:
    """What both colours see of the world."""

    def __init__(self, world: SessionWorld) -> None:
        self._world = world

    def now(self) -> float:
        return self._world.time + self._world.skew

    def token(self) -> str:
        return f"{self._world.chance.getrandbits(60):016x}"


class _AsyncPort(_Port):
    async def call(self, command: Command) -> Reply:
        actor = self._world.current
        assert isinstance(actor, TaskActor)
        await SUSPENDED
        reply = self._world.execute(command)
        if self._world.chance.random() < 0.5:
            await SUSPENDED
        return reply

    async def pipeline(self, commands: Sequence[Command]) -> list[Reply]:
        return [await self.call(command) for command in commands]


class _BlockingPort(_Port):
    async def call(self, command: Command) -> Reply:
        actor = self._world.current
        assert isinstance(actor, ThreadActor)
        actor.park()
        reply = self._world.execute(command)
        if self._world.chance.random() < 0.25:
            actor.park()
        return reply

    async def pipeline(self, commands: Sequence[Command]) -> list[Reply]:
        return [await self.call(command) for command in commands]
