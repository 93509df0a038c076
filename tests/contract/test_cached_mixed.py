"""Threads, tasks and event loops of one process share loads, and none of them can wait for itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from holdfast import Layer
from support.both import SharedSource
from support.flights import joined, reached
from support.waiting import until


async def crowd(function: Callable[[int], Coroutine[Any, Any, Any]], size: int) -> list[Any]:
    return await asyncio.gather(*(function(1) for _ in range(size)))


@pytest.mark.parametrize("first", ["plain", "awaited"])
def test_threads_and_two_loops_share_one_load(layer: Layer, threads: ThreadPoolExecutor, first: str) -> None:
    """Whoever comes first, a thread or a task, loads for all of them; each gets a list of its own."""
    source = SharedSource(layer)
    start: dict[str, Callable[[], Future[Any]]] = {
        "plain": lambda: threads.submit(lambda: [source.plain(1)]),
        "awaited": lambda: threads.submit(lambda: asyncio.run(crowd(source.awaited, 1))),
    }
    futures = [start[first]()]
    until(lambda: source.loads == 1, "the first load runs")
    futures += [start["plain"]() for _ in range(4)]
    futures += [threads.submit(lambda: asyncio.run(crowd(source.awaited, 4))) for _ in range(2)]
    until(lambda: joined(layer) == 13, "all have joined")
    source.let_go.set()
    results = [result for future in futures for result in future.result(30)]
    assert results == [[1]] * 13
    assert len({id(result) for result in results}) == 13
    assert source.loads == 1


def test_a_sync_call_in_the_loop_that_loads_its_key_does_not_wait_for_it(layer: Layer) -> None:
    """A plain function, called on the loop whose task loads the same key, runs by itself: waiting would block both."""
    source = SharedSource(layer)

    async def scenario() -> None:
        task = asyncio.ensure_future(source.awaited(1))
        await reached(lambda: source.loads)
        threading.Timer(0.05, source.let_go.set).start()
        assert source.plain(1) == [1]
        assert source.loads == 2
        assert await task == [1]

    asyncio.run(scenario())
    assert layer.stats().fills == 1


def test_a_task_may_wait_for_a_load_in_a_thread_that_its_own_loop_started(layer: Layer) -> None:
    """`asyncio.to_thread` of the plain function and a task of the async one share a load."""
    source = SharedSource(layer)

    async def scenario() -> None:
        thread = asyncio.ensure_future(asyncio.to_thread(source.plain, 1))
        await reached(lambda: source.loads)
        task = asyncio.ensure_future(source.awaited(1))
        await reached(lambda: joined(layer) >= 2)
        source.let_go.set()
        assert await asyncio.gather(thread, task) == [[1], [1]]
        assert source.loads == 1

    asyncio.run(scenario())


def test_a_sync_load_inside_an_async_load_of_the_same_key_runs_by_itself(layer: Layer) -> None:
    """A circle through both colours in one thread, and through `to_thread`, is seen before it closes."""

    @layer.cached(60, key="circle:{number}")
    def plain(number: int) -> str:
        return f"plain {number}"

    @layer.cached(60, key="circle:{number}")
    async def direct(number: int) -> str:
        return f"direct {plain(number)}"

    assert asyncio.run(direct(1)) == "direct plain 1"

    @layer.cached(60, key="circle:{number}")
    async def threaded(number: int) -> str:
        return f"threaded {await asyncio.to_thread(plain, number)}"

    assert asyncio.run(threaded(2)) == "threaded plain 2"


def test_followers_in_threads_recover_when_the_loop_of_their_load_ends(
    layer: Layer, threads: ThreadPoolExecutor
) -> None:
    """`asyncio.run` ends while its load runs: threads that waited for it load for themselves, once."""
    source = SharedSource(layer)
    followed = threading.Event()

    async def leave_early() -> None:
        task = asyncio.ensure_future(source.awaited(1))
        await reached(lambda: joined(layer) >= 4)
        task.add_done_callback(lambda _: followed.set())

    ended = threads.submit(lambda: asyncio.run(leave_early()))
    until(lambda: source.loads == 1, "the load runs")
    futures = [threads.submit(source.plain, 1) for _ in range(3)]
    ended.result(30)
    assert followed.is_set()
    until(lambda: source.loads == 2, "one of the threads loads")
    source.let_go.set()
    assert [future.result(30) for future in futures] == [[1]] * 3
    assert source.loads == 2


def test_a_load_outlives_its_first_caller_in_another_loop(layer: Layer, threads: ThreadPoolExecutor) -> None:
    """The first caller is cancelled, a thread still waits: the load goes on in the loop and serves it."""
    source = SharedSource(layer)

    async def scenario() -> None:
        task = asyncio.ensure_future(source.awaited(1))
        await reached(lambda: source.loads)
        future = threads.submit(source.plain, 1)
        await reached(lambda: joined(layer) >= 2)
        task.cancel()
        await asyncio.wait([task])
        source.let_go.set()
        assert await asyncio.wrap_future(future) == [1]
        assert source.loads == 1

    asyncio.run(scenario())


def test_a_follower_that_gives_up_last_cancels_the_load_in_the_other_loop(
    layer: Layer, threads: ThreadPoolExecutor
) -> None:
    """The first caller is cancelled, then the last follower's `wait` is over: the load ends."""
    source = SharedSource(layer)
    cancelled = threading.Event()

    @layer.cached(60, key="left:{number}")
    async def left(number: int) -> list[int]:
        try:
            return await source.awaited(number)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    @layer.cached(60, key="left:{number}", wait="50ms")
    def hasty(number: int) -> list[int]:
        return [number]

    async def scenario() -> None:
        task = asyncio.ensure_future(left(1))
        await reached(lambda: source.loads)
        follower = threads.submit(hasty, 1)
        await reached(lambda: joined(layer) >= 3)
        task.cancel()
        await asyncio.wait([task])
        assert await asyncio.wrap_future(follower) == [1]
        await reached(cancelled.is_set)

    asyncio.run(scenario())
    assert joined(layer) == 0


def test_an_interrupt_in_a_load_ends_the_loop_even_if_its_caller_has_left(
    layer: Layer, threads: ThreadPoolExecutor
) -> None:
    """Ctrl-C is not lost with the cancelled caller; a thread that waited loads for itself."""
    source = SharedSource(layer)
    runs = 0

    @layer.cached(60, key="interrupted:{number}")
    async def interrupted(number: int) -> list[int]:
        nonlocal runs
        runs += 1
        await source.awaited(number)
        raise KeyboardInterrupt

    @layer.cached(60, key="interrupted:{number}")
    def plain(number: int) -> list[int]:
        return [number]

    followers = []

    async def scenario() -> None:
        task = asyncio.ensure_future(interrupted(1))
        await reached(lambda: runs)
        followers.append(threads.submit(plain, 1))
        await reached(lambda: joined(layer) >= 3)
        task.cancel()
        await asyncio.wait([task])
        source.let_go.set()
        await asyncio.sleep(30)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(scenario())
    assert followers[0].result(30) == [1]
