"""One Redis, one clock, and everybody who uses them; chance decides who goes on.

Whoever can go on has a rank, and the highest goes first; ranks change now and then. So some are held up for long, which
is where bad orders hide. Time stands nearly still, and now and then leaps to an instant at which something is due.
"""

from __future__ import annotations

import math
from asyncio import CancelledError
from collections.abc import Callable, Mapping
from contextvars import copy_context
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from holdfast.commands import Command, Reply
from support.lua_redis import LuaRedis
from support.model.actors import Actor, current
from support.model.ledger import Ledger
from support.model.lines import Batch, Line, unsent_copy
from support.model.news import Message, Subscriber

_TICK: Final = 0.0005
_MOST_STEPS: Final = 4000


PROMISES: Final = frozenset({"P1", "P1-near", "P2", "P2b", "P3", "P4", "P5", "books", "error"})
"""What is looked at: those of the specification, that nothing stays behind, and that nothing unexpected is raised."""


class Broken(AssertionError):
    """A promise was broken."""

    def __init__(self, promise: str, what: str) -> None:
        super().__init__(f"{promise}: {what}")
        self.promise = promise
        self.log: list[str] = []


@dataclass(eq=False, slots=True)
class Timer:
    """Something that is due at an instant."""

    due: float
    fire: Callable[[], object]
    home: Any
    rank: float = 0.0


