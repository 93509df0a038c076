"""What the core has to know about the entries of one function, and what it says about one call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from holdfast.codec import Codec
from holdfast.core.records import Tally
from holdfast.policy.lifetime import Lifetime

Status: TypeAlias = Literal["hit", "miss", "coalesced", "refreshed", "bypassed"]


@dataclass(frozen=True, slots=True)
class Plan:
    """How the entries of one function are written and read."""

    codec: Codec
    lifetime: Lifetime
    tally: Tally
    wait: float = 30.0
    """Seconds for which a caller waits for another's load before it loads for itself."""
    condition: Callable[[Any], bool] | None = None
    """Says of a result whether to store it."""
    errors: tuple[type[Exception], ...] = ()
    """Exceptions that are stored like results."""

    def seconds_for(self, result: object, chance: float) -> float:
        """Return for how many seconds to keep a result; 0 means not at all."""
        if self.condition is not None and not self.condition(result):
            return 0.0
        return self.lifetime.seconds_for(result, chance)


Outcome: TypeAlias = tuple[Any, Status, bytes | None]
"""A value, where it came from, and the entry that it was read from. A plain tuple: one is made in every call."""


@dataclass(frozen=True, slots=True)
class CallInfo:
    """Where the value of one call came from."""

    status: Status
    age: float
    """Seconds since the value was loaded."""
    remaining: float
    """Seconds for which the entry stays fresh, from the clock of whoever stored it; 0 where nothing was stored."""


@dataclass(frozen=True, slots=True)
class EntryInfo:
    """What is stored under a key, without the value."""

    created: float
    """When the value was loaded, in seconds since 1970."""
    age: float
    """Seconds since then."""
    remaining: float
    """Seconds until Redis drops the entry."""
    fresh: bool
    tags: tuple[str, ...]
    serializer: str
    size: int
    """Bytes in Redis, frame included."""
