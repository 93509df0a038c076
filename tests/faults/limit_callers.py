"""Threads and tasks that hit limits under each failure policy, and checks of what they were told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final, NamedTuple

from holdfast import Layer, LimitDecision
from holdfast.core.limit_checks import OnLimitFailure
from support.traffic import Traffic, traffic
from support.waiting import until

POLICIES: Final[tuple[OnLimitFailure, ...]] = ("open", "closed", "local")
BUDGET: Final = 0.1
WIDE: Final = "1000000000/day; algorithm=fixed_window"
NARROW: Final = "50/day"
"""For `local`: as much as two processes may grant in an outage, and Redis before."""
SHARE: Final = 25


class Told(NamedTuple):
    """What one caller was told."""

    began: float
    took: float
    policy: str
    decision: LimitDecision


class Callers:
    """Hits under three rules, one for each failure policy."""

    def __init__(self, layer: Layer, budget: float = BUDGET) -> None:
        self.told: list[Told] = []
        self._limiter = layer.limiter
        self._budget = budget

    def plain(self, number: int) -> None:
        """Hit, from a thread."""
        policy, began = POLICIES[number % 3], time.monotonic()
        decision = self._limiter.hit(quota(policy), policy, on_failure=policy, budget=self._budget)
        self.told.append(Told(began, time.monotonic() - began, policy, decision))

    async def awaited(self, number: int) -> None:
        """Hit, from a task."""
        policy, began = POLICIES[number % 3], time.monotonic()
        decision = await self._limiter.ahit(quota(policy), policy, on_failure=policy, budget=self._budget)
        self.told.append(Told(began, time.monotonic() - began, policy, decision))

    def by_redis(self, since: float) -> set[str]:
        """Return the policies of the rules about which Redis has decided since an instant."""
        recent = self.told[-2000:]
        return {each.policy for each in recent if each.began > since and not each.decision.degraded}

    def recovered(self, since: float, within: float) -> float:
        """Wait until Redis decides about all rules again, and return how long that took."""
        until(lambda: len(self.by_redis(since)) == 3, "Redis decides again", within=within)
        return time.monotonic() - since

    def has_admitted(self, units: int) -> bool:
        """Say whether so many hits were admitted under the narrow quota, neither more nor less."""
        return sum(each.decision.allowed for each in self.told if each.policy == "local") == units

    def degraded(self, policy: OnLimitFailure) -> list[LimitDecision]:
        """Return what was decided by a policy without Redis."""
        return [each.decision for each in self.told if each.policy == policy and each.decision.degraded]


def quota(policy: OnLimitFailure) -> str:
    return NARROW if policy == "local" else WIDE


@contextmanager
def calling(callers: Callers) -> Iterator[Traffic]:
    """Let threads and tasks hit all the time, from when Redis has decided about each rule."""
    with traffic(callers.plain, callers.awaited) as seen:
        until(lambda: len(callers.by_redis(0)) == 3 and len(callers.told) > 100, "all is well at first")
        yield seen


def check_policies(callers: Callers) -> None:
    """Check what was decided without Redis, by each policy."""
    admitting, refusing = callers.degraded("open"), callers.degraded("closed")
    assert all(decision.allowed for decision in admitting)
    assert not any(decision.allowed for decision in refusing)
    assert {decision.retry_after for decision in refusing} <= {1.0}
    assert sum(decision.allowed for decision in callers.degraded("local")) <= SHARE


def peek(layer: Layer, policy: str) -> LimitDecision | None:
    """Return what is left of a policy's quota, unless Redis is not asked again yet."""
    decision = layer.limiter.peek(WIDE, policy, budget=20)
    return None if decision.degraded else decision


def check_charges(callers: Callers, layer: Layer) -> None:
    """Check that each hit was charged once if Redis has admitted it, and at most once otherwise."""
    for policy in ("open", "closed"):
        decision = until(partial(peek, layer, policy), "the circuit breaker is closed again")
        told = [each.decision for each in callers.told if each.policy == policy]
        assert decision is not None
        sure = sum(each.allowed and not each.degraded for each in told)
        assert sure <= decision.limit - decision.remaining <= len(told)
