"""Concurrent calls with one key share one load, and nobody who leaves or fails harms the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from holdfast import Layer, entries
from holdfast.events import Coalesced, Event
from support.colours import Colour
from support.flights import joined
from support.topologies import Topology

CROWD = 8


class Source:
    """A slow source of values: every load waits at a gate and then does what `end` says."""

    def __init__(self, colour: Colour) -> None:
        self.gate = colour.gate()
        self.loads = 0
        self.end: Callable[[int], Any] = lambda number: [number]

    async def load(self, number: int) -> Any:
        self.loads += 1
        await self.gate.passed()
        return self.end(number)


def cached_source(layer: Layer, colour: Colour, source: Source, **options: Any) -> Callable[..., Any]:
    async def slow(number: int) -> Any:
        return await source.load(number)

    return layer.cached(60, key="slow:{number}", **options)(colour.function(slow))


def actor(colour: Colour, function: Callable[..., Any], *args: Any) -> Callable[[], Coroutine[Any, Any, Any]]:
    async def act() -> Any:
        return await colour.call(function, *args)

    return act


def opener(colour: Colour, layer: Layer, source: Source, members: int) -> Callable[[], Coroutine[Any, Any, Any]]:
    async def act() -> None:
        await colour.until(lambda: joined(layer) >= members, "all have joined")
        source.gate.open()

    return act


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


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError])
def test_an_interrupted_load_is_the_business_of_its_caller_only(
    kind: type[BaseException], colour: Colour, namespace: str
) -> None:
    """What ends the program or a task reaches the caller that loads; the others load again, and the key is free."""
    if colour.is_async and kind in {KeyboardInterrupt, SystemExit}:
        pytest.skip("these stop an event loop at once: see the test below")

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            source = Source(colour)
            slow = cached_source(layer, colour, source)

            def interrupt(number: int) -> Any:
                source.end = lambda number: number
                raise kind

            source.end = interrupt
            seen: list[BaseException] = []

            async def act() -> Any:
                try:
                    return await colour.call(slow, 1)
                except kind as error:
                    seen.append(error)

            *results, _ = await colour.together(*[act] * CROWD, opener(colour, layer, source, CROWD))
            assert len(seen) == 1
            assert sorted(results, key=str) == [1] * (CROWD - 1) + [None]
            assert source.loads == 2
            assert await colour.call(slow, 1) == 1
            assert joined(layer) == 0

    colour.run(scenario)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_ctrl_c_in_an_async_load_ends_the_loop_and_leaves_the_key_free(kind: type[BaseException]) -> None:
    """An interrupt in a load ends the loop as it would without us; the next loop loads."""
    layer = Layer()

    @layer.cached(60)
    async def interrupted() -> None:
        raise kind

    for _ in range(2):
        with pytest.raises(kind):
            asyncio.run(interrupted())
    assert joined(layer) == 0


def test_stop_iteration_from_a_plain_function_passes_unharmed(namespace: str) -> None:
    """`StopIteration` is an exception like any other on the sync side, for a single caller and for a crowd."""
    colour = Colour("sync")

    async def scenario() -> None:
        with Layer(namespace=namespace) as layer:
            source = Source(colour)
            slow = cached_source(layer, colour, source)

            def stop(number: int) -> Any:
                raise StopIteration(number)

            source.end = stop
            threaded = layer.cached(60, key="threaded:{number}")(_plain(source))
            callers = [_caught(threaded) for _ in range(3)]
            *errors, _ = await colour.together(*callers, opener(colour, layer, source, 3))
            assert [error.args for error in errors] == [(1,)] * 3
            assert source.loads == 1
            del slow

    colour.run(scenario)


def _plain(source: Source) -> Callable[[int], Any]:
    def threaded(number: int) -> Any:
        source.loads += 1
        source.gate.waiting += 1
        source.gate._opened.wait(30)
        return source.end(number)

    return threaded


def _caught(function: Callable[[int], Any]) -> Callable[[], Coroutine[Any, Any, StopIteration]]:
    async def act() -> StopIteration:
        try:
            function(1)
        except StopIteration as error:
            return error
        raise AssertionError

    return act


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


def test_a_load_may_ask_for_its_own_key(colour: Colour, namespace: str) -> None:
    """A function that calls itself with the same arguments runs again instead of waiting for itself."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            depth = 0

            async def nested(number: int) -> int:
                nonlocal depth
                depth += 1
                return number if depth == 3 else await colour.call(function, number) + 1

            function = layer.cached(60, key="nested:{number}")(colour.function(nested))
            assert await colour.call(function, 5) == 7
            assert depth == 3
            assert await colour.call(function, 5) == 7
            assert depth == 3

    colour.run(scenario)


def test_two_loads_that_need_each_other_do_not_wait_for_ever(colour: Colour, namespace: str) -> None:
    """A loads B and B loads A at the same time: whoever would close the circle runs the function itself."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            started = {"a": 0, "b": 0}

            async def pair(name: str, depth: int) -> str:
                started[name] += 1
                await colour.until(lambda: all(started.values()), "both loads run")
                other = "b" if name == "a" else "a"
                return name if depth == 0 else name + await colour.call(functions[other], other, depth - 1)

            functions = {name: layer.cached(60, key="pair:{name}")(colour.function(pair)) for name in ("a", "b")}
            results = await colour.together(
                actor(colour, functions["a"], "a", 1), actor(colour, functions["b"], "b", 1)
            )
            assert sorted(str(result)[0] for result in results) == ["a", "b"], results
            assert joined(layer) == 0

    colour.run(scenario)


def test_a_load_may_gather_other_entries(namespace: str) -> None:
    """One load that waits for several others at once, some of them shared with another load, is no circle."""
    colour = Colour("async")

    async def scenario() -> None:
        async with Layer(namespace=namespace) as layer:
            source = Source(colour)
            slow = cached_source(layer, colour, source)

            @layer.cached(60)
            async def total(numbers: list[int]) -> int:
                return sum(part[0] for part in await asyncio.gather(*(slow(number) for number in numbers)))

            source.gate.open()
            assert await asyncio.gather(total([1, 2, 3]), total([2, 3, 4])) == [6, 9]
            assert source.loads == 4

    colour.run(scenario)


def test_context_variables_reach_the_load(colour: Colour, namespace: str) -> None:
    """The function sees the context variables of the caller that loads."""
    from contextvars import ContextVar

    tenant: ContextVar[str] = ContextVar("tenant")

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:

            async def whose(number: int) -> str:
                return f"{tenant.get()}{number}"

            function = layer.cached(60)(colour.function(whose))
            tenant.set("ada")
            assert await colour.call(function, 1) == "ada1"
            assert await colour.call(
                entries(function).refresh if not colour.is_async else entries(function).arefresh, 1
            )

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
