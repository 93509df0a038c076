"""Keys of limits: whatever they hold, each counts by itself, and nothing stays in Redis for ever."""

from __future__ import annotations

from typing import Any, Final

import pytest

from holdfast import Layer, Quota
from holdfast.policy.quota import ALGORITHMS
from support.colours import Colour
from support.topologies import Topology

pytestmark = pytest.mark.usefixtures("patient_limits")

LONG: Final = "x" * 10_240
ODD: Final = (
    "user:42", "user", "user:42:gcra:per-day", "{user:42}", "user:{42}", "}{", "{}", "a\nb", "a\r\nb", "a b", "a%0Ab",
    "%", "|", " ", "\0", "ü🙂", "\ud800", LONG, LONG[:-1] + "y", LONG[1:],
)  # fmt: skip


def test_each_key_counts_by_itself_whatever_it_holds(colour: Colour, topology: Topology, namespace: str) -> None:
    """Colons, braces, line ends, ten kilobytes: no two keys share a quota, and a key has the same one each time."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            limiter = colour.of(layer.limiter)
            assert [(await limiter.hit("1/day", key)).allowed for key in ODD] == [True] * len(ODD)
            assert [(await limiter.hit("1/day", key)).allowed for key in ODD] == [False] * len(ODD)
            hits = [("1/day", key) for key in ODD]
            for colocate in ODD[:6]:
                assert (await limiter.hit_all(hits, colocate=colocate)).allowed
                assert len((await limiter.hit_all(hits, colocate=colocate)).refused_by) == len(ODD)
                assert not (await limiter.hit("1/day", ODD[0], colocate=colocate)).allowed

    colour.run(scenario)


def test_rules_for_one_key_do_not_share_a_quota(colour: Colour, layer: Layer) -> None:
    """Another algorithm, period or name is another rule; so is a colocated one, a slot, and a cached entry."""
    rules: list[Any] = ["1/day", "1/hour", "1/day; name=strict", Quota(1, "90s"), Quota(1, 0.5)]
    rules += [Quota(1, "1d", algorithm=algorithm) for algorithm in ALGORITHMS[1:]]

    async def scenario() -> None:
        limiter = colour.of(layer.limiter)
        await colour.of(layer.cache).set("user:42", 1, 60)
        assert [(await limiter.hit(rule, "user:42")).remaining for rule in rules] == [0] * len(rules)
        assert all([(await limiter.hit(rule, "user:42", colocate="user:42")).allowed for rule in rules])
        async with colour.using(layer.limiter.concurrency(1, "user:42")):
            assert await colour.of(layer.cache).get("user:42") == 1

    colour.run(scenario)


def test_namespaces_do_not_share_quotas(colour: Colour, topology: Topology, namespace: str) -> None:
    """Two programs in one Redis count apart; two layers of one namespace count together."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as one,
            colour.using(Layer(topology.url, namespace=namespace)) as same,
            colour.using(Layer(topology.url, namespace=f"{namespace}-other")) as other,
        ):
            found = [await colour.of(layer.limiter).hit("1/day", "user:42") for layer in (one, same, other)]
            assert [decision.allowed for decision in found] == [True, False, True]

    colour.run(scenario)


def test_every_key_goes_when_nothing_counts_any_more(colour: Colour, server_topology: Topology, namespace: str) -> None:
    """After hits, refusals, bookings, refunds and slots, each key has a time to live: as long as it says something."""
    quotas = [Quota(2, "100s", algorithm=algorithm) for algorithm in ALGORITHMS]
    hits = [(quota, f"user:{quota.algorithm}") for quota in quotas]

    async def scenario() -> None:
        async with colour.using(Layer(server_topology.url, namespace=namespace)) as layer:
            limiter = colour.of(layer.limiter)
            for colocate in (None, "tenant:7"):
                for _ in range(3):
                    decision = await limiter.hit_all(hits, colocate=colocate)
                assert not decision.allowed
                assert not (await limiter.hit_all(hits, cost=3, colocate=colocate)).allowed
                await limiter.refund(quotas[0], "user:gcra", colocate=colocate)
            await limiter.settle(await limiter.hit(quotas, "user:7"), 5)
            async with colour.using(layer.limiter.concurrency(2, "user:42", lease=50)):
                left = server_topology.ttls(namespace)
            assert len(left) == 13
            assert all(0 < seconds <= 250.1 for seconds in left.values()), left
            assert not server_topology.ttls(f"{namespace}:limit:{{user:42}}")

    colour.run(scenario)


def test_what_is_given_back_leaves_nothing(colour: Colour, server_topology: Topology, namespace: str) -> None:
    """A key whose units have all come back is gone, and so is one that was reset."""

    async def scenario() -> None:
        async with colour.using(Layer(server_topology.url, namespace=namespace)) as layer:
            limiter = colour.of(layer.limiter)
            for index, algorithm in enumerate(ALGORITHMS):
                quota = Quota(5, "1d", algorithm=algorithm)
                decision = await limiter.hit(quota, f"settled:{index}", cost=3)
                await limiter.settle(decision, 0)
                await limiter.hit(quota, f"reset:{index}", cost=3)
                await limiter.reset(quota, f"reset:{index}")
            assert not [key for key in server_topology.ttls(namespace) if "sliding_log" not in key]
            assert len(server_topology.ttls(namespace)) <= 1

    colour.run(scenario)


@pytest.mark.parametrize("key", ["a{b", "a\nb", LONG])
def test_keys_of_limits_are_short_and_have_one_hash_tag(colour: Colour, layer: Layer, key: str) -> None:
    """What stands in Redis has exactly one pair of braces, no line end, and fewer than 300 bytes."""

    async def scenario() -> None:
        seen: list[Any] = []
        layer.add_hook(seen.append)
        for _ in range(2):
            await colour.of(layer.limiter).hit("1/day", key)
        (told,) = seen
        assert (told.key.count("{"), told.key.count("}")) == (1, 1)
        assert "\n" not in told.key
        assert len(told.key.encode()) < 300

    colour.run(scenario)
