"""When a lock over several independent servers is held, and for how long: the arithmetic of Redlock. Pure.

See "Distributed Locks with Redis" in the documentation of Redis, section "The Redlock Algorithm": a lock is held by
whom more than half of the servers have granted it, for as long as the lease lasts, less the time that asking them took,
less what their clocks may run faster than ours. All times are in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_DRIFT: Final = 0.01
"""How much faster than ours a server's clock may run."""
_ROUNDED: Final = 0.002
"""What a lease may lose to servers that count whole milliseconds."""
_LEAST: Final = 0.02
_DESYNCHRONISED: Final = 0.18
"""Callers that took the servers from each other try again after a pause between these two together."""


def quorum(count: int) -> int:
    """Return how many of `count` servers must agree: any two such groups have one in common."""
    return count // 2 + 1


def is_reachable(count: int, refused: int) -> bool:
    """Say whether a quorum of `count` servers can still agree after some have refused, or could not be asked."""
    return count - refused >= quorum(count)


def drift(lease: float) -> float:
    """Return how much earlier than by our clock a lease may end by a server's."""
    return lease * _DRIFT + _ROUNDED


def validity(lease: float, elapsed: float) -> float:
    """Return for how long a lock is held from now on, less than nothing if it took too long to get it.

    Args:
        lease: for how long the servers grant it.
        elapsed: how long ago the first of them was asked.
    """
    return lease - elapsed - drift(lease)


def worth_trying_in(count: int, granted: int, busy: Sequence[float], chance: float) -> float:
    """Return after what pause a caller that was refused may try again, even if nobody calls.

    Where others hold so many servers that no quorum is left, that is when enough of their leases have run out. But if
    some servers were free, then most likely several callers have taken them from each other and give them back now; or
    servers fail. Then it is after a short while, that is different for each.

    Args:
        count: how many servers there are.
        granted: how many have granted the lock, which was given back then.
        busy: for each server that others hold, when their lease runs out at the latest.
        chance: random, in [0, 1).
    """
    soon = _LEAST + chance * _DESYNCHRONISED
    if granted or is_reachable(count, len(busy)):
        return soon
    needed = len(busy) - (count - quorum(count))
    return max(soon, sorted(busy)[needed - 1])
