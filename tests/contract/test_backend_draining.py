"""Promises of closing while there is background work: it is waited for, but not for ever, and not by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from holdfast.commands import put
from support.backends import Opened, opened
from support.colours import Colour, Gate

SYNC, ASYNC = Colour("sync"), Colour("async")


def runs(colour: Colour, namespace: str) -> Any:
    return opened(colour, f"memory://{namespace}")


def waiting_at(gate: Gate, then: Callable[[], object] = list) -> Coroutine[Any, Any, None]:
    async def work() -> None:
        await gate.passed()
        then()

    return work()


async def spawn(it: Opened, gate: Gate, times: int) -> list[Callable[[], object]]:
    return [it.port.spawn(waiting_at(gate), list) for _ in range(times)]


def test_closing_waits_for_spawned_work(colour: Colour, namespace: str) -> None:
    """Work that is under way may still use its connections; recurring work ends."""
    results: list[object] = []
    rounds: list[int] = []

    async def scenario() -> None:
        async def work() -> None:
            await colour.sleep(0.05)
            results.append(await it.port.call(put("k", b"v", 60)))

        async def recur() -> bool:
            rounds.append(1)
            return True

        async with runs(colour, namespace) as it:
            it.port.every(0.01, recur)
            it.port.spawn(work(), list)
        assert results == [b"OK"]
        await colour.sleep(0.02)
        count = len(rounds)
        await colour.sleep(0.03)
        assert len(rounds) == count

    colour.run(scenario)


def test_closing_does_not_wait_for_ever(colour: Colour, namespace: str) -> None:
    """The wait is bounded, for all work together."""

    async def scenario() -> None:
        gate = colour.gate()
        async with runs(colour, namespace) as it:
            cancels = await spawn(it, gate, 3)
            started = time.monotonic()
            if colour.is_async:
                await it.backend.aclose(drain_for=0.1)
            else:
                it.backend.close(drain_for=0.1)
            assert 0.1 <= time.monotonic() - started < 5
            gate.open()
            [cancel() for cancel in cancels]

    colour.run(scenario)


def test_work_may_close_the_backend(colour: Colour, namespace: str) -> None:
    """It does not wait for itself."""
    ends: list[float] = []

    async def scenario() -> None:
        async with runs(colour, namespace) as it:

            async def work() -> None:
                started = time.monotonic()
                await it.backend.aclose() if colour.is_async else it.backend.close()
                ends.append(time.monotonic() - started)

            it.port.spawn(work(), list)
            await colour.until(lambda: ends, "it has closed")
        assert ends[0] < 4

    colour.run(scenario)


def test_aclose_waits_for_threads_without_blocking_its_loop(namespace: str) -> None:
    """A loop goes on while it waits for blocking work that was spawned from elsewhere."""

    async def scenario() -> None:
        gate = SYNC.gate()
        async with runs(ASYNC, namespace) as it:
            it.backend.blocking.spawn(waiting_at(gate), list)
            closing = asyncio.ensure_future(it.backend.aclose())
            await ASYNC.until(lambda: gate.waiting, "it waits")
            assert not closing.done()
            gate.open()
            await closing

    ASYNC.run(scenario)


def test_closing_waits_for_what_a_cancelled_caller_left_to_do(namespace: str) -> None:
    """Also if all is closed right after the cancellation, when it has not begun yet, and the loop ends then."""
    done: list[object] = []

    async def program() -> None:
        async with runs(ASYNC, namespace) as it:

            async def work() -> None:
                await asyncio.sleep(0.02)
                done.append(await it.port.call(put("k", b"v", 60)))

            try:
                await asyncio.sleep(60)
            finally:
                it.port.afterwards(work)

    async def cancelled() -> None:
        main = asyncio.ensure_future(program())
        await asyncio.sleep(0)
        main.cancel()
        await main

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert done == [b"OK"]
