"""Promises of limits without Redis: a fair share, all or nothing, bounded, whoever calls at once."""

from __future__ import annotations

from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._local_limits import LocalLimits
from holdfast.policy.quota import ALGORITHMS, Algorithm, Quota
from support.limit_traffic import promise

ALL = ("a",)
quotas = st.builds(
    lambda limit, per, algorithm: Quota(limit, per, algorithm=algorithm),
    st.integers(1, 30),
    st.sampled_from([0.001, 0.7, 1, 60, 86400]),
    st.sampled_from(ALGORITHMS),
)
traffic = st.lists(st.tuples(st.floats(0, 1.2), st.integers(0, 5)), min_size=1, max_size=60)


@promise(2)
@given(quotas, st.integers(1, 8), traffic)
def test_all_replicas_together_keep_the_quota(quota: Quota, replicas: int, hits: list[tuple[float, int]]) -> None:
    """What one process admits, times the replicas, is the rate, and the burst once.

    It is more only by what one hit costs, or by a unit where there are fewer units than replicas.
    """
    local, now, units = LocalLimits(replicas), 1000.0, 0
    for gap, cost in hits:
        now += gap * quota.period / quota.limit
        admitted_in, figures = local.hit(ALL, (quota,), cost, now, 0.0)
        assert admitted_in in (0.0, None)
        assert cost <= quota.most or (admitted_in, figures[0]) == (None, -1)
        units += cost if admitted_in is not None else 0
    at_once = max(quota.most, 5 * replicas)
    assert replicas * units <= (now - 1000.0) * quota.limit / quota.period + at_once + 1e-6


@promise()
@given(quotas, st.integers(1, 8), traffic)
def test_waiting_as_told_admits(quota: Quota, replicas: int, hits: list[tuple[float, int]]) -> None:
    """A refused hit that can ever pass does so after its wait and not before, also if it costs more than the share."""
    local, now = LocalLimits(replicas), 1000.0
    for gap, cost in hits:
        now += gap * quota.period / quota.limit
        admitted_in, (wait, _, _) = local.hit(ALL, (quota,), cost, now, 0.0)
        if admitted_in is None and wait > 10:
            early = now + 0.9 * wait / 1e6
            assert local.hit(ALL, (quota,), cost, early, 0.0)[0] is None
            now += (wait + 1) / 1e6
            assert local.hit(ALL, (quota,), cost, now, 0.0)[0] == 0.0


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_share_passes_at_once(algorithm: Algorithm) -> None:
    """A replica's share of the quota, at least one unit; what remains and when it resets is told."""
    quota = Quota(10, 10, algorithm=algorithm)
    local = LocalLimits(4)
    said = [local.hit(ALL, (quota,), 1, 0.0, 0.0) for _ in range(3)]
    assert said == [(0.0, [0, 1, 4_000_000]), (0.0, [0, 0, 8_000_000]), (None, [4_000_000, 0, 8_000_000])]
    alone = LocalLimits(50)
    assert [alone.hit(ALL, (quota,), 1, 0.0, 0.0)[0] for _ in range(2)] == [0.0, None]


def test_all_or_nothing() -> None:
    """A hit that one bucket refuses is charged to none, however patient its caller."""
    local = LocalLimits(1)
    few, many = Quota(1, 60), Quota(100, 60)
    assert local.hit(("few", "many"), (few, many), 1, 0.0, 0.0)[0] == 0.0
    for patience in (0.0, 1000.0):
        refused, figures = local.hit(("few", "many"), (few, many), 1, 0.0, patience)
        assert (refused, figures[0], figures[4]) == (None, 60_000_000, 99)
    assert local.hit(("many",), (many,), 99, 0.0, 0.0)[0] == 0.0


def test_patience_books_ahead() -> None:
    """Callers who wait go one after the other, at the rate of the share."""
    local, quota = LocalLimits(2), Quota(2, 2)
    waits = [local.hit(ALL, (quota,), 1, 0.0, 5.0)[0] for _ in range(4)]
    assert waits == [0.0, 2.0, 4.0, None]


def test_it_forgets_on_a_reset_and_when_there_are_too_many() -> None:
    """Who has not been charged for longest goes first."""
    local, quota = LocalLimits(1, most=3), Quota(1, 1000)
    for key in ("a", "b", "c", "d"):
        local.hit((key,), (quota,), 1, 0.0, 0.0)
    admitted = {key: local.hit((key,), (quota,), 0, 0.0, 0.0)[1][1] for key in ("a", "b", "d")}
    assert admitted == {"a": 1, "b": 0, "d": 0}
    local.forget(["b", "unknown"])
    assert local.hit(("b",), (quota,), 1, 0.0, 0.0)[0] == 0.0
    for number in range(100):
        local.hit((str(number),), (quota,), 1, 0.0, 0.0)
    assert len(local._debts) == 3


def test_threads_share_it() -> None:
    """However many hit at once, the share is admitted, not a unit more or less."""
    local, quota = LocalLimits(1), Quota(500, 1000)
    admitted: list[int] = []

    def hammer() -> None:
        admitted.append(sum(local.hit(ALL, (quota,), 1, 0.0, 0.0)[0] is not None for _ in range(300)))

    threads = [Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(admitted) == 500


def test_a_forked_child_can_hit() -> None:
    """Though the lock was held by a thread of the parent that is not in the child."""
    local = LocalLimits(1)
    local._lock.acquire()
    local.after_fork()
    assert local.hit(ALL, (Quota(1, 1),), 1, 0.0, 0.0)[0] == 0.0
