"""The handle on the entries of a decorated function, verb by verb."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from holdfast import MISSING, Layer, SerializationError, entries
from support.colours import Colour
from support.topologies import Topology


def counting(colour: Colour, layer: Layer, **options: Any) -> tuple[Callable[..., Any], list[int]]:
    calls: list[int] = []

    async def count(number: int) -> int:
        calls.append(number)
        return number * 10 + len(calls)

    return layer.cached(60, key="count:{number}", **options)(colour.function(count)), calls


def test_get_and_set_leave_the_function_alone(colour: Colour, topology: Topology, namespace: str) -> None:
    """`get` gives the value or MISSING, which is false and nothing else; what `set` stores is what a call returns."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            function, calls = counting(colour, layer)
            handle = colour.of(entries(function))
            found = await handle.get(1)
            assert found is MISSING
            assert not found
            assert repr(found) == "MISSING"
            await handle.set(5, 1)
            assert await handle.get(1) == await handle.get(number=1) == await colour.call(function, 1) == 5
            await handle.set(6, number=1)
            assert await colour.call(function, 1) == 6
            assert calls == []

    colour.run(scenario)


def test_a_value_that_cannot_be_stored_is_refused_and_changes_nothing(
    colour: Colour, topology: Topology, namespace: str
) -> None:
    """`set` checks like a miss: the wrong type is an error, and the entry that was there stays."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            function, _ = counting(colour, layer)
            handle = colour.of(entries(function))
            await handle.set(5, 1)
            with pytest.raises(SerializationError):
                await handle.set("text with a value", 1)
            assert await handle.get(1) == 5

    colour.run(scenario)


def test_invalidate_says_whether_there_was_an_entry(colour: Colour, topology: Topology, namespace: str) -> None:
    """True once, then false; the next call loads."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            function, calls = counting(colour, layer)
            handle = colour.of(entries(function))
            assert await handle.invalidate(1) is False
            await colour.call(function, 1)
            assert await handle.invalidate(1) is True
            assert await handle.invalidate(1) is False
            await colour.call(function, 1)
            assert calls == [1, 1]

    colour.run(scenario)


def test_refresh_and_bypass_call_the_function(colour: Colour, topology: Topology, namespace: str) -> None:
    """`refresh` stores what it got, `bypass` does not, and neither looks at what is there."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            function, calls = counting(colour, layer)
            handle = colour.of(entries(function))
            assert await colour.call(function, 1) == 11
            assert await handle.refresh(1) == 12
            assert await colour.call(function, 1) == 12
            assert await handle.bypass(1) == 13
            assert await colour.call(function, 1) == 12
            assert calls == [1, 1, 1]
            assert layer.stats().misses == 1

    colour.run(scenario)


def test_info_describes_an_entry(colour: Colour, topology: Topology, namespace: str) -> None:
    """When it was made, how old it is, how long it stays, what wrote it, how large it is; None without an entry."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            function, _ = counting(colour, layer, serializer="msgpack")
            handle = colour.of(entries(function))
            assert await handle.info(1) is None
            before = time.time()
            await colour.call(function, 1)
            info = await handle.info(1)
            assert before - 0.01 <= info.created <= time.time() + 0.01
            assert 0 <= info.age < 30
            assert 30 < info.remaining <= 60
            assert (info.fresh, info.tags, info.serializer) == (True, (), "msgpack")
            assert 75 < info.size < 200
            await colour.of(layer.cache).expire("count:1", 10)
            assert (await handle.info(1)).remaining <= 10

    colour.run(scenario)


def test_call_says_where_the_value_came_from(colour: Colour, topology: Topology, namespace: str) -> None:
    """A miss, then a hit, with age and remaining time; none of either where nothing is stored."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            function, _ = counting(colour, layer)
            handle = colour.of(entries(function))
            value, info = await handle.call(1)
            assert (value, info.status) == (11, "miss")
            assert 30 < info.remaining <= 60
            value, info = await handle.call(1)
            assert (value, info.status) == (11, "hit")
            assert 0 <= info.age < 30 < info.remaining <= 60
            with layer.disabled():
                value, info = await handle.call(1)
            assert (value, info.status, info.age, info.remaining) == (12, "bypassed", 0, 0)
            unkept, _ = counting(colour, layer, condition=lambda result: False, version="unkept")
            value, info = await colour.of(entries(unkept)).call(1)
            assert (value, info.status, info.age, info.remaining) == (11, "miss", 0, 0)

    colour.run(scenario)


def test_key_is_the_key_in_redis(colour: Colour, server_topology: Topology, namespace: str) -> None:
    """`key` needs no connection, and names what a plain client finds."""

    async def scenario() -> None:
        async with colour.using(Layer(server_topology.url, namespace=namespace)) as layer:
            function, _ = counting(colour, layer)
            key = entries(function).key(1)
            assert key == f"{namespace}:cache:{{count:1}}"
            await colour.call(function, 1)
            assert list(server_topology.ttls(namespace)) == [key]

    colour.run(scenario)


def test_the_handle_follows_the_layer_in_use(colour: Colour) -> None:
    """A function without `layer=` has its entries wherever the default layer is when a verb is called."""
    from holdfast import cached, configure

    async def scenario() -> None:
        async def count(number: int) -> int:
            return number

        function = cached(60, key="default:{number}")(colour.function(count))
        handle = colour.of(entries(function))
        async with colour.using(configure("memory://entries-one")):
            await handle.set(5, 1)
            assert await handle.get(1) == 5
        async with colour.using(configure("memory://entries-two", namespace="other")):
            assert await handle.get(1) is MISSING
            assert entries(function).key(1) == "other:cache:{default:1}"
        configure()

    colour.run(scenario)
