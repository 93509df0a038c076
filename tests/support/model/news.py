"""The way of messages to one process: its subscriptions, and the one connection that they come over."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import ClassVar

from holdfast.port import Listener


@dataclass(eq=False, slots=True)
class Message:
    """What was published."""

    topic: str
    body: bytes
    known: set[int] = field(default_factory=set)
    """The processes whose near caches have handled it, or need not any more."""


@dataclass(eq=False, slots=True)
class Ear:
    """One subscription of one listener."""

    topics: tuple[str, ...]
    listener: Listener
    subscribed: bool = False
    """Whether the server sends what is published."""
    is_up: bool = False
    over: bool = False
    seen_until: int = 0
    """The number of messages that had been published when the server subscribed it."""

    def wants(self, topic: str) -> bool:
        """Say whether a message is for it."""
        return any(fnmatchcase(topic, each) if "*" in each else topic == each for each in self.topics)


@dataclass(eq=False)
class Subscriber:
    """The subscriptions of one process. Nothing happens at once: not even the confirmation."""

    up_too_soon: ClassVar[bool] = False
    """A mistake to try: listeners are up when the subscription is asked for."""
    number: int
    published: list[Message]
    ears: list[Ear] = field(default_factory=list)
    asked: deque[Ear] = field(default_factory=deque)
    inbox: deque[tuple[Ear, str, Message | None]] = field(default_factory=deque)
    rank: float = 0.0
    back_rank: float = 0.0

    def subscribe(self, topics: tuple[str, ...], listener: Listener) -> Callable[[], object]:
        """Ask for a subscription."""
        ear = Ear(topics, listener)
        self.ears.append(ear)
        self.asked.append(ear)

        def cancel() -> None:
            ear.over = True
            if ear in self.ears:
                self.ears.remove(ear)

        return cancel

    def execute(self) -> None:
        """Let the server subscribe the next one."""
        ear = self.asked.popleft()
        if ear.over:
            return
        ear.subscribed, ear.seen_until = True, len(self.published)
        self.inbox.append((ear, "up", None))

    def publish(self, message: Message) -> None:
        """Put a message on its way to those who are subscribed."""
        for ear in self.ears:
            if ear.subscribed and ear.wants(message.topic):
                self.inbox.append((ear, "heard", message))

    def deliver(self) -> str:
        """Let the next message or confirmation arrive; return what it was."""
        ear, what, message = self.inbox.popleft()
        if ear.over:
            return what
        if what == "up":
            self._up(ear)
        elif what == "down":
            if ear.is_up:
                ear.is_up = False
                ear.listener.down()
            self.asked.append(ear)
            if self.up_too_soon:
                ear.is_up = True
                ear.listener.up()
        elif message is not None and ear.is_up:
            ear.listener.heard(message.topic, message.body)
            if len(ear.topics) > 1:
                message.known.add(self.number)
        return what

    def _up(self, ear: Ear) -> None:
        if len(ear.topics) > 1:
            for message in self.published[: ear.seen_until]:
                message.known.add(self.number)
        if not ear.is_up:
            ear.is_up = True
            ear.listener.up()

    def cut(self, *, at_once: bool) -> None:
        """Break the connection; what was on its way may still arrive before that is noticed."""
        if at_once:
            self.inbox.clear()
        self.asked.clear()
        for ear in self.ears:
            ear.subscribed = False
            self.inbox.append((ear, "down", None))
