"""Promises to everybody else when one user hammers at his limit: what is refused takes nothing from the others."""

from __future__ import annotations

from typing import Any, Final

import pytest

from holdfast import Layer, Quota
from holdfast.policy.quota import ALGORITHMS, Algorithm
from support.cluster import Cluster
from support.colours import Colour
from support.programs import oldest
from support.standalone import Standalone
from support.topologies import Servers

CALLS: Final = 10_000
PATIENT: Final = {"budget": 50, "on_failure": "closed"}
"""A machine under load is no outage here."""


class Alice:
    """A user who has used up her own quota, 5 a day, and what all users share, of which 995 are left."""

    def __init__(
        self, colour: Colour, layer: Layer, algorithm: Algorithm = "gcra", colocate: str | None = None
    ) -> None:
        self.shared = Quota(1000, "1d", algorithm=algorithm)
        self.hits = [("5/day", "user:alice"), (self.shared, "global")]
        self.options: dict[str, Any] = {**PATIENT, "colocate": colocate}
        self.colour = colour
        self.limiter = colour.of(layer.limiter)

    async def uses_up(self) -> None:
        assert (await self.limiter.hit_all(self.hits, cost=5, **self.options)).allowed

    async def hammers(self, calls: int, *, costs: int) -> None:
        """Ask again and again: with costs that change, so that each goes to Redis, or with the same."""

        async def ask() -> None:
            for number in range(calls // 8):
                decision = await self.limiter.hit_all(self.hits, cost=1 + number % costs, **self.options)
                assert not decision.allowed
                assert not decision.degraded
                assert decision.refused_by == ("per-day",)

        said = await self.colour.together(*[ask] * 8)
        assert said == [None] * 8

    async def left(self) -> int:
        """Return what is left for all."""
        decision = await self.limiter.peek(self.shared, "global", budget=50, colocate=self.options["colocate"])
        assert not decision.degraded
        return int(decision.remaining)


def contents(server: Standalone) -> dict[bytes, Any]:
    """Return all keys and what is in them."""
    return {key: server.client.dump(key) for key in server.client.scan_iter(count=1000)}


@pytest.mark.parametrize("costs", [1, 2], ids=["remembered", "asked"])
def test_a_throttled_user_takes_nothing_from_all_others(colour: Colour, costs: int) -> None:
    """Ten thousand refused calls change not a byte in Redis; most are refused here, unless their cost changes."""

    async def scenario() -> None:
        with Standalone(oldest()) as server:
            async with colour.using(Layer(server.url)) as layer:
                alice = Alice(colour, layer)
                await alice.uses_up()
                stored = contents(server)
                asked = server.commandstats().get("evalsha", 0)
                await alice.hammers(CALLS, costs=costs)
                asked = server.commandstats()["evalsha"] - asked
                print(f"\n{asked} of {CALLS} calls went to Redis")
                assert contents(server) == stored
                assert await alice.left() == 995
                assert asked > CALLS * 0.4 if costs == 2 else asked < CALLS * 0.02

    colour.run(scenario)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("colocate", ["all", None], ids=["together", "apart"])
def test_on_a_cluster_too(
    colour: Colour, servers: Servers, namespace: str, algorithm: Algorithm, colocate: str | None
) -> None:
    """Apart, what was charged for refused hits comes back in full, leaves nothing behind, and lengthens no wait."""

    async def scenario() -> None:
        cluster = servers.cluster()
        assert cluster.owner("user:alice") is not cluster.owner("global")
        async with colour.using(Layer(cluster.url, namespace=namespace)) as layer:
            alice = Alice(colour, layer, algorithm, colocate)
            await alice.uses_up()
            size = sizes(cluster, namespace)
            await alice.hammers(400, costs=2)
            assert await alice.left() == 995
            assert sizes(cluster, namespace) == size

    colour.run(scenario)


def sizes(cluster: Cluster, namespace: str) -> dict[bytes, int]:
    """Return how many items each list of a namespace has."""
    found = {}
    for node in cluster.primaries:
        for key in node.client.scan_iter(match=f"{namespace}*", count=1000):
            found[key] = node.client.llen(key) if node.client.type(key) == b"list" else 1
    return found
