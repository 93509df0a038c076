"""Grace: an entry past its time is returned at once, while one caller among all processes refreshes it behind."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import pytest

from holdfast import MISSING, Layer, entries
from holdfast.events import Event, Fill, Hit, LoadFailed, Miss, Refreshed, Stale
from support.colours import Colour
from support.peeking import idle, told
from support.table import Table
from support.times import Times
from support.topologies import Topology

WHO: ContextVar[str] = ContextVar("who", default="nobody")


def kinds(events: list[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_nobody_waits_and_one_refreshes(colour: Colour, topology: Topology, namespace: str) -> None:
    """While the refresh runs all callers of all processes get the older value; afterwards all get the new one."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            table, times = Table(colour), Times(layer, other)
            rows = [table.on(each, grace=600) for each in (layer, other)]
            await colour.call(rows[0], 1)
            times.go_by(61)
            table.value, gate = 2, table.stop()
            calls = [table.calling(row, 1) for row in rows for _ in range(4)]
            assert await colour.together(*calls) == [1] * 8
            for _ in range(2):
                await colour.until(lambda: gate.waiting and idle(layer) != idle(other), "only one refreshes")
                assert [await colour.call(row, 1) for row in rows] == [1, 1]
            assert table.loads == 2
            gate.open()
            await colour.until(lambda: idle(layer) and idle(other), "the refresh is over")
            assert [await colour.call(row, 1) for row in rows] == [2, 2]
            assert table.loads == 2

    colour.run(scenario)


def test_the_hard_limit(colour: Colour, server_topology: Topology, namespace: str) -> None:
    """Redis drops the entry when grace is over, and a process whose clock says so before does not serve it."""

    async def scenario() -> None:
        async with colour.using(Layer(server_topology.url, namespace=namespace)) as layer:
            table, times = Table(colour), Times(layer)
            row = table.on(layer, 60, grace=30)
            misses = told(layer, Miss)
            await colour.call(row, 1)
            assert 88 < server_topology.ttls(namespace)[entries(row).key(1)] <= 90
            table.value = 2
            times.go_by(90.5)
            assert await colour.of(entries(row)).get(1) is MISSING
            assert await colour.call(row, 1) == 2
            assert [miss.reason for miss in misses] == ["absent", "stale", "stale"]

    colour.run(scenario)


def test_looking_does_not_refresh(colour: Colour, namespace: str) -> None:
    """`get` returns what a call would, and loads nothing; `layer.cache` knows of no grace."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            table, times = Table(colour), Times(layer)
            row = table.on(layer, grace=600)
            await colour.call(row, 1)
            times.go_by(61)
            handle = colour.of(entries(row))
            assert await handle.get(1) == 1
            info = await handle.info(1)
            assert not info.fresh
            assert 600 < info.remaining <= 660
            assert await colour.of(layer.cache).get("row:1") is None
            assert table.loads == 1

    colour.run(scenario)


def test_the_events_and_counts(colour: Colour, namespace: str) -> None:
    """Stale calls count as hits and as stale; the refresh is told as such."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            table, times, events = Table(colour), Times(layer), told(layer)
            row = table.on(layer, grace=600)
            await colour.call(row, 1)
            times.go_by(61)
            await colour.call(row, 1)
            await colour.until(lambda: idle(layer), "the refresh is over")
            await colour.call(row, 1)
            assert kinds(events) == ["Miss", "Fill", "Stale", "Fill", "Refreshed", "Hit"]
            key = entries(row).key(1)
            assert events[2] == Stale("row:{number}", key, "grace")
            assert events[4] == Refreshed("row:{number}", key, background=True)
            assert (events[1].ttl, events[3].ttl) == (660, 660)
            stats = layer.stats()
            assert (stats.hits, stats.misses, stats.stale, stats.fills) == (2, 1, 1, 2)

    colour.run(scenario)


