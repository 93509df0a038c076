"""Loads that end by something else than a result or an error: interrupts, cancellations, `StopIteration`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from holdfast import Layer
from support.colours import Colour
from support.crowd import Source, cached_source, opener
from support.flights import joined

CROWD = 8


SYNC, ASYNC = Colour("sync"), Colour("async")
# KeyboardInterrupt and SystemExit stop an event loop at once: the test after this one is about them.
INTERRUPTS = [(SYNC, KeyboardInterrupt), (SYNC, SystemExit)]
INTERRUPTS += [(colour, kind) for colour in (SYNC, ASYNC) for kind in (GeneratorExit, asyncio.CancelledError)]


@pytest.mark.parametrize(("colour", "kind"), INTERRUPTS, ids=lambda value: getattr(value, "name", "") or value.__name__)
def test_an_interrupted_load_is_the_business_of_its_caller_only(
    kind: type[BaseException], colour: Colour, namespace: str
) -> None:
    """What ends the program or a task reaches the caller that loads; the others load again, and the key is free."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            source = Source(colour)
            slow = cached_source(layer, colour, source)

            def interrupt(number: int) -> Any:
                source.end = lambda number: number
                source.gate = colour.gate()
                raise kind

            source.end = interrupt
            seen: list[BaseException] = []

            async def act() -> Any:
                try:
                    return await colour.call(slow, 1)
                except kind as error:
                    seen.append(error)

            async def let_go() -> None:
                await opener(colour, layer, source, CROWD)()
                await colour.until(lambda: source.loads == 2, "the load has begun again")
                await opener(colour, layer, source, CROWD - 1)()

            *results, _ = await colour.together(*[act] * CROWD, let_go)
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
