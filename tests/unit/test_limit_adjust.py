"""What is taken back or charged later: never more than was consumed, and never better than the truth from the start."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.policy.quota import ALGORITHMS, Algorithm, Quota
from support import limit_models as models
from support.limit_models import Rules, microseconds
from support.limit_server import LimitServer
from support.limit_traffic import costs, gaps, hits, promise, quotas, small

each_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)
KEY = "bucket"
YEARS = 10 * 365 * 86400
"""Seconds of a period in which twice the quota stays below the 142 years at which the level of a bucket is bounded."""


class Twins:
    """A server, and the model of what it should be like had every hit cost from the start what it was settled to."""

    def __init__(self, data: st.DataObject, quota: Quota) -> None:
        self.data, self.quota = data, quota
        self.server, self.rules = LimitServer(), models.model(quota)

    def traffic(self) -> None:
        """Let some more hits come; the model takes those that the server admits."""
        for gap, cost in self.data.draw(hits(self.quota, most=3, least=1)):
            self.server.now += min(gap, microseconds(self.quota) // 8)
            if self.server.hit({KEY: self.quota}, cost).admitted:
                self.rules.charge(self.server.now, cost)

    def compare(self, exactly: bool) -> None:
        """See that the server is not more generous than the model, now and later; or exactly as generous."""
        for _ in range(3):
            cost = self.data.draw(costs(self.quota))
            told = self.server.peek({KEY: self.quota}, cost).said[0]
            wait, left = models.wait(self.rules, self.quota, self.server.now, cost), self._left()
            assert wait in (told.wait, models.NEVER) or told.wait > wait
            assert told.remaining <= left
            assert not exactly or (told.wait, told.remaining) == (wait, left)
            self.server.now += self.data.draw(gaps(self.quota))

    def _left(self) -> int:
        return models.remaining(self.rules, self.quota, self.server.now)


@each_algorithm
def test_what_is_settled_counts_as_from_the_start(algorithm: Algorithm) -> None:
    """A hit that is settled soon is as strict as had it cost that at once; exactly so in fixed windows and in logs."""

    @promise(2)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        quota = data.draw((small(algorithm) | quotas(algorithm)).filter(lambda quota: quota.period < YEARS))
        twins = Twins(data, quota)
        twins.traffic()
        estimate = data.draw(st.integers(0 if algorithm == "sliding_log" else 1, quota.most))
        actual = data.draw(st.integers(1, 2 * quota.most) | costs(quota, 1))
        hit = twins.server.hit({KEY: quota}, estimate)
        if not hit.admitted:
            return
        twins.rules.charge(hit.at, actual)
        twins.traffic() if estimate else None
        if algorithm == "fixed_window" and not _same_window(twins.rules, hit.at, twins.server.now):
            return
        twins.server.settle({KEY: quota}, hit, estimate, actual)
        twins.compare(exactly=algorithm in ("fixed_window", "sliding_log"))

    check()


@promise()
@given(st.data())
def test_what_was_reserved_comes_back_whole_as_long_as_something_else_drains(data: st.DataObject) -> None:
    """A bucket that is never empty drains the same, whatever was reserved in it: to settle late loses nothing."""
    quota = data.draw(quotas("gcra").filter(lambda quota: quota.most > 2))
    key, server, twin = {KEY: quota}, LimitServer(), LimitServer()
    estimate = data.draw(st.integers(1, quota.most - 1))
    actual = data.draw(st.integers(0, estimate))
    before = data.draw(st.integers(0, quota.most - estimate))
    for each in (server, twin):
        each.hit(key, before)
    hit = server.hit(key, estimate)
    twin.hit(key, actual)
    server.now = twin.now = server.now + data.draw(st.integers(0, server.peek(key, 0).said[0].reset + 10))
    server.settle(key, hit, estimate, actual)
    lost = 1 + 2 * quota.limit // microseconds(quota)  # units that drain while the instant is rounded
    for cost in (0, 1, quota.most):
        told, truth = server.peek(key, cost).said[0], twin.peek(key, cost).said[0]
        assert 0 <= told.wait - truth.wait <= 2
        assert 0 <= truth.remaining - told.remaining <= lost


@each_algorithm
def test_what_is_settled_to_nothing_is_as_if_it_had_not_been(algorithm: Algorithm) -> None:
    """A single hit that is settled to 0 at once leaves nothing behind, not even a key."""

    @promise(0.5)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        quota = data.draw(quotas(algorithm))
        server = LimitServer()
        cost = data.draw(st.integers(1, quota.most))
        answer = server.hit({KEY: quota}, cost)
        after = server.adjust({KEY: quota}, -cost, answer.at)
        assert after.said[0] == (0, quota.most, 0)
        assert server.content() == {}

    check()


@each_algorithm
def test_no_more_comes_back_than_was_consumed(algorithm: Algorithm) -> None:
    """Whatever is given back, whenever: at most the units, and never more than a new bucket has."""

    @promise()
    @given(st.data())
    def check(data: st.DataObject) -> None:
        quota = data.draw(quotas(algorithm))
        server = LimitServer()
        charged, held = [0], dict[int, int]()
        for gap, cost in data.draw(hits(quota)):
            server.now += gap
            answer = server.hit({KEY: quota}, cost)
            if answer.admitted:
                charged.append(answer.at)
                held[answer.at] = held.get(answer.at, 0) + cost
            before = server.peek({KEY: quota}).said[0]
            units = data.draw(costs(quota))
            at = data.draw(st.sampled_from(charged))
            after = server.adjust({KEY: quota}, -units, at).said[0]
            assert before.remaining <= after.remaining <= min(quota.most, before.remaining + units)
            assert after.reset <= before.reset
            if at and algorithm == "sliding_log":  # it knows each hit
                assert after.remaining <= before.remaining + held[at]
                held[at] = max(0, held[at] - units)
        server.adjust({KEY: quota}, -(10**12))
        server.adjust({KEY: quota}, -(10**12))
        assert server.peek({KEY: quota}).said[0].remaining <= quota.most
        server.now += min(3 * microseconds(quota), 10**14)
        assert server.peek({KEY: quota}).said[0].remaining <= quota.most

    check()


@each_algorithm
def test_a_refund_of_the_past_credits_nothing(algorithm: Algorithm) -> None:
    """What does not count any more cannot be taken back from what was consumed since."""

    @promise()
    @given(st.data())
    def check(data: st.DataObject) -> None:
        quota = data.draw(small(algorithm))
        server, period = LimitServer(), microseconds(quota)
        cost = data.draw(st.integers(1, quota.most))
        old = server.hit({KEY: quota}, cost)
        while server.now < old.at + old.said[0].reset:
            server.now += data.draw(st.sampled_from([2 * period // 3 + 1, 3 * period]))
            server.hit({KEY: quota})
        new = data.draw(st.integers(1, quota.most))
        server.hit({KEY: quota}, new)
        server.now += data.draw(st.integers(0, period // 10))
        before = server.peek({KEY: quota}, quota.most)
        assert server.adjust({KEY: quota}, -cost, old.at).said == server.peek({KEY: quota}).said
        assert server.peek({KEY: quota}, quota.most).said == before.said

    check()


@each_algorithm
def test_what_cost_more_is_charged_beyond_the_limit(algorithm: Algorithm) -> None:
    """A surplus of any size delays later hits; the wait that they are told is exact, and all numbers stay exact."""

    @promise()
    @given(st.data())
    def check(data: st.DataObject) -> None:
        quota = data.draw(quotas(algorithm))
        server = LimitServer()
        hit = server.hit({KEY: quota})
        surplus = data.draw(st.integers(quota.most, 3 * quota.most))
        at = data.draw(st.sampled_from([0, hit.at]))
        after = server.adjust({KEY: quota}, surplus, at)
        assert (after.said[0].remaining, after.said[0].wait > 0) == (0, True)
        refused = server.hit({KEY: quota})
        assert not refused.admitted
        if refused.wait < 10**12:
            server.now += refused.wait - 1
            assert not server.hit({KEY: quota}).admitted
            server.now += 1
            assert server.hit({KEY: quota}).admitted
        server.adjust({KEY: quota}, 10**12)
        server.adjust({KEY: quota}, 10**12)
        assert not server.hit({KEY: quota}).admitted

    check()


def test_late_surplus_counts_in_the_window_under_way() -> None:
    """A hit that turns out to have cost more when its window is over delays the hits of the next one."""
    quota = Quota(10, 60, algorithm="fixed_window")
    server = LimitServer()
    hit = server.hit({KEY: quota})
    server.now += 61_000_000
    assert server.adjust({KEY: quota}, 5, hit.at).said[0].remaining == 5


def _same_window(rules: Rules, at: int, now: int) -> bool:
    assert isinstance(rules, models.FixedWindow)
    start = max(start for start, _ in rules.windows if start <= at)
    return now < start + rules.period
