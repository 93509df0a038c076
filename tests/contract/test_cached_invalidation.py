"""Changing an entry while it is being loaded or stored: who calls later never gets what was there before."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from holdfast import MISSING, Layer, entries
from support.calls import teach
from support.changing import Source
from support.colours import Colour
from support.flights import joined, reached
from support.points import Points
from support.programs import oldest
from support.proxy import Proxy
from support.standalone import Standalone
from support.topologies import Topology
from support.waiting import until

CHANGES = ["invalidate", "delete", "set", "set_many", "refresh"]
INSTANTS = ["fill", "fill!"]
"""Before the value is sent, and when it is stored but the reply has not been handled."""


@pytest.mark.parametrize("verb", CHANGES)
def test_a_change_while_the_load_runs(colour: Colour, topology: Topology, namespace: str, verb: str) -> None:
    """The running load is refused; its callers get what they asked for; later callers get the new value."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            source = Source(colour, layer)

            async def change() -> Any:
                await colour.until(lambda: source.loads == 1, "the load runs")
                await source.change(verb)
                assert joined(layer) == 0
                assert await source.call() == 2, "a later caller does not join the old load"
                source.gate.open()

            assert await colour.together(source.call, change) == [1, None]
            assert source.refused == 1
            assert await source.call() == 2
            assert await colour.of(entries(source.function)).get(1) == 2

    colour.run(scenario)


@pytest.mark.parametrize("instant", INSTANTS)
@pytest.mark.parametrize("verb", CHANGES)
def test_a_change_while_the_value_is_being_stored(
    colour: Colour, topology: Topology, namespace: str, verb: str, instant: str
) -> None:
    """It returns at once. A fill that arrives later is refused; one that came before is undone."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            points = Points(layer)
            source = Source(colour, layer)
            source.gate.open()
            points.hold(instant)

            async def change() -> Any:
                await colour.until(lambda: points.holds(instant), "the value is being stored")
                await source.change(verb)
                assert points.holds(instant)
                later = await source.call()
                points.release(instant)
                return later

            assert await colour.together(source.call, change) == [1, 2]
            assert source.refused == (instant == "fill")
            assert await source.call() == 2

    colour.run(scenario)


@pytest.mark.parametrize("instant", INSTANTS)
@pytest.mark.parametrize("verb", CHANGES)
def test_a_change_by_the_other_colour_while_the_value_is_being_stored(namespace: str, verb: str, instant: str) -> None:
    """A thread changes what a loop stores, and a loop what a thread stores: different connections, the same promise."""
    for storer, changer in [("sync", "async"), ("async", "sync")]:
        with Layer(namespace=f"{namespace}-{storer}") as layer, ThreadPoolExecutor(2) as threads:
            points = Points(layer)
            storing, changing = Source(Colour(storer), layer), Source(Colour(changer), layer)
            storing.gate.open()
            changing.gate.open()
            points.hold(instant)
            first = threads.submit(storing.colour.run, storing.call)
            until(lambda: points.holds(instant), "the value is being stored")  # noqa: B023 - at once
            changing.colour.run(lambda: changing.change(verb))  # noqa: B023 - at once
            assert points.holds(instant)
            points.release(instant)
            assert first.result(30) == 1
            storing.version = 2
            assert storing.colour.run(storing.call) == 2


@pytest.mark.parametrize("soft", [False, True])
def test_a_tag_invalidated_while_the_load_runs(colour: Colour, topology: Topology, namespace: str, soft: bool) -> None:
    """Later callers may have to wait for the load, but get the new value, and so does whoever comes after them."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            source = Source(colour, layer, tags=["all"])

            async def change() -> Any:
                await colour.until(lambda: source.loads == 1, "the load runs")
                source.version += 1
                await colour.of(layer.cache).invalidate_tags("all", soft=soft)

            async def later() -> Any:
                await colour.until(lambda: source.version == 2, "the source has changed")
                await change_done.passed()
                return await source.call()

            async def let_go() -> None:
                await colour.until(lambda: joined(layer) == 2, "the later caller waits")
                source.gate.open()

            async def change_and_tell() -> None:
                await change()
                change_done.open()

            change_done = colour.gate()
            assert await colour.together(source.call, change_and_tell, later, let_go) == [1, None, 2, None]
            assert await source.call() == 2
            assert source.loads == 2

    colour.run(scenario)


