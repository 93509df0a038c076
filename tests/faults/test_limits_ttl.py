"""Promises about what limits leave in Redis: every key has a time to live, whoever dies; in the end nothing is left."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Final

import pytest

from faults.programs import begun
from holdfast import Layer, Quota
from holdfast.policy.quota import ALGORITHMS
from support.colours import Colour, Verbs
from support.programs import oldest
from support.standalone import Standalone
from support.waiting import until

SHORT: Final = tuple(Quota(5, 0.3, algorithm=algorithm, name=algorithm.replace("_", "-")) for algorithm in ALGORITHMS)
BUDGET: Final = 20


def lives(server: Standalone) -> dict[bytes, int]:
    """Return the milliseconds that each key has left; -1 for one that never expires."""
    keys = list(server.client.scan_iter(count=1000))
    left = {key: int(server.client.pttl(key)) for key in keys}
    return {key: each for key, each in left.items() if each != -2}  # it has expired since


def check(server: Standalone, longest: float = 1.5) -> int:
    """Check that all keys expire soon; return how many there are."""
    found = lives(server)
    assert all(0 <= left <= longest * 1000 for left in found.values()), found
    return len(found)


@pytest.mark.parametrize("quota", SHORT, ids=lambda quota: quota.name)
def test_no_verb_leaves_a_key_for_ever(colour: Colour, quota: Quota) -> None:
    """After each verb all keys have a time to live, and when that is over nothing is left."""

    async def scenario() -> None:
        with Standalone(oldest()) as server:
            async with colour.using(Layer(server.url)) as layer:
                limiter = colour.of(layer.limiter)
                async for _ in verbs(colour, limiter, layer, quota):
                    check(server)
                await colour.until(lambda: not lives(server), "all keys have expired", within=10)

    colour.run(scenario)


async def verbs(colour: Colour, limiter: Verbs, layer: Layer, quota: Quota) -> AsyncIterator[Any]:
    """Use every verb, and stop after each."""
    charged = await limiter.hit(quota, "k", cost=3, budget=BUDGET)
    yield
    yield await limiter.peek(quota, "nobody", budget=BUDGET)
    yield await limiter.hit(quota, "k", cost=6, budget=BUDGET)
    yield await limiter.hit_all([(each, "all") for each in SHORT], cost=2, budget=BUDGET)
    yield await limiter.hit_all([(each, "all") for each in SHORT], cost=5, budget=BUDGET)
    yield await limiter.settle(charged, 12)
    yield await limiter.settle(charged, 0)
    yield await limiter.refund(quota, "k", 2)
    yield await limiter.refund(quota, "nobody", 2)
    for _ in range(3):
        yield await limiter.throttle(quota, "line", cost=4, max_wait=3, budget=BUDGET)
    yield await limiter.reset(quota, "k")
    async with colour.using(layer.limiter.concurrency(2, "slots", lease=0.3, budget=BUDGET)):
        yield
        await colour.sleep(0.15)  # it has been renewed
        yield
    yield


BUSY: Final = """
# Uses every verb again and again, from tasks and a thread, until it is killed in the middle of something.
from holdfast import Layer, Quota, RateLimited
from holdfast.policy.quota import ALGORITHMS
layer = Layer(url)
quotas = [Quota(50, 0.3, algorithm=each, name=each.replace("_", "-")) for each in ALGORITHMS]

async def use(number):
    limiter = layer.limiter
    while True:
        for quota in quotas:
            key = f"{number}:{os.getpid()}"
            charged = await limiter.ahit(quota, key, cost=7, budget=20)
            await limiter.ahit_all([(each, "shared") for each in quotas], cost=2, budget=20)
            await limiter.asettle(charged, 3)
            await limiter.arefund(quota, key, 1)
            try:
                async with limiter.concurrency(3, "slots", lease=0.5, budget=20):
                    await limiter.athrottle(quota, "line", cost=9, max_wait=0.2, budget=20)
            except RateLimited:
                pass

async def main():
    await asyncio.gather(*(use(number) for number in range(6)))

def thread():
    while True:
        for quota in quotas:
            layer.limiter.refund(quota, "thread", 1)
            layer.limiter.hit(quota, "thread", cost=2, budget=20)

threading.Thread(target=thread, daemon=True).start()
asyncio.run(main())
"""


def test_who_is_killed_leaves_no_key_for_ever() -> None:
    """Killed at any moment, with commands under way and slots held, a process leaves nothing that does not expire."""
    with Standalone(oldest()) as server:
        for _ in range(3):
            enough = calls(server) + 150
            process = begun(BUSY, server.url)
            try:
                until(partial(called, server, enough), "all verbs are used")
            finally:
                process.kill()
                process.communicate()
            assert check(server, longest=2) > 3
        until(lambda: not lives(server), "all keys have expired", within=10)


def called(server: Standalone, times: int) -> bool:
    """Say whether so many scripts were executed."""
    return calls(server) > times


def calls(server: Standalone) -> int:
    """Return how many scripts were executed."""
    return server.commandstats().get("evalsha", 0)


def test_what_is_charged_beyond_all_measure_still_expires(colour: Colour) -> None:
    """Whatever is settled, the key goes some day."""

    async def scenario() -> None:
        with Standalone(oldest()) as server:
            async with colour.using(Layer(server.url)) as layer:
                limiter = colour.of(layer.limiter)
                for algorithm in ALGORITHMS:
                    quota = Quota(1, "7d", algorithm=algorithm, name=algorithm.replace("_", "-"))
                    charged = await limiter.hit(quota, "k", budget=BUDGET)
                    assert not (await limiter.settle(charged, 10**12)).degraded
                found = lives(server)
                assert len(found) == 4
                assert all(left > 0 for left in found.values()), found

    colour.run(scenario)
