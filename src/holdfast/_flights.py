"""Loads under way in this process. Callers of one key share a flight, whatever their colour.

Rules.

1. A flight belongs to the work that loads, not to the caller that opened it. Callers are members and may leave.
2. When the last member leaves, the flight is taken off the map and its work cancelled, in one step: nobody can join a
   flight that is about to be cancelled. One whose value is on its way to Redis is left alone: nobody could tell any
   more when the value arrives there.
3. A flight is off the map before its value is sent to Redis: a caller that comes later asks Redis itself.
4. A revoked flight (its key was invalidated, set or refreshed meanwhile) is off the map and must not store its value.
   Its members still get it: they came before.
5. A fill never overlaps with a change of its key on request. Who changes the key holds it, so that no fill begins, and
   waits for those under way before the command is sent: on several connections the order of sending decides nothing.
6. The fills of one key go one after the other, in the order of their loads: the newest value stays.
7. A fill that cannot be waited for (it runs in the loop that the caller blocks) is doomed: it deletes what it stored.
   Until then a barrier lies on the key, a flight that brings nothing: callers wait for it, and nobody reads.
8. Work whose event loop was closed under it never ends. The next caller of its key forgets it.
9. Who loads one key and waits for another remembers it, and who blocks a thread remembers for what, so that a circle
   of waiting is seen before it closes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future

from holdfast._flight import CircularWait, Flight


class Flights:
    """The flights of one layer in this process."""

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        """In a child process: the parent's loads will not end here."""
        self._lock = threading.Lock()
        self._open: dict[str, Flight] = {}
        self._filling: dict[str, list[Flight]] = {}
        """Flights whose values are on their way to Redis, oldest first."""
        self._held: dict[str, int] = {}
        """Keys that are being changed on request, by how many callers."""
        self._barriers: dict[str, Flight] = {}
        self._blocked: dict[int, list[Flight]] = {}
        """What the blocking callers in a place wait for; the last one is in the way of all else there."""

    def has(self, key: str) -> bool:
        """Say whether there is a flight to join. Takes no lock: the answer may be old when it arrives."""
        return key in self._open

    def barred(self, key: str) -> bool:
        """Say whether what Redis has under a key is about to be deleted, and must not be read."""
        barrier = self._barriers.get(key)
        return barrier is not None and barrier.alive()

    def follow(self, key: str) -> Flight | None:
        """Join the flight of a key, if there is one."""
        with self._lock:
            self._bury(key)
            flight = self._open.get(key)
            if flight is not None:
                flight.members += 1
            return flight

    def join(self, key: str, place: int) -> tuple[Flight, bool]:
        """Return the flight of a key and whether the caller opened it and has to start its work."""
        with self._lock:
            self._bury(key)
            flight = self._open.get(key)
            if flight is not None:
                flight.members += 1
                return flight, False
            flight = self._open[key] = Flight(key, place)
            return flight, True

    def replace(self, key: str, place: int) -> Flight:
        """Open a new flight whether or not there is one; an old one is revoked."""
        with self._lock:
            self._revoke(key)
            flight = self._open[key] = Flight(key, place, replaces=True)
            return flight

    def leave(self, flight: Flight) -> None:
        """Let a member go; cancel the work when it was the last one."""
        with self._lock:
            flight.members -= 1
            if flight.members or flight.filled is not None or flight.future.done():
                return
            flight.revoked = True  # a loader may choose to survive its cancellation
            self._remove(flight)
        flight.cancel()

    def close(self, flight: Flight) -> None:
        """Take a flight off the map: nobody can join it any more."""
        with self._lock:
            self._remove(flight)

    def hold(self, keys: Iterable[str]) -> list[Flight]:
        """Keep all loads of these keys from storing, until `release`; return the fills that are under way."""
        with self._lock:
            fills: list[Flight] = []
            for key in keys:
                self._bury(key)
                self._held[key] = self._held.get(key, 0) + 1
                self._revoke(key)
                fills += self._filling.get(key, ())
            for fill in fills:
                fill.revoked = True
            return fills

    def release(self, keys: Iterable[str]) -> None:
        """Let loads that begin from now on store; those that began before may have read an older entry."""
        with self._lock:
            for key in keys:
                self._held[key] = self._held.get(key, 1) - 1  # a fork may have forgotten it
                if not self._held[key]:
                    del self._held[key]
                self._revoke(key)

    def begin_fill(self, flight: Flight) -> list[Flight] | None:
        """Take a flight off the map for its value to be sent; return the fills to wait for, None if it must not be."""
        with self._lock:
            self._bury(flight.key)
            self._remove(flight)
            if flight.revoked or flight.key in self._held:
                return None
            fills = self._filling.setdefault(flight.key, [])
            earlier = list(fills)
            fills.append(flight)
            flight.filled = Future()
            return earlier

    def doom(self, fill: Flight) -> None:
        """Let a fill delete what it stores, and keep callers from reading it until then; harmless if it is over."""
        with self._lock:
            key = fill.key
            if fill in self._filling.get(key, ()):
                fill.doomed = True
                barrier = self._barriers.setdefault(key, Flight(key, fill.place))
                barrier.alive = fill.alive
                self._open.setdefault(key, barrier)

    def end_fill(self, fill: Flight, *, undone: bool = False) -> bool:
        """Note that a fill is over; return False if it has to delete what it stored first, and then say so."""
        with self._lock:
            if fill.doomed and not undone:
                return False
            fills = self._filling.get(fill.key, [])
            if fill in fills:  # a fork may have forgotten it
                fills.remove(fill)
            barrier = None if fills else self._barriers.pop(fill.key, None)
            if not fills:
                self._filling.pop(fill.key, None)
            if barrier is not None:
                self._remove(barrier)
        if fill.filled is not None and not fill.filled.done():
            fill.filled.set_result(None)
        if barrier is not None:
            barrier.ended()
        return True

    def _bury(self, key: str) -> None:
        """Forget work of a key whose event loop was closed under it: nothing else would ever end it."""
        for fill in [fill for fill in self._filling.get(key, ()) if not fill.alive()]:
            self._filling[key].remove(fill)
            if fill.filled is not None and not fill.filled.done():
                fill.filled.set_result(None)
        barrier = self._barriers.get(key)
        if not self._filling.get(key):
            self._filling.pop(key, None)
            self._barriers.pop(key, None)
        flight = self._open.get(key)
        if flight is not None and (not flight.alive() or (flight is barrier and key not in self._barriers)):
            self._remove(flight)
            flight.ended()

    def _revoke(self, key: str) -> None:
        flight = self._open.get(key)
        if flight is not None:
            flight.revoked = True
            self._remove(flight)

    def _remove(self, flight: Flight) -> None:
        if self._open.get(flight.key) is flight:
            barrier = self._barriers.get(flight.key)
            if barrier is None:
                del self._open[flight.key]
            else:
                self._open[flight.key] = barrier

    def begin_wait(
        self, flight: Flight, blocked: int | None, inside: tuple[Flight, ...], *, opened: bool = False
    ) -> None:
        """Note that a caller waits for a flight or its fill, until `end_wait` with the same arguments.

        Args:
            flight: what it waits for.
            blocked: the place that the caller blocks meanwhile, None if it blocks none.
            inside: the flights that cannot go on meanwhile, the innermost last.
            opened: whether the caller opened the flight, so that it cannot be in the way of it.

        Raises:
            CircularWait: the flight waits, directly or not, for one of those, or for the blocked place.
        """
        if not inside and blocked is None:
            return
        with self._lock:
            if not opened and any(ahead in inside or ahead.place == blocked for ahead in self._ahead_of(flight)):
                raise CircularWait(flight.key)
            if inside:
                inside[-1].waits_for.add(flight)
            if blocked is not None:
                self._blocked.setdefault(blocked, []).append(flight)

    def end_wait(self, flight: Flight, blocked: int | None, inside: tuple[Flight, ...]) -> None:
        """Note that a wait that began has ended."""
        if not inside and blocked is None:
            return
        with self._lock:
            if inside:
                inside[-1].waits_for.discard(flight)
            if blocked is not None:
                stack = self._blocked.get(blocked, [])
                if flight in stack:  # a fork may have forgotten it
                    stack.remove(flight)
                if not stack:
                    self._blocked.pop(blocked, None)

    def _ahead_of(self, flight: Flight) -> Iterator[Flight]:
        """Yield a flight and all that have to go on before it can: what it waits for, and what blocks its place."""
        seen = {flight}
        ahead = [flight]
        while ahead:
            flight = ahead.pop()
            yield flight
            for other in {*flight.waits_for, *self._blocked.get(flight.place, ())[-1:]} - seen:
                seen.add(other)
                ahead.append(other)
