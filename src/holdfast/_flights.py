"""Loads under way in this process. Callers of one key share a flight, whatever their colour.

Rules.

1. A flight belongs to the work that loads, not to the caller that opened it. Callers are members and may leave.
2. When the last member leaves, the flight is taken off the map and its work cancelled, in one step: nobody can join a
   flight that is about to be cancelled.
3. A flight is off the map before its value is sent to Redis: a caller that comes later asks Redis itself.
4. A revoked flight (its key was invalidated, set or refreshed meanwhile) is off the map and must not store its value.
   Its members still get it: they came before.
5. Who loads one key and waits for another remembers it, so that a circle of waiting is seen before it closes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass

LOADING: ContextVar[tuple[Flight, ...]] = ContextVar("holdfast_loading", default=())
"""The flights whose loaders run around the current code, outermost first."""


class Abandoned(Exception):  # noqa: N818 - what happened
    """The work ended without a result, cancelled or interrupted; its members have to start again."""


@dataclass(frozen=True, slots=True)
class Landing:
    """What a flight brought: a stored form from which every member takes a copy of its own."""

    raw: bytes
    """The frame, as stored or as it would have been."""
    reader: object
    """Who made the frame; a member that reads otherwise must not take the ready-made copy."""


class Flight:
    """One load."""

    __slots__ = ("_cancel", "cancelled", "copies", "future", "key", "members", "place", "revoked", "waits_for")

    def __init__(self, key: str, place: int) -> None:
        self.key = key
        self.place = place
        """The thread that the load runs in, see `Port.may_wait_for`."""
        self.future: Future[Landing] = Future()
        self.members = 1
        self.revoked = False
        self.cancelled = False
        self.copies: list[object] = []
        """The decoded copy that was made when the value was checked: for one member; the others decode their own."""
        self.waits_for: set[Flight] = set()
        self._cancel: Callable[[], object] | None = None

    def cancel_with(self, cancel: Callable[[], object]) -> None:
        """Note how to stop the work; stop it at once if everybody has left already."""
        self._cancel = cancel
        if self.cancelled:
            cancel()

    def cancel(self) -> None:
        """Stop the work."""
        self.cancelled = True
        if self._cancel is not None:
            self._cancel()

    def land(self, landing: Landing, copy: object) -> None:
        """Give the result to the members."""
        self.copies.append(copy)
        self.future.set_result(landing)

    def fail(self, error: BaseException) -> None:
        """Give an error to the members."""
        self.future.set_exception(error)

    def ended(self) -> None:
        """Note that the work is over; if it brought nothing, the members have to start again."""
        if not self.future.done():
            self.future.set_exception(Abandoned())


class Flights:
    """The flights of one layer in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, Flight] = {}

    def after_fork(self) -> None:
        """In a child process: the parent's loads will not end here."""
        self._lock = threading.Lock()
        self._open = {}

    def has(self, key: str) -> bool:
        """Say whether there is a flight to join. Takes no lock: the answer may be old when it arrives."""
        return key in self._open

    def join(self, key: str, place: int) -> tuple[Flight, bool]:
        """Return the flight of a key and whether the caller opened it and has to start its work."""
        with self._lock:
            flight = self._open.get(key)
            if flight is not None:
                flight.members += 1
                return flight, False
            flight = self._open[key] = Flight(key, place)
            return flight, True

    def replace(self, key: str, place: int) -> Flight:
        """Open a new flight whether or not there is one; an old one is revoked."""
        with self._lock:
            old = self._open.get(key)
            if old is not None:
                old.revoked = True
            flight = self._open[key] = Flight(key, place)
            return flight

    def leave(self, flight: Flight) -> None:
        """Let a member go; cancel the work when it was the last one."""
        with self._lock:
            flight.members -= 1
            if flight.members or flight.future.done():
                return
            self._remove(flight)
        flight.cancel()

    def close(self, flight: Flight) -> None:
        """Take a flight off the map: nobody can join it any more."""
        with self._lock:
            self._remove(flight)

    def revoke(self, key: str) -> None:
        """Take the flight of a key off the map and keep it from storing its value."""
        with self._lock:
            flight = self._open.pop(key, None)
            if flight is not None:
                flight.revoked = True

    def _remove(self, flight: Flight) -> None:
        if self._open.get(flight.key) is flight:
            del self._open[flight.key]

    def await_inside(self, flight: Flight) -> Flight | None:
        """Note that the load around the caller now waits for `flight`; return that load, or None outside of one.

        Raises:
            CircularWait: `flight` waits, directly or not, for a load around the caller.
        """
        loading = LOADING.get()
        if not loading:
            return None
        with self._lock:
            if _reaches(flight, frozenset(loading)):
                raise CircularWait(flight.key)
            loading[-1].waits_for.add(flight)
        return loading[-1]

    def await_over(self, waiter: Flight | None, flight: Flight) -> None:
        """Note that the wait has ended."""
        if waiter is not None:
            with self._lock:
                waiter.waits_for.discard(flight)


class CircularWait(Exception):  # noqa: N818 - what was found
    """Waiting for this flight would never end."""


def _reaches(start: Flight, targets: frozenset[Flight]) -> bool:
    seen: set[Flight] = set()
    ahead = [start]
    while ahead:
        flight = ahead.pop()
        if flight in targets:
            return True
        if flight not in seen:
            seen.add(flight)
            ahead.extend(flight.waits_for)
    return False