def test_a_refresh_that_fails(colour: Colour, topology: Topology, namespace: str) -> None:
    """Nobody gets its error, hooks are told, and it is tried again after a pause, whoever asks meanwhile."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            table, times = Table(colour), Times(layer, other)
            rows = [table.on(each, grace=600) for each in (layer, other)]
            events = told(layer, LoadFailed, Fill, Refreshed)
            await colour.call(rows[0], 1)
            times.go_by(61)
            table.fails = LookupError("down")
            for row in rows * 3:
                assert await colour.call(row, 1) == 1
                await colour.until(lambda: idle(layer) and idle(other), "nothing is loaded")
            assert table.loads == 2
            assert kinds(events) == ["Fill", "LoadFailed"]
            times.go_by(11)
            assert await colour.call(rows[0], 1) == 1
            await colour.until(lambda: table.loads == 3 and idle(layer), "it was tried again")
            table.fails, table.value = None, 2
            times.go_by(11)
            assert await colour.call(rows[0], 1) == 1
            await colour.until(lambda: idle(layer) and table.loads == 4, "it was tried again")
            assert await colour.call(rows[0], 1) == 2

    colour.run(scenario)


def test_an_error_that_is_kept(colour: Colour, namespace: str) -> None:
    """A stored exception has a grace like a result: it is raised at once while the function is asked again."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            table, times = Table(colour), Times(layer)
            row = table.on(layer, grace=600, cache_errors=LookupError)
            table.fails = LookupError("nobody")
            with pytest.raises(LookupError):
                await colour.call(row, 1)
            times.go_by(61)
            table.fails, gate = None, table.stop()
            for _ in range(2):
                with pytest.raises(LookupError):
                    await colour.call(row, 1)
            gate.open()
            await colour.until(lambda: idle(layer), "the refresh is over")
            assert await colour.call(row, 1) == 1
            assert table.loads == 2
            times.go_by(61)
            table.fails = LookupError("nobody any more")
            assert await colour.call(row, 1) == 1
            await colour.until(lambda: idle(layer), "the refresh is over")
            with pytest.raises(LookupError, match="any more"):
                await colour.call(row, 1)

    colour.run(scenario)


@pytest.mark.parametrize("kind", ["stale", "early"])
def test_closing_waits_for_refreshes(colour: Colour, namespace: str, kind: str) -> None:
    """What is being refreshed when the layer is closed is stored before it is."""

    async def scenario() -> None:
        url = f"memory://{namespace}"
        layer = Layer(url, namespace=namespace)
        table, times = Table(colour), Times(layer)
        row = table.on(layer, grace=600) if kind == "stale" else table.on(layer, beta=1000.0)
        times.chance = 0.0
        await colour.call(row, 1)
        times.go_by(61 if kind == "stale" else 59.9999)
        times.chance = 1 - 2.0**-53
        table.value, gate = 2, table.stop()
        assert await colour.call(row, 1) == 1
        closed: list[bool] = []

        async def close() -> None:
            await colour.of(layer).close() if colour.is_async else layer.close()
            closed.append(gate.waiting == 1)

        async def open_gate() -> None:
            await colour.until(lambda: gate.waiting, "the refresh runs")
            await colour.sleep(0.03)
            assert not closed
            gate.open()

        assert await colour.together(close, open_gate) == [None, None]
        async with colour.using(Layer(url, namespace=namespace)) as other:
            assert await colour.of(other.cache).get("row:1") == 2

    colour.run(scenario)


def test_the_refresh_sees_the_context_of_its_caller(colour: Colour, namespace: str) -> None:
    """Context variables are copied for it: it sees them, and what it sets stays there."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            times, seen = Times(layer), []

            async def row(number: int) -> int:
                seen.append(WHO.get())
                WHO.set("the refresh")
                return number

            function = layer.cached(60, key="row:{number}", grace=600)(colour.function(row))
            await colour.call(function, 1)
            times.go_by(61)
            WHO.set("the caller")
            await colour.call(function, 1)
            await colour.until(lambda: len(seen) == 2 and idle(layer), "the refresh is over")
            assert seen[1] == "the caller"
            assert WHO.get() == "the caller"

    colour.run(scenario)


def test_a_refresh_on_request_holds_up_nobody(colour: Colour, namespace: str) -> None:
    """While `entries(f).refresh()` loads, callers get the entry that is there, fresh or within its grace."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            table, times = Table(colour), Times(layer)
            row = table.on(layer, grace=600)
            await colour.call(row, 1)
            events = told(layer, Hit, Stale, Refreshed)
            table.value, gate = 2, table.stop()

            async def refresh() -> Any:
                return await colour.of(entries(row)).refresh(1)

            async def call_meanwhile() -> Any:
                await colour.until(lambda: gate.waiting, "the refresh runs")
                found = [await colour.call(row, 1)]
                times.go_by(61)
                found.append(await colour.call(row, 1))
                gate.open()
                return found

            assert await colour.together(refresh, call_meanwhile) == [2, [1, 1]]
            assert kinds(events) == ["Hit", "Stale", "Refreshed"]
            assert table.loads == 2

    colour.run(scenario)
