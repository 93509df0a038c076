"""What is known of a lock over several servers: what each of them says, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from holdfast.core.leaving import Leaving, Left
from holdfast.core.records import Tally
from holdfast.errors import BackendError
from holdfast.policy.names import LockPlaces, Names
from holdfast.port import Port

_LEAST: Final = 0.05
_MOST: Final = 1.0
_SHARE: Final = 1 / 20
"""Patience with one server: a part of the lease, between these two in seconds."""


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One of several independent servers: whatever a layer calls Redis."""

    blocking: Port
    asyncio: Port
    names: Names


PortOf: TypeAlias = Callable[[Node], Port]
"""Returns the port of a server in the colour of the caller."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A lock that a quorum has granted."""

    name: str
    member: str
    lease: float
    fence: int
    valid_until: float
    """Until when it is held, on the port's monotonic clock."""
    nodes: tuple[Node, ...]
    """The servers that have granted it."""
    silent: tuple[Node, ...] = ()
    """Those that did not answer, and may have it all the same."""
    doubted_until: float = 0.0
    """Until when those may take it late; 0 if that cannot happen."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """That there was no quorum. Nothing is held."""

    until: float
    """When it is worth trying again if nobody calls, on the port's monotonic clock."""
    failure: BackendError | None = None
    """Why, if it is not that others hold it: some servers could not be asked, or all were too slow."""
    is_own_news: bool = False
    """Whether some had granted it: giving it back there is news that the caller hears, too, and must not run after."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What servers are asked for."""

    name: str
    member: str
    lease: float
    tally: Tally
    began: float
    """When the first of them was asked, on the port's clock."""

    @property
    def patience(self) -> float:
        """Seconds to wait for one server."""
        return min(_MOST, max(_LEAST, self.lease * _SHARE))


@dataclass(slots=True, eq=False)
class Vote:
    """What has become of asking one server for a lock."""

    node: Node
    port: Port
    places: LockPlaces
    leaving: Leaving
    may_hold: bool = False
    """Whether the lock may be taken there, now or later."""
    doubted_until: float = 0.0
    """Until when it may be taken late, since no answer came; 0 if that cannot happen."""
    fence: int | None = None
    """The fencing token that it minted, if it has granted the lock."""
    busy: float | None = None
    """If another holds it there, in how many seconds that lease runs out."""
    failure: BackendError | None = None
    is_silent: bool = False
    """Whether it did not answer the last question: the caller has waited for it once, and does not again."""
    confirmed: bool = False
    """Whether it knows of the greatest of the tokens."""

    def left(self, wanted: Wanted) -> Left:
        """Return what may be left there."""
        return Left(self.places.held, wanted.member, wanted.lease, self.doubted_until)
