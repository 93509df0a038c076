"""Cancelled callers: whoever leaves harms nobody else, and a load that nobody wants ends."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from holdfast import MISSING, Layer, entries
from holdfast.commands import get
from holdfast.events import FillRefused
from support.flights import joined, reached


class Source:
    """A load that waits for an event, and notes how it ended."""

    def __init__(self) -> None:
        self.loads = 0
        self.cancelled = 0
        self.let_go = asyncio.Event()

    async def __call__(self, number: int) -> list[int]:
        self.loads += 1
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return [number]


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Any:
    """Fail a test that leaves an exception or a task which nobody looked at: asyncio logs these when they are freed."""
    yield
    gc.collect()
    assert not [record for record in caplog.get_records("call") if record.levelno >= logging.ERROR]


async def gathering(layer: Layer, members: int) -> None:
    await reached(lambda: joined(layer) >= members)


def cached_source(layer: Layer, source: Source) -> Callable[[int], Awaitable[list[int]]]:
    @layer.cached(60, key="slow:{number}")
    async def slow(number: int) -> list[int]:
        return await source(number)

    return slow


@pytest.mark.parametrize("leaver", [0, 1])
def test_a_cancelled_caller_leaves_the_load_to_the_others(namespace: str, leaver: int) -> None:
    """Whether the first caller or a later one is cancelled: the others get the value of the one load."""

    async def scenario() -> None:
        async with Layer(namespace=namespace) as layer:
            source = Source()
            slow = cached_source(layer, source)
            tasks = []
            for count in range(1, 4):
                tasks.append(asyncio.ensure_future(slow(1)))
                await gathering(layer, count)
            tasks[leaver].cancel()
            await asyncio.wait([tasks[leaver]])
            source.let_go.set()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(result) for result in results].count(asyncio.CancelledError) == 1
            assert results.count([1]) == 2
            assert (source.loads, source.cancelled) == (1, 0)
            assert await entries(slow).aget(1) == [1]

    asyncio.run(scenario())


def test_a_load_that_everybody_has_left_is_cancelled(namespace: str) -> None:
    """When the last caller is cancelled, so is the load, and its lease is given back; the next call loads anew."""

    async def scenario() -> None:
        async with Layer(namespace=namespace) as layer:
            source = Source()
            slow = cached_source(layer, source)
            tasks = [asyncio.ensure_future(slow(1)) for _ in range(3)]
            await gathering(layer, 3)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            assert joined(layer) == 0
            await reached(lambda: source.cancelled)
            lease = get(f"{namespace}:lease:{{slow:1}}")
            await reached(lambda: layer.engine.blocking.call_now(lease) is None)
            assert (source.loads, source.cancelled) == (1, 1)
            source.let_go.set()
            assert await slow(1) == [1]
            assert source.loads == 2

    asyncio.run(scenario())


def test_a_caller_that_comes_after_the_last_one_left_gets_a_load_of_its_own(namespace: str) -> None:
    """Nobody can join a load that is about to be cancelled, not even in the same tick."""

    async def scenario() -> None:
        async with Layer(namespace=namespace) as layer:
            source = Source()
            slow = cached_source(layer, source)
            first = asyncio.ensure_future(slow(1))
            await gathering(layer, 1)
            first.cancel()
            second = asyncio.ensure_future(slow(1))
            await asyncio.wait([first])
            source.let_go.set()
            assert await second == [1]
            assert (source.loads, source.cancelled) == (2, 1)

    asyncio.run(scenario())


@pytest.mark.parametrize("revoked", [False, True])
def test_a_load_that_survives_its_cancellation(namespace: str, revoked: bool) -> None:
    """What a loader returns that swallows the cancellation is stored under its lease; an invalidation revokes that."""

    async def scenario() -> None:
        async with Layer(namespace=namespace) as layer:
            started, go_on = asyncio.Event(), asyncio.Event()
            refused: list[FillRefused] = []
            layer.add_hook(lambda event: isinstance(event, FillRefused) and refused.append(event))

            @layer.cached(60, key="stubborn:{number}")
            async def stubborn(number: int) -> int:
                started.set()
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    await go_on.wait()
                return number

            caller = asyncio.ensure_future(stubborn(1))
            await started.wait()
            caller.cancel()
            await asyncio.wait([caller])
            if revoked:
                await entries(stubborn).ainvalidate(1)
            go_on.set()
            await reached(lambda: layer.stats().fills or refused)
            assert await entries(stubborn).aget(1) == (MISSING if revoked else 1)
            assert len(refused) == revoked

    asyncio.run(scenario())


@pytest.mark.parametrize("ticks", range(12))
def test_a_caller_may_be_cancelled_at_any_moment(namespace: str, ticks: int) -> None:
    """Before its load has begun, while it asks, loads or stores: no lease stays behind that the next call waits for."""

    async def scenario() -> None:
        async with Layer(namespace=namespace) as layer:
            runs = 0

            @layer.cached(60, key="quick:{number}", lease="1h", wait="1h")
            async def quick(number: int) -> int:
                nonlocal runs
                runs += 1
                await asyncio.sleep(0)
                return number

            caller = asyncio.ensure_future(quick(1))
            for _ in range(ticks):
                await asyncio.sleep(0)
            caller.cancel()
            await asyncio.wait([caller])
            async with asyncio.timeout(30):
                assert await quick(1) == 1
            assert runs <= 2
            assert joined(layer) == 0
            assert await layer.engine.asyncio.call(get(f"{namespace}:lease:{{quick:1}}")) is None

    asyncio.run(scenario())


def test_a_timeout_around_a_call_is_a_cancelled_caller(namespace: str) -> None:
    """`asyncio.timeout` ends the wait of its caller only."""

    async def scenario() -> None:
        async with Layer(namespace=namespace) as layer:
            source = Source()
            slow = cached_source(layer, source)
            patient = asyncio.ensure_future(slow(1))
            await gathering(layer, 1)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await slow(1)
            source.let_go.set()
            assert await patient == [1]
            assert (source.loads, source.cancelled) == (1, 0)

    asyncio.run(scenario())


def test_a_loop_that_ends_takes_its_loads_with_it(namespace: str) -> None:
    """A load still running when `asyncio.run` ends is cancelled; the next loop starts a new one."""
    layer = Layer(namespace=namespace)
    runs = 0

    @layer.cached(60, key="endless:{number}")
    async def endless(number: int) -> int:
        nonlocal runs
        runs += 1
        if runs == 1:
            await asyncio.sleep(60)
        return number

    async def first() -> None:
        background.append(asyncio.ensure_future(endless(1)))
        await reached(lambda: runs)

    background: list[asyncio.Future[int]] = []
    asyncio.run(first())
    assert background[0].cancelled()
    assert joined(layer) == 0
    assert asyncio.run(endless(1)) == 1
    layer.close()


def test_a_refresh_that_is_cancelled_stores_nothing(namespace: str) -> None:
    """The old entry stays, and no load runs on."""

    async def scenario() -> None:
        async with Layer(namespace=namespace) as layer:
            source = Source()
            slow = cached_source(layer, source)
            await entries(slow).aset([0], 1)
            refresh = asyncio.ensure_future(entries(slow).arefresh(1))
            await gathering(layer, 1)
            refresh.cancel()
            await asyncio.wait([refresh])
            await reached(lambda: source.cancelled == 1)
            assert await slow(1) == [0]

    asyncio.run(scenario())
