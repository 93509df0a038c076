"""What is kept in the process: how much, by whom, for whom, and that nobody can spoil it for the others."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from holdfast import MISSING, Layer, entries
from holdfast.events import Hit
from support.colours import Colour
from support.peeking import is_near, keep_near, near_is_up, told
from support.programs import newest
from support.standalone import Standalone
from support.table import Table
from support.topologies import Topology
from support.waiting import until


def kept(layer: Layer) -> int:
    return len(layer.engine.caching.nearby.near)


def test_a_hit_asks_nobody(colour: Colour, server_topology: Topology, namespace: str) -> None:
    """What is in the process is returned without a command, tagged or not, and told and counted as a near hit."""

    async def scenario() -> None:
        async with colour.using(Layer(server_topology.url, namespace=namespace, near=60)) as layer:
            table, hits = Table(colour), told(layer, Hit)
            row = table.on(layer, tags=["t"])
            key = await keep_near(colour, layer, row)
            hits.clear()
            before = layer.stats()
            with server_topology.monitor(containing=namespace) as recording:
                assert [await colour.call(row, 1) for _ in range(3)] == [1] * 3
                assert await colour.of(entries(row)).get(1) == 1
                assert await colour.of(layer.cache).get("row:1") == 1
            assert recording.names == []
            assert hits == [Hit("row:{number}", key, near=True)] * 4 + [Hit("layer.cache", key, near=True)]
            assert layer.stats().hits == before.hits + 5
            assert layer.stats().misses == before.misses

    colour.run(scenario)


@pytest.mark.parametrize("brought_by", ["fill", "read"])
def test_nobody_shares_what_can_be_changed(colour: Colour, namespace: str, brought_by: str) -> None:
    """Each caller has a copy of its own: who changes it harms nobody, not even the entry."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace, near=60)) as layer:
            table = Table(colour)
            table.value = {"names": ["Ada"]}
            row = table.on(layer)
            await colour.call(row, 2)
            await colour.until(lambda: near_is_up(layer), "the news are heard")
            if brought_by == "read":
                await colour.of(layer.cache).set("row:1", table.value, 60)
            for _ in range(4):
                found = await colour.call(row, 1)
                assert found == {"names": ["Ada"]}
                found["names"].append("Eve")
            assert is_near(layer, entries(row).key(1))

    colour.run(scenario)


def test_at_most_so_many_entries(colour: Colour, namespace: str) -> None:
    """However many are asked for; those that are used stay."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace, near=60, near_entries=10)) as layer:
            row = Table(colour).on(layer)
            await keep_near(colour, layer, row)
            for number in range(2, 60):
                await colour.call(row, number)
                await colour.call(row, 1)
                assert kept(layer) <= 10
            assert kept(layer) == 10
            assert is_near(layer, entries(row).key(1))

    colour.run(scenario)


def test_at_most_so_many_bytes(colour: Colour, namespace: str) -> None:
    """Large values push each other out, and one that would take most of the room is not kept at all."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace, near=60, near_bytes=100_000)) as layer:
            table, near = Table(colour), layer.engine.caching.nearby.near
            row = table.on(layer)
            await keep_near(colour, layer, row)
            table.value = "x" * 4000
            for number in range(2, 60):
                await colour.call(row, number)
                assert near.size <= 100_000
            assert 5 < kept(layer) < 30
            table.value = "x" * 50_000
            await colour.call(row, 100)
            await colour.call(row, 100)
            assert not is_near(layer, entries(row).key(100))

    colour.run(scenario)


@pytest.mark.parametrize("limit", ["near_entries", "near_bytes"])
def test_no_room_at_all(colour: Colour, namespace: str, limit: Any) -> None:
    """Without room nothing is kept, and everything works."""

    async def scenario() -> None:
        options: Any = {limit: 0}
        async with colour.using(Layer(namespace=namespace, near=60, **options)) as layer:
            row = Table(colour).on(layer)
            await colour.call(row, 1)
            await colour.until(lambda: near_is_up(layer), "the news are heard")
            for _ in range(3):
                _, info = await colour.of(entries(row)).call(1)
                assert info.status == "hit"
            assert kept(layer) == 0

    colour.run(scenario)


