"""How long an entry is kept. Pure: chance is an argument."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from holdfast._durations import seconds
from holdfast.errors import ConfigurationError
from holdfast.typing import Duration

TimeToLive: TypeAlias = "Duration | Callable[[Any], Duration]"
"""A duration, or a function of the result that gives one; 0 from a function means: do not store."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """The time to live of the entries of one function."""

    ttl: float | Callable[[Any], Duration]
    jitter: float = 0.0
    """The largest part of `ttl` by which an entry may live longer, so that many do not expire at once."""

    @classmethod
    def of(cls, ttl: TimeToLive, jitter: float = 0.0) -> Lifetime:
        """Check what a user gave.

        Raises:
            ConfigurationError: no duration, or a jitter outside 0 to 1.
        """
        # Callers are often untyped.
        if isinstance(jitter, bool) or not isinstance(jitter, int | float) or not 0 <= jitter <= 1:  # pyright: ignore[reportUnnecessaryIsInstance]
            msg = f"jitter={jitter!r} must be from 0 to 1: 0.2 lets an entry live up to 20 % longer"
            raise ConfigurationError(msg)
        return cls(ttl if callable(ttl) else seconds(ttl, "ttl"), float(jitter))

    @property
    def longest(self) -> float | None:
        """Seconds for which an entry is fresh at most; None where a function of the result decides."""
        return None if callable(self.ttl) else self.ttl * (1 + self.jitter)

    def seconds_for(self, result: object, chance: float, *, instead: float | None = None) -> float:
        """Return for how many seconds `result` is fresh; 0 means not to keep it.

        Args:
            result: what the function returned.
            chance: a random number in [0, 1).
            instead: seconds that the function itself has asked for.
        """
        ttl = instead
        if ttl is None:
            ttl = seconds(self.ttl(result), "ttl", zero=True) if callable(self.ttl) else self.ttl
        return ttl * (1 + self.jitter * chance)
