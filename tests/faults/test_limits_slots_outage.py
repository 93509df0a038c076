"""Promises of concurrency limits to those who lose Redis: nobody waits for it, and no slot is lost."""

from __future__ import annotations

import time
from typing import Any

import pytest

from holdfast import Layer, RateLimited
from support.backends import beside
from support.colours import Colour
from support.programs import oldest
from support.proxy import Proxy
from support.standalone import Standalone


@pytest.mark.parametrize("how", ["frozen", "killed wire"])
def test_a_slot_that_is_left_during_an_outage(colour: Colour, how: str) -> None:
    """Leaving does not wait for Redis; the slot is given back when Redis is there again, long before its lease ends."""

    async def scenario() -> None:
        with Standalone(oldest()) as server, Proxy(server.address) as proxy:
            async with colour.using(Layer(f"{proxy.url}?socket_timeout=20")) as layer:
                limit = layer.limiter.concurrency(1, "k", lease=60)
                async with colour.using(limit) as slot:
                    assert not slot.decision.degraded
                    if how == "frozen":
                        server.pause()
                    else:
                        await beside(colour, proxy.refuse)
                        await beside(colour, proxy.cut_all)
                    began = time.monotonic()
                assert time.monotonic() - began < 2
                if how == "frozen":
                    server.resume()
                assert list(server.client.scan_iter()) or how == "frozen", "it is still taken"
                await beside(colour, proxy.accept)
                await colour.until(lambda: not list(server.client.scan_iter()), "it is given back", within=10)

    colour.run(scenario)


@pytest.mark.parametrize("policy", ["open", "closed", "local"])
def test_a_slot_that_was_taken_without_our_hearing_of_it(colour: Colour, policy: Any) -> None:
    """Whatever the policy makes of a reply that is lost: the slot comes back when the block is over, or was refused."""

    async def scenario() -> None:
        with Standalone(oldest()) as server, Proxy(server.address) as proxy:
            async with colour.using(Layer(f"{proxy.url}?socket_timeout=20")) as layer:
                limit = layer.limiter.concurrency(1, "k", lease=60, on_failure=policy)
                async with colour.using(limit):
                    pass
                proxy.hold_replies()
                try:
                    async with colour.using(limit) as slot:
                        assert slot.decision.degraded
                        assert list(server.client.scan_iter()), "it is taken"
                        await beside(colour, proxy.release)
                    assert policy != "closed"
                except RateLimited:
                    assert policy == "closed"
                await beside(colour, proxy.release)
                await colour.until(lambda: not list(server.client.scan_iter()), "it is given back", within=10)

    colour.run(scenario)
