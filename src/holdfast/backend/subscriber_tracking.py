"""Client tracking: the server tells of every change under some prefixes, by whoever and for whatever reason.

It is asked for with CLIENT TRACKING ON BCAST and comes as RESP3 pushes over the connection of the subscriber. Prefixes
of one connection must not overlap, so what a shorter one covers is not asked for; where a new one covers older ones,
all are given up and asked for again. Prefixes that nobody needs any more stay until nobody watches anything.

Where the server refuses, watchers hear what is published and no more. No I/O here, no clock, no locks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from hiredis import ReplyError

from holdfast.backend.failures import code_of
from holdfast.backend.subscriber_topics import Ear, Words, as_text
from holdfast.commands import Reply
from holdfast.port import KeyListener, Listener

_log = logging.getLogger("holdfast")


class Parts:
    """Makes one listener of several subscriptions: it is up while all of them are."""

    def __init__(self, listener: Listener, count: int) -> None:
        self._listener = listener
        self._missing = count

    def up(self) -> None:
        """Note that one part is up."""
        self._missing -= 1
        if not self._missing:
            self._listener.up()

    def down(self) -> None:
        """Note that one part is down."""
        self._missing += 1
        if self._missing == 1:
            self._listener.down()

    def heard(self, topic: str, message: bytes) -> None:
        """Pass a message on."""
        self._listener.heard(topic, message)


@dataclass(slots=True, eq=False)
class Watcher:
    """Who wants to know of changes under some prefixes."""

    prefixes: Sequence[str]
    listener: KeyListener
    ear: Ear
    """Up when the changes are told, or when they cannot be."""


class Tracking:
    """The prefixes of one connection at a time."""

    def __init__(self, ask: Callable[[Words, Callable[[Reply], None]], None]) -> None:
        self._ask = ask
        self._watchers: list[Watcher] = []
        self._is_connected = False
        self._is_available = False
        self._prefixes: set[str] = set()
        """Those that the server was asked for."""
        self._unanswered = 0

    def __bool__(self) -> bool:
        return bool(self._watchers)

    @property
    def is_on(self) -> bool:
        """Say whether changes are told now."""
        return bool(self._is_available and self._prefixes and not self._unanswered)

    def add(self, watcher: Watcher) -> None:
        """Tell a watcher of changes from now on."""
        self._watchers.append(watcher)
        if self._is_connected:
            self._extend(watcher.prefixes)
            self._settle()

    def remove(self, watcher: Watcher) -> None:
        """Stop; harmless when it was stopped before."""
        if watcher not in self._watchers:
            return
        self._watchers.remove(watcher)
        if not self._watchers and self._prefixes:
            self._prefixes.clear()
            self._send("OFF")

    def connected(self, *, can_track: bool) -> None:
        """Ask for everything on a new connection."""
        self._is_connected = True
        self._is_available = can_track
        self._extend([prefix for watcher in self._watchers for prefix in watcher.prefixes])
        self._settle()

    def lost(self) -> None:
        """Note that the connection is gone, and tell everybody."""
        self._is_connected = self._is_available = False
        self._prefixes.clear()
        self._unanswered = 0
        self._unsettle()

    def take(self, keys: Sequence[bytes] | None) -> None:
        """Take an invalidation: the keys that changed, or None if any may have."""
        for watcher in tuple(self._watchers):
            if keys is None:
                watcher.ear.tell(watcher.listener.flushed)
                continue
            for key in map(as_text, keys):
                if key.startswith(tuple(watcher.prefixes)):
                    watcher.ear.tell(watcher.listener.changed, key)

    def _extend(self, prefixes: Iterable[str]) -> None:
        if not self._is_available:
            return
        new = _shortest(prefix for prefix in prefixes if not prefix.startswith(tuple(self._prefixes)))
        if not new:
            return
        if any(known.startswith(tuple(new)) for known in self._prefixes):
            self._unsettle()
            self._send("OFF")
            new = _shortest([*self._prefixes, *new])
            self._prefixes.clear()
        self._prefixes |= new
        self._send("ON", "BCAST", *(word for prefix in sorted(new) for word in ("PREFIX", prefix)))

    def _send(self, *words: str) -> None:
        self._unanswered += 1
        self._ask(("CLIENT", "TRACKING", *words), partial(self._answered, words[0]))

    def _answered(self, verb: str, reply: Reply) -> None:
        self._unanswered -= 1
        if type(reply) is ReplyError and self._is_available and verb == "ON":
            self._is_available = False
            _log.info("Redis does not tell of changed keys (%s): only what is published is heard", code_of(reply))
        self._settle()

    def _settle(self) -> None:
        if not self._unanswered:
            for watcher in tuple(self._watchers):
                watcher.ear.up()

    def _unsettle(self) -> None:
        for watcher in tuple(self._watchers):
            watcher.ear.down()


def _shortest(prefixes: Iterable[str]) -> set[str]:
    """Return the prefixes that no other one covers."""
    chosen: set[str] = set()
    for prefix in sorted(set(prefixes)):
        if not prefix.startswith(tuple(chosen)):
            chosen.add(prefix)
    return chosen
