"""Blocking changes on the very loop that is storing the entry: they cannot wait, and the promise holds all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from holdfast import MISSING, Layer, entries
from support.changing import Source
from support.colours import Colour
from support.flights import filling, joined, reached
from support.points import Points


@pytest.mark.parametrize("verb", ["invalidate", "delete", "set", "set_many"])
@pytest.mark.parametrize("hold", ["SET", "SET!"])
def test_a_blocking_change_on_the_loop_that_is_storing(namespace: str, verb: str, hold: str) -> None:
    """It cannot wait, since it blocks the loop: it returns, the loop takes back what it stored, and nobody reads it."""

    async def scenario() -> None:
        async with Layer(namespace=namespace) as layer:
            points = Points(layer)
            source = Source(Colour("async"), layer)
            source.gate.open()
            caller = asyncio.ensure_future(source.call())
            points.hold(hold, tasks_only=True)
            await reached(lambda: hold in points.passed)
            source.version = 2
            cache, handle = layer.cache, entries(source.function)
            changes: dict[str, Callable[[], object]] = {
                "invalidate": lambda: handle.invalidate(1),
                "delete": lambda: cache.delete("current:1"),
                "set": lambda: handle.set(2, 1),
                "set_many": lambda: cache.set_many({"current:1": 2}, 60),
            }
            changes[verb]()
            assert handle.get(1) is MISSING
            assert cache.get("current:1") is None
            assert cache.get_many(["current:1"]) == {}
            assert handle.info(1) is None
            later = asyncio.ensure_future(source.call())
            await reached(lambda: joined(layer) == 2)
            points.release(hold)
            assert await caller == 1
            assert await later == 2
            assert await source.call() == 2
            assert (filling(layer), joined(layer)) == (0, 0)

    asyncio.run(scenario())


def test_a_blocking_call_on_the_loop_that_takes_back_a_value_loads_by_itself(namespace: str) -> None:
    """While the loop has yet to delete what it stored, a blocking call on it neither reads nor waits."""

    async def scenario() -> None:
        async with Layer(namespace=namespace) as layer:
            points = Points(layer)
            source = Source(Colour("async"), layer)
            source.gate.open()

            @layer.cached(60, key="current:{number}")
            def plain(number: int) -> int:
                return source.version

            caller = asyncio.ensure_future(source.call())
            points.hold("SET!", tasks_only=True)
            await reached(lambda: "SET!" in points.passed)
            source.version = 2
            entries(plain).invalidate(1)
            assert plain(1) == 2
            assert entries(plain).refresh(1) == 2
            points.release("SET!")
            assert await caller == 1
            assert plain(1) == 2
            assert entries(plain).get(1) == 2

    asyncio.run(scenario())


def test_a_refresh_that_cannot_wait_for_an_older_value_takes_it_back(namespace: str) -> None:
    """A blocking refresh on the loop that stores an older value: neither stays, and the next call loads."""

    async def scenario() -> None:
        async with Layer(namespace=namespace) as layer:
            points = Points(layer)
            source = Source(Colour("async"), layer)
            source.gate.open()

            @layer.cached(60, key="current:{number}")
            def plain(number: int) -> int:
                return source.version

            caller = asyncio.ensure_future(source.call())
            points.hold("SET!", tasks_only=True)
            await reached(lambda: "SET!" in points.passed)
            source.version = 2
            assert entries(plain).refresh(1) == 2
            points.release("SET!")
            assert await caller == 1
            assert await source.call() == 2

    asyncio.run(scenario())
