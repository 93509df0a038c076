"""A model of the world around locks: several processes, one Redis that fails over, and chance that decides who goes on.

The locks are the real ones, and so are their scripts. Here is the world: that of the cache's model, in which processes
also stop for a while, commands and replies are held up or time out, and a server takes over that has not seen the last
writes. `lock_world_books` has who may hold what, `lock_world_watch` what must hold at every instant, `lock_world_play`
who takes part, and `lock_world_scenarios` the mixtures that are worth trying.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import support.lock_models  # noqa: F401 - it teaches the tiny Redis a command
from holdfast.commands import Command, Reply
from support.lock_world_actors import LockActor
from support.lock_world_books import LockBooks
from support.lock_world_lines import LockLines
from support.lock_world_watch import Watch
from support.lua_redis import LuaRedis
from support.model.actors import current
from support.model.broken import Broken
from support.model.lines import Line
from support.model.world import Choice, World

_TICK: Final = 0.0005
_MOST_STEPS: Final = 6000
_NEAR: Final = 0.3
"""Seconds by which time may overtake what is due first, so that several things are due at once."""


@dataclass(eq=False)
class LockWorld(World):
    """Everything outside the locks."""

    edits: Mapping[str, str] = field(default_factory=dict)
    """Other texts for some scripts, by name."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.offset = 0.0
        """Seconds by which the server's clock is ahead."""
        self.away = False
        """Whether no server can be reached."""
        self.redis = LuaRedis(heard=self._publish, micros=self._micros)
        self.lines: LockLines = LockLines(self)
        self.books = LockBooks(self)
        self.watch = Watch(self)
        self.quiet_since = self.time
        """Since when, or from when on, nothing troubles anybody."""

    def _micros(self) -> int:
        return int((self.time + self.offset) * 1_000_000)

    def server_now(self) -> int:
        """Return the server's time in whole milliseconds."""
        return self._micros() // 1000

    def troubled(self, until: float = 0.0) -> None:
        """Note that somebody is troubled now, or until an instant."""
        self.quiet_since = max(self.quiet_since, self.time, until)

    def run(self) -> None:
        """Let chance choose until nobody can go on, whatever the time.

        Raises:
            Broken: a promise was.
        """
        while True:
            self.steps += 1
            self.time += _TICK
            if self.steps > _MOST_STEPS:
                self.broken("live", f"no end after {_MOST_STEPS} steps")
                return
            if self.trouble is not None:
                self.trouble()
            choices = [*self._actors(), *self._happenings()]
            if choices:
                self._go_on(choices)
            elif not self._let_pass():
                return
            self.watch.look()

    def _let_pass(self) -> bool:
        """Let time pass until something is due; say whether anything ever is."""
        dues = [timer.due for timer in self.timers.all if not _frozen(timer.home)] + self.lines.dues()
        if not dues:
            return False
        first = min(dues)
        self.leap(self.chance.choice([due for due in dues if due <= first + _NEAR]))
        return True

    def add(self, name: str, work: Any, place: int, home: Any, *, blocking: bool) -> LockActor:
        """Let an actor take part."""
        actor = LockActor.of(name, work, place, home, blocking=blocking)
        actor.rank = self.chance.random()
        self.actors.append(actor)
        return actor

    def _actors(self) -> Iterator[Choice]:
        return (choice for choice in super()._actors() if not choice[1].home.frozen)

    def _happenings(self) -> Iterator[Choice]:
        for line in self.lines.all:
            if line.outgoing and not self.away and self.lines.passes(line, "out"):
                yield line.rank, line, self._execute
            if line.incoming and self.lines.passes(line, "in"):
                yield line.back_rank, line, self._answer
        for timer in self.timers.all:
            if timer.due <= self.time and not _frozen(timer.home):
                yield timer.rank, timer, self.timers.fire
        for subscriber in self.subscribers:
            if subscriber.asked and not self.away:
                yield subscriber.rank, subscriber, self._subscribe
            if subscriber.inbox and not self.watch.frozen(subscriber.number):
                yield subscriber.back_rank, subscriber, self._deliver

    def _execute(self, line: Line) -> None:
        sent = line.outgoing.popleft()
        reply = sent.batch.replies[sent.place] = self.execute(sent.command)
        line.incoming.append(sent)
        if self.verbose:
            self.say("    redis:", sent.command.name, *sent.command.words[3:], "->", reply)

    def execute(self, command: Command) -> Reply:
        """Execute a command, and see that it kept the rules."""
        text = self.edits.get(command.name)
        if text is not None:
            command = command._replace(words=("EVALSHA", "", *command.words[2:]), fallback=("EVAL", text))
        return self.books.execute(command)

    def _publish(self, topic: str, body: bytes) -> None:
        self.books.heard(topic, body.decode())
        super()._publish(topic, body)

    def _step(self, actor: LockActor) -> None:  # type: ignore[override]  # all actors here are of this kind
        self.say(actor.name, "is cancelled" if actor.cancelled else "goes on")
        if actor.blocking:
            stack = self.stacks.setdefault(actor.place, [])
            if actor not in stack:
                stack.append(actor)
        current[:] = [actor]
        actor.step()
        current.clear()
        if not actor.over:
            return
        self.actors.remove(actor)
        if actor.blocking:
            self.stacks[actor.place].remove(actor)
        self.watch.ended(actor)
        error, owed = actor.error, actor.owed
        if isinstance(error, Broken):
            raise error
        if owed is not None and not isinstance(error, owed):
            self.broken("cancel", f"{actor.name} was cancelled, and went on: {error!r}, {actor.result!r}")
        if error is not None and not isinstance(error, owed or ()):
            self.broken("error", f"{actor.name} raised {error!r}")


def _frozen(home: Any) -> bool:
    return home is not None and home.frozen
