"""Looking at a quota, forgetting, giving back, and charging what something has cost in truth."""

from __future__ import annotations

import math
from typing import Any

import pytest

from holdfast import BackendError, Layer, Quota
from holdfast.policy.quota import ALGORITHMS
from support.colours import Colour
from support.staged import Stage
from support.topologies import Topology

pytestmark = pytest.mark.usefixtures("patient_limits")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_verbs_beside_hits(colour: Colour, topology: Topology, namespace: str, algorithm: Any) -> None:
    """Peek, refund, settle and reset do what they say, for every algorithm, everywhere."""
    quota = Quota(10, "1d", algorithm=algorithm)

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            limiter = colour.of(layer.limiter)
            assert [(await limiter.peek(quota, "k")).remaining for _ in range(2)] == [10, 10]
            assert await limiter.reset(quota, "k") is False
            decision = await limiter.hit(quota, "k", cost=6)
            assert (await limiter.peek(quota, "k", cost=5)).allowed is False
            assert (await limiter.peek(quota, "k", cost=5)).refused_by == ("per-day",)
            assert (await limiter.refund(quota, "k", 2)).remaining == 6
            settled = await limiter.settle(decision, 7)
            assert (settled.remaining, settled.cost, settled.degraded) == (5, 7, False)
            again = await limiter.settle(settled, 3)
            assert (again.remaining, again.cost) == (9, 3)
            assert await limiter.reset(quota, "k") is True
            assert (await limiter.peek(quota, "k")).remaining == 10

    colour.run(scenario)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_never_more_comes_back_than_was_consumed(colour: Colour, layer: Layer, algorithm: Any) -> None:
    """A refund of too much, or of what was never consumed, leaves a full quota and no credit."""
    quota = Quota(10, "1d", algorithm=algorithm)

    async def scenario() -> None:
        limiter = colour.of(layer.limiter)
        assert (await limiter.refund(quota, "k", 5)).remaining == 10
        await limiter.hit(quota, "k", cost=3)
        assert (await limiter.refund(quota, "k", 100)).remaining == 10
        assert (await limiter.hit(quota, "k", cost=11)).retry_after == math.inf
        assert (await limiter.refund(quota, "k")).remaining == 10
        assert (await limiter.refund(quota, "k", 0)).remaining == 10

    colour.run(scenario)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_cost_more_than_estimated_delays_later_hits(colour: Colour, layer: Layer, algorithm: Any) -> None:
    """It is charged even beyond the limit: nothing is left, and the next hit waits for longer than under a full one."""
    quota = Quota(10, "1d", algorithm=algorithm)

    async def scenario() -> None:
        limiter = colour.of(layer.limiter)
        full = await limiter.hit(quota, "full", cost=10)
        decision = await limiter.hit(quota, "k", cost=4)
        settled = await limiter.settle(decision, 30)
        assert (settled.allowed, settled.remaining, settled.retry_after) == (True, 0, 0.0)  # the work is done
        refused = await limiter.hit(quota, "k")
        assert not refused.allowed
        assert refused.retry_after >= (await limiter.hit(quota, "full")).retry_after - 60
        if algorithm in ("gcra", "sliding_counter"):
            assert refused.retry_after > full.reset / 10 + 3600
        assert (await limiter.settle(settled, 1)).remaining == 9

    colour.run(scenario)


def test_a_hit_that_was_not_charged_has_nothing_to_settle(colour: Colour, layer: Layer) -> None:
    """Refused, in shadow, or while the layer is disabled: settling it changes nothing, and returns it."""

    async def scenario() -> None:
        limiter = colour.of(layer.limiter)
        await limiter.hit("5/day", "k", cost=4)
        with layer.disabled():
            free = await limiter.hit("5/day", "k", cost=3)
        for decision in (
            await limiter.hit("5/day", "k", cost=3),
            await limiter.hit("5/day", "k", cost=3, shadow=True),
            free,
        ):
            assert await limiter.settle(decision, 0) is decision
            assert await limiter.settle(decision, 9) is decision
        assert (await limiter.peek("5/day", "k")).remaining == 1

    colour.run(scenario)


def test_a_disabled_layer_limits_nothing(colour: Colour, layer: Layer) -> None:
    """Hits are admitted and not charged, so there is nothing to refund; a reset is made all the same."""

    async def scenario() -> None:
        limiter = colour.of(layer.limiter)
        await limiter.hit("3/day", "k", cost=3)
        with layer.disabled():
            for step in (limiter.hit, limiter.peek, limiter.refund):
                decision = await step("3/day", "k", cost=2)
                assert (decision.allowed, decision.remaining, decision.degraded) == (True, 3, False)
            assert (await limiter.hit_all([("3/day", "k")])).allowed
            assert (await limiter.throttle("3/day", "k", max_wait=0)).allowed
            limit = layer.limiter.concurrency(1, "k")
            async with colour.using(limit) as slot, colour.using(limit) as other:
                assert slot.decision.allowed
                assert other.decision.allowed
        assert (await limiter.peek("3/day", "k")).remaining == 0
        with layer.disabled():
            assert await limiter.reset("3/day", "k")
        assert (await limiter.peek("3/day", "k")).remaining == 3
        assert layer.stats().limited == 0

    colour.run(scenario)


def test_a_settlement_that_may_have_failed_is_not_made_twice(colour: Colour, layer: Layer) -> None:
    """While Redis is away nobody knows what is charged, so that to settle what `settle` returned does nothing."""

    async def scenario() -> None:
        limiter, stage = colour.of(layer.limiter), Stage(layer)
        decision = await limiter.hit("10/day", "k", cost=6)
        with stage.away():
            failed = await limiter.settle(decision, 2)
        assert failed.degraded
        assert (await limiter.peek("10/day", "k")).remaining == 4
        assert await limiter.settle(failed, 2) is failed
        assert (await limiter.peek("10/day", "k")).remaining == 4

    colour.run(scenario)


def test_without_redis_the_verbs_beside_hits_say_so(colour: Colour, layer: Layer) -> None:
    """Peek and refund return a degraded decision; a reset raises, since what was consumed may still count."""

    async def scenario() -> None:
        limiter, stage = colour.of(layer.limiter), Stage(layer)
        await limiter.hit("10/day", "k", cost=6)
        with stage.away():
            assert (await limiter.peek("10/day", "k")).degraded
            assert (await limiter.refund("10/day", "k")).degraded
            with pytest.raises(BackendError):
                await limiter.reset("10/day", "k")
        assert (await limiter.peek("10/day", "k")).remaining == 4
        assert layer.stats().errors == 2

    colour.run(scenario)
