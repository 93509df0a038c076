"""Quotas as the scripts know them, and their replies as decisions.

GCRA counts in levels: a unit raises a bucket's level by `fill`, and it falls by `drain` a microsecond. Both are whole
numbers and exact, since a time per unit that is rounded would let a fast quota run far too slow or too fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import inf
from typing import Final

from holdfast.commands import Word
from holdfast.errors import ConfigurationError
from holdfast.policy.decision import LimitDecision, PolicyDecision
from holdfast.policy.quota import Quota

_EXACT: Final = 2**52
"""Levels stay below this: half of what a double holds exactly leaves room for what is booked ahead."""
_PRECISE: Final = 10**-9
MILLION: Final = 1_000_000


def constants_of(quota: Quota) -> tuple[Word, Word, Word, Word]:
    """Return the name of a quota's algorithm and its three constants, as the scripts want them.

    Raises:
        ConfigurationError: the burst is too large to be counted exactly.
    """
    microseconds = max(1, round(quota.period * MILLION))
    if quota.algorithm != "gcra":
        return quota.algorithm, quota.limit, microseconds, 0
    exact = Fraction(quota.limit, microseconds)
    rate = exact.limit_denominator(max(1, _EXACT // quota.most))
    if abs(rate - exact) > exact * Fraction(_PRECISE):
        counted = f"{quota.limit} in {quota.period:g} s"
        if quota.burst is None:
            msg = f"{counted} cannot be counted exactly: choose rounder numbers, or count in larger units"
        else:
            msg = (
                f"burst={quota.burst} is too large beside {counted} to be counted exactly: "
                f"choose a smaller burst, or count in larger units"
            )
        raise ConfigurationError(msg)
    return "gcra", quota.most * rate.denominator, rate.denominator, rate.numerator


def policies_of(quotas: Sequence[Quota], answer: Sequence[int], patience: int = 0) -> tuple[PolicyDecision, ...]:
    """Return what each quota says, from a script's answer.

    Args:
        quotas: in the order of the script's keys.
        answer: after two items, wait, remaining and reset of each, in microseconds and units; a wait of -1 is never.
        patience: microseconds for which the caller is ready to wait.
    """
    policies: list[PolicyDecision] = []
    index = 2
    for quota in quotas:
        wait, remaining, reset = answer[index], answer[index + 1], answer[index + 2]
        index += 3
        allowed = 0 <= wait <= patience
        retry_after = 0.0 if allowed else wait / MILLION if wait >= 0 else inf
        policies.append(
            PolicyDecision(quota.name, allowed, quota.limit, remaining, reset / MILLION, retry_after, quota.period)
        )
    return tuple(policies)


def unlimited(quotas: Sequence[Quota], *, cost: int = 1, degraded: bool = False, shadow: bool = False) -> LimitDecision:
    """Return the decision that admits a hit without looking at what was consumed."""
    return LimitDecision(True, _alike(quotas, None), degraded, shadow, cost)


def refused(quotas: Sequence[Quota], *, cost: int, retry_after: float) -> LimitDecision:
    """Return the decision that refuses a hit because nobody can say what was consumed."""
    return LimitDecision(False, _alike(quotas, retry_after), True, False, cost)


def _alike(quotas: Sequence[Quota], retry_after: float | None) -> tuple[PolicyDecision, ...]:
    free, wait = retry_after is None, retry_after or 0.0
    return tuple(
        PolicyDecision(quota.name, free, quota.limit, quota.limit if free else 0, wait, wait, quota.period)
        for quota in quotas
    )
