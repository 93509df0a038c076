"""One load under way, and what it brings. `holdfast._flights` has the rules."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType

LOADING: ContextVar[tuple[Flight, ...]] = ContextVar("holdfast_loading", default=())
"""The flights whose loaders run around the current code, outermost first."""


class Abandoned(Exception):  # noqa: N818 - what happened
    """The work ended without a result, cancelled or interrupted; its members have to start again."""


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
    value: object = None
    """The value itself where there is no frame: all members share it."""


def _always() -> bool:
    return True


class Flight:
    """One load."""

    __slots__ = (
        "_cancel",
        "_failure",
        "_trace",
        "alive",
        "cancelled",
        "copies",
        "doomed",
        "filled",
        "future",
        "interruption",
        "key",
        "members",
        "place",
        "replaces",
        "revoked",
        "waits_for",
    )

    def __init__(self, key: str, place: int, *, replaces: bool = False) -> None:
        self.key = key
        self.place = place
        """The thread that the load runs in, see `Port.may_wait_for`."""
        self.alive: Callable[[], bool] = _always
        """Whether the work can still go on: not if its event loop was closed under it."""
        self.replaces = replaces
        """Whether what is stored must not stay, even if the new value is not to be stored."""
        self.future: Future[Landing] = Future()
        self.filled: Future[None] | None = None
        """Done when the fill is over; None before it begins."""
        self.members = 1
        self.revoked = False
        self.doomed = False
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

    def land(self, landing: Landing, copy: object) -> None:
        """Give the result to the members."""
        self.copies.append(copy)
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
