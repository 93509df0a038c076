"""Promises of concurrency limits to those who lose Redis: nobody waits for it, and no slot is lost."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

import pytest

from holdfast import Layer, RateLimited
from holdfast.events import BackendFailed, SlotLost
from support.backends import beside
from support.colours import Colour
from support.programs import oldest
from support.proxy import Proxy
from support.standalone import Standalone
from support.waiting import until


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


def test_slots_of_another_server_are_kept_while_one_hangs() -> None:
    """Threads share one that renews: many slots of a server that hangs take no more of its time than a moment."""
    lost, failed = list[Any](), list[Any]()
    with Standalone(oldest()) as hung, Standalone(oldest()) as well:
        layer, other = Layer(well.url), Layer(hung.url)
        layer.add_hook(lambda event: lost.append(event) if isinstance(event, SlotLost) else None)
        other.add_hook(lambda event: failed.append(event) if isinstance(event, BackendFailed) else None)
        with layer, other, ExitStack() as stack:
            for _ in range(20):
                stack.enter_context(other.limiter.concurrency(20, "k", lease=3))
            slot = stack.enter_context(layer.limiter.concurrency(1, "k", lease=1))
            hung.pause()
            try:
                until(lambda: len(failed) >= 20, "all have been tried")
                (key,) = well.client.scan_iter()
                kept = well.client.zscore(key, slot.token)
                until(lambda: well.client.zscore(key, slot.token) != kept, "the other is renewed, or lost")
                assert not slot.lost
                assert lost == []
            finally:
                hung.resume()
