"""Hits of quotas: who is admitted, and what the decision says."""

from __future__ import annotations

import math
from typing import Any, Final

import pytest

from holdfast import Layer, LimitDecision, Quota
from holdfast.policy.quota import ALGORITHMS
from support.colours import Colour
from support.topologies import Topology

pytestmark = pytest.mark.usefixtures("patient_limits")

DAY: Final = 86400.0
WAITS: Final = {"gcra": DAY / 3, "fixed_window": DAY, "sliding_counter": DAY * 4 / 3, "sliding_log": DAY}
"""Seconds until one more is admitted after three of three a day at once."""
SLOW: Final = 60.0
"""Seconds that a machine under load may take for a test."""


def about(seconds: float) -> Any:
    return pytest.approx(seconds - SLOW / 2, abs=SLOW / 2)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_quota_admits_its_limit_and_says_when_to_come_again(
    colour: Colour, topology: Topology, namespace: str, algorithm: Any
) -> None:
    """Every algorithm, everywhere: what is left counts down, and the refusal names the policy and the time to wait."""
    quota = Quota(3, "1d", algorithm=algorithm, name="daily")

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            limiter = colour.of(layer.limiter)
            for left in (2, 1, 0):
                decision = await limiter.hit(quota, "user:42")
                assert isinstance(decision, LimitDecision)
                assert (decision.allowed, decision.limit, decision.remaining, decision.retry_after) == (
                    True,
                    3,
                    left,
                    0.0,
                )
                assert decision.refused_by == ()
            refusal = await limiter.hit(quota, "user:42")
            assert (refusal.allowed, refusal.limit, refusal.remaining) == (False, 3, 0)
            assert refusal.refused_by == ("daily",)
            assert refusal.retry_after == about(WAITS[algorithm])
            assert refusal.reset == about(2 * DAY if algorithm == "sliding_counter" else DAY)
            (policy,) = refusal.policies
            assert (policy.name, policy.per, policy.retry_after) == ("daily", DAY, refusal.retry_after)
            assert (await limiter.hit(quota, "user:7")).remaining == 2
            assert not any(each.degraded or each.shadow for each in (decision, refusal))
            assert dict(refusal.headers())["Retry-After"] == str(math.ceil(refusal.retry_after))

    colour.run(scenario)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_who_waits_as_long_as_told_is_admitted(colour: Colour, layer: Layer, algorithm: Any) -> None:
    """`retry_after` is sufficient, for whoever waits by a clock of the process."""
    quota = Quota(1, 0.02, algorithm=algorithm)

    async def scenario() -> None:
        limiter = colour.of(layer.limiter)
        assert (await limiter.hit(quota, "user:42")).allowed
        for _ in range(2):
            refusal = await limiter.hit(quota, "user:42")
            while refusal.allowed:  # the machine was slow: it ran out meanwhile
                refusal = await limiter.hit(quota, "user:42")
            await colour.sleep(refusal.retry_after)
            assert (await limiter.hit(quota, "user:42")).allowed

    colour.run(scenario)


