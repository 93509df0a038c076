"""What is listened for, and how far the server has confirmed it. No I/O, no clock, no locks.

A topic on one connection.

    last sent      confirmations to come    the topic is
    nothing        0                        not subscribed: there is no connection, or the server refused
    SUBSCRIBE      some                     not up yet
    SUBSCRIBE      0                        up
    UNSUBSCRIBE    some                     forgotten when the last one comes, unless somebody subscribes again

The server answers in the order in which it was asked, so `_asked` is a plain queue. Confirmations are counted: after
SUBSCRIBE, UNSUBSCRIBE, SUBSCRIBE only the third one says that from now on nothing is missed.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import hiredis

from holdfast.backend.failures import WireBroken, code_of
from holdfast.commands import Reply, Word
from holdfast.port import Listener

Words = tuple[Word, ...]

_BATCH: Final = 500
"""How many topics one SUBSCRIBE names after a reconnect."""
_LISTS: Final = frozenset({list, hiredis.PushNotification})
_log = logging.getLogger("holdfast")


@dataclass(slots=True, eq=False)
class Ear:
    """One subscription of one listener. It tells the listener each change once, and nothing after the end."""

    listener: Listener
    is_up: bool = False
    is_over: bool = False

    def up(self) -> None:
        """Say that the subscription holds."""
        if not self.is_up:
            self.is_up = True
            self.tell(self.listener.up)

    def down(self) -> None:
        """Say that the subscription is lost."""
        if self.is_up:
            self.is_up = False
            self.tell(self.listener.down)

    def heard(self, topic: str, message: bytes) -> None:
        """Pass a message on."""
        if self.is_up:
            self.tell(self.listener.heard, topic, message)

    def tell(self, method: Callable[..., object], *args: object) -> None:
        """Call the listener; what it raises must harm nobody else."""
        if self.is_over:
            return
        try:
            method(*args)
        except Exception:
            _log.exception("a listener raised; it is told of what follows all the same")


@dataclass(slots=True, eq=False)
class _Topic:
    name: bytes
    pattern: bool
    ears: list[Ear] = field(default_factory=list[Ear])
    wanted: bool = False
    """Whether SUBSCRIBE was sent last, and was not refused."""
    unanswered: int = 0

    @property
    def is_up(self) -> bool:
        return self.wanted and not self.unanswered


@dataclass(slots=True, eq=False)
class _Asked:
    """A command on its way, and who is to hear of its answer."""

    topics: Sequence[_Topic] = ()
    answered: Callable[[Reply], None] | None = None
    confirmed: int = 0


class Topics:
    """The topics of one connection at a time. `outgoing` is what is to be sent."""

    def __init__(self) -> None:
        self._topics: dict[tuple[bool, bytes], _Topic] = {}
        self._asked: deque[_Asked] = deque()
        self._connected = False
        self._has_complained = False
        self.outgoing: list[Words] = []

    def __bool__(self) -> bool:
        return any(topic.ears for topic in self._topics.values())

    @property
    def is_waiting(self) -> bool:
        """Say whether the server owes an answer."""
        return bool(self._asked)

    def add(self, name: bytes, ear: Ear, *, pattern: bool) -> None:
        """Listen for a topic; the ear is up at once if the topic is."""
        topic = self._topics.setdefault((pattern, name), _Topic(name, pattern))
        topic.ears.append(ear)
        if topic.is_up:
            ear.up()
        elif self._connected and not topic.wanted:
            self._subscribe([topic])

    def remove(self, name: bytes, ear: Ear, *, pattern: bool) -> None:
        """Stop listening; harmless when it was stopped before."""
        topic = self._topics.get((pattern, name))
        if topic is None or ear not in topic.ears:
            return
        topic.ears.remove(ear)
        if topic.ears:
            return
        if topic.wanted:
            topic.wanted = False
            topic.unanswered += 1
            self._ask(("PUNSUBSCRIBE" if pattern else "UNSUBSCRIBE", name), _Asked([topic]))
        elif not topic.unanswered:
            del self._topics[pattern, name]

    def ask(self, words: Words, answered: Callable[[Reply], None]) -> None:
        """Send a command of another kind between those for topics."""
        self._ask(words, _Asked(answered=answered))

    def connected(self) -> None:
        """Subscribe to everything on a new connection."""
        self._connected = True
        self._has_complained = False
        for pattern in (False, True):
            topics = [topic for topic in self._topics.values() if topic.pattern == pattern]
            for start in range(0, len(topics), _BATCH):
                self._subscribe(topics[start : start + _BATCH])

    def lost(self) -> None:
        """Note that the connection is gone, and tell everybody."""
        self._connected = False
        self._asked.clear()
        self.outgoing.clear()
        for key, topic in tuple(self._topics.items()):
            topic.wanted = False
            topic.unanswered = 0
            if not topic.ears:
                del self._topics[key]
            for ear in tuple(topic.ears):
                ear.down()

    def take(self, reply: Reply) -> None:
        """Take what the server sent.

        Raises:
            WireBroken: it is no answer to what was asked.
        """
        words: Any = reply if type(reply) in _LISTS else ()
        match words:
            case [b"message", channel, message]:
                self._deliver((False, channel), channel, message)
            case [b"pmessage", pattern, channel, message]:
                self._deliver((True, pattern), channel, message)
            case [b"subscribe" | b"unsubscribe", name, _]:
                self._confirm((False, name))
            case [b"psubscribe" | b"punsubscribe", name, _]:
                self._confirm((True, name))
            case _ if type(reply) is not hiredis.PushNotification:
                self._answer(reply)
            case _:  # something that newer servers tell of
                return

    def _subscribe(self, topics: Sequence[_Topic]) -> None:
        for topic in topics:
            topic.wanted = True
            topic.unanswered += 1
        verb = "PSUBSCRIBE" if topics[0].pattern else "SUBSCRIBE"
        self._ask((verb, *(topic.name for topic in topics)), _Asked(topics))

    def _ask(self, words: Words, asked: _Asked) -> None:
        self.outgoing.append(words)
        self._asked.append(asked)

    def _deliver(self, key: tuple[bool, bytes], channel: bytes, message: bytes) -> None:
        topic = self._topics.get(key)
        if topic is not None:
            text = as_text(channel)
            for ear in tuple(topic.ears):
                ear.heard(text, message)

    def _confirm(self, key: tuple[bool, bytes]) -> None:
        topic = self._topics.get(key)
        if topic is None or not self._asked or topic not in self._asked[0].topics:
            raise WireBroken("lost", sent=True, detail="a confirmation of what was not asked")
        asked = self._asked[0]
        asked.confirmed += 1
        if asked.confirmed == len(asked.topics):
            self._asked.popleft()
        topic.unanswered -= 1
        if topic.is_up:
            for ear in tuple(topic.ears):
                ear.up()
        elif not topic.ears and not topic.unanswered:
            del self._topics[key]

    def _answer(self, reply: Reply) -> None:
        if not self._asked or (self._asked[0].topics and type(reply) is not hiredis.ReplyError):
            raise WireBroken("lost", sent=True, detail="an answer that nobody waits for")
        asked = self._asked.popleft()
        if asked.answered is not None:
            asked.answered(reply)
        else:
            self._refused(asked.topics, reply)

    def _refused(self, topics: Sequence[_Topic], error: Any) -> None:
        """Ask for topics that were refused together one by one: the server does not say which one it was."""
        for topic in topics:
            topic.unanswered -= 1
            if topic.unanswered or not topic.wanted:
                continue
            topic.wanted = False
            if not topic.ears:
                del self._topics[topic.pattern, topic.name]
            elif len(topics) > 1:
                self._subscribe([topic])
            elif not self._has_complained:
                self._has_complained = True
                name = as_text(topic.name)
                _log.warning("Redis refused to subscribe to %r (%s): nothing will be heard there", name, code_of(error))


def as_text(name: bytes) -> str:
    """Return a name as text. One that is not UTF-8 is not ours; it must only do no harm."""
    return name.decode("utf-8", "replace")
