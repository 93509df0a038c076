"""The promise that cancelled calls harm nobody: ten thousand of them, at every moment of a command's life."""

from __future__ import annotations

import asyncio
import random

import pytest

from holdfast import commands
from support.backends import opened
from support.colours import Colour
from support.programs import oldest
from support.proxy import Proxy
from support.standalone import Standalone

ASYNC = Colour("async")


@pytest.mark.parametrize("seed", range(3))
def test_ten_thousand_cancelled_calls(seed: int) -> None:
    """Cancelled while connecting, before sending, or while waiting: every other caller gets its own reply.

    Afterwards there is one connection, and nothing is pending on it.
    """
    chance = random.Random(seed)

    async def scenario() -> None:
        with Standalone(oldest()) as server:
            for number in range(100):
                server.client.set(f"k{number}", f"{number}")
            async with opened(ASYNC, server.url) as it:

                async def call(number: int) -> None:
                    if chance.random() < 0.5:
                        assert await it.port.call(commands.get(f"k{number}")) == b"%d" % number
                    else:
                        pair = [commands.get(f"k{number}"), commands.get(f"k{99 - number}")]
                        assert await it.port.pipeline(pair) == [b"%d" % number, b"%d" % (99 - number)]

                cancelled = 0
                while cancelled < 10_000 / 3:
                    calls = [asyncio.ensure_future(call(number % 100)) for number in range(200)]
                    for one in chance.sample(calls, 120):
                        for _ in range(chance.choice([0, 0, 0, 1, 2])):
                            await asyncio.sleep(0)
                        one.cancel()
                    results = await asyncio.gather(*calls, return_exceptions=True)
                    assert {type(result) for result in results} <= {type(None), asyncio.CancelledError}
                    cancelled += sum(isinstance(result, asyncio.CancelledError) for result in results)
                assert len(server.client.client_list()) == 2  # ours and the test's
                link = it.backend._links[1]
                (connection,) = link._seats[asyncio.get_running_loop()].alive  # type: ignore[attr-defined]
                assert not connection._pending
                assert not connection._waiting

    ASYNC.run(scenario)


def test_cancelled_while_connecting() -> None:
    """The one who started the connection is cancelled: the others still get it, and only one is opened."""

    async def scenario() -> None:
        with Standalone(oldest()) as server, Proxy(server.address) as proxy:
            proxy.hold_replies()
            async with opened(ASYNC, proxy.url) as it:
                calls = [asyncio.ensure_future(it.port.call(commands.get("k"))) for _ in range(10)]
                await ASYNC.until(lambda: proxy.held_down > 0, "it is connecting")
                for one in calls[:9]:
                    one.cancel()
                await asyncio.sleep(0)
                proxy.release()
                results = await asyncio.gather(*calls, return_exceptions=True)
                assert [type(result) for result in results] == [asyncio.CancelledError] * 9 + [type(None)]
                assert proxy.opened == 1

    ASYNC.run(scenario)


def test_all_cancelled_while_connecting_fails() -> None:
    """When the connection fails and nobody waits for it any more, nothing is left behind to complain."""

    async def scenario() -> None:
        with Standalone(oldest()) as server, Proxy(server.address) as proxy:
            proxy.hold_replies()
            async with opened(ASYNC, proxy.url) as it:
                call = asyncio.ensure_future(it.port.call(commands.get("k")))
                await ASYNC.until(lambda: proxy.held_down > 0, "it is connecting")
                call.cancel()
                await asyncio.wait([call])
                proxy.cut_all()
                proxy.restore()
                await it.outcome("GET", "k")  # it may still have joined the opening that fails
                assert await it.port.call(commands.get("k")) is None

    ASYNC.run(scenario)
