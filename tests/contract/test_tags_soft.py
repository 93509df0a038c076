"""Soft and hard invalidation of tags, what either costs, and where the tags may lie."""

from __future__ import annotations

import pytest

from holdfast import MISSING, Layer, entries
from holdfast.events import Miss, Stale, TagsInvalidated
from support.calls import teach
from support.colours import Colour
from support.peeking import idle, told
from support.points import Points
from support.table import Table
from support.times import Times
from support.topologies import Servers, Topology


def test_soft_serves_once_more_and_refreshes(colour: Colour, topology: Topology, namespace: str) -> None:
    """With a grace, the older value is served as stale while one caller refreshes it; then the new one is there."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            table = Table(colour)
            row = table.on(layer, tags=["t"], grace=600)
            handle = colour.of(entries(row))
            events = told(layer, Stale, Miss)
            await colour.call(row, 1)
            table.value = 2
            await colour.of(other.cache).invalidate_tags("t", soft=True)
            assert not (await handle.info(1)).fresh
            value, info = await handle.call(1)
            assert (value, info.status) == (1, "stale")
            await colour.until(lambda: idle(layer), "it is refreshed")
            value, info = await handle.call(1)
            assert (value, info.status) == (2, "hit")
            assert (await handle.info(1)).fresh
            assert [type(event) for event in events] == [Miss, Stale]
            assert events[-1].reason == "grace"
            assert table.loads == 2

    colour.run(scenario)


@pytest.mark.parametrize("soft", [True, False])
def test_without_a_grace(colour: Colour, namespace: str, soft: bool) -> None:
    """Soft or hard, an entry that nobody allowed to be stale is loaded anew."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            table = Table(colour)
            row = table.on(layer, tags=["t"])
            await colour.call(row, 1)
            table.value = 2
            await colour.of(layer.cache).invalidate_tags("t", soft=soft)
            assert await colour.of(entries(row)).get(1) is MISSING
            assert await colour.of(layer.cache).get("row:1") is None
            assert await colour.call(row, 1) == 2

    colour.run(scenario)


def test_soft_and_a_source_that_is_down(colour: Colour, namespace: str) -> None:
    """`stale_if_error` falls back on what was invalidated softly, never on what was invalidated hard, in any order."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            table = Table(colour)
            row = table.on(layer, tags=["t", "u"], stale_if_error=600)
            cache = colour.of(layer.cache)
            await colour.call(row, 1)
            table.fails = LookupError("down")
            await cache.invalidate_tags("t", soft=True)
            assert await colour.call(row, 1) == 1
            await cache.invalidate_tags("u")
            await cache.invalidate_tags("u", soft=True)
            with pytest.raises(LookupError):
                await colour.call(row, 1)

    colour.run(scenario)


def test_soft_does_not_lengthen_a_life(colour: Colour, namespace: str) -> None:
    """The grace counts from the entry's own end, not from the invalidation."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            table, times = Table(colour), Times(layer)
            row = table.on(layer, tags=["t"], grace=60)
            await colour.call(row, 1)
            table.value = 2
            times.go_by(121)
            await colour.of(layer.cache).invalidate_tags("t", soft=True)
            assert await colour.call(row, 1) == 2

    colour.run(scenario)


@pytest.mark.parametrize("point", ["acquire!", "fill"])
def test_soft_during_a_load(colour: Colour, topology: Topology, namespace: str, point: str) -> None:
    """What was loaded before is stale from the beginning: it is served as such, and refreshed."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            table, points = Table(colour), Points(layer)
            row = table.on(layer, tags=["t"], grace=600)
            points.hold(point)

            async def change() -> None:
                await colour.until(lambda: points.holds(point), f"the load is at {point}")
                table.value = 2
                await colour.of(layer.cache).invalidate_tags("t", soft=True)
                points.release(point)

            await colour.together(table.calling(row, 1), change)
            _, info = await colour.of(entries(row)).call(1)
            assert info.status == "stale"
            await colour.until(lambda: idle(layer), "it is refreshed")
            assert await colour.call(row, 1) == 2

    colour.run(scenario)


def test_the_events(colour: Colour, namespace: str) -> None:
    """One event an invalidation, with all its tags as they stand in keys; no tags are nothing to do."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            events = told(layer, TagsInvalidated)
            cache = colour.of(layer.cache)
            await cache.invalidate_tags("a", "b c", "a")
            await cache.invalidate_tags("a", soft=True)
            await cache.invalidate_tags()
            assert events == [TagsInvalidated(("a", "b%20c"), False), TagsInvalidated(("a",), True)]

    colour.run(scenario)


@pytest.mark.parametrize("soft", [True, False])
def test_invalidation_costs_the_same_for_many(
    colour: Colour, server_topology: Topology, namespace: str, soft: bool
) -> None:
    """Two commands, for one entry with the tag and for a thousand; and none of them names an entry."""

    async def scenario() -> None:
        teach(server_topology.nodes)  # or the first one is sent twice, if no other test has
        async with colour.using(Layer(server_topology.url, namespace=namespace)) as layer:
            cache = colour.of(layer.cache)
            await cache.set_many({f"few{number}": number for number in range(2)}, 60, tags=["few"])
            await cache.set_many({f"many{number}": number for number in range(1000)}, 60, tags=["many"])
            seen = {}
            for tag in ("few", "many"):
                with server_topology.monitor(containing=namespace) as recording:
                    await cache.invalidate_tags(tag, soft=soft)
                seen[tag] = (sorted(recording.names), sorted(each.name for each in recording.from_scripts))
                assert not [each for each in recording.seen if b":cache:" in b" ".join(each.words)]
            assert seen["few"] == seen["many"]
            assert len(seen["many"][0]) == 2
            assert await cache.get_many([f"{tag}{number}" for tag in ("few", "many") for number in range(1000)]) == {}

    colour.run(scenario)


def test_tags_in_other_slots(colour: Colour, servers: Servers, namespace: str) -> None:
    """On a cluster an entry and its tags lie on all nodes; each tag counts, for one entry and for many at once."""

    async def scenario() -> None:
        cluster = servers.cluster()
        async with colour.using(Layer(cluster.url, namespace=namespace)) as layer:
            table, tags = Table(colour), [f"tag{number}" for number in range(12)]
            row = table.on(layer, tags=tags)
            cache = colour.of(layer.cache)
            names = layer.engine.caching.names
            assert {cluster.owner(names.tag(tag)).port for tag in tags} == {each.port for each in cluster.primaries}
            for tag in tags:
                table.value = 0
                assert [await colour.call(row, number) for number in range(4)] == [0] * 4
                table.value = 1
                await cache.invalidate_tags(tag)
                assert await cache.get_many([f"row:{number}" for number in range(4)]) == {}
                assert [await colour.call(row, number) for number in range(4)] == [1] * 4
                await cache.invalidate_tags(*tags)

    colour.run(scenario)
