"""The two ports: what the core gets to see of a backend, of the clock and of other callers."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from threading import get_ident
from typing import Any, TypeVar

from hiredis import ReplyError

from holdfast._calls import SmuggledStop, drive
from holdfast.backend.background import Hands
from holdfast.backend.background_tasks import Tasks
from holdfast.backend.deadline import Deadline
from holdfast.backend.failures import WireBroken
from holdfast.backend.router import Direct, Router
from holdfast.backend.subscriber import Subscriber
from holdfast.backend.together import at_once, in_turn
from holdfast.commands import Command, Reply
from holdfast.port import Cancel, Listener, WaitOver

T = TypeVar("T")


class _Clock:
    """What both ports know without Redis."""

    __slots__ = ("_router", "_subscriber")

    def __init__(self, router: Router, subscriber: Subscriber) -> None:
        self._router = router
        self._subscriber = subscriber

    async def call(self, command: Command) -> Reply:
        """Send a command and return its reply."""
        return await self._router.call(command)

    async def pipeline(self, commands: Sequence[Command]) -> list[Reply]:
        """Send commands together and return their replies in order."""
        return await self._router.pipeline(commands)

    async def outcomes(self, commands: Sequence[Command]) -> list[Reply]:
        """Send commands together and return what came of each, errors as values."""
        return await self._router.outcomes(commands)

    async def steps(self, *steps: Sequence[Command]) -> list[Reply]:
        """Send groups of commands, each executed after the one before it, and return all replies in order."""
        return await self._router.steps(*steps)

    def slots(self, keys: Sequence[str]) -> Sequence[int]:
        """Return a number for each key; only keys with the same number may be in one script."""
        return self._router.slots(keys)

    def now(self) -> float:
        """Return the wall clock in seconds since 1970."""
        return time.time()

    monotonic = staticmethod(time.monotonic)
    """Return a clock that never jumps, in seconds. The function itself: a hit in the process asks it."""

    def place(self) -> int:
        """Name the thread in which the caller runs."""
        return get_ident()

    def token(self) -> str:
        """Return 16 random characters."""
        return secrets.token_urlsafe(12)

    def random(self) -> float:
        """Return a random number in [0, 1)."""
        return random.random()  # noqa: S311 - it spreads load; nothing secret depends on it

    def subscribe(self, topic: str, listener: Listener, *, pattern: bool = False) -> Cancel:
        """Tell `listener` of what is published under a topic; return at once with what ends that."""
        return self._subscriber.subscribe(topic, listener, pattern=pattern)


class BlockingPort(_Clock):
    """For threads: nothing here ever suspends, so `drive` can run the core over it."""

    __slots__ = ("_hands", "call_now")

    def __init__(self, router: Router, subscriber: Subscriber, hands: Hands) -> None:
        super().__init__(router, subscriber)
        self._hands = hands
        self.call_now = router.call_now if isinstance(router, Direct) else self._drive_call
        """Do what `call` does, without a coroutine where the way is short."""

    def _drive_call(self, command: Command) -> Reply:
        return drive(self._router.call(command))

    async def call(self, command: Command) -> Reply:
        """Send a command and return its reply, by the short way."""
        return self.call_now(command)

    together = staticmethod(in_turn)

    async def sleep(self, seconds: float) -> None:
        """Let the thread sleep."""
        time.sleep(seconds)  # noqa: ASYNC251 - this coroutine never runs on a loop

    def start(self, work: Coroutine[Any, Any, None], ended: Callable[[], object]) -> Cancel:
        """Run the work here and now; there is nothing left to cancel afterwards."""
        try:
            drive(work)
        finally:
            ended()
        return _nothing

    def spawn(self, work: Coroutine[Any, Any, None], ended: Callable[[], object]) -> Cancel:
        """Run the work in a thread of its own, which cannot be cancelled."""
        self._hands.spawn(work, ended)
        return _nothing

    def afterwards(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do it here and now."""
        drive(work())

    def free_hands(self) -> bool:
        """Say whether there is room for another thread."""
        return self._hands.free

    def every(self, seconds: float, work: Callable[[], Coroutine[Any, Any, bool]]) -> Cancel:
        """Run short work again and again, in the one thread that all such work of the process shares."""
        return self._hands.every(seconds, work)

    def lifeline(self) -> Callable[[], bool]:
        """Say of a thread's work that it goes on until it ends."""
        return _always

    def may_wait_for(self, place: int) -> bool:
        """Say that a thread may wait for any thread but itself."""
        return place != get_ident()

    async def wait(self, future: Future[T], patience: float | None) -> T:
        """Block the thread until the result is there."""
        try:
            future.exception(patience)  # unlike result(), it raises TimeoutError only for the wait itself
        except TimeoutError:
            raise WaitOver from None
        return future.result()


