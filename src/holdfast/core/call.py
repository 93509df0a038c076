"""One call of a cached function that has not found what it needs, and what it saw of its entry."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from holdfast.core.nearby import Moment
from holdfast.core.plan import Plan
from holdfast.policy.frame import ID_OFFSET, ID_SIZE, Frame
from holdfast.port import Port

Load: TypeAlias = Callable[[], Awaitable[Any]]
Reason: TypeAlias = Literal["absent", "unreadable", "unavailable", "stale", "invalidated"]
"""Why there is nothing to return."""


class Look(NamedTuple):
    """What was found under a key, judged by the tags that were read with it."""

    verdict: Literal["fresh", "stale", "invalidated", "absent", "unreadable", "unavailable"]
    raw: bytes | None = None
    frame: Frame | None = None

    @property
    def reason(self) -> Reason:
        """Why there is nothing to return. It is asked of what is not fresh."""
        return "stale" if self.verdict == "fresh" else self.verdict

    @property
    def id(self) -> bytes:
        """The id of the value that was found, whatever it is worth; empty if none was."""
        return b"" if self.raw is None else self.raw[ID_OFFSET : ID_OFFSET + ID_SIZE]

    @property
    def candidate(self) -> Frame | None:
        """What may be returned if there is nothing better: a value that is stale, and was not invalidated."""
        return self.frame if self.verdict in {"stale", "fresh"} else None


NOT_LOOKED: Final = Look("absent")
"""Of a caller that has not looked at all."""


@dataclass(slots=True)
class Call:
    """What one caller wants."""

    plan: Plan
    key: str
    load: Load
    tags: tuple[str, ...] = ()
    """The tags that the call's arguments give to the entry."""
    look: Look = NOT_LOOKED
    deadline: float = 0.0
    """When it stops waiting for the loads of others, on the port's monotonic clock."""
    moment: Moment | None = None
    """When the look was sent, if what it finds may be kept in this process."""
    force: bool = False
    """Whether it wants a load whatever is stored, and what is stored not to stay."""
    background: bool = False
    """Whether nobody waits for it."""
    late: bool = False
    """Whether it has waited too long for the loads of others, and loads without a lease and without storing."""
    since: float = inf
    """Since when it has been late, on the port's monotonic clock: what was begun after that is new enough for it."""

    @property
    def leased(self) -> bool:
        """Whether a lease is asked for; without Redis it cannot be."""
        return not self.late and self.look.verdict != "unavailable"


async def no_load() -> None:
    """Load nothing: of a caller that only looks."""


def place_of_work(port: Port, *, apart: bool) -> int:
    """Return the place in which work is going to begin; 0 for a thread that is still to be made."""
    place = port.place()
    return 0 if apart and not port.may_wait_for(place) else place


def blocked_by(port: Port) -> int | None:
    """Return the place that a caller on this port blocks while it waits, None if others go on there."""
    place = port.place()
    return None if port.may_wait_for(place) else place
