"""Plain functions through async verbs, and what of them cannot pass through a coroutine."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from holdfast import Layer, entries
from support.flights import joined, reached


def test_a_function_of_one_colour_can_be_used_through_entries_of_the_other(layer: Layer) -> None:
    """Async verbs work for a plain function; what has to await refuses to block."""

    @layer.cached(60, key="double:{number}")
    def double(number: int) -> int:
        return 2 * number

    async def scenario() -> None:
        handle = entries(double)
        assert await handle.arefresh(2) == await handle.aget(2) == await handle.abypass(2) == double(2) == 4
        assert (await handle.acall(2))[0] == 4
        assert await handle.ainvalidate(2)

    asyncio.run(scenario())


def test_stop_iteration_of_a_plain_function_becomes_a_runtime_error_for_async_callers(
    layer: Layer, threads: ThreadPoolExecutor
) -> None:
    """No coroutine can raise `StopIteration`; whoever awaits gets what Python itself would give."""
    let_go = threading.Event()

    @layer.cached(60, key="stop:{number}")
    def stop(number: int) -> int:
        assert let_go.wait(30)
        raise StopIteration(number)

    @layer.cached(60, key="stop:{number}")
    async def follow(number: int) -> int:
        return number

    async def scenario() -> None:
        future = threads.submit(stop, 1)
        await reached(lambda: joined(layer))
        task = asyncio.ensure_future(follow(1))
        await reached(lambda: joined(layer) >= 2)
        let_go.set()
        with pytest.raises(RuntimeError, match="StopIteration"):
            await task
        assert isinstance(future.exception(30), StopIteration)
        for verb in (entries(stop).arefresh, entries(stop).abypass, entries(stop).acall):
            with pytest.raises(RuntimeError, match="StopIteration"):
                await verb(2)

    asyncio.run(scenario())
