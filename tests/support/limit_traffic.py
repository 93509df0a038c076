"""Random quotas and traffic for tests of limits. `HOLDFAST_LIMIT_EXAMPLES` says how much is tried; more at night."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final, TypeAlias

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.policy.buckets import constants_of
from holdfast.policy.quota import ALGORITHMS, Algorithm, Quota
from support.limit_models import microseconds

EXAMPLES: Final = int(os.environ.get("HOLDFAST_LIMIT_EXAMPLES", "30"))
CENTURY: Final = 100 * 365 * 86400
_LONGEST_GAP: Final = 2 * 10**13
"""Microseconds: fractions of a year, so that instants stay exact in Lua beside periods of a century."""
_AWKWARD: Final = (
    (7, 1),
    (3, 10),
    (1_000_000, 86400),
    (999_983, 3600),
    (10_000_000, 1),
    (10**12, 0.001),
    (1, CENTURY),
    (1, 0.001),
    (2, 0.001007),
    (41, 0.333333),
)
Hit: TypeAlias = tuple[int, int]
"""Microseconds since the last one, and its cost."""


def promise(share: float = 1.0) -> Callable[[Any], Any]:
    """Return Hypothesis' settings: as many examples as a share of the usual number."""
    checks = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
    return settings(max_examples=max(5, int(EXAMPLES * share)), deadline=None, suppress_health_check=checks)


def quotas(*algorithms: Algorithm, most: int = 12) -> st.SearchStrategy[Quota]:
    """Return quotas of some algorithms: small ones of all kinds, and awkward ones."""
    rates = st.one_of(
        st.sampled_from(_AWKWARD),
        st.tuples(st.integers(1, most), st.integers(1000, 10_000_000).map(lambda micros: micros / 1e6)),
    )
    made = st.builds(_quota, rates, st.sampled_from(algorithms or ALGORITHMS), st.none() | st.integers(1, most + 3))
    return made.filter(is_exact)


def small(*algorithms: Algorithm) -> st.SearchStrategy[Quota]:
    """Return quotas that a few hits exhaust."""
    return st.builds(
        _quota,
        st.tuples(st.integers(1, 6), st.sampled_from([0.001, 0.001007, 0.01, 1, 10, 60])),
        st.sampled_from(algorithms or ALGORITHMS),
        st.none() | st.integers(1, 8),
    )


def gaps(quota: Quota) -> st.SearchStrategy[int]:
    """Return microseconds between hits, among them those at which something happens under a quota."""
    period = min(microseconds(quota), _LONGEST_GAP)
    interval = max(1, min(microseconds(quota) // quota.limit, _LONGEST_GAP))
    return st.one_of(
        st.integers(0, 3),
        st.integers(0, 2 * interval),
        st.sampled_from([interval - 1, interval, interval + 1, period - 1, period, period + 1]),
        st.integers(0, min(5 * period // 2, _LONGEST_GAP)),
    )


def costs(quota: Quota, least: int = 0) -> st.SearchStrategy[int]:
    """Return units that hits cost: from `least` to two more than can ever pass."""
    most = quota.most
    return st.one_of(
        st.just(1),
        st.sampled_from([max(least, cost) for cost in (0, most // 3, most // 2, most - 1, most, most + 1, most + 2)]),
        st.integers(least, most + 2),
    )


def hits(quota: Quota, *, most: int = 20, least: int = 0) -> st.SearchStrategy[list[Hit]]:
    """Return traffic under a quota."""
    return st.lists(st.tuples(gaps(quota), costs(quota, least)), min_size=1, max_size=most)


def is_exact(quota: Quota) -> bool:
    """Say whether the scripts know a quota's rate exactly, and not only within a billionth."""
    if quota.algorithm != "gcra":
        return True
    try:
        _, _, fill, drain = constants_of(quota)
    except ConfigurationError:
        return False
    return Fraction(int(drain), int(fill)) == Fraction(quota.limit, microseconds(quota))


def _quota(rate: tuple[int, float], algorithm: Algorithm, burst: int | None) -> Quota:
    limit, per = rate
    return Quota(limit, per, burst=burst if algorithm == "gcra" else None, algorithm=algorithm)
