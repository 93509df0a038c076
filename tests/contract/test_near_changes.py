"""An entry in the process and the changes of it: one's own count at once, foreign ones when told of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from holdfast import Layer, entries
from support.colours import Colour
from support.peeking import bumps, forget, is_near, keep_near, near_is_up, tag_bumps
from support.points import Points
from support.programs import newest
from support.table import Table
from support.topologies import Topology

Change = Callable[[Any, Any], Awaitable[Any]]

FEW = pytest.mark.parametrize("topology", ["memory", newest().name, "cluster"], indirect=True)

CHANGES: dict[str, Change] = {
    "invalidate": lambda handle, cache: handle.invalidate(1),
    "set": lambda handle, cache: handle.set(2, 1),
    "refresh": lambda handle, cache: handle.refresh(1),
    "cache.delete": lambda handle, cache: cache.delete("else", "row:1"),
    "cache.set": lambda handle, cache: cache.set("row:1", 2, 60, tags=["t"]),
    "cache.set_many": lambda handle, cache: cache.set_many({"row:1": 2, "else": 1}, 60, tags=["t"]),
    "hard tag": lambda handle, cache: cache.invalidate_tags("t"),
    "soft tag": lambda handle, cache: cache.invalidate_tags("t", soft=True),
}


@FEW
@pytest.mark.parametrize("change", CHANGES)
def test_own_changes(colour: Colour, topology: Topology, namespace: str, change: str) -> None:
    """When a change has returned, nobody in this process is served what was there before."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace, near=60)) as layer:
            table = Table(colour)
            row = table.on(layer, tags=["t"])
            await keep_near(colour, layer, row)
            table.value = 2
            await CHANGES[change](colour.of(entries(row)), colour.of(layer.cache))
            assert await colour.call(row, 1) == 2

    colour.run(scenario)


@pytest.mark.parametrize("change", CHANGES)
def test_foreign_changes(colour: Colour, topology: Topology, namespace: str, change: str) -> None:
    """When another process has changed the entry, the message of it drops the one in this process."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace, near=60)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            table = Table(colour)
            row = table.on(layer, tags=["t"])
            key = await keep_near(colour, layer, row)
            table.value = 2
            await CHANGES[change](colour.of(entries(table.on(other, tags=["t"]))), colour.of(other.cache))
            await colour.until(lambda: not is_near(layer, key), "the change was heard")
            assert await colour.call(row, 1) == 2

    colour.run(scenario)


def test_a_foreign_fill(colour: Colour, topology: Topology, namespace: str) -> None:
    """An entry that Redis has lost and another process has loaded anew is dropped here, too."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace, near=60)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            table = Table(colour)
            row = table.on(layer)
            key = await keep_near(colour, layer, row)
            forget(other, key)
            table.value = 2
            assert await colour.call(table.on(other), 1) == 2
            await colour.until(lambda: not is_near(layer, key), "the fill was heard")
            assert await colour.call(row, 1) == 2

    colour.run(scenario)


def test_a_change_by_a_function_that_is_not_near(colour: Colour, topology: Topology, namespace: str) -> None:
    """Two functions share a key, one of them near: what the other stores or removes counts for it at once."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            table, wanted = Table(colour), [True]
            row = table.on(layer, near=60)
            far = table.on(layer, condition=lambda result: wanted[0])
            await keep_near(colour, layer, row)
            table.value = 2
            assert await colour.of(entries(far)).refresh(1) == 2
            assert await colour.call(row, 1) == 2
            await keep_near(colour, layer, row)
            table.value, wanted[0] = 3, False
            assert await colour.of(entries(far)).refresh(1) == 3
            assert await colour.call(row, 1) == 3

    colour.run(scenario)


@pytest.mark.parametrize(
    ("tags", "change"), [([], "invalidate"), ([], "set"), (["t"], "hard tag"), (["t"], "soft tag")]
)
@FEW
@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_a_change_between_read_and_keeping(
    colour: Colour, topology: Topology, namespace: str, where: str, tags: list[str], change: str
) -> None:
    """A reply that was under way when its entry changed is returned to its caller, and not kept."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace, near=60)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            table = Table(colour)
            row = table.on(layer, tags=tags)
            key = entries(row).key(1)
            await colour.call(row, 1)
            await colour.until(lambda: near_is_up(layer), "the news are heard")
            await colour.of(entries(row)).invalidate(1)
            await colour.call(table.on(other, tags=tags), 1)
            points = Points(layer)
            points.hold("GET!")

            async def change_it() -> None:
                await colour.until(lambda: points.holds("GET!"), "the older value was read")
                seen, table.value = (bumps(layer, key), tag_bumps(layer, "t")), 2
                by = layer if where == "here" else other
                await CHANGES[change](colour.of(entries(table.on(by, tags=tags))), colour.of(by.cache))
                await colour.until(lambda: seen != (bumps(layer, key), tag_bumps(layer, "t")), "the change was heard")
                points.release("GET!")

            assert await colour.together(table.calling(row, 1), change_it) == [1, None]
            assert await colour.call(row, 1) == 2

    colour.run(scenario)


@pytest.mark.parametrize(("tags", "change"), [([], "invalidate"), (["t"], "hard tag")])
def test_a_change_between_fill_and_keeping(
    colour: Colour, topology: Topology, namespace: str, tags: list[str], change: str
) -> None:
    """What was stored, and changed before its caller heard of the store, is not kept."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace, near=60)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            table = Table(colour)
            row = table.on(layer, tags=tags)
            key = entries(row).key(1)
            await colour.call(row, 2)
            await colour.until(lambda: near_is_up(layer), "the news are heard")
            points = Points(layer)
            points.hold("fill!")

            async def change_it() -> None:
                await colour.until(lambda: points.holds("fill!"), "the value is stored")
                seen, table.value = (bumps(layer, key), tag_bumps(layer, "t")), 2
                await CHANGES[change](colour.of(entries(table.on(other, tags=tags))), colour.of(other.cache))
                await colour.until(lambda: seen != (bumps(layer, key), tag_bumps(layer, "t")), "the change was heard")
                points.release("fill!")

            assert await colour.together(table.calling(row, 1), change_it) == [1, None]
            assert await colour.call(row, 1) == 2

    colour.run(scenario)


def test_the_remaining_time_is_changed(colour: Colour, topology: Topology, namespace: str) -> None:
    """`expire` counts for the entry in the process, too, whoever calls it."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace, near=60)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            row = Table(colour).on(layer)
            for by in (layer, other):
                key = await keep_near(colour, layer, row)
                assert await colour.of(by.cache).expire("row:1", 20)
                await colour.until(lambda key=key: not is_near(layer, key), "the change was heard")
                _, info = await colour.of(entries(row)).call(1)
                assert 19 < info.remaining <= 20
                await colour.of(by.cache).expire("row:1", 60)

    colour.run(scenario)
