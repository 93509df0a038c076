"""Who waits in this process for a lock, and who of them looks at Redis.

A lobby belongs to the channel that tells of one lock. Of those who wait for a plain lock only the one in front looks:
however many there are, Redis hears of one a process, and they get the lock in the order in which they came. Who waits
in a queue in Redis looks when it is called by its member, or when everybody is.

A ring says only that it is worth looking; what is true, Redis says. Arm a seat, then look, then wait: so no ring is
missed. Listening methods take no lock: they are called in forked children, too, where another thread may hold it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import NamedTuple, Protocol

from holdfast.errors import BackendError
from holdfast.port import Cancel, Listener


class Subscribes(Protocol):
    """What listens to a channel; a port does."""

    def subscribe(self, topic: str, listener: Listener, *, pattern: bool = False) -> Cancel:
        """Tell `listener` of what is published under a topic; return at once with what ends that."""
        ...


def _anybody(place: int) -> bool:
    del place
    return True


class Seat:
    """One caller who waits."""

    __slots__ = ("alive", "armed", "may_wait_for", "member", "place")

    def __init__(
        self,
        member: str,
        alive: Callable[[], bool],
        place: int = 0,
        may_wait_for: Callable[[int], bool] = _anybody,
    ) -> None:
        """Make a seat.

        Args:
            member: under which it waits in the queue in Redis; empty if it does not.
            alive: says whether the caller can still go on: not if its loop was closed under it.
            place: the thread in which the caller runs.
            may_wait_for: says, in that thread, whether waiting for what runs in another place can ever end.
        """
        self.member = member
        self.place = place
        self.may_wait_for = may_wait_for
        self.alive = alive
        self.armed: Future[None] = Future()
        """Done at the next ring."""

    def arm(self) -> None:
        """Wait for the next ring from now on."""
        self.armed = Future()

    def ring(self) -> None:
        """Have the caller look."""
        try:
            self.armed.set_result(None)
        except InvalidStateError:  # it rings already
            return


class Seen(NamedTuple):
    """What whoever looked last has seen: nobody else need look until something happens."""

    news: object
    """What was new when it looked, see `Lobby.news`."""
    until: float
    """When the lease that it saw ends, on the port's monotonic clock."""


_NOTHING = Seen(None, 0.0)


class Lobby:
    """Those who wait for one lock, in the order in which they came."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._seats: dict[Seat, None] = {}
        self._called: dict[str, Seat] = {}
        self._passing: dict[Seat, None] = {}
        """Those who look though they are not in front: they block the thread in which those before them would."""
        self.hears = False
        """Whether messages arrive now."""
        self.news: object = object()
        """Another one whenever something has happened."""
        self.seen = _NOTHING
        self.away_since: float | None = None
        """Since when Redis cannot be asked, on the port's monotonic clock; None while it can."""
        self.trouble: BackendError | None = None
        """Why it cannot."""
        self.cancel: Cancel | None = None

    def __bool__(self) -> bool:
        """Say whether anybody waits."""
        return bool(self._seats) or bool(self._called)

    @property
    def queued(self) -> int:
        """How many of them wait in the queue in Redis."""
        return len(self._called)

    def add(self, seat: Seat) -> None:
        """Take a seat in."""
        if seat.member:
            self._called[seat.member] = seat
        else:
            self._seats[seat] = None

    def remove(self, seat: Seat) -> None:
        """Let a seat go; whoever is in front now looks."""
        if seat.member:
            self._called.pop(seat.member, None)
            return
        was_in_front = self._front() is seat
        self._passing.pop(seat, None)
        self._seats.pop(seat, None)
        if was_in_front:
            self._ring_front()

    def is_in_front(self, seat: Seat) -> bool:
        """Say whether this is the one who looks; asked by itself, in its thread.

        Those whose loop was closed under them are passed over, and those whose loop stands still for the caller.
        """
        if seat.member or self._front() is seat:
            return True
        before = list(self._seats)
        if seat not in before or any(seat.may_wait_for(each.place) for each in before[: before.index(seat)]):
            return False
        self._passing[seat] = None
        return True

    def up(self) -> None:
        """Have everybody look: what was published before may have been missed."""
        self.hears = True
        self.ring()

    def down(self) -> None:
        """Have everybody plan the wait anew."""
        if self._process == os.getpid():  # in a forked child nobody waits any more
            self.hears = False
            self.ring()

    def heard(self, topic: str, message: bytes) -> None:
        """Have whoever is called look, or everybody."""
        del topic
        if not message:
            self.ring()
            return
        seat = self._called.get(message.decode("ascii", "replace"))
        if seat is not None:
            seat.ring()

    def ring_front(self) -> None:
        """Have the one look who does it for those outside of the queue."""
        self.news = object()
        self._ring_front()

    def ring(self) -> None:
        """Have everybody look who does."""
        self.ring_front()
        for seat in list(self._called.values()):
            seat.ring()

    def _ring_front(self) -> None:
        front = self._front()
        if front is not None:
            front.ring()
        for seat in list(self._passing):
            seat.ring()

    def _front(self) -> Seat | None:
        while True:
            try:
                front = next(iter(self._seats), None)
            except RuntimeError:  # another thread has changed it between the two
                continue
            if front is None or front.alive():
                return front
            self._seats.pop(front, None)


class Lobbies:
    """The lobbies of one layer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lobbies: dict[str, Lobby] = {}

    def after_fork(self) -> None:
        """In a child process: nobody waits, and nobody listens."""
        lobbies, self._lobbies = self._lobbies, {}
        self._lock = threading.Lock()
        for lobby in lobbies.values():
            if lobby.cancel is not None:
                lobby.cancel()

    def find(self, channel: str) -> Lobby | None:
        """Return the lobby of a channel, if anybody waits there."""
        return self._lobbies.get(channel)

    def join(self, channel: str, seat: Seat, port: Subscribes) -> Lobby:
        """Seat a caller, and listen to the channel."""
        with self._lock:
            lobby = self._lobbies.get(channel)
            if lobby is None:
                lobby = self._lobbies[channel] = Lobby()
                lobby.cancel = port.subscribe(channel, lobby)
            lobby.add(seat)
            return lobby

    def leave(self, channel: str, seat: Seat) -> None:
        """Let a caller go; the last one ends the listening."""
        cancel: Cancel | None = None
        with self._lock:
            lobby = self._lobbies.get(channel)
            if lobby is None:
                return
            lobby.remove(seat)
            if not lobby:
                del self._lobbies[channel]
                cancel = lobby.cancel
        if cancel is not None:
            cancel()

    def ring(self, channel: str) -> None:
        """Have the one in front look: a lock was given back in this process, and the message may never come.

        Those in the queue are left alone: one of them is called, and a thousand others would look in vain.
        """
        lobby = self._lobbies.get(channel)
        if lobby is not None:
            lobby.ring_front()
