"""Changing an entry while it is being loaded or stored: who calls later never gets what was there before."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from holdfast import MISSING, Layer, entries
from support.changing import Source
from support.colours import Colour
from support.flights import filling, joined, reached
from support.points import Points
from support.programs import oldest
from support.proxy import Proxy
from support.standalone import Standalone
from support.topologies import Topology
from support.waiting import until

CHANGES = ["invalidate", "delete", "set", "set_many", "refresh"]


@pytest.mark.parametrize("verb", CHANGES)
def test_a_change_while_the_load_runs(colour: Colour, topology: Topology, namespace: str, verb: str) -> None:
    """The running load stores nothing; its callers get what they asked for; later callers get the new value."""

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
            assert await source.call() == 2
            assert await colour.of(entries(source.function)).get(1) == 2

    colour.run(scenario)


@pytest.mark.parametrize("hold", ["SET", "SET!"])
@pytest.mark.parametrize("verb", CHANGES)
def test_a_change_while_the_value_is_being_stored(
    colour: Colour, topology: Topology, namespace: str, verb: str, hold: str
) -> None:
    """Held before it is sent, or before its reply: the change waits for the SET, so that it cannot land later."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            points = Points(layer)
            source = Source(colour, layer)
            source.gate.open()
            points.hold(hold)
            done: list[str] = []

            async def change() -> Any:
                await colour.until(lambda: hold in points.passed, "the value is about to be stored")
                await source.change(verb)
                done.append(verb)
                return await source.call()

            async def release() -> None:
                await colour.until(lambda: layer.engine.caching.flights._held or source.loads == 2, "the change began")
                await colour.sleep(0.03)
                assert not done
                points.release(hold)

            assert await colour.together(source.call, change, release) == [1, 2, None]
            assert await source.call() == 2
            assert filling(layer) == 0

    colour.run(scenario)


@pytest.mark.parametrize("verb", CHANGES)
def test_a_change_by_the_other_colour_while_the_value_is_being_stored(namespace: str, verb: str) -> None:
    """A thread changes what a loop stores, and a loop what a thread stores: different connections, the same promise."""
    for storer, changer in [("sync", "async"), ("async", "sync")]:
        with Layer(namespace=f"{namespace}-{storer}") as layer, ThreadPoolExecutor(2) as threads:
            points = Points(layer)
            storing, changing = Source(Colour(storer), layer), Source(Colour(changer), layer)
            storing.gate.open()
            changing.gate.open()
            points.hold("SET")
            first = threads.submit(storing.colour.run, storing.call)
            until(lambda: "SET" in points.passed, "the value is about to be stored")  # noqa: B023 - at once
            second = threads.submit(changing.colour.run, lambda: changing.change(verb))  # noqa: B023 - at once
            until(lambda: layer.engine.caching.flights._held or changing.loads, "the change began")  # noqa: B023
            assert not second.done()
            points.release("SET")
            assert first.result(30) == 1
            second.result(30)
            storing.version = 2
            assert storing.colour.run(storing.call) == 2


def test_a_later_load_is_stored_after_an_earlier_one(colour: Colour, namespace: str) -> None:
    """A refresh whose value is ready while an older one is on its way waits for it: the newer value stays."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            points = Points(layer)
            source = Source(colour, layer)
            source.gate.open()
            points.hold("SET")

            async def refresh() -> Any:
                await colour.until(lambda: "SET" in points.passed, "the older value is on its way")
                source.version = 2
                return await colour.of(entries(source.function)).refresh(1)

            async def release() -> None:
                await colour.until(lambda: filling(layer) == 2, "the newer value is ready")
                assert points.passed.count("SET") == 1
                points.release("SET")

            assert await colour.together(source.call, refresh, release) == [1, 2, None]
            assert points.passed.count("SET") == 2
            assert await source.call() == 2

    colour.run(scenario)


def test_a_load_that_began_during_a_change_does_not_store(colour: Colour, namespace: str) -> None:
    """It may have read another entry that was still to be deleted; the value goes to its caller only."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            points = Points(layer)
            cache = colour.of(layer.cache)
            await cache.set("part", "old", 60)

            async def whole(number: int) -> str:
                return f"whole {await cache.get('part')}"

            function = layer.cached(60, key="whole:{number}")(colour.function(whole))
            points.hold("UNLINK")

            async def load() -> Any:
                await colour.until(lambda: "UNLINK" in points.passed, "the deletion is about to be sent")
                try:
                    return await colour.call(function, 1)
                finally:
                    points.release("UNLINK")

            async def delete() -> Any:
                return await cache.delete("whole:1", "part")

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


@pytest.mark.parametrize("hold", ["requests", "replies"])
def test_on_a_real_connection_the_deletion_waits_for_the_store(colour: Colour, namespace: str, hold: str) -> None:
    """The bytes of the SET or of its reply are held on the way: no UNLINK is sent before the reply is here."""

    async def scenario() -> None:
        with Standalone(oldest()) as server, Proxy(server.address) as proxy:
            async with colour.using(Layer(proxy.url, namespace=namespace)) as layer:
                source = Source(colour, layer)

                async def change() -> Any:
                    await colour.until(lambda: source.loads == 1, "the load runs")
                    proxy.hold_requests() if hold == "requests" else proxy.hold_replies()
                    source.gate.open()
                    await colour.until(lambda: proxy.held_up or proxy.held_down, "the SET or its reply is held")
                    return await source.change("invalidate")

                async def release() -> None:
                    await colour.until(lambda: layer.engine.caching.flights._held, "the change began")
                    await colour.sleep(0.03)
                    assert "unlink" not in server.commandstats()
                    with server.monitor(containing=namespace) as seen:
                        proxy.release()
                        await colour.until(lambda: not layer.engine.caching.flights._held, "the change has ended")
                    assert seen.names == (["SET", "UNLINK"] if hold == "requests" else ["UNLINK"])

                assert await colour.together(source.call, change, release) == [1, True, None]
                assert await source.call() == 2

    colour.run(scenario)


def test_a_change_that_is_cancelled_lets_loads_store_again(namespace: str) -> None:
    """A cancelled invalidation promised nothing, and leaves nothing behind."""

    async def scenario() -> None:
        async with Layer(namespace=namespace) as layer:
            points = Points(layer)
            source = Source(Colour("async"), layer)
            source.gate.open()
            for point in ("SET", "UNLINK"):
                points.hold(point)
                caller: Awaitable[Any] = asyncio.ensure_future(source.call())
                if point == "SET":
                    await reached(lambda: "SET" in points.passed)
                change = asyncio.ensure_future(entries(source.function).ainvalidate(1))
                await reached(lambda: layer.engine.caching.flights._held)
                change.cancel()
                await asyncio.wait([change])
                points.release(point)
                assert await caller == 1
                assert not layer.engine.caching.flights._held
            await source.call()
            assert await entries(source.function).aget(1) == 1

    asyncio.run(scenario())
