"""What is to be held, how, and by which commands: the one place that knows the kinds of locks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from holdfast.commands import Command
from holdfast.core.records import Tally
from holdfast.policy.names import LockPlaces
from holdfast.scripts import locks as scripts

WAITING: Final = 8.0
"""Seconds for which a caller in the queue counts as waiting after each look, unless a great many wait."""
_LONGEST_TITLE: Final = 200


@dataclass(frozen=True, slots=True)
class Claim:
    """What a caller wants to hold.

    `mode` is empty for a plain lock, which one may hold; ``"r"`` for one of `capacity` permits (0: without limit), and
    ``"w"`` for all of them.
    """

    name: str
    """As the user calls it."""
    what: str
    """What kind of lock it is, in words."""
    places: LockPlaces
    tally: Tally
    lease: float
    wait: float | None
    """Seconds for which the caller waits; None is for ever."""
    fair: bool = False
    """Whether those who wait get it in the order in which they came."""
    mode: Literal["", "r", "w"] = ""
    capacity: int = 1
    max_lifetime: float | None = None
    """Seconds after which it is renewed no more."""
    min_replicas: int = 0
    """How many replicas must have it before it counts as held."""

    @property
    def title(self) -> str:
        """The name, for messages: in quotes, and not too long."""
        return repr(self.name if len(self.name) <= _LONGEST_TITLE else f"{self.name[:_LONGEST_TITLE]}...")

    @property
    def safe_name(self) -> str:
        """The name as it stands in keys."""
        held = self.places.held
        return held[held.index("{") + 1 : -1]

    @property
    def queues(self) -> bool:
        """Whether those who wait do so in a queue in Redis."""
        return self.fair or bool(self.mode)

    def member(self, token: str) -> str:
        """Return what stands for a holder in Redis."""
        return f"{self.mode}:{token}" if self.mode else token

    def take(self, member: str, *, waits: bool, waiting: float = WAITING) -> Command:
        """Return what asks for it; `waits` puts the caller into the queue, if there is one, for `waiting` seconds."""
        if self.mode:
            return scripts.take_share(self.places, member, self.lease, self.capacity, self.mode == "w", waits, waiting)
        if self.fair:
            return scripts.take_fair(self.places, member, self.lease, waits, waiting)
        return scripts.take(self.places, member, self.lease)

    def keep(self, member: str, seconds: float) -> Command:
        """Return what lets it last `seconds` from now, if it is still held."""
        return (scripts.keep_share if self.mode else scripts.keep)(self.places, member, seconds)

    def leave(self, member: str) -> Command:
        """Return what gives it back, or leaves the queue."""
        if self.mode:
            return scripts.leave_share(self.places, member)
        return (scripts.leave_fair if self.fair else scripts.leave)(self.places, member)
