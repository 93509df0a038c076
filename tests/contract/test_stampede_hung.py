"""Loads that hang, come too late, or lose their loop: they bring others into no trouble that lasts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast import Layer, current_entry, entries, stampede_protected
from holdfast.commands import get
from support.colours import Colour
from support.flights import joined, reached
from support.processes import opening, parties
from support.proxy import Proxy
from support.topologies import Topology


def test_a_load_that_hangs_is_left_behind(colour: Colour, namespace: str) -> None:
    """After ten leases nobody joins it any more: its process reads what another one has stored."""

    async def scenario() -> None:
        async with parties(colour, "memory://", namespace, lease="40ms") as (source, here, there):
            other = there.decorated(lease="40ms")

            async def later() -> Any:
                await colour.until(lambda: source.loads == 1, "the load runs")
                await colour.until(lambda: joined(here.layer) == 0, "it is given up")
                gate, source.gate, source.end = source.gate, colour.gate(), lambda number: "new"
                source.gate.open()
                try:
                    return await colour.call(other, 1), await here.call()
                finally:
                    gate.open()

            _, found = await colour.together(here.caller, later)
            assert found == ("new", "new")
            assert (here.loads, there.loads) == (1, 1)

    colour.run(scenario)


@pytest.mark.parametrize("policy", ["load", "raise"])
def test_who_has_waited_too_long_looks_once_more(
    colour: Colour, topology: Topology, namespace: str, policy: str
) -> None:
    """What was stored meanwhile is taken, whatever `on_wait_timeout` says."""

    async def scenario() -> None:
        async with parties(colour, topology.url, namespace) as (source, here, there):
            hasty = here.decorated(wait="150ms", on_wait_timeout=policy)

            async def later() -> Any:
                await colour.until(lambda: joined(here.layer) == 2, "somebody waits for the load")
                await colour.of(entries(there.slow)).set("set", 1)

            waiting = here.after(lambda: source.loads == 1, hasty)
            free = opening(colour, source, lambda: waited)
            waited: list[Any] = []

            async def wait() -> Any:
                waited.append(await waiting())

            await colour.together(here.caller, wait, later, free)
            assert waited == ["set"]
            assert source.loads == 1

    colour.run(scenario)


def test_those_who_are_late_share_one_more_load(colour: Colour, namespace: str) -> None:
    """However many have waited in vain for another process, the source is asked once, or once more for stragglers."""

    async def scenario() -> None:
        async with parties(colour, "memory://", namespace) as (source, here, there):
            hasty = here.decorated(wait="50ms")
            served: list[int] = []

            async def late() -> None:
                await here.after(lambda: source.loads == 1, hasty)()
                served.append(1)

            def all_wait() -> bool:
                return len(served) + joined(here.layer, late=True) == 10

            async def let_go() -> None:
                await colour.until(lambda: source.loads == 2, "one of them loads")
                await colour.until(all_wait, "all of them share that")
                first, source.gate = source.gate, colour.gate()
                first.open()  # who came after that load had begun shares the next one
                await colour.until(lambda: len(served) == 10 or (served and all_wait()), "the stragglers share another")
                source.gate.open()

            await colour.together(there.caller, *[late] * 10, let_go)
            assert here.loads in {1, 2}
            assert there.loads == 1

    colour.run(scenario)


def test_a_load_without_a_lease_is_not_joined_once_redis_is_back(colour: Colour, namespace: str, servers: Any) -> None:
    """It may have begun before an invalidation that nobody could tell it of."""

    async def scenario() -> None:
        url = servers.topology("redis62").url
        with Proxy(servers.standalone().address) as proxy:
            async with (
                colour.using(Layer(proxy.url, namespace=namespace)) as here,
                colour.using(Layer(url, namespace=namespace)) as there,
            ):
                gate, versions = colour.gate(), ["old"]

                async def read(number: int) -> str:
                    version = versions[-1]
                    if version == "old":
                        await gate.passed()
                    return version

                function = here.cached(60, key="it:{number}")(colour.function(read))
                cache = colour.of(here.cache)

                async def later() -> Any:
                    await colour.until(lambda: gate.waiting, "the load runs")
                    proxy.accept()
                    await cache_is_back()
                    versions.append("new")
                    await colour.of(there.cache).delete("it:1")
                    try:
                        return await colour.call(function, 1)
                    finally:
                        gate.open()

                async def cache_is_back() -> None:
                    before = here.stats().errors
                    while True:
                        await cache.get("nothing")
                        if here.stats().errors == before:
                            return
                        before = here.stats().errors
                        await colour.sleep(0.02)

                proxy.refuse()
                proxy.cut_all()

                async def first() -> Any:
                    return await colour.call(function, 1)

                assert await colour.together(first, later) == ["old", "new"]

    colour.run(scenario)


@pytest.mark.parametrize("end", ["a task is left", "a time-out"])
def test_the_end_of_a_loop_leaves_no_lease(namespace: str, end: str) -> None:
    """What `asyncio.run` cancels gives its lease back before the loop is gone: other processes need not wait."""
    layer = Layer(namespace=namespace)
    begun: list[int] = []

    @layer.cached(60, key="slow:{number}")
    async def slow(number: int) -> int:
        begun.append(number)
        await asyncio.sleep(60)
        return number

    async def main() -> None:
        if end == "a time-out":
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(slow(1), 0.05)
            return
        task = asyncio.ensure_future(slow(1))
        await reached(lambda: begun)
        del task

    asyncio.run(main())
    port = layer.engine.blocking
    assert port.call_now(get(f"{namespace}:lease:{{slow:1}}")) is None
    layer.close()


def test_a_refresh_of_what_is_not_kept(colour: Colour, topology: Topology, namespace: str) -> None:
    """Without a ttl there is nothing to remove when the result is not to be stored either."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:

            async def report(number: int) -> int:
                current_entry().no_store()
                return number

            function = stampede_protected(key="report:{number}", layer=layer)(colour.function(report))
            assert await colour.of(entries(function)).refresh(1) == 1

    colour.run(scenario)


def test_a_hard_timeout_counts_as_a_failing_source(colour: Colour, namespace: str) -> None:
    """With `stale_if_error` the last good value is returned instead of raising."""

    async def scenario() -> None:
        options = {"stale_if_error": "1h", "hard_timeout": "50ms"}
        async with parties(colour, "memory://", namespace, count=1, **options) as (source, here):
            await colour.of(entries(here.slow)).set("old", 1)
            here.shift(90)
            try:
                assert await here.call() == "old"
            finally:
                source.gate.open()

    colour.run(scenario)