def test_a_hit_under_several_quotas_counts_under_all_or_none(
    colour: Colour, topology: Topology, namespace: str
) -> None:
    """Whichever refuses, of whatever algorithm, the others are not charged; the decision tells of each in its order."""
    quotas = ["5/day, 2/hour; algorithm=fixed_window", "4/week; algorithm=sliding_log"]
    quotas.append("6/day; algorithm=sliding_counter; name=fading")

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            limiter = colour.of(layer.limiter)
            first, second = await limiter.hit(quotas, "user:42"), await limiter.hit(quotas, "user:42")
            assert [policy.name for policy in first.policies] == ["per-day", "per-hour", "per-week", "fading"]
            assert [policy.remaining for policy in second.policies] == [3, 0, 2, 4]
            assert (second.limit, second.remaining) == (2, 0)
            refusals = [await limiter.hit(quotas, "user:42") for _ in range(10)]
            assert {refusal.refused_by for refusal in refusals} == {("per-hour",)}
            assert all(refusal.retry_after == about(3600) for refusal in refusals)
            assert [policy.remaining for policy in (await limiter.peek(quotas, "user:42")).policies] == [3, 0, 2, 4]

    colour.run(scenario)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_hit_that_does_not_fit_consumes_nothing(colour: Colour, layer: Layer, algorithm: Any) -> None:
    """Of 10, 7 are used: 5 do not fit, but 3 do; nothing fits then but what costs nothing."""
    quota = Quota(10, "1d", algorithm=algorithm)

    async def scenario() -> None:
        limiter = colour.of(layer.limiter)
        found = [await limiter.hit(quota, "user:42", cost=cost) for cost in (7, 5, 3, 1, 0)]
        assert [decision.allowed for decision in found] == [True, False, True, False, True]
        assert [decision.remaining for decision in found] == [3, 3, 0, 0, 0]
        assert [decision.cost for decision in found] == [7, 5, 3, 1, 0]

    colour.run(scenario)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_hit_that_costs_more_than_ever_passes_is_refused_for_ever(
    colour: Colour, layer: Layer, algorithm: Any
) -> None:
    """The time to wait is `math.inf`, there is no Retry-After, and nothing is consumed."""
    quota = Quota(10, "1d", algorithm=algorithm)

    async def scenario() -> None:
        limiter = colour.of(layer.limiter)
        for _ in range(2):
            decision = await limiter.hit(quota, "user:42", cost=11)
            assert (decision.allowed, decision.retry_after, decision.remaining) == (False, math.inf, 10)
            assert "Retry-After" not in dict(decision.headers())
        assert (await limiter.hit(quota, "user:42", cost=10)).allowed

    colour.run(scenario)


def test_a_burst_passes_at_once_whatever_the_rate(colour: Colour, layer: Layer) -> None:
    """``burst`` units pass, more or fewer than the limit, and one by one after that."""

    async def scenario() -> None:
        limiter = colour.of(layer.limiter)
        for burst in (1, 5, 20):
            quota, key = Quota(10, "1d", burst=burst), f"user:{burst}"
            found = [(await limiter.hit(quota, key)) for _ in range(burst + 1)]
            assert [decision.allowed for decision in found] == [True] * burst + [False]
            assert found[-1].retry_after == about(DAY / 10)
            assert (await limiter.hit(quota, f"other:{burst}", cost=burst + 1)).retry_after == math.inf

    colour.run(scenario)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_quota_that_changes_keeps_what_was_consumed(colour: Colour, layer: Layer, algorithm: Any) -> None:
    """Up or down, at once; a quota of another name, or another algorithm, starts anew."""

    async def scenario() -> None:
        limiter = colour.of(layer.limiter)
        of = lambda limit, name="daily": Quota(limit, "1d", algorithm=algorithm, name=name)  # noqa: E731
        for _ in range(4):
            await limiter.hit(of(5), "user:42")
        assert (await limiter.hit(of(10), "user:42")).remaining == 5
        refusal = await limiter.hit(of(4), "user:42")
        assert (refusal.allowed, refusal.remaining) == (False, 0)
        assert (await limiter.hit(of(6), "user:42")).remaining == 0
        assert (await limiter.hit(of(6, "other"), "user:42")).remaining == 5

    colour.run(scenario)


def test_a_decision_is_true_where_it_allows(colour: Colour, layer: Layer) -> None:
    """So that ``if layer.limiter.hit(...):`` limits; each policy's part likewise."""

    async def scenario() -> None:
        limiter = colour.of(layer.limiter)
        assert await limiter.hit("1/day", "k")
        refused = await limiter.hit("1/day, 9/hour", "k")
        assert not refused
        assert [bool(policy) for policy in refused.policies] == [False, True]

    colour.run(scenario)
