"""Concurrent calls with one key share one load, and nobody who leaves or fails harms the others."""

from __future__ import annotations

from typing import Any

from holdfast import Layer
from holdfast.events import Coalesced, Event
from support.colours import Colour
from support.crowd import Source, actor, cached_source, opener
from support.flights import joined
from support.topologies import Topology

CROWD = 8


def test_concurrent_calls_load_once_and_share_nothing(colour: Colour, topology: Topology, namespace: str) -> None:
    """Many calls, one load, one entry; every caller has an equal result of its own."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            source = Source(colour)
            slow = cached_source(layer, colour, source)
            callers = [actor(colour, slow, 1) for _ in range(CROWD)]
            *results, _ = await colour.together(*callers, opener(colour, layer, source, CROWD))
            assert results == [[1]] * CROWD
            assert source.loads == 1
            assert len({id(result) for result in results}) == CROWD
            results[0].append("changed")
            assert await colour.call(slow, 1) == [1]
            stats = layer.stats()
            assert (stats.misses, stats.coalesced, stats.fills, stats.hits) == (CROWD, CROWD - 1, 1, 1)
            assert joined(layer) == 0

    colour.run(scenario)


def test_different_keys_do_not_wait_for_each_other(colour: Colour, namespace: str) -> None:
    """A load of one key holds nobody up who wants another."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            source = Source(colour)
            slow = cached_source(layer, colour, source)

            async def other() -> Any:
                await colour.until(lambda: source.loads == 1, "the first load runs")
                try:
                    return await colour.of(layer.cache).get_or_load("other", lambda: 7, 60)
                finally:
                    source.gate.open()

            assert await colour.together(actor(colour, slow, 1), other) == [[1], 7]

    colour.run(scenario)


def test_a_failing_load_fails_each_caller_once_and_the_next_call_tries_again(colour: Colour, namespace: str) -> None:
    """Nobody retries for the others, nothing is kept, and no traceback holds the frames of other callers."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            source = Source(colour)
            slow = cached_source(layer, colour, source)

            def fail(number: int) -> Any:
                raise LookupError(number)

            source.end = fail
            callers = [actor(colour, slow, 1) for _ in range(CROWD)]
            *errors, _ = await colour.together(*callers, opener(colour, layer, source, CROWD))
            assert [repr(error) for error in errors] == ["LookupError(1)"] * CROWD
            assert source.loads == 1
            source.end = lambda number: number
            assert await colour.call(slow, 1) == 1
            assert source.loads == 2

    colour.run(scenario)


def test_the_traceback_of_a_shared_error_does_not_grow(colour: Colour, namespace: str) -> None:
    """The last of many callers sees its own frames and the loader's, not those of everybody before it."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            source = Source(colour)
            slow = cached_source(layer, colour, source)

            def fail(number: int) -> Any:
                raise LookupError(number)

            source.end = fail
            depths: list[int] = []

            async def act() -> None:
                try:
                    await colour.call(slow, 1)
                except LookupError as error:
                    depths.append(depth_of(error))

            await colour.together(*[act] * CROWD, opener(colour, layer, source, CROWD))
            assert len(depths) == CROWD
            if colour.is_async:  # threads raise at the same time, so that their frames may mix
                assert len(set(depths[1:])) == 1
            assert max(depths) < 40

    colour.run(scenario)


def depth_of(error: BaseException) -> int:
    depth, trace = 0, error.__traceback__
    while trace is not None:
        depth, trace = depth + 1, trace.tb_next
    return depth


def test_a_caller_waits_no_longer_than_it_wants(colour: Colour, namespace: str) -> None:
    """Past `wait`, a follower calls the function itself and stores nothing; the load goes on for the others."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            source = Source(colour)
            fills: list[Event] = []
            layer.add_hook(fills.append)
            slow = cached_source(layer, colour, source)
            alone = Source(colour)
            alone.gate.open()

            async def other(number: int) -> Any:
                return ["alone", await alone.load(number)]

            hasty = layer.cached(60, key="slow:{number}", wait=0)(colour.function(other))

            async def act() -> Any:
                await colour.until(lambda: source.loads == 1, "the first load runs")
                try:
                    return await colour.call(hasty, 1)
                finally:
                    source.gate.open()

            assert await colour.together(actor(colour, slow, 1), act) == [[1], ["alone", [1]]]
            assert await colour.call(slow, 1) == [1]
            assert (source.loads, alone.loads) == (1, 1)
            assert not [event for event in fills if isinstance(event, Coalesced)]

    colour.run(scenario)


def test_results_that_are_not_to_be_stored_are_shared_all_the_same(colour: Colour, namespace: str) -> None:
    """`condition` decides about storing, not about sharing; the next call loads."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            source = Source(colour)
            slow = cached_source(layer, colour, source, condition=lambda result: False)
            callers = [actor(colour, slow, 1) for _ in range(3)]
            *results, _ = await colour.together(*callers, opener(colour, layer, source, 3))
            assert results == [[1]] * 3
            assert source.loads == 1
            assert await colour.call(slow, 1) == [1]
            assert source.loads == 2

    colour.run(scenario)


def test_a_value_that_cannot_be_stored_is_an_error_for_every_caller(colour: Colour, namespace: str) -> None:
    """A result that would not come back as it is fails the crowd once, and the message does not show it."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            source = Source(colour)
            slow = cached_source(layer, colour, source)
            source.end = lambda number: ("a tuple with a secret", number)
            callers = [actor(colour, slow, 1) for _ in range(3)]
            *errors, _ = await colour.together(*callers, opener(colour, layer, source, 3))
            assert {type(error).__name__ for error in errors} == {"SerializationError"}
            assert "secret" not in str(errors[0]).replace("with a secret", "")
            assert source.loads == 1

    colour.run(scenario)
