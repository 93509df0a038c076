"""Limits in this process alone, for the time that Redis is away: each process grants its fair share.

Every quota is counted by GCRA here, whatever its algorithm: with limit / replicas as the rate, and as many units at
once as a replica's share of what the quota lets pass at once. Bounded: who has not been seen for longest is forgotten.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from math import ceil
from typing import Final

from holdfast.policy.buckets import MILLION
from holdfast.policy.quota import Quota

_MOST: Final = 10_000
_NOTHING: Final = 1e-6
"""Units that floats may be wrong by: whoever has waited as long as it was told is admitted."""


class LocalLimits:
    """The buckets of this process, by the names that they have in Redis."""

    def __init__(self, replicas: int, most: int = _MOST) -> None:
        self._replicas = replicas
        self._most = most
        self._debts: dict[str, tuple[float, float]] = {}
        """When a bucket was last charged, and how many units were in it then."""
        self._lock = threading.Lock()

    def hit(
        self, keys: Sequence[str], quotas: Sequence[Quota], cost: int, now: float, patience: float
    ) -> tuple[float | None, list[int]]:
        """Charge a hit to all buckets or to none.

        Args:
            keys: of the buckets.
            quotas: of the buckets.
            cost: units.
            now: seconds of a clock that never jumps.
            patience: seconds for which the caller is ready to wait; counts only where there is one bucket, as in Redis.

        Returns:
            The seconds after which the hit is admitted, None if it is not; and for each bucket wait, remaining and
            reset, as the script has them.
        """
        with self._lock:
            debts = [self._debt(key, quota, now) for key, quota in zip(keys, quotas, strict=True)]
            waits = [self._wait(debt, quota, cost) for debt, quota in zip(debts, quotas, strict=True)]
            longest = max(waits, default=0)
            admitted = -1 not in waits and longest <= (int(patience * MILLION) if len(keys) == 1 else 0)
            if admitted and cost:
                for index, key in enumerate(keys):
                    debts[index] += cost
                    self._put(key, now, debts[index])
        figures: list[int] = []
        for debt, wait, quota in zip(debts, waits, quotas, strict=True):
            left = int(max(0.0, self._share(quota, 1) - debt))
            reset = round(debt / self._rate(quota) * MILLION)
            figures += (wait, left, reset)
        return longest / MILLION if admitted else None, figures

    def forget(self, keys: Sequence[str]) -> None:
        """Forget what was consumed."""
        with self._lock:
            for key in keys:
                self._debts.pop(key, None)

    def _rate(self, quota: Quota) -> float:
        return quota.limit / quota.period / self._replicas

    def _share(self, quota: Quota, cost: int) -> int:
        """Return what may pass at once: a fair share, but never so little that a hit of this cost could never pass."""
        return max(quota.most // self._replicas, cost, 1)

    def _debt(self, key: str, quota: Quota, now: float) -> float:
        at, debt = self._debts.get(key, (now, 0.0))
        return max(0.0, debt - (now - at) * self._rate(quota))

    def _wait(self, debt: float, quota: Quota, cost: int) -> int:
        """Return the microseconds until a bucket admits a hit, -1 for never."""
        if cost > quota.most:
            return -1
        excess = debt + cost - self._share(quota, cost)
        return ceil(excess / self._rate(quota) * MILLION) if excess > _NOTHING else 0

    def _put(self, key: str, now: float, debt: float) -> None:
        self._debts.pop(key, None)
        self._debts[key] = now, debt
        while len(self._debts) > self._most:
            del self._debts[next(iter(self._debts))]

    def after_fork(self) -> None:
        """In a child process: use a lock that nobody holds."""
        self._lock = threading.Lock()
