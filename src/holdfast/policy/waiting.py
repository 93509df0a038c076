"""How long to wait for another process's load before looking at Redis again. Pure: chance is an argument."""

from __future__ import annotations

from typing import Final

_FIRST: Final = 0.5
_FIRST_DEAF: Final = 0.05
_LONGEST: Final = 2.0
_LONGEST_DEAF: Final = 1.0
_LEEWAY: Final = 0.002
"""Seconds after the end of a lease at which it is surely gone."""


def pause(looked: int, lease: float, chance: float, *, hears: bool) -> float:
    """Return the seconds until the next look, if no message comes before.

    Twice as long each time, spread by a quarter, so that those who wait do not ask together; never past the end of the
    lease. Without messages it begins ten times sooner, since nothing else would tell that the load is over.

    Args:
        looked: how often it was looked in vain.
        lease: seconds that the lease of the load still lasts.
        chance: a random number in [0, 1).
        hears: whether messages arrive.
    """
    first, longest = (_FIRST, _LONGEST) if hears else (_FIRST_DEAF, _LONGEST_DEAF)
    spread = 0.75 + 0.5 * chance
    return min(min(first * 2.0 ** min(looked, 16), longest) * spread, max(lease, 0.0) + _LEEWAY)
