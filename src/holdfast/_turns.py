"""Taking turns in a process: of all requests of one URL, one at a time asks Redis whether it may fetch it.

The others wait here and cost Redis nothing. What they are woken for they look up themselves, so nothing that somebody
else has read or fetched is ever handed on: a turn says only that it is worth looking again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress


class Turn:
    """The turn of one request."""

    __slots__ = ("alive", "ended", "place")

    def __init__(self, place: int, alive: Callable[[], bool]) -> None:
        self.ended: Future[None] = Future()
        self.place = place
        """The thread in which it runs."""
        self.alive = alive
        """Whether it can still go on: not if its loop was closed under it."""


class Turns:
    """The turns of one process."""

    def __init__(self) -> None:
        self._turns: dict[str, Turn] = {}
        self._lock = threading.Lock()
        self.behind: dict[str, Callable[[], bool]] = {}
        """The keys of the URLs that are refreshed behind, and whether that can still go on."""

    def take(self, key: str, turn: Turn) -> Turn:
        """Return the turn that somebody has of a key, or else give it to the caller and return the caller's own."""
        found = self._turns.setdefault(key, turn)
        if found is turn or found.alive():
            return found
        with self._lock:  # two that both find it dead must not both go on
            self.end(key, found)
        return self.take(key, turn)

    def end(self, key: str, turn: Turn) -> None:
        """End a turn, if it has not ended yet, and wake who waits for it."""
        if self._turns.get(key) is turn:
            self._turns.pop(key, None)
        with suppress(InvalidStateError):
            turn.ended.set_result(None)

    def after_fork(self) -> None:
        """In a child process: forget the turns of the parent's requests."""
        self._turns = {}
        self._lock = threading.Lock()
        self.behind.clear()
