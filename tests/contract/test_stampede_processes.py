"""Several processes that miss one entry at the same time share one load. Two layers stand for two processes."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import entries
from holdfast.core import leasing
from holdfast.events import Event, FillRefused
from support.colours import Colour
from support.points import Points
from support.processes import opening, parties
from support.topologies import Topology


@pytest.fixture
def no_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let waiters look only when they begin to listen, and when they hear something."""
    monkeypatch.setattr(leasing, "pause", lambda *_, **__: 50.0)


@pytest.mark.usefixtures("no_polls")
def test_one_process_loads_for_all(colour: Colour, topology: Topology, namespace: str) -> None:
    """However many wait in another process: one load, one copy for each caller, one entry."""

    async def scenario() -> None:
        async with parties(colour, topology.url, namespace) as (source, here, there):
            waiters = [there.after(lambda: source.loads) for _ in range(4)]
            let_go = opening(colour, source, lambda: there.listens(4))
            *results, _ = await colour.together(here.caller, *waiters, let_go)
            assert results == [[1]] * 5
            assert len({id(result) for result in results}) == 5, "nobody shares a list with another"
            assert (here.loads, there.loads) == (1, 0)
            assert there.layer.stats().coalesced == 4
            assert await colour.of(entries(there.slow)).get(1) == [1]

    colour.run(scenario)


@pytest.mark.usefixtures("no_polls")
@pytest.mark.parametrize("then", ["works", "fails"])
def test_a_failing_load_is_tried_once_more_in_each_process(
    colour: Colour, topology: Topology, namespace: str, then: str
) -> None:
    """Each caller of the process that failed gets the error once; another process wakes up and tries for itself."""

    async def scenario() -> None:
        async with parties(colour, topology.url, namespace, wait="50s", lease="50s") as (source, here, there):

            def end(number: int) -> Any:
                if source.loads == 1 or then == "fails":
                    raise LookupError(source.loads)
                return number

            source.end = end
            actors = [here.caller, here.after(lambda: source.loads)]
            actors += [there.after(lambda: source.loads) for _ in range(2)]
            *results, _ = await colour.together(*actors, opening(colour, source, lambda: there.listens(2)))
            expected = ["LookupError(1)"] * 2 + (["1"] * 2 if then == "works" else ["LookupError(2)"] * 2)
            assert [repr(result) for result in results] == expected
            assert (here.loads, there.loads) == (1, 1)
            source.end = lambda number: number
            assert await here.call() == 1

    colour.run(scenario)


def test_a_load_slower_than_its_lease_keeps_it(colour: Colour, topology: Topology, namespace: str) -> None:
    """It is renewed as long as it runs, so that no other process takes over."""

    async def scenario() -> None:
        async with parties(colour, topology.url, namespace, lease=0.3) as (source, here, there):
            let_go = opening(colour, source, lambda: here.sent.names.count("renew") >= 6)
            assert await colour.together(here.caller, there.after(lambda: source.loads), let_go) == [[1], [1], None]
            assert (here.loads, there.loads) == (1, 0)
            assert here.layer.stats().fills == 1

    colour.run(scenario)


def test_a_load_that_lost_its_lease_returns_its_value_and_does_not_store_it(
    colour: Colour, topology: Topology, namespace: str
) -> None:
    """If it cannot renew, another process takes over; the value still goes to its caller, and the store is refused."""

    async def scenario() -> None:
        async with parties(colour, topology.url, namespace, lease=0.3) as (source, here, there):
            points, seen = Points(here.layer), list[Event]()
            here.layer.add_hook(seen.append)
            points.hold("renew")
            source.end = lambda number: source.loads
            first_gate = source.gate

            async def take_over() -> Any:
                await colour.until(lambda: points.holds("renew"), "the lease is about to be renewed")
                source.gate = colour.gate()
                source.gate.open()
                value = await there.call()
                source.loads = 10
                points.release("renew")
                first_gate.open()
                return value

            assert await colour.together(here.caller, take_over) == [10, 2]
            assert [type(event) for event in seen].count(FillRefused) == 1
            assert (here.loads, there.loads) == (1, 1)
            assert await here.call() == 2

    colour.run(scenario)


@pytest.mark.usefixtures("no_polls")
def test_a_message_between_asking_and_listening_is_not_needed(
    colour: Colour, topology: Topology, namespace: str
) -> None:
    """The load ends after a waiter was told to wait, before it listens: it looks once more when it does."""

    async def scenario() -> None:
        async with parties(colour, topology.url, namespace, lease="50s") as (source, here, there):
            points = Points(there.layer)
            points.hold("acquire!")

            async def load() -> Any:
                value = await here.call()
                points.release("acquire!")
                return value

            let_go = opening(colour, source, lambda: points.holds("acquire!"))
            assert await colour.together(load, there.after(lambda: source.loads), let_go) == [[1], [1], None]
            assert there.loads == 0

    colour.run(scenario)


def test_without_any_message_a_waiter_looks_by_itself(colour: Colour, topology: Topology, namespace: str) -> None:
    """If it can never listen, it finds the value long before the lease is over."""

    async def scenario() -> None:
        async with parties(colour, topology.url, namespace, lease="50s", wait="50s") as (source, here, there):
            for port in (there.layer.engine.blocking, there.layer.engine.asyncio):
                port.subscribe = lambda *_: lambda: None
            let_go = opening(colour, source, lambda: there.sent.names.count("acquire") >= 3)
            assert await colour.together(here.caller, there.after(lambda: source.loads), let_go) == [[1], [1], None]
            assert (here.loads, there.loads) == (1, 0)

    colour.run(scenario)


@pytest.mark.parametrize("skew", [-30, 30])
def test_clocks_that_differ(colour: Colour, topology: Topology, namespace: str, skew: int) -> None:
    """Half a minute between two processes neither ends an entry of ten seconds nor keeps a waiter from its value."""

    async def scenario() -> None:
        async with parties(colour, topology.url, namespace, ttl=10) as (source, here, there):
            there.shift(skew)
            let_go = opening(colour, source, there.listens)
            assert await colour.together(here.caller, there.after(lambda: source.loads), let_go) == [[1], [1], None]
            assert [await there.call(), await here.call()] == [[1], [1]]
            await colour.of(entries(here.slow)).invalidate(1)
            source.end = lambda number: "new"
            assert await there.call() == "new"
            assert await here.call() == "new"
            assert (here.loads, there.loads) == (1, 1)

    colour.run(scenario)


@pytest.mark.parametrize("skew", [-30, 30])
def test_clocks_that_differ_shift_freshness_only(colour: Colour, topology: Topology, namespace: str, skew: int) -> None:
    """With a grace, an entry is stale too early or too late by as much; an invalidation still holds at once."""

    async def scenario() -> None:
        async with parties(colour, topology.url, namespace, ttl=10, grace="1h") as (source, here, there):
            source.gate.open()
            there.shift(skew)
            assert await here.call() == [1]
            source.end = lambda number: "new"
            assert await there.call() == [1]
            if skew > 0:  # it was stale there, and was refreshed
                await colour.until(lambda: there.layer.stats().fills == 1, "it is refreshed")
            await colour.of(entries(here.slow)).invalidate(1)
            source.end = lambda number: "newer"
            assert [await there.call(), await here.call()] == ["newer", "newer"]

    colour.run(scenario)
