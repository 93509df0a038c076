"""Every way to read an entry honours its tags: after an invalidation by another process none returns the old value."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from holdfast import MISSING, Layer, entries
from holdfast.events import Miss
from support.colours import Colour
from support.peeking import is_near, near_is_up, told
from support.programs import newest
from support.table import Table
from support.times import Times
from support.topologies import Topology


class Paths:
    """The ways to read one entry, each of which says what it got, or None if it got nothing old."""

    def __init__(self, colour: Colour, layer: Layer, table: Table, row: Callable[..., Any]) -> None:
        self.colour, self.layer, self.table, self.row = colour, layer, table, row
        self.handle, self.cache = colour.of(entries(row)), colour.of(layer.cache)

    async def call(self) -> Any:
        return await self.colour.call(self.row, 1)

    async def told_call(self) -> Any:
        value, info = await self.handle.call(1)
        assert info.status == "miss"
        return value

    async def get(self) -> Any:
        found = await self.handle.get(1)
        return None if found is MISSING else found

    async def info(self) -> Any:
        return await self.handle.info(1)

    async def cache_get(self) -> Any:
        return await self.cache.get("row:1")

    async def get_many(self) -> Any:
        return (await self.cache.get_many(["row:1", "else"])).get("row:1")

    async def get_or_load(self) -> Any:
        async def load() -> Any:
            return await self.table.read()

        return await self.cache.get_or_load("row:1", self.colour.function(load), 60, tags=["t"], grace=600)

    async def get_or_load_without_its_tags(self) -> Any:
        return await self.cache.get_or_load("row:1", lambda: 2, 60)

    async def refresh(self) -> Any:
        return await self.handle.refresh(1)

    async def fails(self) -> Any:
        self.table.fails = LookupError("the source is down")
        with pytest.raises(LookupError):
            await self.colour.call(self.row, 1)

    async def waits_for_nothing(self) -> Any:
        async def row(number: int) -> Any:
            return await self.table.read()

        hasty = self.layer.cached(
            60, key="row:{number}", tags=["t"], stale_if_error=600, soft_timeout=0, on_wait_timeout="stale", wait=0
        )(self.colour.function(row))
        return await self.colour.call(hasty, 1)


FEW = pytest.mark.parametrize("topology", ["memory", newest().name, "cluster"], indirect=True)
PATHS = [name for name in vars(Paths) if not name.startswith("_")]


def path(name: str, paths: Paths) -> Awaitable[Any]:
    found: Awaitable[Any] = getattr(paths, name)()
    return found


@FEW
@pytest.mark.parametrize("name", PATHS)
def test_a_fresh_entry(colour: Colour, topology: Topology, namespace: str, name: str) -> None:
    """It is gone for all of them."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            table = Table(colour)
            row = table.on(layer, tags=["t"])
            await colour.call(row, 1)
            table.value = 2
            await colour.of(other.cache).invalidate_tags("t")
            assert await path(name, Paths(colour, layer, table, row)) in {2, None}

    colour.run(scenario)


@pytest.mark.parametrize("name", PATHS)
def test_a_stale_entry(colour: Colour, namespace: str, name: str) -> None:
    """Neither grace, nor a failing source, nor a slow one makes an invalidated entry usable."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            table, times = Table(colour), Times(layer)
            row = table.on(layer, tags=["t"], grace=600, stale_if_error=600)
            await colour.call(row, 1)
            times.go_by(61)
            table.value = 2
            await colour.of(layer.cache).invalidate_tags("t")
            assert await path(name, Paths(colour, layer, table, row)) in {2, None}

    colour.run(scenario)


@pytest.mark.parametrize("name", PATHS)
def test_a_near_entry(colour: Colour, namespace: str, name: str) -> None:
    """An entry in the process is gone as soon as this process has invalidated its tag."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace, near=60)) as layer:
            table = Table(colour)
            row = table.on(layer, tags=["t"])
            await colour.call(row, 1)
            await colour.until(lambda: near_is_up(layer), "the news are heard")
            await colour.call(row, 1)
            assert is_near(layer, entries(row).key(1))
            table.value = 2
            await colour.of(layer.cache).invalidate_tags("t")
            assert await path(name, Paths(colour, layer, table, row)) in {2, None}

    colour.run(scenario)


def test_tags_that_were_added_to_the_code_later(colour: Colour, topology: Topology, namespace: str) -> None:
    """Entries from before lack the tag, so that nobody could invalidate them: they are misses."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            table = Table(colour)
            misses = told(layer, Miss)
            await colour.call(table.on(layer, tags=["t"]), 1)
            table.value = 2
            tagged = table.on(layer, tags=["t", "new:{number}"], grace=600)
            assert await colour.of(entries(tagged)).info(1) is None
            assert await colour.of(entries(tagged)).get(1) is MISSING
            assert [await colour.call(tagged, 1), await colour.call(tagged, 1)] == [2, 2]
            assert [miss.reason for miss in misses] == ["absent", "invalidated", "invalidated"]
            assert (await colour.of(entries(tagged)).info(1)).tags == ("t", "new:1")
            assert await colour.call(table.on(layer), 1) == 2, "a tag that the code has dropped does no harm"
            await colour.of(layer.cache).invalidate_tags("new:1")
            table.value = 3
            assert await colour.call(table.on(layer), 1) == 3, "and still counts"

    colour.run(scenario)


def test_what_was_set_with_tags(colour: Colour, topology: Topology, namespace: str) -> None:
    """`set`, `set_many` and `entries(f).set` give entries tags, those of a function of the result included."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            cache = colour.of(layer.cache)
            derived = Table(colour).on(layer, key="derived:{number}", tags=lambda result: [f"r:{result}", "t"])
            declared = Table(colour).on(layer, key="declared:{number}", tags=["t", "n:{number}"])
            handles = [colour.of(entries(each)) for each in (derived, declared)]
            names = ["one", "two", "three", "derived:1", "declared:1"]
            for tag in ("t", "r:7", "n:1"):
                await cache.set("one", 1, 60, tags=["t"])
                await cache.set_many({"two": 2, "three": 3}, 60, tags=["t", "u"])
                for handle in handles:
                    await handle.set(7, 1)
                assert len(await cache.get_many(names)) == len(names)
                await cache.invalidate_tags(tag)
                left = await cache.get_many(names)
                assert left.keys() == {"t": set(), "r:7": {*names} - {"derived:1"}, "n:1": {*names[:-1]}}[tag]

    colour.run(scenario)