@dataclass(eq=False)
class World:
    """Everything outside the cache."""

    chance: Random
    texts: Mapping[str, str] = field(default_factory=dict)
    """Other texts for some scripts."""
    cluster: bool = False
    """Whether the commands of a pipeline go to several servers."""
    loss: float = 0.0
    """How likely it is that a message is lost on its way to a process."""
    restless: float = 0.1
    """How likely the next one is anybody, not who was preferred before."""
    ignored: frozenset[str] = frozenset()
    """Promises that are not looked at."""
    verbose: bool = False
    time: float = 1_000_000.0
    steps: int = 0

    def __post_init__(self) -> None:
        self.redis = LuaRedis(lambda: self.time, self.texts, self._publish)
        self.ledger = Ledger(self)
        self.actors: list[Actor] = []
        self.lines: list[Line] = []
        self.timers: list[Timer] = []
        self.subscribers: list[Subscriber] = []
        self.published: list[Message] = []
        self.log: list[str] = []
        self.stacks: dict[int, list[Actor]] = {}
        self.trouble: Callable[[], object] | None = None
        """What to do to everybody at some instant; asked before each step."""
        self.over = False

    def say(self, what: str, *details: object) -> None:
        """Note a step for the log of a run that is told."""
        if self.verbose:
            self.log.append(f"{self.steps:4d} {self.time - 1_000_000:8.3f} {what} {' '.join(map(str, details))}")

    def broken(self, promise: str, what: str) -> None:
        """Raise, unless this promise is not looked at."""
        if promise not in self.ignored:
            self.say(f"BROKEN {promise}: {what}")
            raise Broken(promise, what)

    def add(self, name: str, work: Any, place: int, home: Any, *, blocking: bool) -> Actor:
        """Let an actor take part."""
        actor = Actor(name, work, place, blocking, copy_context(), home, rank=self.chance.random())
        self.actors.append(actor)
        return actor

    def line(self, home: Any, *, kept: bool) -> Line:
        """Open a connection."""
        line = Line(home, kept=kept, rank=self.chance.random(), back_rank=self.chance.random())
        self.lines.append(line)
        return line

    def timer(self, seconds: float, fire: Callable[[], object], home: Any) -> Timer:
        """Have something happen after some seconds, or later."""
        timer = Timer(self.time + seconds, fire, home, self.chance.random())
        if math.isfinite(seconds):
            self.timers.append(timer)
        return timer

    def run(self) -> None:
        """Let chance choose until everybody is through.

        Raises:
            Broken: a promise was.
        """
        while True:
            self.steps += 1
            self.time += _TICK
            if self.steps > _MOST_STEPS:
                self.broken("P3", f"no end after {_MOST_STEPS} steps")
                return
            if self.trouble is not None:
                self.trouble()
            choices = self._choices()
            if not choices:
                if not self.timers:
                    return
                self.leap(self.chance.choice(self.timers).due)
                continue
            if self.timers and self.chance.random() < 0.02:
                self.leap(min(timer.due for timer in self.timers))
            self._choose(choices)()

    def leap(self, to: float) -> None:
        """Let time pass at once."""
        if to > self.time:
            self.say("time passes", f"{to - self.time:.3f}")
            self.time = to + _TICK

    def _choices(self) -> list[tuple[float, Any, Callable[[], object]]]:
        stacks = self.stacks
        found: list[tuple[float, Any, Callable[[], object]]] = []
        for actor in self.actors:
            if actor.ready:
                stack = stacks.get(actor.place)
                if not stack or stack[-1] is actor:
                    found.append((actor.rank, actor, self._step))
        for line in self.lines:
            if line.outgoing:
                found.append((line.rank, line, self._execute))
            if line.incoming:
                found.append((line.back_rank, line, self._answer))
        for timer in self.timers:
            if timer.due <= self.time:
                found.append((timer.rank, timer, self._fire))
        for subscriber in self.subscribers:
            if subscriber.asked:
                found.append((subscriber.rank, subscriber, self._subscribe))
            if subscriber.inbox:
                found.append((subscriber.back_rank, subscriber, self._deliver))
        return found

    def _choose(self, choices: list[tuple[float, Any, Callable[[Any], object]]]) -> Callable[[], object]:
        chance = self.chance.random()
        if len(choices) == 1:
            _, who, what = choices[0]
        elif chance < self.restless:
            _, who, what = choices[int(chance / self.restless * len(choices))]
        else:
            _, who, what = max(choices, key=_rank)
        if chance > 0.93:
            who.rank = self.chance.random()
            if not isinstance(who, Actor | Timer):
                who.back_rank = self.chance.random()
        return lambda: what(who)

    def _step(self, actor: Actor) -> None:
        self.say(actor.name, "goes on" if not actor.cancelled else "is cancelled")
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
        error = actor.error
        self.say(actor.name, "has ended", error or "")
        if isinstance(error, Broken):
            raise error
        if error is not None and not isinstance(error, CancelledError):
            self.broken("error", f"{actor.name} raised {error!r}")

    def _execute(self, line: Line) -> None:
        line.execute(self.execute)

    def execute(self, command: Command) -> Reply:
        """Execute a command in Redis, and look at what it did."""
        reply = self.ledger.execute(command)
        if self.verbose:
            self.say("    redis", self.ledger.told(command, reply))
        return reply

    def _answer(self, line: Line) -> None:
        batch = line.answer()
        self.say(f"    {batch.sender.name if batch.sender else 'nobody'} is answered")
        if not line.kept and not line.outgoing and not line.incoming:
            self.lines.remove(line)

    def _fire(self, timer: Timer) -> None:
        self.timers.remove(timer)
        timer.fire()

    def _subscribe(self, subscriber: Subscriber) -> None:
        subscriber.execute()
        self.say(f"    process {subscriber.number} is subscribed")

    def _deliver(self, subscriber: Subscriber) -> None:
        self.say(f"    process {subscriber.number} hears", subscriber.inbox[0][1], subscriber.inbox[0][2] or "")
        subscriber.deliver()

    def _publish(self, topic: str, body: bytes) -> None:
        message = Message(len(self.published), topic, body)
        self.published.append(message)
        for subscriber in self.subscribers:
            if not self.loss or self.chance.random() >= self.loss:
                subscriber.publish(message)

    def give_up(self, batch: Batch, error: Any) -> None:
        """Tell a sender that its commands failed; what was not executed is lost, or executed at some later time."""
        batch.error = error
        late = []
        for line in self.lines:
            late += line.give_up(batch)
        self.say(f"    {batch.sender.name if batch.sender else 'nobody'} is told of a failure", repr(error))
        if late and self.chance.random() < 0.5:
            self.again(late)
        self.lines = [line for line in self.lines if line.kept or line.outgoing or line.incoming]
        if batch.sender is not None:
            batch.sender.wake()

    def again(self, sent: list[Any]) -> None:
        """Put commands on their way that nobody waits for."""
        line = unsent_copy(sent)
        line.rank = self.chance.random() ** 3  # rather late
        self.lines.append(line)

    def kill(self, home: Any) -> None:
        """Let a process die at once. What it has sent may still be executed, or not."""
        self.say(f"process {home.number} dies")
        home.dead = True
        doomed = [actor for actor in self.actors if actor.home is home]
        self.actors = [actor for actor in self.actors if actor.home is not home]
        self.timers = [timer for timer in self.timers if timer.home is not home]
        self.subscribers = [subscriber for subscriber in self.subscribers if subscriber.number != home.number]
        for line in [line for line in self.lines if line.home is home]:
            self.lines.remove(line)
            if line.outgoing and self.chance.random() < 0.5:
                self.again(list(line.outgoing))
        for actor in doomed:
            actor.discard()

    def close(self) -> None:
        """End whoever is not through, when nothing counts any more."""
        self.over = True
        for actor in self.actors:
            actor.discard()
        self.actors.clear()


def _rank(choice: tuple[float, Any, Any]) -> float:
    return choice[0]
