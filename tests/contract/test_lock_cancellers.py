"""Promises to callers of locks whom time-outs, groups, the end of a loop or Ctrl-C cut short: nothing stays behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio
import pytest

from holdfast import Layer, LockNotAcquired
from support.flights import reached
from support.lock_bench import KINDS, PLACES, benched, hears, url_of
from support.lock_cancelling import is_left_alone
from support.topologies import Servers

kinds = pytest.mark.parametrize("kind", KINDS)
places = pytest.mark.parametrize("place", PLACES)
Canceller = Callable[[Awaitable[Any]], Awaitable[Any]]


async def _by_timeout(work: Awaitable[Any]) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await work


async def _by_wait_for(work: Awaitable[Any]) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(work, 0.01)


async def _by_group(work: Awaitable[Any]) -> None:
    async def run() -> None:
        await work

    async def fail() -> None:
        await asyncio.sleep(0.01)
        raise LookupError

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(run())
            group.create_task(fail())

    with pytest.raises(ExceptionGroup):
        await both()


async def _by_anyio(work: Awaitable[Any]) -> None:
    with anyio.move_on_after(0.01) as scope:
        await work
    assert scope.cancelled_caught


async def _by_anyio_group(work: Awaitable[Any]) -> None:
    async def run() -> None:
        await work

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await anyio.sleep(0.01)
        group.cancel_scope.cancel()


CANCELLERS: Final[dict[str, Canceller]] = {
    "timeout": _by_timeout,
    "wait_for": _by_wait_for,
    "group": _by_group,
    "anyio scope": _by_anyio,
    "anyio group": _by_anyio_group,
}


@kinds
@pytest.mark.parametrize("how", CANCELLERS)
def test_what_cancels(how: str, kind: str, servers: Servers, namespace: str) -> None:
    """A time-out, a group that fails, a scope that is cancelled: who waits leaves nothing, and they see their end."""

    async def scenario() -> None:
        async with benched(kind, url_of("server", servers, namespace), namespace) as bench:
            lock, other = bench.locks()
            async with other:
                await CANCELLERS[how](lock.aacquire())
            await is_left_alone(bench.there, lock)

            async def stay() -> None:
                async with lock:
                    await asyncio.Event().wait()

            await CANCELLERS[how](stay())
            await is_left_alone(bench.there, lock)

    asyncio.run(scenario())


@kinds
@pytest.mark.parametrize("where", ["waiting", "inside"])
def test_a_loop_that_ends(where: str, kind: str, servers: Servers, namespace: str) -> None:
    """When `asyncio.run` ends, the tasks that wait or hold leave nothing."""
    url, tasks = url_of("server", servers, namespace), []
    with Layer(url, namespace=namespace) as here, Layer(url, namespace=namespace) as there:
        lock, other = KINDS[kind](here, "k"), KINDS["writer" if kind == "reader" else kind](there, "k")

        async def stay(entered: asyncio.Event) -> None:
            async with lock:
                entered.set()
                await asyncio.Event().wait()

        async def scenario() -> None:
            entered = asyncio.Event()
            tasks.append(asyncio.ensure_future(stay(entered)))
            await reached(lambda: hears(here, lock) if where == "waiting" else entered.is_set())

        if where == "waiting":
            with other:
                asyncio.run(scenario())
        else:
            asyncio.run(scenario())
        assert tasks[0].cancelled()
        asyncio.run(is_left_alone(there, lock))


class Interrupted:
    """A blocking port whose n-th call, or wait, is interrupted by Ctrl-C: before it is sent, or when it is back."""

    def __init__(self, port: Any, number: int, *, late: bool) -> None:
        self._port = port
        self._left = number
        self._late = late
        self.over = False
        """Whether it was."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    async def call(self, command: Any) -> Any:
        return await self._through(lambda: self._port.call(command))

    async def pipeline(self, commands: Any) -> Any:
        return await self._through(lambda: self._port.pipeline(commands))

    async def wait(self, future: Any, patience: Any) -> Any:
        return await self._through(lambda: self._port.wait(future, patience))

    async def _through(self, call: Callable[[], Awaitable[Any]]) -> Any:
        self._left -= 1
        strikes = self._left == -1
        if strikes and not self._late:
            self._strike()
        result = await call()
        if strikes:
            self._strike()
        return result

    def _strike(self) -> None:
        self.over = True
        raise KeyboardInterrupt


@places
@kinds
@pytest.mark.parametrize("late", [False, True], ids=["before it is sent", "when it is back"])
def test_an_interrupt_at_each_call(late: bool, kind: str, place: str, servers: Servers, namespace: str) -> None:
    """Ctrl-C in blocking code, at each call to Redis and each wait: it comes out, and nothing is left."""
    url = url_of(place, servers, namespace)
    with Layer(url, namespace=namespace) as here, Layer(url, namespace=namespace) as there:
        port, calls = here.engine.blocking, 0
        for number in range(50):
            lock = KINDS[kind](here, f"k{number}", wait=0.02)
            interrupted = here.engine.blocking = Interrupted(port, number, late=late)  # type: ignore[assignment]
            if not _is_interrupted(interrupted, lock):
                break
            calls += 1
            asyncio.run(is_left_alone(there, lock))
            held = KINDS[kind](there, f"b{number}").acquire()
            busy = KINDS["writer" if kind == "reader" else kind](here, f"b{number}", wait=0.02)
            interrupted = here.engine.blocking = Interrupted(port, number, late=late)  # type: ignore[assignment]
            _is_interrupted(interrupted, busy)
            held.release()
            asyncio.run(is_left_alone(there, busy))
        assert calls >= 2


def _is_interrupted(interrupted: Interrupted, lock: Any) -> bool:
    """Enter a lock and leave it, and say whether that was interrupted; then it has to come out."""
    try:
        with lock:
            pass
    except KeyboardInterrupt:
        return True
    except LockNotAcquired:
        pass
    assert not interrupted.over
    return False
