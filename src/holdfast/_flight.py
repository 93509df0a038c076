"""One load under way, and what it brings. `holdfast._flights` has the rules."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Literal

LOADING: ContextVar[tuple[Flight, ...]] = ContextVar("holdfast_loading", default=())
"""The flights whose loaders run around the current code, outermost first."""

PROVEN: Final = sys.maxsize
"""The `proof` of a landing that every member may take."""


class Abandoned(Exception):  # noqa: N818 - what happened
    """The work brought nothing that this member may take: it was cancelled, interrupted, or is not proven for them."""


class CircularWait(Exception):  # noqa: N818 - what was found
    """Waiting for this flight would never end."""


@dataclass(frozen=True, slots=True)
class Landing:
    """What a flight brought: a stored form from which every member takes a copy of its own."""

    raw: bytes | None
    """The frame, as stored or as it would have been; None for a value that no serializer takes and nobody stores."""
    reader: object
    """Who made the frame; a member that reads otherwise must not take the ready-made copy."""
    stored: bool
    """Whether Redis has it."""
    proof: int
    """Good for members that had joined before the flight's command of this number was sent."""
    status: Literal["miss", "coalesced"] = "miss"
    """For the caller that opened the flight: whether it was loaded here, or found after another process loaded it."""
    value: object = None
    """The value itself where there is no frame: all members share it."""


def _always() -> bool:
    return True


def _never() -> bool:
    return False


class Flight:
    """One load."""

    __slots__ = (
        "_cancel",
        "_failure",
        "_trace",
        "alive",
        "begun",
        "behind",
        "cancelled",
        "copies",
        "deadline",
        "future",
        "interruption",
        "key",
        "lapsed",
        "latest",
        "leased_until",
        "loaded_from",
        "members",
        "nonce",
        "place",
        "sent",
        "unattended",
        "unleased",
        "waits_for",
    )

    def __init__(
        self, key: str, place: int, *, members: int = 1, unattended: bool = False, behind: bool = False
    ) -> None:
        self.key = key
        self.place = place
        """The thread that the load runs in, see `Port.may_wait_for`; 0 if nobody else ever blocks it."""
        self.alive: Callable[[], bool] = _always
        """Whether the work can still go on: not if its event loop was closed under it."""
        self.lapsed: Callable[[], bool] = _never
        """Whether its lease has run out unnoticed: its loop stands still, or Redis could not be reached for long."""
        self.unattended = unattended
        """Whether it goes on when its last member has left."""
        self.behind = behind
        """Whether there may be a value to serve meanwhile: then only those join it who have looked and found none."""
        self.begun = 0.0
        """When its work was begun, on the port's monotonic clock."""
        self.deadline = 0.0
        """When to stop waiting for the load of another process, on the port's monotonic clock."""
        self.future: Future[Landing] = Future()
        self.members = members
        self.sent = 0
        """The number of the command that was sent last."""
        self.latest = 0
        """The number of the command that had been sent last when the latest member joined."""
        self.loaded_from = 0
        """The number that calling the loader has among the commands; 0 before."""
        self.nonce = ""
        """Of the lease that it has, or may have got."""
        self.leased_until = 0.0
        """When that lease runs out unless it is renewed, on the port's monotonic clock."""
        self.unleased = False
        """Whether it loads without a lease, since Redis could not be used."""
        self.cancelled = False
        self.interruption: BaseException | None = None
        """What ended the loader if it was not an `Exception`: only the caller that opened the flight may see it."""
        self.copies: list[object] = []
        """The decoded copy that was made when the value was checked: for one member; the others decode their own."""
        self.waits_for: set[Flight] = set()
        self._cancel: Callable[[], object] | None = None
        self._failure: BaseException | None = None
        self._trace: TracebackType | None = None

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

    def land(self, landing: Landing, *copies: object) -> None:
        """Give the result to the members."""
        self.copies.extend(copies)
        self.future.set_result(landing)

    def fail(self, error: BaseException) -> None:
        """Give an error to the members."""
        self._failure, self._trace = error, error.__traceback__
        self.future.set_exception(error)

    def untangle(self, error: BaseException) -> None:
        """Take the other members' frames out of the traceback of an error that all of them raise."""
        if error is self._failure:
            error.__traceback__ = self._trace

    def ended(self) -> None:
        """Note that the work is over; if it brought nothing, the members have to start again."""
        if not self.future.done():
            self.future.set_exception(Abandoned())


class Bell:
    """Wakes a flight that waits for another process: something may have happened to its key. What, Redis says."""

    __slots__ = ("armed", "hears")

    def __init__(self) -> None:
        self.armed: Future[None] = Future()
        """Done at the next ring. Arm it, then look at Redis, then wait: so nothing is missed."""
        self.hears = False
        """Whether messages arrive now."""

    def arm(self) -> None:
        """Wait for the next ring from now on."""
        self.armed = Future()

    def up(self) -> None:
        """Ring: what was published before may have been missed."""
        self.hears = True
        self._ring()

    def down(self) -> None:
        """Ring, so that the wait is planned anew."""
        self.hears = False
        self._ring()

    def heard(self, topic: str, message: bytes) -> None:
        """Ring."""
        del topic, message
        self._ring()

    def _ring(self) -> None:
        try:
            self.armed.set_result(None)
        except InvalidStateError:  # it rings already
            return
