"""What `entries(f).call` says about where a value came from, how old it is, and how long it stays fresh."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import Layer, entries
from holdfast.events import EntryUnreadable
from support.colours import Colour
from support.flights import joined
from support.peeking import idle, near_is_up, told
from support.table import Table
from support.times import Times
from support.topologies import Topology


def about(seconds: float) -> Any:
    return pytest.approx(seconds, abs=2)


def test_hit_miss_and_stale(colour: Colour, topology: Topology, namespace: str) -> None:
    """The age counts from the load, the rest to the end of freshness; both are there at once after a load."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            table, times = Table(colour), Times(layer)
            row = table.on(layer, 60, grace=600)
            handle = colour.of(entries(row))
            seen: list[Any] = []
            for seconds in (0, 10, 60, 0):
                times.go_by(seconds)
                value, info = await handle.call(1)
                await colour.until(lambda: idle(layer), "nothing is loaded")
                assert value == 1
                seen.append((info.status, info.age, info.remaining))
            assert seen == [
                ("miss", about(0), about(60)),
                ("hit", about(10), about(50)),
                ("stale", about(70), 0),
                ("hit", about(0), about(60)),
            ]

    colour.run(scenario)


def test_near(colour: Colour, namespace: str) -> None:
    """An entry in the process is as old as it is, not as long as it has been there."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            times = Times(layer)
            row = Table(colour).on(layer, 60, near=30)
            handle = colour.of(entries(row))
            await handle.call(1)
            await colour.until(lambda: near_is_up(layer), "the news are heard")
            times.go_by(10)
            await handle.call(1)
            times.go_by(10)
            _, info = await handle.call(1)
            assert (info.status, info.age, info.remaining) == ("near", about(20), about(40))

    colour.run(scenario)


def test_coalesced(colour: Colour, namespace: str) -> None:
    """Who opened the load missed; who shared it knows the entry as well."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            table = Table(colour)
            row, gate = table.on(layer), table.stop()

            async def call() -> Any:
                return (await colour.of(entries(row)).call(1))[1]

            async def open_gate() -> None:
                await colour.until(lambda: joined(layer) == 3, "all have joined")
                gate.open()

            *infos, _ = await colour.together(call, call, call, open_gate)
            assert sorted(info.status for info in infos) == ["coalesced", "coalesced", "miss"]
            assert [(info.age, info.remaining) for info in infos] == [(about(0), about(60))] * 3

    colour.run(scenario)


def test_another_process_loads(colour: Colour, topology: Topology, namespace: str) -> None:
    """A caller that waited for another process has shared its load, too."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            table = Table(colour)
            row, elsewhere, gate = table.on(layer), table.on(other), table.stop()

            async def call_elsewhere() -> Any:
                await colour.until(lambda: gate.waiting, "the load runs")
                return await colour.of(entries(elsewhere)).call(1)

            async def open_gate() -> None:
                await colour.until(lambda: joined(other) == 1, "the other process waits")
                gate.open()

            _, (value, info), _ = await colour.together(table.calling(row, 1), call_elsewhere, open_gate)
            assert (value, info.status, info.remaining) == (1, "coalesced", about(60))

    colour.run(scenario)


def test_there_is_no_entry_where_nothing_is_kept(colour: Colour, namespace: str) -> None:
    """Of a function that only shares its calls there is nothing to describe, not even while one loads under a lease."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            seen: list[Any] = []
            events = told(layer)

            async def row(number: int) -> int:
                seen.append(await handle.info(number))
                return number

            function = layer.stampede_protected(key="row:{number}")(colour.function(row))
            handle = colour.of(entries(function))
            await colour.call(function, 1)
            assert [*seen, await handle.info(1)] == [None, None]
            assert [each for each in events if isinstance(each, EntryUnreadable)] == []
            assert layer.stats().errors == 0

    colour.run(scenario)


@pytest.mark.parametrize("keeps", [True, False])
def test_what_is_not_stored(colour: Colour, namespace: str, keeps: bool) -> None:
    """There is no entry to tell of: both times are 0."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:

            async def row(number: int) -> int:
                return number

            never = layer.cached(60, key="row:{number}", condition=lambda result: False)
            function = (never if keeps else layer.stampede_protected(key="row:{number}"))(colour.function(row))
            for _ in range(2):
                value, info = await colour.of(entries(function)).call(1)
                assert (value, info.status, info.age, info.remaining) == (1, "miss", 0, 0)

    colour.run(scenario)


def test_bypassed(colour: Colour, namespace: str) -> None:
    """While the layer is disabled the function answers."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            table = Table(colour)
            row = table.on(layer)
            await colour.call(row, 1)
            table.value = 2
            with layer.disabled():
                value, info = await colour.of(entries(row)).call(1)
            assert (value, info.status, info.age, info.remaining) == (2, "bypassed", 0, 0)
            assert await colour.call(row, 1) == 1

    colour.run(scenario)
