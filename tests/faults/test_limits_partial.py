"""One node of a cluster is away: what is refused for want of it takes nothing from the buckets on the others."""

from __future__ import annotations

from typing import Final

import pytest

from holdfast import Layer
from support.backends import beside
from support.cluster import Cluster
from support.colours import Colour
from support.programs import oldest

SHARED: Final = "1000/day; algorithm=fixed_window"
ADMITTED: Final = {"closed": 0, "local": 5, "open": 50}
"""Of fifty hits under each policy."""


@pytest.mark.parametrize("policy", ADMITTED)
def test_a_node_that_is_away(colour: Colour, policy: str) -> None:
    """Refused hits are charged nowhere; admitted ones at most once."""

    async def scenario() -> None:
        with Cluster(oldest(), full_coverage=False, node_timeout=1000) as cluster:
            async with colour.using(Layer(cluster.url)) as layer:
                limiter = colour.of(layer.limiter)
                user = next(key for key in map(str, range(99)) if cluster.owner(key) is not cluster.owner("all"))
                hits = [("5/day", user), (SHARED, "all")]
                assert (await limiter.hit_all(hits, budget=20)).allowed
                await beside(colour, lambda: cluster.kill(cluster.owner(user)))
                said = [await limiter.hit_all(hits, on_failure=policy, budget=20) for _ in range(50)]
                admitted = sum(decision.allowed for decision in said)
                assert admitted == ADMITTED[policy]
                left = (await limiter.peek(SHARED, "all", budget=20)).remaining
                assert 999 - admitted <= left <= 999

    colour.run(scenario)


def test_a_node_that_hangs(colour: Colour) -> None:
    """What the others have charged is given back, when nobody knows what the one that hangs has done."""

    async def scenario() -> None:
        with Cluster(oldest()) as cluster:
            async with colour.using(Layer(f"{cluster.url}?socket_timeout=20")) as layer:
                limiter = colour.of(layer.limiter)
                user = next(key for key in map(str, range(99)) if cluster.owner(key) is not cluster.owner("all"))
                hits = [(SHARED, "all"), ("5/day", user)]
                assert (await limiter.hit_all(hits, budget=20)).allowed
                with cluster.owner(user).paused():
                    for _ in range(2):
                        decision = await limiter.hit_all(hits, on_failure="closed", budget=0.3)
                        assert (decision.allowed, decision.degraded) == (False, True)
                assert (await limiter.peek(SHARED, "all", budget=20)).remaining == 999

    colour.run(scenario)
