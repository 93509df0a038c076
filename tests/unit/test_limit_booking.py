"""Hits whose callers are ready to wait: booked ahead, in order, at instants that obey the quota."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.policy.quota import ALGORITHMS, Algorithm, Quota
from support import limit_models as models
from support.limit_models import microseconds
from support.limit_server import BEGIN, Buckets, LimitServer
from support.limit_traffic import costs, gaps, promise, small

each_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)
KEY = "bucket"
Passed = list[tuple[int, int]]


def patience(quota: Quota) -> st.SearchStrategy[int]:
    """Return microseconds that callers wait: none, some, or many periods."""
    return st.sampled_from([0, 1, microseconds(quota) // 2, microseconds(quota), 20 * microseconds(quota)])


def obeys(quota: Quota, passed: Passed) -> bool:
    """Say whether what passes obeys a quota in every period, at the rate, or in every window."""
    ordered, period = sorted(passed), microseconds(quota)
    if quota.algorithm == "fixed_window":
        rules = models.FixedWindow(quota)
        for when, cost in ordered:
            rules.charge(when, cost)
        return all(units <= quota.limit for _, units in rules.windows)
    for index, (start, _) in enumerate(ordered):
        units = 0
        for when, cost in ordered[index:]:
            units += cost
            # Booked for a fraction of a microsecond, it goes at the next whole one.
            if quota.algorithm == "gcra" and (units - quota.most) * period >= (when - start + 1) * quota.limit:
                return False
            twice = 2 if quota.algorithm == "sliding_counter" else 1
            if quota.algorithm != "gcra" and when - start < period and units > twice * quota.limit:
                return False
    return True


@each_algorithm
def test_booked_hits_go_at_the_models_instants_in_their_order(algorithm: Algorithm) -> None:
    """Each is booked for the first instant that the definition allows; nobody overtakes; the quota is obeyed."""

    @promise(2)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        quota = data.draw(small(algorithm))
        server, rules, passed = LimitServer(), models.model(quota), []
        for _ in range(data.draw(st.integers(1, 20))):
            server.now += data.draw(gaps(quota))
            cost, ready = data.draw(costs(quota)), data.draw(patience(quota))
            wait = models.wait(rules, quota, server.now, cost)
            answer = server.hit({KEY: quota}, cost, ready)
            assert (answer.wait, answer.admitted) == (wait, 0 <= wait <= ready)
            if answer.admitted:
                assert answer.at == server.now + wait
                assert all(answer.at >= when for when, _ in passed)
                rules.charge(server.now if algorithm == "gcra" else answer.at, cost)  # that books by fractions
                passed += [(answer.at, cost)] if cost else []
            left = models.remaining(rules, quota, server.now)
            assert answer.said[0][1:] == (left, models.reset(rules, server.now))
        assert obeys(quota, passed)

    check()


def test_several_buckets_are_not_booked_ahead() -> None:
    """However patient a caller is: the bucket that is free sooner would be blocked for everybody else.

    What is booked in one of them counts, and every quota is obeyed at the instants at which the hits go.
    """

    @promise(3)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        quotas = data.draw(st.lists(small(), min_size=2, max_size=3))
        buckets: Buckets = {f"bucket {index}": quota for index, quota in enumerate(quotas)}
        rules = {key: models.model(quota) for key, quota in buckets.items()}
        passed: dict[str, Passed] = {key: [] for key in buckets}
        server = LimitServer()
        for _ in range(data.draw(st.integers(1, 15))):
            server.now += data.draw(gaps(data.draw(st.sampled_from(quotas))))
            some = data.draw(st.lists(st.sampled_from(list(buckets)), unique=True, min_size=1))
            cost, ready = data.draw(st.integers(1, 4)), data.draw(patience(data.draw(st.sampled_from(quotas))))
            before = server.content()
            answer = server.hit({key: buckets[key] for key in some}, cost, ready)
            waits = [models.wait(rules[key], buckets[key], server.now, cost) for key in some]
            assert [each.wait for each in answer.said] == waits
            assert answer.admitted == (-1 not in waits and max(waits) <= (ready if len(some) == 1 else 0))
            assert answer.admitted or server.content() == before
            for key, told in zip(some, answer.said, strict=True):
                if answer.admitted:
                    rules[key].charge(server.now if buckets[key].algorithm == "gcra" else answer.at, cost)
                    passed[key].append((answer.at, cost))
                assert told.remaining == models.remaining(rules[key], buckets[key], server.now)
        for key, quota in buckets.items():
            assert obeys(quota, passed[key])

    check()


@each_algorithm
def test_the_last_booking_that_is_cancelled_gives_back(algorithm: Algorithm) -> None:
    """Bookings that are cancelled from the last one on leave the bucket as it was, for hits that cost no less.

    Windows know of one that is booked ahead only: what was booked in those before it does not come back.
    """

    @promise()
    @given(st.data())
    def check(data: st.DataObject) -> None:
        quota = data.draw(small(algorithm))
        server = LimitServer()
        server.hit({KEY: quota}, quota.most)
        booked = []
        for cost in data.draw(st.lists(st.integers(1, quota.most), min_size=1, max_size=5)):
            server.now += data.draw(st.integers(0, 100))
            before = server.peek({KEY: quota}, cost)
            if algorithm in (
                "fixed_window",
                "sliding_counter",
            ) and server.now + before.wait >= BEGIN + 2 * microseconds(quota):
                break
            booked.append((server.now, before.wait, cost, server.hit({KEY: quota}, cost, 10**12).at))
        for asked, wait, cost, at in reversed(booked):
            server.adjust({KEY: quota}, -cost, at)
            after = server.peek({KEY: quota}, cost)
            assert after.wait == max(0, asked + wait - server.now)

    check()


@each_algorithm
def test_whoever_cancels_the_quota_is_obeyed(algorithm: Algorithm) -> None:
    """Bookings that are cancelled in any order never let more pass than the quota, and never make others wait more."""

    @promise(3)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        quota = data.draw(small(algorithm))
        server, booked = LimitServer(), list[tuple[int, int]]()
        for _ in range(data.draw(st.integers(1, 30))):
            server.now += data.draw(st.just(0) | gaps(quota))
            waiting = [each for each in booked if each[0] > server.now]
            if waiting and data.draw(st.booleans()):
                gone = data.draw(st.sampled_from(waiting))
                before = server.peek({KEY: quota})
                server.adjust({KEY: quota}, -gone[1], gone[0])
                assert server.peek({KEY: quota}).wait <= before.wait
                booked.remove(gone)
                continue
            left = server.peek({KEY: quota}).said[0].remaining
            assert server.peek({KEY: quota}, left).admitted or not left
            cost = data.draw(st.integers(1, quota.most))
            answer = server.hit({KEY: quota}, cost, data.draw(patience(quota)))
            booked += [(answer.at, cost)] if answer.admitted else []
        assert obeys(quota, booked)

    check()


def test_nobody_goes_before_those_who_are_booked_though_others_have_cancelled() -> None:
    """The log keeps the order: while somebody waits nothing remains for others, even if a unit would fit."""
    server, quota = LimitServer(), Quota(3, 10, algorithm="sliding_log")
    server.hit({KEY: quota}, 3)
    cancelled, waiting = (server.hit({KEY: quota}, 2, 60_000_000) for _ in range(2))
    assert (cancelled.wait, waiting.wait) == (10_000_000, 20_000_000)
    server.adjust({KEY: quota}, -2, cancelled.at)
    server.now += 11_000_000
    told = server.hit({KEY: quota})
    assert (told.admitted, told.wait, told.said[0].remaining) == (False, 9_000_000, 0)