class AsyncioPort(_Clock):
    """For tasks of the running loop."""

    __slots__ = ("_direct", "_tasks")

    def __init__(self, router: Router, subscriber: Subscriber, tasks: Tasks) -> None:
        super().__init__(router, subscriber)
        self._direct = router if isinstance(router, Direct) else None
        self._tasks = tasks

    async def call(self, command: Command) -> Reply:
        """Send a command and return its reply.

        It goes to the connection without the four coroutines on the way there, if nothing is amiss: they take a third
        of a hit's processor time. Whatever else comes of it goes the common way.
        """
        direct = self._direct
        if direct is None:
            return await self._router.call(command)
        deadline = None if command.patience is None else Deadline(command.patience)
        future = direct.begin(command, deadline)
        if future is None:
            return await direct.call(command, None, deadline)
        try:
            reply = await future
        except WireBroken as broken:
            return await direct.call(command, broken, deadline)
        return await direct.call(command, reply, deadline) if type(reply) is ReplyError else reply

    together = staticmethod(at_once)

    async def sleep(self, seconds: float) -> None:
        """Let the task sleep."""
        await asyncio.sleep(seconds)

    def start(self, work: Coroutine[Any, Any, None], ended: Callable[[], object]) -> Cancel:
        """Run the work in a task of its own, held here until it ends; return what cancels it from any thread."""
        return self._tasks.start(work, ended)

    def spawn(self, work: Coroutine[Any, Any, None], ended: Callable[[], object]) -> Cancel:
        """Run the work in a task of its own, as `start` does."""
        return self._tasks.spawn(work, ended)

    def afterwards(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do it in a task that begins a little later; whoever closes the backend waits for it."""
        self._tasks.start_soon(work)

    def free_hands(self) -> bool:
        """Say whether there is room for another spawned task."""
        return self._tasks.free

    def every(self, seconds: float, work: Callable[[], Coroutine[Any, Any, bool]]) -> Cancel:
        """Run work again and again, each time in a task of its own."""
        return self._tasks.every(seconds, work)

    def lifeline(self) -> Callable[[], bool]:
        """Say of a task that it goes on until its loop is closed."""
        loop = asyncio.get_running_loop()
        return lambda: not loop.is_closed()

    def may_wait_for(self, place: int) -> bool:
        """Say that a task may wait for anybody: its loop goes on."""
        return True

    async def wait(self, future: Future[T], patience: float | None) -> T:
        """Wait without blocking the loop. A cancelled caller stops waiting and leaves the future alone."""
        if future.done():
            return _result_of(future)
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()

        def wake(_: Future[T]) -> None:
            try:
                loop.call_soon_threadsafe(_finish, woken)
            except RuntimeError:  # the loop was closed while somebody waited in it
                return

        future.add_done_callback(wake)
        try:
            async with asyncio.timeout(patience):
                await woken
        except TimeoutError:
            raise WaitOver from None
        return _result_of(future)


def _result_of(future: Future[T]) -> T:
    try:
        return future.result()
    except SmuggledStop as smuggled:  # from a plain function; a coroutine cannot raise it
        msg = "the function raised StopIteration, which cannot pass through a coroutine"
        raise RuntimeError(msg) from smuggled.error


def _finish(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)


def _always() -> bool:
    return True


def _nothing() -> None:
    """There is nothing to cancel."""
