"""Promises about replies that do not come, or come too late: what was asked for is charged once, or not at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
import pytest

from holdfast import Layer, LimitDecision
from holdfast.core.limit_checks import Rule
from support.backends import beside
from support.colours import Colour
from support.programs import oldest
from support.proxy import Proxy
from support.standalone import Standalone

QUOTA: Final = "100/day"
FIRST: Final = 20
"""Units that are charged before anything goes wrong."""
BUDGET: Final = 0.1
ENOUGH: Final = 2.0
"""Seconds in which a caller is free again even on a machine under load; far less than all other time-outs."""
SLOW: Final = "?socket_timeout=20&socket_connect_timeout=20"
VERBS: Final = {"hit": 23, "hit_all": 23, "throttle": 23, "settle": 30, "refund": 16}
"""What is charged once each is done."""


class Bench:
    """A layer behind a proxy, and what is charged to its buckets, asked for by another."""

    def __init__(self, colour: Colour, server: Standalone, proxy: Proxy, layer: Layer, direct: Layer) -> None:
        self.colour = colour
        self.server = server
        self.proxy = proxy
        self.limiter = colour.of(layer.limiter)
        self.direct = colour.of(direct.limiter)
        self.first: Any = None
        self.said: Any = None

    async def prepare(self) -> None:
        """Charge something, and let the server know all scripts."""
        first = await self.limiter.hit(QUOTA, "k", cost=FIRST, budget=20)
        hurried = msgspec.structs.replace(
            first.charge, rule=Rule(budget=BUDGET)
        )  # only now: on a machine under load it may take long
        self.first = LimitDecision(True, first.policies, False, False, FIRST, hurried)
        await self.limiter.hit(QUOTA, "second", cost=FIRST, budget=20)
        await self.limiter.hit_all([(QUOTA, "third"), (QUOTA, "fourth")], budget=20)
        for verb in VERBS:
            await self.do(verb, "warm")
            assert not self.said.degraded

    async def do(self, verb: str, key: str = "k") -> None:
        """Do what is tested, and keep what is said."""
        if verb == "hit":
            self.said = await self.limiter.hit(QUOTA, key, cost=3, budget=BUDGET)
        elif verb == "hit_all":
            self.said = await self.limiter.hit_all([(QUOTA, key), (QUOTA, "second")], cost=3, budget=BUDGET)
        elif verb == "throttle":
            self.said = await self.limiter.throttle(QUOTA, key, cost=3, max_wait=5, budget=BUDGET)
        elif verb == "refund":
            self.said = await self.limiter.refund(QUOTA, key, 4)
        elif key == "k":
            self.said = await self.limiter.settle(self.first, 30)

    async def charged(self) -> int:
        """Return what is charged now, to all buckets the same if it should be."""
        decision = await self.direct.peek(QUOTA, "k", budget=20)
        assert not decision.degraded
        return 100 - int(decision.remaining)


@asynccontextmanager
async def bench(colour: Colour) -> AsyncIterator[Bench]:
    with Standalone(oldest()) as server, Proxy(server.address) as proxy:
        async with (
            colour.using(Layer(f"{proxy.url}{SLOW}")) as layer,
            colour.using(Layer(server.url)) as direct,
        ):
            made = Bench(colour, server, proxy, layer, direct)
            await made.prepare()
            yield made


def is_in_time(began: float) -> bool:
    """Say whether a caller was free again when his budget was over."""
    return time.monotonic() - began < ENOUGH


@pytest.mark.parametrize("verb", VERBS)
def test_a_reply_that_comes_too_late(colour: Colour, verb: str) -> None:
    """The caller goes on in time, and what he asked for is charged once, also when the reply has come after all."""

    async def scenario() -> None:
        async with bench(colour) as it:
            it.proxy.hold_replies()
            began = time.monotonic()
            await it.do(verb)
            assert is_in_time(began)
            it.proxy.release()
            assert it.said.degraded
            assert await it.charged() == VERBS[verb]
            await it.limiter.hit(QUOTA, "another", budget=20)
            assert await it.charged() == VERBS[verb]

    colour.run(scenario)


@pytest.mark.parametrize("verb", VERBS)
def test_a_connection_that_is_cut_before_the_reply(colour: Colour, verb: str) -> None:
    """It was executed, and it is not sent again; the next one is answered."""

    async def scenario() -> None:
        async with bench(colour) as it:
            it.proxy.cut_after(0)
            began = time.monotonic()
            await it.do(verb)
            assert is_in_time(began)
            assert it.said.degraded
            assert await it.charged() == VERBS[verb]
            assert not (await it.limiter.hit(QUOTA, "another", budget=20)).degraded

    colour.run(scenario)


@pytest.mark.parametrize("verb", VERBS)
def test_a_connection_that_is_cut_before_the_request_arrives(colour: Colour, verb: str) -> None:
    """Nobody can know that it was not executed, so it is not sent again, and nothing is charged."""

    async def scenario() -> None:
        async with bench(colour) as it:
            before = await it.charged()
            it.proxy.hold_requests()

            async def cut() -> None:
                await colour.until(lambda: it.proxy.held_up, "the request is on its way")
                await beside(colour, it.proxy.cut_all)
                await beside(colour, it.proxy.release)

            async def ask() -> None:
                await it.do(verb)

            assert await colour.together(ask, cut) == [None, None]
            assert it.said.degraded
            assert await it.charged() == before

    colour.run(scenario)


@pytest.mark.parametrize("verb", VERBS)
def test_a_connection_that_was_cut_while_nobody_used_it(colour: Colour, verb: str) -> None:
    """It is charged once if it is said to be, and at most once in any case."""

    async def scenario() -> None:
        async with bench(colour) as it:
            before = await it.charged()
            await beside(colour, it.proxy.cut_all)
            await it.do(verb)
            assert await it.charged() in ({before, VERBS[verb]} if it.said.degraded else {VERBS[verb]})

    colour.run(scenario)


@pytest.mark.parametrize("verb", VERBS)
def test_a_slow_server_that_does_not_know_the_script(colour: Colour, verb: str) -> None:
    """Asking, being told that the script is unknown and sending it is one call with one budget; it is charged once."""

    async def scenario() -> None:
        async with bench(colour) as it:
            it.server.client.script_flush()
            it.proxy.delay(BUDGET * 0.6)
            began = time.monotonic()
            await it.do(verb)
            took = time.monotonic() - began
            it.proxy.delay(0)
            assert BUDGET * 0.9 <= took < ENOUGH
            assert it.said.degraded
            assert await it.charged() == VERBS[verb]

    colour.run(scenario)


def test_what_may_be_settled_is_not_settled_again(colour: Colour) -> None:
    """Nobody knows whether a settlement without an answer has arrived; to settle what it returned does nothing."""

    async def scenario() -> None:
        async with bench(colour) as it:
            it.server.pause()
            await beside(colour, it.proxy.cut_all)
            failed = await it.limiter.settle(it.first, 30)
            assert failed.degraded
            it.server.resume()
            assert await it.limiter.settle(failed, 30) is failed
            assert await it.charged() in (FIRST, 30)

    colour.run(scenario)


@pytest.mark.parametrize("point", ["requests", "replies"])
def test_a_task_that_is_cancelled_while_it_hits(point: str) -> None:
    """The cancellation goes on; what was sent is charged once, others get their own replies."""
    colour = Colour("async")

    async def scenario() -> None:
        async with bench(colour) as it:
            getattr(it.proxy, f"hold_{point}")()
            task = asyncio.ensure_future(it.limiter.hit(QUOTA, "k", cost=3, budget=20))
            await colour.until(lambda: it.proxy.held_up or it.proxy.held_down, "it is under way")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            others = [asyncio.ensure_future(it.limiter.peek(f"{7 + each}/day", "new", budget=20)) for each in range(3)]
            await asyncio.sleep(0)
            it.proxy.release()
            assert [decision.limit for decision in await asyncio.gather(*others)] == [7, 8, 9]
            assert await it.charged() in ({FIRST + 3} if point == "replies" else {FIRST, FIRST + 3})

    colour.run(scenario)


def test_loops_that_come_and_go() -> None:
    """One layer is used from one loop after another, and from several at once: each hit is charged once."""
    with Standalone(oldest()) as server, Layer(server.url) as layer:

        async def hits() -> None:
            said = await asyncio.gather(*(layer.limiter.ahit(QUOTA, "k", budget=20) for _ in range(5)))
            assert not any(decision.degraded for decision in said)

        for _ in range(3):
            asyncio.run(hits())
        with ThreadPoolExecutor(4) as threads:
            for done in [threads.submit(asyncio.run, hits()) for _ in range(4)]:
                done.result()
        assert layer.limiter.peek(QUOTA, "k", budget=20).remaining == 100 - 7 * 5
