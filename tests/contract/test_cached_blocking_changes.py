"""Blocking changes on the very loop that is storing the entry: they block it, and the promise holds all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from holdfast import MISSING, Layer, entries
from support.changing import Source
from support.colours import Colour
from support.flights import joined, reached
from support.points import Points

INSTANTS = ["fill", "fill!"]


@pytest.mark.parametrize("verb", ["invalidate", "delete", "set", "set_many"])
@pytest.mark.parametrize("instant", INSTANTS)
def test_a_blocking_change_on_the_loop_that_is_storing(namespace: str, verb: str, instant: str) -> None:
    """It returns at once, although the loop cannot finish what it stores, and nobody sees the older value."""

    async def scenario() -> None:
        async with Layer(namespace=namespace) as layer:
            points = Points(layer)
            source = Source(Colour("async"), layer)
            source.gate.open()
            points.hold(instant)
            caller = asyncio.ensure_future(source.call())
            await reached(lambda: points.holds(instant))
            source.version = 2
            cache, handle = layer.cache, entries(source.function)
            changes: dict[str, Callable[[], object]] = {
                "invalidate": lambda: handle.invalidate(1),
                "delete": lambda: cache.delete("current:1"),
                "set": lambda: handle.set(2, 1),
                "set_many": lambda: cache.set_many({"current:1": 2}, 60),
            }
            changes[verb]()
            removes = verb in {"invalidate", "delete"}
            assert handle.get(1) == (MISSING if removes else 2)
            assert cache.get("current:1") == (None if removes else 2)
            assert cache.get_many(["current:1"]) == ({} if removes else {"current:1": 2})
            assert (handle.info(1) is None) == removes
            assert await source.call() == 2
            points.release(instant)
            assert await caller == 1
            assert await source.call() == 2
            assert source.refused == (instant == "fill")
            assert joined(layer) == 0

    asyncio.run(scenario())


@pytest.mark.parametrize("instant", INSTANTS)
def test_a_blocking_call_on_the_loop_that_is_storing(namespace: str, instant: str) -> None:
    """After an invalidation there it neither reads the older value nor waits for it; what it loads stays."""

    async def scenario() -> None:
        async with Layer(namespace=namespace) as layer:
            points = Points(layer)
            source = Source(Colour("async"), layer)
            source.gate.open()

            @layer.cached(60, key="current:{number}")
            def plain(number: int) -> int:
                return source.version

            points.hold(instant)
            caller = asyncio.ensure_future(source.call())
            await reached(lambda: points.holds(instant))
            source.version = 2
            entries(plain).invalidate(1)
            assert plain(1) == 2
            points.release(instant)
            assert await caller == 1
            assert plain(1) == 2
            assert entries(plain).get(1) == 2

    asyncio.run(scenario())


@pytest.mark.parametrize("instant", INSTANTS)
def test_a_blocking_refresh_on_the_loop_that_is_storing(namespace: str, instant: str) -> None:
    """It takes the lease over: its own value stays, whenever the older one arrives."""

    async def scenario() -> None:
        async with Layer(namespace=namespace) as layer:
            points = Points(layer)
            source = Source(Colour("async"), layer)
            source.gate.open()

            @layer.cached(60, key="current:{number}")
            def plain(number: int) -> int:
                return source.version

            points.hold(instant)
            caller = asyncio.ensure_future(source.call())
            await reached(lambda: points.holds(instant))
            source.version = 2
            assert entries(plain).refresh(1) == 2
            points.release(instant)
            assert await caller == 1
            assert entries(plain).get(1) == 2
            assert await source.call() == 2

    asyncio.run(scenario())
