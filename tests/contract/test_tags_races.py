"""A tag that is invalidated while a value with it is loaded or stored: who calls later never gets the older value."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import Layer
from support.colours import Colour
from support.flights import joined
from support.peeking import idle
from support.points import Points
from support.table import Table
from support.times import Times
from support.topologies import Topology

TAGS = ["group:{number}", "all"]


@pytest.mark.parametrize(("where", "tag"), [("here", "group:1"), ("elsewhere", "all")])
def test_while_a_load_runs(colour: Colour, topology: Topology, namespace: str, where: str, tag: str) -> None:
    """The load's caller gets what it asked for; one that joined after the invalidation, and all later ones, do not."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            table = Table(colour)
            row, row_elsewhere = table.on(layer, tags=TAGS), table.on(other, tags=TAGS)
            gate = table.stop()

            async def change_and_call() -> Any:
                await colour.until(lambda: gate.waiting, "the load has read the source")
                table.value = 2
                await colour.of((layer if where == "here" else other).cache).invalidate_tags(tag)
                return await colour.call(row, 1)

            async def open_gate() -> None:
                await colour.until(lambda: joined(layer) == 2, "the later caller has joined the load")
                gate.open()

            results = await colour.together(table.calling(row, 1), change_and_call, open_gate)
            assert results == [1, 2, None]
            assert [await colour.call(row, 1), await colour.call(row_elsewhere, 1)] == [2, 2]
            assert table.loads == 2

    colour.run(scenario)


@pytest.mark.parametrize(("where", "kind"), [("here", "stale"), ("elsewhere", "stale"), ("elsewhere", "early")])
def test_while_a_refresh_runs(colour: Colour, topology: Topology, namespace: str, where: str, kind: str) -> None:
    """A refresh in the background, of a stale entry or an early one, does not bring the older value back either."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            table, times = Table(colour), Times(layer, other)
            options: dict[str, Any] = {"grace": 600} if kind == "stale" else {"beta": 1000.0}
            row, row_elsewhere = table.on(layer, tags=TAGS, **options), table.on(other, tags=TAGS)
            times.chance = 0.0
            await colour.call(row, 1)
            table.value, gate = 2, table.stop()
            times.go_by(61 if kind == "stale" else 59.9999)
            times.chance = 1 - 2.0**-53
            assert await colour.call(row, 1) == 1
            await colour.until(lambda: gate.waiting, "the refresh has read the source")
            table.value = 3
            await colour.of((layer if where == "here" else other).cache).invalidate_tags("all")

            async def open_gate() -> None:
                await colour.until(lambda: joined(layer) == 1, "the later caller has joined the refresh")
                gate.open()

            assert await colour.together(table.calling(row, 1), open_gate) == [3, None]
            await colour.until(lambda: idle(layer), "the refresh is over")
            times.chance = 0.0
            assert [await colour.call(row, 1), await colour.call(row_elsewhere, 1)] == [3, 3]

    colour.run(scenario)


@pytest.mark.parametrize(
    ("where", "point"), [("elsewhere", "acquire!"), ("here", "fill"), ("elsewhere", "fill"), ("elsewhere", "fill!")]
)
def test_around_the_load(colour: Colour, topology: Topology, namespace: str, where: str, point: str) -> None:
    """Between the reading of the tags and the load, between load and store, or just after the store."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            table, points = Table(colour), Points(layer)
            row = table.on(layer, tags=TAGS)
            points.hold(point)

            async def change_and_call() -> Any:
                await colour.until(lambda: points.holds(point), f"the load is at {point}")
                table.value = 2
                await colour.of((layer if where == "here" else other).cache).invalidate_tags("all")
                points.release(point)
                return await colour.call(row, 1)

            first, later = await colour.together(table.calling(row, 1), change_and_call)
            assert (first, later) == (2 if point == "acquire!" else 1, 2)
            assert await colour.call(table.on(other, tags=TAGS), 1) == 2

    colour.run(scenario)


@pytest.mark.parametrize("wanted", [True, False])
def test_a_value_that_is_not_stored(colour: Colour, namespace: str, wanted: bool) -> None:
    """Who joined after the invalidation does not get it, declared or derived tags, stored or only shared."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            for number, tags in enumerate([["t"], lambda result: ["t"]]):
                table = Table(colour)
                condition = None if wanted else (lambda result: False)
                row = table.on(layer, key=f"row{number}:{{number}}", tags=tags, condition=condition)
                gate = table.stop()

                async def change_and_call(row: Any = row, table: Table = table, gate: Any = gate) -> Any:
                    await colour.until(lambda: gate.waiting, "the load has read the source")
                    table.value = 2
                    await colour.of(layer.cache).invalidate_tags("t")
                    return await colour.call(row, 1)

                async def open_gate(gate: Any = gate) -> None:
                    await colour.until(lambda: joined(layer) == 2, "the later caller has joined the load")
                    gate.open()

                assert await colour.together(table.calling(row, 1), change_and_call, open_gate) == [1, 2, None]

    colour.run(scenario)


def test_two_invalidations_at_the_same_time(colour: Colour, topology: Topology, namespace: str) -> None:
    """However quickly they follow each other, neither restores what the other has invalidated."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            cache = colour.of(layer.cache)

            async def invalidate() -> None:
                await cache.invalidate_tags("t")

            for _ in range(10):
                await cache.set("before", 1, 60, tags=["t"])
                await invalidate()
                await cache.set("between", 1, 60, tags=["t"])
                await colour.together(invalidate, invalidate)
                assert await cache.get_many(["before", "between"]) == {}

    colour.run(scenario)


def test_a_tag_that_two_processes_meet_first(colour: Colour, topology: Topology, namespace: str) -> None:
    """Both see the same version, so that the entries of both stay, and go together."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            table = Table(colour)
            rows = [table.on(each, tags=["t"]) for each in (layer, other)]
            both = [Points(each) for each in (layer, other)]
            for points in both:
                points.hold("acquire")

            async def let_go() -> None:
                await colour.until(lambda: all(points.holds("acquire") for points in both), "both are about to ask")
                for points in both:
                    points.release("acquire")

            await colour.together(table.calling(rows[0], 1), table.calling(rows[1], 2), let_go)
            assert [await colour.call(row, number) for row in rows for number in (1, 2)] == [1] * 4
            assert table.loads == 2
            await colour.of(layer.cache).invalidate_tags("t")
            assert await colour.of(other.cache).get_many(["row:1", "row:2"]) == {}

    colour.run(scenario)
