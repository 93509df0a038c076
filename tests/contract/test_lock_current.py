"""The lock around the caller, and locks of tasks, threads and loops side by side."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from holdfast import Held, Layer, LockError, LockNotAcquired, current_lock
from support.colours import Colour
from support.lock_kinds import key_of
from support.peeking import ask
from support.topologies import Topology


def test_the_current_lock(colour: Colour, layer: Layer) -> None:
    """That of the innermost block around, of several the last; none outside, and none for a bare handle."""

    async def scenario() -> None:
        with pytest.raises(LockError, match="no lock is held around this code"):
            current_lock()
        async with colour.using(layer.lock("outer")) as outer:
            assert current_lock() is outer
            async with colour.using(layer.multi_lock(["a", "b"])) as inner:
                assert current_lock() is inner.held[-1]
            handle = await colour.of(layer.lock("handle")).acquire()
            assert current_lock() is outer
            await colour.of(handle).release()
        with pytest.raises(LockError):
            current_lock()

    colour.run(scenario)


def test_the_current_lock_of_tasks_and_contexts(layer: Layer) -> None:
    """Each task has its own; a child finds that of its parent, to look at, and leaves the parent's as it is."""

    async def child(outer: Held) -> None:
        assert current_lock() is outer
        async with layer.lock("of the child") as own:
            assert current_lock() is own

    async def one(name: str, arrived: list[str]) -> None:
        async with layer.lock(name) as held:
            arrived.append(name)
            while len(arrived) < 2:  # noqa: ASYNC110 - both are inside before either looks
                await asyncio.sleep(0)
            assert current_lock() is held

    async def scenario() -> None:
        async with layer.lock("of the parent") as outer:
            await asyncio.create_task(child(outer))
            assert current_lock() is outer
        arrived: list[str] = []
        tasks: list[Coroutine[Any, Any, None]] = [one("a", arrived), one("b", arrived)]
        await asyncio.gather(*tasks)

    asyncio.run(scenario())


def test_one_layer_in_one_loop_after_the_other(topology: Topology, namespace: str) -> None:
    """A layer that was used in a loop that is closed is used in the next, and by plain code between, also waiting."""
    with Layer(topology.url, namespace=namespace) as layer:

        async def use(number: int) -> int:
            async with layer.lock("k", wait=0) as held:
                with pytest.raises(LockNotAcquired, match="held by others"):
                    await asyncio.create_task(layer.lock("k", wait=0.05).aacquire())
                assert not held.lost
                return number

        assert asyncio.run(use(1)) == 1
        with layer.lock("k", wait=0):
            pass
        assert asyncio.run(use(2)) == 2

        async def begin() -> Held:
            return await layer.lock("k").aacquire()

        held = asyncio.run(begin())
        assert ask(layer, "EXISTS", key_of(held), key=key_of(held))
        held.release()


def test_plain_calls_in_the_thread_of_a_loop(layer: Layer) -> None:
    """A plain block inside of a task belongs to the task, and excludes async ones of others."""

    async def scenario() -> None:
        with layer.lock("k") as held:
            assert current_lock() is held
            assert await asyncio.create_task(layer.lock("k").alocked())
            with pytest.raises(LockNotAcquired, match="very task"):
                await layer.lock("k").aacquire()
            with pytest.raises(LockNotAcquired, match="by others"):
                await asyncio.create_task(layer.lock("k", wait=0).aacquire())
        async with layer.lock("k", wait=0):
            with ExitStack() as stack, pytest.raises(LockNotAcquired, match="very task"):
                stack.enter_context(layer.lock("k"))

    asyncio.run(scenario())


def test_threads_and_tasks_wait_for_each_other(topology: Topology, namespace: str) -> None:
    """One layer, one lock, both colours at once: never two inside, and all get in."""
    inside, most, done = 0, 0, []

    async def awork(layer: Layer) -> None:
        nonlocal inside, most
        async with layer.lock("k"):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.001)
            inside -= 1
            done.append("task")

    def work(layer: Layer) -> None:
        nonlocal inside, most
        with layer.lock("k"):
            inside += 1
            most = max(most, inside)
            threading.Event().wait(0.001)
            inside -= 1
            done.append("thread")

    async def all_tasks(layer: Layer) -> None:
        await asyncio.gather(*(awork(layer) for _ in range(6)))

    with Layer(topology.url, namespace=namespace) as layer, ThreadPoolExecutor(8) as threads:
        futures = [threads.submit(work, layer) for _ in range(6)]
        futures += [threads.submit(asyncio.run, all_tasks(layer)) for _ in range(2)]
        for future in futures:
            future.result()
    assert sorted(done) == ["task"] * 12 + ["thread"] * 6
    assert most == 1
