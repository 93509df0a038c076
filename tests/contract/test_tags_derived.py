"""Tags that only the load knows: from a function of the result, or said by the loader."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from holdfast import MISSING, Layer, current_entry, entries
from holdfast.events import Fill
from support.colours import Colour
from support.flights import joined
from support.peeking import forget, told
from support.points import Points
from support.table import Table
from support.topologies import Topology


def say(*tags: str) -> None:
    """Stand for a helper of the loader: the loader itself does not mention `current_entry`."""
    current_entry().tags = tags


def deriving(colour: Colour, layer: Layer, table: Table, way: str, **options: Any) -> Callable[..., Any]:
    """Return a function whose entries carry the tag ``v:<value>``."""
    if way == "function":
        return table.on(layer, tags=lambda result: [f"v:{result}"], **options)

    async def row(number: int) -> Any:
        found = await table.read()
        say(f"v:{found}")
        return found

    return layer.cached(60, key="row:{number}", **options)(colour.function(row))


WAYS = ["function", "loader"]


@pytest.mark.parametrize("way", WAYS)
def test_they_count_like_others(colour: Colour, topology: Topology, namespace: str, way: str) -> None:
    """An invalidation by another process is seen by every read, and `info` shows the tags."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            table = Table(colour)
            row = deriving(colour, layer, table, way)
            handle, cache = colour.of(entries(row)), colour.of(layer.cache)
            await colour.call(row, 1)
            await colour.call(row, 1)  # by now a loader that says its tags is known to do so
            assert (await handle.info(1)).tags == ("v:1",)
            loads, table.value = table.loads, 2
            assert await colour.call(row, 1) == 1
            await colour.of(other.cache).invalidate_tags("v:2", "else")
            assert await colour.call(row, 1) == 1
            await colour.of(other.cache).invalidate_tags("v:1")
            assert await handle.info(1) is None
            assert await handle.get(1) is MISSING
            assert await cache.get_many(["row:1"]) == {}
            assert [await colour.call(row, 1), await colour.call(row, 1)] == [2, 2]
            assert (await handle.info(1)).tags == ("v:2",)
            assert table.loads == loads + 1

    colour.run(scenario)


@pytest.mark.parametrize("lost", ["invalidated", "forgotten"])
@pytest.mark.parametrize("way", WAYS)
def test_an_invalidation_during_the_load(
    colour: Colour, topology: Topology, namespace: str, way: str, lost: str
) -> None:
    """Nobody could know of the tag before the load; the value is not stored, nor given to who came after."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            table = Table(colour)
            row = deriving(colour, layer, table, way)
            await colour.call(row, 7)
            fills = told(layer, Fill)
            gate = table.stop()

            async def change_and_call() -> Any:
                await colour.until(lambda: gate.waiting, "the load has read the source")
                table.value = 2
                await colour.of(other.cache).invalidate_tags("v:1")
                if lost == "forgotten":
                    names = layer.engine.caching.names
                    forget(layer, names.epoch, names.tag("v:1"))
                return await colour.call(row, 1)

            async def open_gate() -> None:
                await colour.until(lambda: joined(layer) == 2, "the later caller has joined the load")
                gate.open()

            assert await colour.together(table.calling(row, 1), change_and_call, open_gate) == [1, 2, None]
            assert len(fills) == 1
            assert await colour.call(row, 1) == 2
            assert table.loads == 3

    colour.run(scenario)


@pytest.mark.parametrize("way", WAYS)
def test_an_invalidation_before_the_store(colour: Colour, topology: Topology, namespace: str, way: str) -> None:
    """When the tags have been read, and the value is about to be stored, an invalidation is not missed either."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            table = Table(colour)
            row = deriving(colour, layer, table, way)
            await colour.call(row, 7)
            points = Points(layer)
            points.hold("fill")

            async def change_and_call() -> Any:
                await colour.until(lambda: points.holds("fill"), "the value is about to be stored")
                table.value = 2
                await colour.of(layer.cache).invalidate_tags("v:1")
                points.release("fill")
                return await colour.call(row, 1)

            assert await colour.together(table.calling(row, 1), change_and_call) == [1, 2]

    colour.run(scenario)


