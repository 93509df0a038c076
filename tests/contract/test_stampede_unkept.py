"""Sharing without keeping: `stampede_protected()` without a `ttl`."""

from __future__ import annotations

from typing import Any

from support.colours import Colour
from support.flights import joined
from support.points import Points
from support.processes import opening, parties
from support.topologies import Topology


def test_calls_at_the_same_time_share_one_load(colour: Colour, topology: Topology, namespace: str) -> None:
    """In this process and in another, each with a copy of its own; the next call loads again.

    Who joins those that wait in another process is covered once that process has asked again.
    """

    async def scenario() -> None:
        async with parties(colour, topology.url, namespace, ttl=None) as (source, here, there):
            waiters = [there.after(lambda: source.loads) for _ in range(3)]
            followers = [here.after(lambda: source.loads) for _ in range(3)]
            points = Points(there.layer)

            async def let_go() -> None:
                await colour.until(lambda: joined(there.layer) == 3 and joined(here.layer) == 4, "all have joined")
                asked = points.passed.count("acquire")
                await colour.until(lambda: points.passed.count("acquire!") > asked, "it was seen what they wait for")
                source.gate.open()

            *results, _ = await colour.together(here.caller, *followers, *waiters, let_go)
            assert results == [[1]] * 7
            assert len({id(result) for result in results}) == 7
            assert source.loads == 1
            assert await here.call() == await there.call() == [1]
            assert source.loads == 3

    colour.run(scenario)


def test_a_result_is_only_for_those_who_waited_for_that_load(
    colour: Colour, topology: Topology, namespace: str
) -> None:
    """Who comes after the load has ended gets a load of its own, even if the result still lies there for others."""

    async def scenario() -> None:
        async with parties(colour, topology.url, namespace, ttl=None) as (source, here, there):
            points = Points(there.layer)
            source.end = lambda number: source.loads

            async def end_and_join() -> Any:
                await colour.until(there.listens, "somebody waits")
                points.hold("acquire")
                source.gate.open()
                await colour.until(lambda: points.holds("acquire"), "it is about to look for the result")
                results = await colour.together(there.caller, let_it_look)
                return results[0]

            async def let_it_look() -> None:
                await colour.until(lambda: joined(there.layer) == 2, "somebody else has joined")
                points.release("acquire")

            waiter = there.after(lambda: source.loads)
            assert await colour.together(here.caller, waiter, end_and_join) == [1, 1, 2]
            assert (here.loads, there.loads) == (1, 1)

    colour.run(scenario)


def test_a_failing_load_is_tried_by_each_process_once(colour: Colour, topology: Topology, namespace: str) -> None:
    """The error goes to those who shared the load; another process loads for itself."""

    async def scenario() -> None:
        async with parties(colour, topology.url, namespace, ttl=None) as (source, here, there):

            def fail(number: int) -> Any:
                raise LookupError(source.loads)

            source.end = fail
            waiters = [there.after(lambda: source.loads) for _ in range(2)]
            *errors, _ = await colour.together(here.caller, *waiters, opening(colour, source, lambda: there.listens(2)))
            assert [repr(error) for error in errors] == ["LookupError(1)", "LookupError(2)", "LookupError(2)"]

    colour.run(scenario)


def test_what_no_serializer_takes_is_shared_in_the_process(colour: Colour, topology: Topology, namespace: str) -> None:
    """Nothing is stored, so it need not be storable; another process loads for itself."""

    async def scenario() -> None:
        async with parties(colour, topology.url, namespace, ttl=None) as (source, here, there):
            source.end = lambda number: {number}
            followers = [here.after(lambda: source.loads) for _ in range(2)]
            waiter = there.after(lambda: source.loads)
            let_go = opening(colour, source, lambda: there.listens() and joined(here.layer) == 3)
            *results, _ = await colour.together(here.caller, *followers, waiter, let_go)
            assert results == [{1}] * 4
            assert (here.loads, there.loads) == (1, 1)

    colour.run(scenario)
