"""A source that is down or slow: what is stale is served instead, and the source is left alone for a while."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import Layer, LoadTimeout, entries
from holdfast.events import LoadFailed, Stale
from support.colours import Colour
from support.flights import joined
from support.peeking import idle, told
from support.table import Table
from support.times import Times
from support.topologies import Topology


def test_a_dead_source_is_not_asked_for_every_call(colour: Colour, topology: Topology, namespace: str) -> None:
    """One caller finds out; then all processes serve what is there, and try again after the pause."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            table, times = Table(colour), Times(layer, other)
            rows = [table.on(each, stale_if_error=600) for each in (layer, other)]
            events = told(layer, Stale, LoadFailed)
            await colour.call(rows[0], 1)
            times.go_by(61)
            table.fails = LookupError("down")
            assert [await colour.call(row, 1) for row in rows for _ in range(5)] == [1] * 10
            assert table.loads == 2
            assert [getattr(event, "reason", "failed") for event in events] == ["failed", "error", *["retry"] * 4]
            times.go_by(9)
            assert await colour.call(rows[1], 1) == 1
            assert table.loads == 2
            times.go_by(1.1)
            assert await colour.call(rows[1], 1) == 1
            assert table.loads == 3
            times.go_by(10.1)
            table.fails, table.value = None, 2
            assert [await colour.call(row, 1) for row in rows] == [2, 2]
            assert table.loads == 4

    colour.run(scenario)


def test_it_has_an_end(colour: Colour, server_topology: Topology, namespace: str) -> None:
    """Past `stale_if_error` the error is raised, throttle or not, and Redis drops the entry at that time, too."""

    async def scenario() -> None:
        async with colour.using(Layer(server_topology.url, namespace=namespace)) as layer:
            table, times = Table(colour), Times(layer)
            row = table.on(layer, grace=5, stale_if_error=100)
            await colour.call(row, 1)
            assert 158 < server_topology.ttls(namespace)[entries(row).key(1)] <= 160
            table.fails = LookupError("down")
            times.go_by(66)
            _, info = await colour.of(entries(row)).call(1)
            assert (info.status, info.remaining) == ("stale", 0)
            assert 65 < info.age < 70
            times.go_by(94)
            with pytest.raises(LookupError):
                await colour.call(row, 1)

    colour.run(scenario)


def test_each_caller_of_a_failing_load(colour: Colour, namespace: str) -> None:
    """All who share it get a value of their own that they have read themselves, for one call of the source."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            table, times = Table(colour), Times(layer)
            row = table.on(layer, stale_if_error=600)
            table.value = [1]
            await colour.call(row, 1)
            times.go_by(61)
            table.fails, gate = LookupError("down"), table.stop()

            async def open_gate() -> None:
                await colour.until(lambda: joined(layer) == 5, "all have joined")
                gate.open()

            *found, _ = await colour.together(*[table.calling(row, 1)] * 5, open_gate)
            assert found == [[1]] * 5
            assert len({id(each) for each in found}) == 5
            assert table.loads == 2
            assert layer.stats().stale == 5

    colour.run(scenario)


def test_without_anything_stale_the_error_is_raised(colour: Colour, namespace: str) -> None:
    """There is no throttle either: the next call asks again."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            table = Table(colour)
            row = table.on(layer, stale_if_error=600)
            table.fails = LookupError("down")
            for _ in range(2):
                with pytest.raises(LookupError):
                    await colour.call(row, 1)
            assert table.loads == 2

    colour.run(scenario)


def test_an_error_that_is_stored_is_an_answer(colour: Colour, namespace: str) -> None:
    """`cache_errors` says that the exception is a result: it replaces what was there."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            table, times = Table(colour), Times(layer)
            row = table.on(layer, stale_if_error=600, cache_errors=LookupError)
            await colour.call(row, 1)
            times.go_by(61)
            table.fails = LookupError("gone")
            for _ in range(2):
                with pytest.raises(LookupError):
                    await colour.call(row, 1)
            assert table.loads == 2

    colour.run(scenario)


@pytest.mark.parametrize("members", [1, 3])
def test_a_slow_source(colour: Colour, namespace: str, members: int) -> None:
    """Whoever has something stale waits no longer than `soft_timeout`, followers too; the load goes on."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            table, times, events = Table(colour), Times(layer), told(layer, Stale)
            row = table.on(layer, stale_if_error=600, soft_timeout="30ms")
            await colour.call(row, 1)
            times.go_by(61)
            table.value, gate = 2, table.stop()
            assert await colour.together(*[table.calling(row, 1)] * members) == [1] * members
            assert {event.reason for event in events} == {"timeout"}
            assert table.loads == 2
            gate.open()
            await colour.until(lambda: idle(layer), "the load is over")
            assert await colour.call(row, 1) == 2

    colour.run(scenario)


def test_a_source_that_is_too_slow(colour: Colour, namespace: str) -> None:
    """Without anything stale `hard_timeout` raises; the load goes on and is stored."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            table = Table(colour)
            row = table.on(layer, soft_timeout="10ms", hard_timeout="40ms", stale_if_error=600)
            gate = table.stop()
            errors: list[Any] = await colour.together(*[table.calling(row, 1)] * 2)
            assert [type(error) for error in errors] == [LoadTimeout] * 2
            assert "row:{1}" not in str(errors[0])
            assert "hard_timeout=0.04 s" in str(errors[0])
            gate.open()
            await colour.until(lambda: idle(layer), "the load is over")
            assert await colour.call(row, 1) == 1
            assert table.loads == 1

    colour.run(scenario)
