"""One Redis, one clock, and everybody who uses them; chance decides who goes on.

Whoever can go on has a rank, and the highest goes first; ranks change now and then. So some are held up for long, which
is where bad orders hide. Time stands nearly still, and now and then leaps to an instant at which something is due.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Iterator, Mapping
from contextvars import copy_context
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, TypeAlias

from support.lua_redis import LuaRedis
from support.model.actors import Actor, current
from support.model.broken import Broken
from support.model.ledger import Ledger
from support.model.lines import Line, Lines
from support.model.news import Message, Subscriber
from support.model.timers import Timers

Choice: TypeAlias = tuple[float, Any, Callable[[Any], object]]
"""A rank, who may go on, and how."""

_TICK: Final = 0.0005
_MOST_STEPS: Final = 4000
_BEGIN: Final = 1_000_000.0


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
    """Whether there is to be a log."""

    def __post_init__(self) -> None:
        self.time = _BEGIN
        self.steps = 0
        self.redis = LuaRedis(lambda: self.time, self.texts, self._publish)
        self.ledger = Ledger(self)
        self.actors: list[Actor] = []
        self.stacks: dict[int, list[Actor]] = {}
        """The blocking actors that hold a place; the last one goes on."""
        self.lines = Lines(self.chance)
        self.timers = Timers(self.chance)
        self.subscribers: list[Subscriber] = []
        self.published: list[Message] = []
        self.log: list[str] = []
        self.trouble: Callable[[], object] | None = None
        """What may do something to everybody before each step."""
        self.over = False

    def say(self, *what: object) -> None:
        """Note a step in the log."""
        if self.verbose:
            self.log.append(f"{self.steps:4d} {self.time - _BEGIN:8.3f} {' '.join(map(str, what))}")

    def broken(self, promise: str, what: str) -> None:
        """Raise, unless this promise is not looked at."""
        if promise not in self.ignored:
            raise Broken(promise, what)

    def add(self, name: str, work: Any, place: int, home: Any, *, blocking: bool) -> Actor:
        """Let an actor take part."""
        actor = Actor(name, work, place, blocking, copy_context(), home, rank=self.chance.random())
        self.actors.append(actor)
        return actor

    def run(self) -> None:
        """Let chance choose until nobody can go on, whatever the time.

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
            choices = [*self._actors(), *self._happenings()]
            if choices:
                if self.timers.all and self.chance.random() < 0.02:
                    self.leap(self.timers.next_due)
                self._go_on(choices)
            elif self.timers.all:
                self.leap(self.timers.any_due)
            else:
                return

    def leap(self, to: float) -> None:
        """Let time pass at once."""
        if to > self.time:
            self.say(f"{to - self.time:.3f} seconds pass")
            self.time = to + _TICK

    def _actors(self) -> Iterator[Choice]:
        for actor in self.actors:
            if actor.ready:
                stack = self.stacks.get(actor.place)
                if not stack or stack[-1] is actor:
                    yield actor.rank, actor, self._step

    def _happenings(self) -> Iterator[Choice]:
        for line in self.lines.all:
            if line.outgoing:
                yield line.rank, line, self._execute
            if line.incoming:
                yield line.back_rank, line, self._answer
        for timer in self.timers.all:
            if timer.due <= self.time:
                yield timer.rank, timer, self.timers.fire
        for subscriber in self.subscribers:
            if subscriber.asked:
                yield subscriber.rank, subscriber, self._subscribe
            if subscriber.inbox:
                yield subscriber.back_rank, subscriber, self._deliver

    def _go_on(self, choices: list[Choice]) -> None:
        chance = self.chance.random()
        if chance < self.restless:
            _, who, go_on = choices[int(chance / self.restless * len(choices))]
        else:
            _, who, go_on = max(choices, key=_rank)
        if chance > 0.93:
            who.rank = self.chance.random()
            if isinstance(who, Line | Subscriber):
                who.back_rank = self.chance.random()
        go_on(who)

    def _step(self, actor: Actor) -> None:
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
        error = actor.error
        if isinstance(error, Broken):
            raise error
        if error is not None and not isinstance(error, CancelledError):
            self.broken("error", f"{actor.name} raised {error!r}")

    def _execute(self, line: Line) -> None:
        sent = line.outgoing.popleft()
        reply = sent.batch.replies[sent.place] = self.ledger.execute(sent.command)
        line.incoming.append(sent)
        if self.verbose:
            self.say("    redis:", self.ledger.told(sent.command, reply))

    def _answer(self, line: Line) -> None:
        sender = line.answer().sender
        self.lines.tidy(line)
        self.say("    answered:", sender.name if sender else "nobody")

    def _subscribe(self, subscriber: Subscriber) -> None:
        subscriber.execute()
        self.say(f"    process {subscriber.number} is subscribed")

    def _deliver(self, subscriber: Subscriber) -> None:
        self.say(f"    process {subscriber.number} hears", *subscriber.inbox[0][1:])
        subscriber.deliver()

    def _publish(self, topic: str, body: bytes) -> None:
        message = Message(topic, body)
        self.published.append(message)
        for subscriber in self.subscribers:
            if not self.loss or self.chance.random() >= self.loss:
                subscriber.publish(message)

    def kill(self, home: Any) -> None:
        """Let a process die at once. What it has sent may still be executed, or not."""
        self.say(f"process {home.number} dies")
        home.dead = True
        doomed = [actor for actor in self.actors if actor.home is home]
        self.actors = [actor for actor in self.actors if actor.home is not home]
        self.timers.drop(home)
        self.subscribers = [each for each in self.subscribers if each.number != home.number]
        self.lines.drop(home.ports)
        for actor in doomed:
            actor.discard()

    def close(self) -> None:
        """End whoever is not through, when nothing counts any more."""
        self.over = True
        for actor in self.actors:
            actor.discard()
        self.actors.clear()


def _rank(choice: Choice) -> float:
    return choice[0]
