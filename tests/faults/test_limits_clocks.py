"""Promises of limits to machines whose clocks are wrong: the server's time decides, and nothing else."""

from __future__ import annotations

import time
from typing import Final

import pytest

from faults.limit_crowds import crowd
from holdfast import Layer, Quota
from holdfast.policy.quota import ALGORITHMS, Algorithm
from support.colours import Colour
from support.programs import oldest
from support.standalone import Standalone

SKEWS: Final = (-3600.0, -300.0, 0.0, 61.0, 3600.0)
"""Seconds by which clocks are wrong: more and less than any of the periods below."""
SKEW: Final = """
# The clock of each process is set before it does anything; nobody may look at it, or else all are told the same.
real, real_ns = time.time, time.time_ns
quota = Quota(given["limit"], "1m", algorithm=given["algorithm"])

def work(number):
    skew = given["skews"][number]
    time.time, time.time_ns = lambda: real() + skew, lambda: real_ns() + int(skew * 1e9)
    layer, said = Layer(url, namespace=NAMESPACE), []
    async def hit():
        decision = await layer.limiter.ahit(quota, "k", budget=50)
        assert not decision.degraded
        said.append([decision.allowed, decision.retry_after, decision.reset])
    async def hits():
        async with layer:
            for _ in range(given["limit"]):
                await hit()
            layer.engine.limiting.denials.known.clear()  # what Redis says, by its own clock
            await hit()
            with_slot = layer.limiter.concurrency(len(given["skews"]), "slots", lease=30, budget=50)
            async with with_slot as slot:
                said.append(slot.decision.allowed)
                time.sleep(0.05)
    asyncio.run(hits())
    return said

print(json.dumps(crowd(len(given["skews"]), work)))
"""


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_clocks_that_differ_by_minutes(algorithm: Algorithm) -> None:
    """Together the processes get the quota and no more, and the last answers to all of them agree about the wait."""
    limit = 20
    with Standalone(oldest()) as server:
        began = time.monotonic()
        said = crowd(SKEW, server.url, limit=limit, algorithm=algorithm, skews=SKEWS)
        took = time.monotonic() - began
    slots = [each.pop() for each in said]
    assert slots == [True] * len(SKEWS)
    admitted = sum(allowed for each in said for allowed, _, _ in each)
    refilled = took * limit / 60 if algorithm == "gcra" else 0
    assert limit <= admitted <= limit + refilled
    last = [each[-1] for each in said]
    print(f"\n{algorithm}: {admitted} of {limit} admitted, {last}")
    for what in (1, 2):
        figures = [answer[what] for answer in last if not answer[0]]
        assert max(figures, default=0) - min(figures, default=0) <= took + (3 if algorithm == "gcra" else 0)
        assert all(0 <= each <= 120 for each in figures)


def test_the_clock_is_set_while_we_wait(colour: Colour, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that is set forward or back ends no wait early or late, and makes nobody forget or remember a refusal."""
    shift = [0.0]
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + shift[0])
    quota = Quota(2, "1s", burst=1)

    async def scenario() -> None:
        with Standalone(oldest()) as server:
            async with colour.using(Layer(server.url)) as layer:
                limiter = colour.of(layer.limiter)
                for skew in (3600.0, -7200.0):
                    assert (await limiter.throttle(quota, "k", max_wait=5, budget=20)).allowed
                    began = time.monotonic()
                    refused = await limiter.hit(quota, "k", budget=20)
                    asked = server.commandstats()
                    shift[0] += skew
                    again = await limiter.hit(quota, "k", budget=20)
                    if time.monotonic() - began < 0.4:  # or else the machine has slept through all of it
                        assert 0 < again.retry_after < refused.retry_after <= 0.5
                        assert server.commandstats().get("evalsha") == asked.get("evalsha")
                    await colour.sleep(again.retry_after)
                    assert (await limiter.hit(quota, "k", budget=20)).allowed

    colour.run(scenario)
