"""How much passes in any period: what each algorithm promises, counted hit by hit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.policy.quota import Quota
from support.limit_models import SlidingCounter, microseconds
from support.limit_server import LimitServer
from support.limit_traffic import Hit, hits, promise, quotas, small

Passed = list[tuple[int, int]]
"""When, and the units."""


def test_gcra_lets_burst_pass_and_then_the_rate() -> None:
    """In any length of time: at most the burst and what the rate gives meanwhile, so limit + burst in a period."""

    @promise(2)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        quota = data.draw(small("gcra") | quotas("gcra"))
        passed = _passed(quota, data.draw(hits(quota, most=30)))
        period = microseconds(quota)
        for first, (start, _) in enumerate(passed):
            units = 0
            for when, cost in passed[first:]:
                units += cost
                assert (units - quota.most) * period <= (when - start) * quota.limit
                assert when - start >= period or units <= quota.limit + quota.most

    check()


def test_sliding_log_lets_the_limit_pass_in_any_period() -> None:
    """Exactly: never a unit more."""

    @promise(2)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        quota = data.draw(small("sliding_log") | quotas("sliding_log"))
        passed = _passed(quota, data.draw(hits(quota, most=30)))
        assert all(_units(passed, when, quota) <= quota.limit for when, _ in passed)

    check()


def test_fixed_window_lets_the_limit_pass_in_each_window() -> None:
    """A window begins with the first unit after the end of the last; in any period there are parts of two at most."""

    @promise(2)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        quota = data.draw(small("fixed_window") | quotas("fixed_window"))
        passed = _passed(quota, data.draw(hits(quota, most=30)))
        start = units = 0
        for when, cost in passed:
            if cost and when >= start + microseconds(quota):
                start, units = when, 0
            units += cost
            assert units <= quota.limit
            assert _units(passed, when, quota) <= 2 * quota.limit

    check()


def test_sliding_counter_lets_less_than_twice_the_limit_pass() -> None:
    """In a counted window the limit, in any period less than twice as much: more by what its guess may miss.

    It takes the units of the window before as spread evenly over that. If all of them came at its end, what passes in
    the period before an instant is more than the limit by at most the part of them that is taken as gone.
    """

    @promise(2)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        quota = data.draw(small("sliding_counter") | quotas("sliding_counter"))
        rules, period = SlidingCounter(quota), microseconds(quota)
        server, passed = LimitServer(), []
        for gap, cost in data.draw(hits(quota, most=30)):
            server.now += gap
            if server.hit({"bucket": quota}, cost).admitted:
                passed.append((server.now, cost))
                rules.charge(server.now, cost)
                start, previous, current = rules.window(server.now)
                assert current <= quota.limit
                units = _units(passed, server.now, quota)
                assert units < 2 * quota.limit or quota.limit == units == 1
                assert (units - quota.limit) * period <= previous * (server.now - start)

    check()


def test_steady_traffic_gets_the_whole_quota() -> None:
    """Who asks all the time gets the limit in each period, also at rates that are no whole microseconds a unit."""

    @promise(0.3)
    @given(quotas("gcra", "fixed_window", "sliding_log", most=9))
    def check(quota: Quota) -> None:
        server, period, rounds = LimitServer(), microseconds(quota), 6
        if quota.limit > 10_000 or period > 10**12:
            return
        begin, units = server.now, 0
        while server.now < begin + rounds * period:
            answer = server.hit({"bucket": quota})
            units += answer.admitted
            server.now += answer.wait
        burst = quota.most if quota.algorithm == "gcra" else 0
        least = rounds * quota.limit + max(0, burst - 1)
        assert least <= units <= least + 1

    check()


def _passed(quota: Quota, traffic: list[Hit]) -> Passed:
    """Return what is admitted of some traffic, by somebody who tries again as soon as told."""
    server, passed = LimitServer(), []
    for gap, cost in traffic:
        server.now += gap
        answer = server.hit({"bucket": quota}, cost)
        if not answer.admitted and 0 < answer.wait < 10**13:
            server.now += answer.wait
            answer = server.hit({"bucket": quota}, cost)
        if answer.admitted:
            passed.append((server.now, cost))
    return passed


def _units(passed: Passed, when: int, quota: Quota) -> int:
    """Return the units of the period that ends with an instant."""
    return sum(cost for at, cost in passed if when - microseconds(quota) < at <= when)
