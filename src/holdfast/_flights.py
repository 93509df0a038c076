"""Loads under way in this process. Callers of one key share a flight, whatever their colour.

Rules.

1. A flight belongs to the work that loads, not to the caller that opened it. Callers are members and may leave.
2. When the last member leaves, the flight is taken off the map and its work cancelled, in one step: nobody can join a
   flight that is about to be cancelled. One that is `unattended` goes on.
3. A flight counts what it sends, and a member remembers the count at which it joined. What a reply proves, it proves
   for those who had joined before its command was sent: what they got was current after they had begun to ask.
4. A flight is off the map before its value is sent to Redis: a caller that comes later asks Redis itself.
5. Whoever changed a key on request detaches its flight when Redis has answered: later callers do not join it. Its
   members still get the value: they came before. Whether it is stored is for its lease to say. Whoever invalidated a
   tag detaches all flights without a lease: no lease tells what became of their tags. These are joined only by callers
   that cannot use Redis either.
6. Work whose event loop was closed under it never ends. The next caller of its key forgets it; the lease that it has
   left behind is an orphan, as any that could not be given back, and whoever has to wait for one takes it over.
7. A flight that replaces what may still be served is joined by those only who have looked at Redis in vain.
8. Who loads one key and waits for another remembers it, and who blocks a thread remembers for what, so that a circle
   of waiting is seen before it closes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from holdfast._flight import CircularWait, Flight
from holdfast._orphans import Orphans


class Flights:
    """The flights of one layer in this process."""

    def __init__(self) -> None:
        self.orphans = Orphans()
        self._forget()

    def after_fork(self) -> None:
        """In a child process: the parent's loads will not end here."""
        self.orphans.after_fork()
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, Flight] = {}
        self._blocked: dict[int, list[Flight]] = {}
        """What the blocking callers in a place wait for; the last one is in the way of all else there."""

    def has(self, key: str) -> bool:
        """Say whether there is a flight to join unseen. Takes no lock: the answer may be old when it arrives."""
        flight = self._open.get(key)
        return flight is not None and not flight.behind and not flight.unleased

    def follow(self, key: str) -> tuple[Flight, int] | None:
        """Join the flight of a key without having looked at Redis, if that may be; return it with its count."""
        with self._lock:
            flight = self._living(key)
            return None if flight is None or flight.behind or flight.unleased else _joined(flight)

    def join(self, key: str, place: int, *, unattended: bool = False, leased: bool = True) -> tuple[Flight, int, bool]:
        """Return the flight of a key, its count, and whether the caller opened it and has to start its work.

        Args:
            key: of the entry.
            place: where the caller runs.
            unattended: whether a new flight goes on without members.
            leased: whether the caller can ask for a lease: then it does not join a load without one, of which nobody
                knows whether it began before an invalidation.
        """
        with self._lock:
            flight = self._living(key)
            if flight is not None and not (leased and flight.unleased):
                return (*_joined(flight), False)
            flight = self._opened(Flight(key, place, unattended=unattended))
            return flight, 0, True

    def open_unattended(self, key: str) -> Flight | None:
        """Open a flight without members, to refresh in the background; None if one is under way."""
        with self._lock:
            if self._living(key) is not None:
                return None
            return self._opened(Flight(key, 0, members=0, unattended=True, behind=True))

    def replace(self, key: str, place: int) -> Flight:
        """Open a new flight whether or not there is one."""
        with self._lock:
            return self._opened(Flight(key, place, behind=True))

    def leave(self, flight: Flight) -> None:
        """Let a member go; cancel the work when it was the last one."""
        with self._lock:
            flight.members -= 1
            if flight.members or flight.unattended or flight.future.done():
                return
            self._remove(flight)
        flight.cancel()

    def close(self, flight: Flight) -> None:
        """Take a flight off the map: nobody can join it any more."""
        with self._lock:
            self._remove(flight)

    def detach(self, keys: Iterable[str]) -> None:
        """Take the flights of keys that were changed off the map."""
        with self._lock:
            for key in keys:
                self._open.pop(key, None)

    def detach_unleased(self) -> None:
        """Take all flights that load without a lease off the map: whatever their tags, nobody else will refuse them."""
        with self._lock:
            for flight in [each for each in self._open.values() if each.unleased]:
                self._remove(flight)

    def send(self, flight: Flight) -> int:
        """Count a command that is about to be sent; return its number."""
        with self._lock:
            flight.sent += 1
            return flight.sent

    def load(self, flight: Flight, *, leased: bool) -> None:
        """Count the call of the loader, as if it were a command."""
        with self._lock:
            flight.sent += 1
            flight.loaded_from = flight.sent
            flight.unleased = not leased

    def _opened(self, flight: Flight) -> Flight:
        self._open[flight.key] = flight
        return flight

    def _living(self, key: str) -> Flight | None:
        """Return the flight of a key that can still bring something.

        One whose event loop was closed under it is ended: nothing else would ever do that. One whose lease has run out
        is left to its members: it may still bring them a value, but will not store it.
        """
        flight = self._open.get(key)
        if flight is not None and not flight.alive():
            self._remove(flight)
            if flight.nonce:
                self.orphans.add(key, flight.nonce, flight.leased_until)
            flight.ended()
            return None
        if flight is not None and flight.lapsed():
            self._remove(flight)
            return None
        return flight

    def _remove(self, flight: Flight) -> None:
        if self._open.get(flight.key) is flight:
            del self._open[flight.key]

    def tie(self, flights: Iterable[Flight], work: Flight) -> None:
        """Note that several flights are loaded by one work, which a flight that is on no map stands for.

        What the work waits for, and what it is in the way of, that they are as well.
        """
        with self._lock:
            for flight in flights:
                flight.waits_for.add(work)

    def begin_wait(
        self, flight: Flight, blocked: int | None, inside: tuple[Flight, ...], *, opened: bool = False
    ) -> None:
        """Note that a caller waits for a flight, until `end_wait` with the same arguments.

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


def _joined(flight: Flight) -> tuple[Flight, int]:
    flight.members += 1
    flight.latest = flight.sent
    return flight, flight.sent
