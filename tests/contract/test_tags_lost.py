"""Tags that Redis has lost: entries with them are misses, and nothing ever brings them back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from holdfast import Layer, entries
from holdfast.events import Miss
from support.colours import Colour
from support.peeking import ask, forget, tag_key, told
from support.programs import Program
from support.standalone import Standalone
from support.table import Table
from support.topologies import Topology


def evict(layer: Layer, tag: str) -> None:
    forget(layer, tag_key(layer, tag))


def expire(layer: Layer, tag: str) -> None:
    key = tag_key(layer, tag)
    ask(layer, "PEXPIRE", key, 1, key=key)


def overwrite(layer: Layer, tag: str) -> None:
    key = tag_key(layer, tag)
    ask(layer, "SET", key, "what no version looks like", "PX", 60_000, key=key)


def exists(layer: Layer, tag: str) -> int:
    count: int = ask(layer, "EXISTS", tag_key(layer, tag), key=tag_key(layer, tag))
    return count


@pytest.mark.parametrize("lose", [evict, expire, overwrite])
def test_a_lost_tag_is_a_miss(
    colour: Colour, topology: Topology, namespace: str, lose: Callable[[Layer, str], None]
) -> None:
    """An entry whose tag is gone was perhaps invalidated; a new version of the tag does not bring it back."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            table = Table(colour)
            row = table.on(layer, tags=["t"])
            handle, cache = colour.of(entries(row)), colour.of(layer.cache)
            misses = told(layer, Miss)
            await colour.call(row, 1)
            lose(layer, "t")
            await colour.until(lambda: lose is not expire or exists(layer, "t") == 0, "the tag has expired")
            assert await handle.info(1) is None
            assert await cache.get("row:1") is None
            assert misses[-1].reason == "invalidated"
            forget(layer, tag_key(layer, "t"))
            await cache.set("other", 1, 60, tags=["t"])
            assert await cache.get("other") == 1
            assert await cache.get("row:1") is None
            table.value = 2
            assert await colour.call(row, 1) == 2
            assert await cache.get_many(["row:1", "other"]) == {"row:1": 2, "other": 1}

    colour.run(scenario)


def test_an_invalidation_that_redis_has_forgotten(colour: Colour, topology: Topology, namespace: str) -> None:
    """Invalidated, evicted, made anew: the entry from before does not come back, as it would under a counter."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            cache = colour.of(layer.cache)
            for soft in (False, True):
                await cache.set("old", 1, 60, tags=["t"])
                await cache.invalidate_tags("t", soft=soft)
                evict(layer, "t")
                await cache.invalidate_tags("t", soft=True)
                assert await cache.get("old") is None
                await cache.set("new", 1, 60, tags=["t"])
                assert await cache.get_many(["old", "new"]) == {"new": 1}

    colour.run(scenario)


@pytest.mark.parametrize("tags", [["t"], lambda result: ["t"]])
def test_a_flushed_database_during_a_load(colour: Colour, program: Program, namespace: str, tags: Any) -> None:
    """The load stores nothing under tags that nobody knows any more; the next one does."""

    async def scenario() -> None:
        with Standalone(program) as server:
            async with colour.using(Layer(server.url, namespace=namespace)) as layer:
                table = Table(colour)
                row = table.on(layer, tags=tags)
                gate = table.stop()

                async def flush() -> None:
                    await colour.until(lambda: gate.waiting, "the load has read the source")
                    server.client.flushdb()
                    gate.open()

                assert await colour.together(table.calling(row, 1), flush) == [1, None]
                assert not server.client.exists(entries(row).key(1))
                table.value = 2
                assert [await colour.call(row, 1), await colour.call(row, 1)] == [2, 2]
                assert table.loads == 2
                server.client.flushdb()
                assert await colour.call(row, 1) == 2
                assert table.loads == 3

    colour.run(scenario)


def test_tags_outlive_their_entries(colour: Colour, topology: Topology, namespace: str) -> None:
    """Each tag has a time to live, longer than that of any entry with it, whoever says how long that is."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            table, week = Table(colour), 7 * 86400
            cache = colour.of(layer.cache)
            await cache.invalidate_tags("t")
            await colour.call(table.on(layer, week, tags=["t"], grace=week, jitter=1.0), 1)
            await colour.call(table.on(layer, lambda result: week, key="varied:{number}", tags=["u"]), 1)
            await cache.set("set", 1, week, tags=["v"])
            lives = {tag: ask(layer, "PTTL", tag_key(layer, tag), key=tag_key(layer, tag)) / 1000 for tag in "tuv"}
            assert lives["t"] > 3 * week
            assert lives["u"] > week
            assert lives["v"] > week - 1
            await cache.invalidate_tags("t")
            assert ask(layer, "PTTL", tag_key(layer, "t"), key=tag_key(layer, "t")) / 1000 > 3 * week - 60

    colour.run(scenario)