def test_a_load_is_learned_from(colour: Colour, namespace: str) -> None:
    """The first load of a function whose helper says tags stores nothing; from then on it is known that it does."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            table = Table(colour)
            row = deriving(colour, layer, table, "loader")
            for _ in range(3):
                assert await colour.call(row, 1) == 1
            assert table.loads == 2
            assert [await colour.call(row, 2), await colour.call(row, 2)] == [1, 1]
            assert table.loads == 3

    colour.run(scenario)


def test_loads_without_a_function_are_learned_from(colour: Colour, namespace: str) -> None:
    """`get_or_load` learns as well, though each of its calls may bring another loader."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            cache = colour.of(layer.cache)
            loads = 0

            async def load() -> int:
                nonlocal loads
                loads += 1
                say("t")
                return loads

            function = colour.function(load)
            assert [await cache.get_or_load("k", function, 60) for _ in range(3)] == [1, 2, 2]
            await cache.invalidate_tags("t")
            assert await cache.get_or_load("k", function, 60) == 3

    colour.run(scenario)


def test_a_loader_that_mentions_its_tags_is_known(namespace: str) -> None:
    """The text of the function is looked at, so that its first load is stored already."""
    with Layer(namespace=namespace) as layer:

        @layer.cached(60, key="row:{number}")
        def row(number: int) -> int:
            current_entry().tags = [f"n:{number}"]
            return number

        assert row(1) == 1
        assert entries(row).get(1) == 1
        layer.cache.invalidate_tags("n:1")
        assert entries(row).get(1) is MISSING


def test_they_add_to_the_declared_ones(colour: Colour, namespace: str) -> None:
    """All three ways together, without repetitions; each counts."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            loads = 0

            async def load(number: int) -> int:
                nonlocal loads
                loads += 1
                say("said", "both", f"declared:{number}")
                return loads

            row = layer.cached(60, key="row:{number}", tags=["declared:{number}"])(colour.function(load))
            handle = colour.of(entries(row))
            for _ in range(2):
                await colour.call(row, 1)
            assert (await handle.info(1)).tags == ("declared:1", "said", "both")
            for number, tag in enumerate(["declared:1", "said", "both"]):
                assert await colour.call(row, 1) == 2 + number
                await colour.of(layer.cache).invalidate_tags(tag)
            assert await colour.call(row, 1) == 5

    colour.run(scenario)


def test_a_value_that_is_not_stored(colour: Colour, namespace: str) -> None:
    """A loader that says tags and not to store: who came after the invalidation does not share its value."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            table = Table(colour)

            async def load(number: int) -> Any:
                current_entry().no_store()
                say("t")
                return await table.read()

            row = layer.cached(60, key="row:{number}")(colour.function(load))
            gate = table.stop()

            async def change_and_call() -> Any:
                await colour.until(lambda: gate.waiting, "the load has read the source")
                table.value = 2
                await colour.of(layer.cache).invalidate_tags("t")
                return await colour.call(row, 1)

            async def open_gate() -> None:
                await colour.until(lambda: joined(layer) == 2, "the later caller has joined the load")
                gate.open()

            assert await colour.together(table.calling(row, 1), change_and_call, open_gate) == [1, 2, None]
            assert await colour.of(entries(row)).get(1) is MISSING

    colour.run(scenario)


def test_errors_that_are_stored_have_tags(colour: Colour, topology: Topology, namespace: str) -> None:
    """An exception that is kept carries the declared tags and those that the loader said before it raised."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            loads = 0

            async def load(number: int) -> Any:
                nonlocal loads
                loads += 1
                say("said")
                raise LookupError(number)

            row = layer.cached(60, key="row:{number}", tags=["declared"], cache_errors=LookupError)(
                colour.function(load)
            )
            seen = []
            for tag in (None, None, None, "said", None, "declared", None):
                if tag:
                    await colour.of(layer.cache).invalidate_tags(tag)
                with pytest.raises(LookupError):
                    await colour.call(row, 1)
                seen.append(loads)
            assert seen == [1, 2, 2, 3, 3, 4, 4]

    colour.run(scenario)