def test_a_load_that_used_what_is_deleted_with_it_does_not_store(colour: Colour, namespace: str) -> None:
    """A load that has read another entry, before both are deleted, is refused."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            points = Points(layer)
            cache = colour.of(layer.cache)
            await cache.set("part", "old", 60)

            async def whole(number: int) -> str:
                return f"whole {await cache.get('part')}"

            function = layer.cached(60, key="whole:{number}")(colour.function(whole))
            points.hold("fill")

            async def load() -> Any:
                return await colour.call(function, 1)

            async def delete() -> Any:
                await colour.until(lambda: points.holds("fill"), "the load has read the part")
                count = await cache.delete("part", "whole:1")
                points.release("fill")
                return count

            assert await colour.together(load, delete) == ["whole old", 1]
            assert await colour.call(function, 1) == "whole None"

    colour.run(scenario)


def test_a_change_from_inside_the_load_of_its_key(colour: Colour, namespace: str) -> None:
    """A loader that invalidates its own key does not wait for itself, and does not store."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            runs = 0

            async def restless(number: int) -> int:
                nonlocal runs
                runs += 1
                if runs == 1:
                    await colour.of(entries(function)).invalidate(number)
                return runs

            function = layer.cached(60, key="restless:{number}")(colour.function(restless))
            assert [await colour.call(function, 1) for _ in range(3)] == [1, 2, 2]

    colour.run(scenario)


def test_a_change_from_a_hook_of_the_fill(namespace: str) -> None:
    """A hook that invalidates what was just stored does not wait for the fill that it is told about."""
    with Layer(namespace=namespace) as layer:

        @layer.cached(60, key="hooked:{number}")
        def hooked(number: int) -> int:
            return number

        layer.add_hook(lambda event: type(event).__name__ == "Fill" and entries(hooked).invalidate(1))
        assert hooked(1) == 1
        assert entries(hooked).get(1) is MISSING


@pytest.mark.parametrize("held", ["requests", "replies"])
def test_a_fill_that_is_stuck_on_the_way(colour: Colour, namespace: str, held: str) -> None:
    """Its bytes, or those of its reply, are held: another process invalidates meanwhile, and the old value is gone."""

    async def scenario() -> None:
        with Standalone(oldest()) as server, Proxy(server.address) as proxy:
            teach([server])  # or the reply that is held would say that the script is unknown
            async with (
                colour.using(Layer(proxy.url, namespace=namespace)) as layer,
                colour.using(Layer(server.url, namespace=namespace)) as other,
            ):
                source, elsewhere = Source(colour, layer), Source(colour, other)

                async def change() -> Any:
                    await colour.until(lambda: source.loads == 1, "the load runs")
                    proxy.hold_requests() if held == "requests" else proxy.hold_replies()
                    source.gate.open()
                    await colour.until(lambda: proxy.held_up or proxy.held_down, "the fill or its reply is held")
                    source.version = 2
                    found = await elsewhere.change("invalidate")
                    proxy.restore()
                    return found

                assert await colour.together(source.call, change) == [1, held == "replies"]
                assert source.refused == (held == "requests")
                assert await source.call() == 2

    colour.run(scenario)


@pytest.mark.parametrize("instant", ["invalidate", "invalidate!"])
def test_a_change_that_is_cancelled_leaves_nothing_behind(namespace: str, instant: str) -> None:
    """A cancelled invalidation promised nothing: the next load is stored."""

    async def scenario() -> None:
        async with Layer(namespace=namespace) as layer:
            points = Points(layer)
            source = Source(Colour("async"), layer)
            caller: Awaitable[Any] = asyncio.ensure_future(source.call())
            await reached(lambda: source.loads)
            points.hold(instant)
            change = asyncio.ensure_future(entries(source.function).ainvalidate(1))
            await reached(lambda: points.holds(instant))
            change.cancel()
            await asyncio.wait([change])
            source.gate.open()
            assert await caller == 1
            assert source.refused == (instant == "invalidate!")
            assert await source.call() == 1
            assert await entries(source.function).aget(1) == 1

    asyncio.run(scenario())
