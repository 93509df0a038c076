"""`hit_all`: several keys, all or none, on every topology."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest

from holdfast import Layer, Quota
from holdfast.policy.quota import ALGORITHMS
from support.colours import Colour
from support.topologies import Servers, Topology

pytestmark = pytest.mark.usefixtures("patient_limits")

MIXED: Final = tuple(Quota(5, "1d", algorithm=algorithm, name=algorithm.replace("_", "-")) for algorithm in ALGORITHMS)


@pytest.mark.parametrize("colocate", [None, "tenant:7"], ids=["apart", "together"])
def test_who_is_refused_leaves_the_quota_of_all_others_alone(
    colour: Colour, topology: Topology, namespace: str, colocate: str | None
) -> None:
    """Alice, who is over her own limit, takes nothing of the global one, however often she asks; Bob gets it all."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            limiter = colour.of(layer.limiter)

            async def ask(user: str, cost: int = 1) -> Any:
                layer.engine.limiting.denials.known.clear()  # each goes to Redis
                return await limiter.hit_all([("10/day", "global"), ("2/hour", user)], cost=cost, colocate=colocate)

            assert [(await ask("alice")).allowed for _ in range(3)] == [True, True, False]
            refusals = [await ask("alice") for _ in range(10)]
            assert {decision.refused_by for decision in refusals} == {("per-hour",)}
            assert not (await ask("bob", cost=3)).allowed
            bobs = await ask("bob", cost=2)
            assert [policy.remaining for policy in bobs.policies] == [6, 0]
            peeked = await limiter.peek("10/day", "global", colocate=colocate)
            assert peeked.remaining == 6
            others = [await ask(f"user:{number}") for number in range(7)]
            assert [decision.allowed for decision in others] == [True] * 6 + [False]
            assert others[-1].refused_by == ("per-day",)
            assert (await limiter.peek("2/hour", "user:6", colocate=colocate)).remaining == 2

    colour.run(scenario)


@pytest.mark.parametrize("colocate", [None, "tenant:7"], ids=["apart", "together"])
def test_a_refusal_by_any_algorithm_gives_the_others_back(
    colour: Colour, topology: Topology, namespace: str, colocate: str | None
) -> None:
    """Whichever bucket refuses, and whatever the others are, they are as before: also what counted before the hit."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            limiter = colour.of(layer.limiter)
            for full in MIXED:
                keys = {quota: f"{full.name}:{quota.name}" for quota in MIXED}
                hits = [(quota, keys[quota]) for quota in MIXED]
                assert (await limiter.hit_all(hits, cost=2, colocate=colocate)).allowed
                await limiter.hit(full, keys[full], cost=2, colocate=colocate)
                refused = await limiter.hit_all(hits, cost=3, colocate=colocate)
                assert refused.refused_by == (full.name,)
                left = [(await limiter.peek(*hit, colocate=colocate)).remaining for hit in hits]
                assert left == [1 if quota is full else 3 for quota in MIXED]
                assert (await limiter.hit_all(hits, cost=1, colocate=colocate)).allowed

    colour.run(scenario)


def test_the_policies_of_a_decision_are_in_the_order_of_the_hits(
    colour: Colour, topology: Topology, namespace: str
) -> None:
    """One decision for each quota of each key, wherever the keys lie; several quotas of a key stand together."""
    hits = [("9/day", "a"), ("8/hour, 7/day; algorithm=sliding_log", "b"), ([Quota(6, "1m"), "5/week"], "c")]

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            decision = await colour.of(layer.limiter).hit_all(hits, cost=2)
            assert [(policy.limit, policy.remaining) for policy in decision.policies] == [
                (9, 7), (8, 6), (7, 5), (6, 4), (5, 3),
            ]  # fmt: skip
            assert (decision.allowed, decision.limit, decision.remaining, decision.cost) == (True, 5, 3, 2)
            twice = await colour.of(layer.limiter).hit_all(iter(hits), cost=4)
            assert (twice.refused_by, twice.remaining, twice.limit) == (("per-week",), 3, 5)

    colour.run(scenario)


def test_a_bucket_of_hit_all_is_that_of_hit(colour: Colour, topology: Topology, namespace: str) -> None:
    """What one verb consumes, all others see."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            limiter = colour.of(layer.limiter)
            decision = await limiter.hit_all([("5/day", "a"), ("5/day", "b")], cost=2)
            assert (await limiter.hit("5/day", "a")).remaining == 2
            settled = await limiter.settle(decision, 4)
            assert [policy.remaining for policy in settled.policies] == [0, 1]
            assert (await limiter.refund("5/day", "a", 5)).remaining == 5
            assert await limiter.reset("5/day", "b")
            assert (await limiter.peek("5/day", "b")).remaining == 5

    colour.run(scenario)


def test_whoever_is_cancelled_leaves_nothing_charged_that_was_refused(servers: Servers, namespace: str) -> None:
    """On a cluster, too, where what one slot has charged is given back only when another has refused."""

    async def scenario() -> None:
        async with Layer(servers.topology("cluster").url, namespace=namespace) as layer:
            limiter = layer.limiter
            await limiter.ahit("1/day", "user:1")
            for steps in range(6):
                hits = [("1/day", "user:1"), ("1000/day", "everybody")]
                asking = [asyncio.create_task(limiter.ahit_all(hits, cost=1 + number)) for number in range(20)]
                for _ in range(steps):
                    await asyncio.sleep(0)
                for each in asking:
                    each.cancel()
                await asyncio.wait(asking)
            await Colour("async").until(lambda: not layer.engine.backend._tasks._held, "all is given back")
            assert (await limiter.apeek("1000/day", "everybody")).remaining >= 999  # it drains meanwhile

    asyncio.run(scenario())
