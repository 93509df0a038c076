"""The two ports: what the core gets to see of a backend, of the clock and of other callers."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from holdfast._calls import drive
from holdfast.backend.router import Router
from holdfast.commands import Command, Reply
from holdfast.port import Cancel

T = TypeVar("T")


class _Clock:
    """What both ports know without Redis."""

    __slots__ = ("_router",)

    def __init__(self, router: Router) -> None:
        self._router = router

    async def call(self, command: Command) -> Reply:
        """Send a command and return its reply."""
        return await self._router.call(command)

    async def pipeline(self, commands: Sequence[Command]) -> list[Reply]:
        """Send commands together and return their replies in order."""
        return await self._router.pipeline(commands)

    def now(self) -> float:
        """Return the wall clock in seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Return a clock that never jumps, in seconds."""
        return time.monotonic()

    def token(self) -> str:
        """Return 16 random characters."""
        return secrets.token_urlsafe(12)

    def random(self) -> float:
        """Return a random number in [0, 1)."""
        return random.random()  # noqa: S311 - it spreads load; nothing secret depends on it


class BlockingPort(_Clock):
    """For threads: nothing here ever suspends, so `drive` can run the core over it."""

    __slots__ = ()

    async def sleep(self, seconds: float) -> None:
        """Let the thread sleep."""
        time.sleep(seconds)  # noqa: ASYNC251 - this coroutine never runs on a loop

    def start(self, work: Coroutine[Any, Any, None]) -> Cancel:
        """Run the work here and now; there is nothing left to cancel afterwards."""
        drive(work)
        return _nothing

    async def wait(self, future: Future[T], patience: float) -> T:
        """Block the thread until the result is there."""
        return future.result(patience)


class AsyncioPort(_Clock):
    """For tasks of the running loop."""

    __slots__ = ("_tasks",)

    def __init__(self, router: Router) -> None:
        super().__init__(router)
        self._tasks: set[asyncio.Task[None]] = set()

    async def sleep(self, seconds: float) -> None:
        """Let the task sleep."""
        await asyncio.sleep(seconds)

    def start(self, work: Coroutine[Any, Any, None]) -> Cancel:
        """Run the work in a task of its own, held here until it ends; return what cancels it from any thread."""
        loop = asyncio.get_running_loop()
        task = loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

        def cancel() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(task.cancel)

        return cancel

    async def wait(self, future: Future[T], patience: float) -> T:
        """Wait without blocking the loop. A cancelled caller stops waiting and leaves the future alone."""
        if future.done():
            return future.result()
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()

        def wake(_: Future[T]) -> None:
            try:
                loop.call_soon_threadsafe(_finish, woken)
            except RuntimeError:  # the loop was closed while somebody waited in it
                return

        future.add_done_callback(wake)
        async with asyncio.timeout(patience):
            await woken
        return future.result()


def _finish(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)


def _nothing() -> None:
    """There is nothing to cancel."""
