"""Promises of every algorithm on the real scripts: whom they admit, what they say, and what a refusal leaves alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.policy.quota import ALGORITHMS, Algorithm, Quota
from support import limit_models as models
from support.limit_server import LimitServer
from support.limit_traffic import costs, gaps, hits, promise, quotas, small

each_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)
KEY = "bucket"
YEAR_2100 = 4_102_444_800_000_000


@each_algorithm
def test_it_admits_whom_its_definition_admits(algorithm: Algorithm) -> None:
    """For any traffic: exactly the model's decisions, times to wait, remaining units and resets, before and after."""

    @promise(2)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        quota = data.draw(quotas(algorithm))
        server, rules = LimitServer(), models.model(quota)
        for gap, cost in data.draw(hits(quota)):
            server.now += gap
            expected = models.wait(rules, quota, server.now, cost)
            peeked = server.peek({KEY: quota}, cost).said[0]
            assert (peeked.wait, peeked.remaining) == (expected, models.remaining(rules, quota, server.now))
            answer = server.hit({KEY: quota}, cost)
            assert answer.admitted == (expected == 0)
            if answer.admitted:
                rules.charge(server.now, cost)
            told = (expected, models.remaining(rules, quota, server.now), models.reset(rules, server.now))
            assert answer.said[0] == told

    check()


@each_algorithm
def test_a_refused_hit_changes_nothing(algorithm: Algorithm) -> None:
    """Not a byte, not a time to live; nor does a peek, or a hit that costs nothing."""

    @promise()
    @given(st.data())
    def check(data: st.DataObject) -> None:
        quota = data.draw(quotas(algorithm))
        server = LimitServer()
        for gap, cost in data.draw(hits(quota)):
            server.now += gap
            before = server.content(), server.redis.ttls()
            server.peek({KEY: quota}, cost)
            server.hit({KEY: quota}, 0)
            assert (server.content(), server.redis.ttls()) == before
            if not server.hit({KEY: quota}, cost).admitted:
                assert (server.content(), server.redis.ttls()) == before

    check()


@each_algorithm
def test_waiting_as_long_as_told_is_exactly_enough(algorithm: Algorithm) -> None:
    """After retry_after a refused hit is admitted; a microsecond before it is not, nor a millisecond before."""

    @promise()
    @given(st.data())
    def check(data: st.DataObject) -> None:
        quota = data.draw(quotas(algorithm))
        server = LimitServer()
        for gap, cost in data.draw(hits(quota)):
            server.now += gap
            answer = server.hit({KEY: quota}, cost)
            assert (cost > quota.most) == (answer.wait == -1)
            if not answer.admitted and answer.wait > 0:
                asked = server.now
                for early in (1000, 1):
                    if early < answer.wait:
                        server.now = asked + answer.wait - early
                        assert not server.hit({KEY: quota}, cost).admitted
                server.now = asked + answer.wait
                assert server.hit({KEY: quota}, cost).admitted
                if server.now > YEAR_2100:
                    return  # Lua's numbers are exact for another 150 years only

    check()


@each_algorithm
def test_what_remains_fits_and_no_more(algorithm: Algorithm) -> None:
    """A hit of all that remains is admitted, one of a unit more is not."""

    @promise()
    @given(st.data())
    def check(data: st.DataObject) -> None:
        quota = data.draw(quotas(algorithm))
        server = LimitServer()
        for gap, cost in data.draw(hits(quota)):
            server.now += gap
            left = server.hit({KEY: quota}, cost).said[0].remaining
            assert not server.peek({KEY: quota}, left + 1).admitted
            assert not left or server.peek({KEY: quota}, left).admitted
        if left:
            assert server.hit({KEY: quota}, left).said[0].remaining == 0

    check()


@each_algorithm
def test_after_its_reset_a_bucket_is_as_new(algorithm: Algorithm) -> None:
    """At the instant of the reset it answers like a bucket that never was, and soon after it is gone from Redis."""

    @promise()
    @given(st.data())
    def check(data: st.DataObject) -> None:
        quota = data.draw(quotas(algorithm))
        server = LimitServer()
        for gap, cost in data.draw(hits(quota, most=8)):
            server.now += gap
            answer = server.hit({KEY: quota}, cost)
        server.now += answer.said[0].reset
        cost = data.draw(costs(quota))
        assert server.peek({KEY: quota}, cost).said == server.peek({"another": quota}, cost).said
        server.now += 3000
        assert server.content() == {}
        server.now -= 3000
        assert server.hit({KEY: quota}, quota.most).admitted

    check()


@each_algorithm
def test_one_microsecond_before_its_reset_a_bucket_is_not_new(algorithm: Algorithm) -> None:
    """The reset is no later than need be."""

    @promise(0.5)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        quota = data.draw(small(algorithm))
        server = LimitServer()
        answer = server.hit({KEY: quota})
        server.now += answer.said[0].reset - 1
        assert server.peek({KEY: quota}).said[0].remaining == quota.most - 1

    check()


@each_algorithm
def test_a_changed_limit_keeps_the_units_that_were_consumed(algorithm: Algorithm) -> None:
    """Up or down, at the instant of the change as many units count as before."""

    @promise()
    @given(st.data())
    def check(data: st.DataObject) -> None:
        old = data.draw(quotas(algorithm))
        new = Quota(data.draw(st.integers(1, min(2 * old.limit, 10**12))), old.per, algorithm=algorithm)
        server = LimitServer(changes=True)
        used = data.draw(st.integers(1, old.most))
        server.hit({KEY: old}, used)
        said = server.peek({KEY: new}).said[0]
        assert said.remaining == max(0, new.most - used)
        back = server.hit({KEY: new}, said.remaining).admitted if said.remaining else True
        assert back
        assert server.peek({KEY: old}).said[0].remaining == max(0, old.most - max(used, new.most))

    check()


@each_algorithm
def test_limits_that_change_all_the_time_stop_nobody_for_long(algorithm: Algorithm) -> None:
    """Whatever quotas a bucket is asked for, its waits are at most what a full bucket of the largest takes to drain."""

    @promise(0.5)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        first = data.draw(small(algorithm))
        limits = st.integers(1, 8).map(lambda limit: Quota(limit, first.per, algorithm=algorithm))
        server = LimitServer(changes=True)
        for gap, quota in data.draw(st.lists(st.tuples(gaps(first), limits), max_size=15)):
            server.now += gap
            answer = server.hit({KEY: quota}, data.draw(st.integers(0, 8)))
            assert answer.said[0].reset <= 9 * models.microseconds(first)

    check()


def test_units_are_kept_where_their_levels_are_too_large_to_multiply() -> None:
    """A limit that changes there and back, between numbers without a common factor, keeps each unit."""
    old, new = Quota(999_983, 3600), Quota(14_098, 3600)
    server = LimitServer(changes=True)
    server.hit({KEY: old}, 1)
    server.hit({KEY: new}, server.peek({KEY: new}).said[0].remaining)
    assert server.peek({KEY: old}).said[0].remaining == old.most - new.most
