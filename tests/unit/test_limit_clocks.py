"""Servers whose clock jumps, as after a failover: never more than the quota, and nobody waits longer for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.policy.quota import ALGORITHMS, Algorithm, Quota
from support.limit_models import microseconds
from support.limit_server import BEGIN, LimitServer
from support.limit_traffic import costs, gaps, promise, small

each_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)
KEY = "bucket"
HOUR = 3_600_000_000
jumps = st.sampled_from([1, 2, 1000, 1_000_000, 61_000_000, HOUR, 5 * HOUR]) | st.integers(1, 20_000_000)


def most_in(quota: Quota) -> int:
    """Return the units that may pass in one period."""
    if quota.algorithm == "gcra":
        return quota.limit + quota.most
    return {"fixed_window": 2, "sliding_counter": 2, "sliding_log": 1}[quota.algorithm] * quota.limit


def longest(quota: Quota) -> int:
    """Return the microseconds after which any hit that can pass at all is admitted, however full the bucket was."""
    period = microseconds(quota)
    if quota.algorithm == "gcra":
        return -(-quota.most * period // quota.limit)
    return 2 * period if quota.algorithm == "sliding_counter" else period


@each_algorithm
def test_a_clock_that_steps_back_gives_no_second_quota(algorithm: Algorithm) -> None:
    """In true time, no more passes than with a clock that goes right, and no hit is told to wait longer."""

    @promise(2)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        quota = data.draw(small(algorithm))
        server, true, passed = LimitServer(BEGIN + 100 * HOUR), 0, []
        steps = st.tuples(gaps(quota), costs(quota), st.just(0) | jumps)
        for gap, cost, back in data.draw(st.lists(steps, min_size=1, max_size=25)):
            true += gap
            server.now += gap - back
            answer = server.hit({KEY: quota}, cost)
            assert answer.wait <= longest(quota)
            assert answer.said[0].reset <= 2 * longest(quota)
            if answer.admitted:
                passed.append((true, cost))
            units = sum(units for when, units in passed if when > true - microseconds(quota))
            assert units <= most_in(quota)

    check()


@each_algorithm
def test_what_counted_before_a_step_back_counts_as_long_as_ever(algorithm: Algorithm) -> None:
    """After the step a full bucket is full, for no longer than it would have been; the wait that it tells is exact."""

    @promise()
    @given(st.data())
    def check(data: st.DataObject) -> None:
        quota = data.draw(small(algorithm))
        server = LimitServer(BEGIN + 100 * HOUR)
        server.hit({KEY: quota}, quota.most)
        before = server.hit({KEY: quota}, quota.most)
        server.now -= data.draw(jumps)
        if data.draw(st.booleans()):
            assert server.peek({KEY: quota}, quota.most).said == before.said
        after = server.hit({KEY: quota}, quota.most)
        assert not after.admitted
        assert after.said == before.said
        server.now += after.wait - 1
        assert not server.hit({KEY: quota}, quota.most).admitted
        server.now += 1
        assert server.hit({KEY: quota}, quota.most).admitted

    check()


@each_algorithm
def test_a_jump_ahead_and_back_is_harmless(algorithm: Algorithm) -> None:
    """A clock that was wrong for a moment stops nobody: afterwards a hit waits as long as a full bucket makes it."""

    @promise()
    @given(st.data())
    def check(data: st.DataObject) -> None:
        quota = data.draw(small(algorithm))
        server = LimitServer()
        jump = data.draw(jumps)
        server.hit({KEY: quota}, data.draw(costs(quota)))
        server.now += jump
        server.hit({KEY: quota}, data.draw(costs(quota)))
        server.now -= jump
        answer = server.hit({KEY: quota}, 1)
        assert answer.wait <= longest(quota)
        server.now += answer.wait
        assert answer.admitted or server.hit({KEY: quota}, 1).admitted

    check()