def test_both_colours_and_all_threads_share_it(namespace: str) -> None:
    """What a task has read a thread finds, and the other way round, in any loop."""
    with Layer(namespace=namespace, near=60) as layer, ThreadPoolExecutor(4) as threads:

        @layer.cached(60, key="row:{number}")
        def plain(number: int) -> int:
            return number

        @layer.cached(60, key="row:{number}")
        async def awaited(number: int) -> int:
            return number

        plain(0)
        until(lambda: near_is_up(layer), "the news are heard")
        plain(1)
        asyncio.run(_awaited(awaited, 2))
        assert asyncio.run(entries(awaited).acall(1))[1].status == "near"
        assert {info.status for _, info in threads.map(entries(plain).call, [1, 2] * 8)} == {"near"}
        assert asyncio.run(entries(awaited).acall(2))[1].status == "near"


async def _awaited(function: Any, *args: Any) -> Any:
    return await function(*args)


@pytest.mark.parametrize(("of_layer", "of_function", "is_kept"), [
    (None, None, False), (None, 60, True), (60, None, True), (60, 0, False), (0, None, False), (0, 60, True),
    ("30s", "1m", True),
])  # fmt: skip
def test_who_says_whether(colour: Colour, namespace: str, of_layer: Any, of_function: Any, is_kept: bool) -> None:
    """The decorator decides, the layer where it says nothing, and 0 is no; `layer.cache` goes by the layer."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace, near=of_layer)) as layer:
            row = Table(colour).on(layer, near=of_function)
            handle = colour.of(entries(row))
            if of_layer or of_function:
                await keep_near(colour, layer, Table(colour).on(layer, key="other:{number}", near=60))
            for _ in range(2):
                await colour.call(row, 1)
            assert is_near(layer, entries(row).key(1)) == is_kept
            assert (await handle.call(1))[1].status == ("near" if is_kept else "hit")
            await colour.of(layer.cache).set("by hand", 1, 60)
            await colour.of(layer.cache).get("by hand")
            by_hand = entries(row).key(1).replace("row:1", "by%20hand")
            assert is_near(layer, by_hand) == bool(of_layer)

    colour.run(scenario)


def test_what_is_not_kept(colour: Colour, namespace: str) -> None:
    """Absent entries, results that are not stored, and errors: Redis is asked each time."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace, near=60)) as layer:
            table, cache = Table(colour), colour.of(layer.cache)
            await keep_near(colour, layer, table.on(layer))
            row = table.on(layer, key="other:{number}", condition=lambda result: False, cache_errors=LookupError)
            key, before = entries(row).key(1), kept(layer)
            assert await colour.of(entries(row)).get(1) is MISSING
            assert await cache.get("other:1") is None
            await colour.call(row, 1)
            assert not is_near(layer, key)
            table.fails = LookupError("stored")
            for _ in range(2):
                with pytest.raises(LookupError):
                    await colour.call(row, 1)
            assert table.loads == 3
            assert not is_near(layer, key)
            assert kept(layer) == before

    colour.run(scenario)


def test_a_disabled_layer(colour: Colour, namespace: str) -> None:
    """What is in the process is not served either."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace, near=60)) as layer:
            table = Table(colour)
            row = table.on(layer)
            await keep_near(colour, layer, row)
            table.value = 2
            with layer.disabled():
                assert await colour.call(row, 1) == 2
                assert await colour.of(layer.cache).get("row:1") is None
            assert await colour.call(row, 1) == 1

    colour.run(scenario)


def test_a_closed_layer(colour: Colour, namespace: str) -> None:
    """Nothing is heard any more, so nothing is served."""

    async def scenario() -> None:
        layer = Layer(namespace=namespace, near=60)
        async with colour.using(layer):
            table = Table(colour)
            row = table.on(layer)
            await keep_near(colour, layer, row)
        table.value = 2
        assert await colour.call(row, 1) == 2

    colour.run(scenario)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork(namespace: str) -> None:
    """A child has nothing of its parent's, hears the news over a connection of its own, and harms the parent's not."""
    with Standalone(newest()) as server, Layer(server.url, namespace=namespace, near=60) as layer:
        colour, table = Colour("sync"), Table(Colour("sync"))
        row = table.on(layer)
        key = colour.run(lambda: keep_near(colour, layer, row))
        for _ in range(2):
            child = os.fork()
            if child == 0:
                os._exit(_in_child(colour, layer, row, key))
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert is_near(layer, key)
            server.client.delete(key)
            until(lambda: not is_near(layer, key), "the parent still hears")
            colour.run(lambda: keep_near(colour, layer, row))


def _in_child(colour: Colour, layer: Layer, row: Any, key: str) -> int:
    """Return 0 if all is as it should be in a child."""
    try:
        assert not is_near(layer, key)
        colour.run(lambda: keep_near(colour, layer, row))
        assert layer.engine.backend.is_tracking
    except BaseException:
        return 1
    return 0
