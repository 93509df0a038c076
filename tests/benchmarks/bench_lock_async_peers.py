"""The asyncio peers that lock, each set up as its own documentation shows for production.

A lock object is made each time, as their documentation does it. Packages are imported where they are used, so that one
that is missing takes only its own subject out of the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from bench_lock_sync_peers import BLOCKING, EVER
from bench_lock_trial import LEASE, NAME, AsyncLock

CONNECTIONS = 2000
"""How many a pool of redis-py may open: a crowd needs more than its default of a hundred."""


async def abuild_redis_py(port: int) -> AsyncLock:
    """Use the client's own lock: it asks every 0.1 s while it waits."""
    import redis.asyncio

    client = redis.asyncio.Redis(port=port, max_connections=CONNECTIONS)

    def hold(number: int) -> Any:
        return client.lock(NAME.format(number), timeout=LEASE)

    attempt = _trying(hold, lambda lock: lock.acquire(blocking=False), lambda lock: lock.release())
    return AsyncLock(hold, attempt, client.aclose)


async def abuild_pottery(port: int) -> AsyncLock:
    """Use pottery's AIORedlock on one master: it asks again after up to 0.2 s."""
    import pottery
    import redis.asyncio

    client = redis.asyncio.Redis(port=port, max_connections=CONNECTIONS)

    def hold(number: int) -> Any:
        return pottery.AIORedlock(key=NAME.format(number), masters={client}, auto_release_time=LEASE)

    attempt = _trying(hold, lambda lock: lock.acquire(blocking=False), lambda lock: lock.release())
    return AsyncLock(hold, attempt, client.aclose)


async def abuild_semaphore(port: int) -> AsyncLock:
    """Use the Mutex of py-redis-semaphore: renewed by a task for each lock held; waiters block in BLPOP."""
    import redis.asyncio
    import redis_semaphore

    client = redis.asyncio.Redis(port=port, socket_timeout=BLOCKING, max_connections=CONNECTIONS)

    def hold(number: int) -> Any:
        return redis_semaphore.Mutex(client, NAME.format(number), lock_timeout=LEASE)

    async def take(lock: Any) -> bool:
        return bool((await lock.aacquire(blocking=False)).success)

    return AsyncLock(hold, _trying(hold, take, lambda lock: lock.arelease()), client.aclose)


async def abuild_coredis(port: int) -> AsyncLock:
    """Use the lock of coredis, over its own client: it asks every 0.1 s while it waits."""
    import coredis
    from coredis.patterns.lock import Lock

    client = coredis.Redis(port=port)

    def hold(number: int) -> Any:
        return Lock(client, NAME.format(number), timeout=LEASE)

    def once(number: int) -> Any:
        return Lock(client, NAME.format(number), timeout=LEASE, blocking=False)

    attempt = _trying(once, lambda lock: lock.acquire(), lambda lock: lock.release())
    return AsyncLock(hold, attempt, await _open(client))


async def _open(client: AbstractAsyncContextManager[Any]) -> Callable[[], Awaitable[object]]:
    """Enter a client that must be left in the task that entered it, and return what leaves it."""
    opened, closing = asyncio.Event(), asyncio.Event()

    async def keep() -> None:
        try:
            async with client:
                opened.set()
                await closing.wait()
        finally:
            opened.set()

    keeper = asyncio.create_task(keep())
    await opened.wait()
    if keeper.done():
        await keeper

    async def close() -> None:
        closing.set()
        await keeper

    return close


async def abuild_aioredlock(port: int) -> AsyncLock:
    """Use aioredlock on one master, renewed by a task for each lock held: it asks again after 0.1 to 0.3 s."""
    import aioredlock

    manager = aioredlock.Aioredlock([f"redis://127.0.0.1:{port}/0"], retry_count=EVER, internal_lock_timeout=LEASE)
    once = aioredlock.Aioredlock([f"redis://127.0.0.1:{port}/0"], retry_count=1, internal_lock_timeout=LEASE)

    async def cycle(number: int) -> None:
        async with await manager.lock(NAME.format(number)):
            pass

    @asynccontextmanager
    async def hold(number: int) -> AsyncIterator[None]:
        async with await manager.lock(NAME.format(number)):
            yield

    async def attempt(number: int) -> bool:
        try:
            held = await once.lock(NAME.format(number))
        except aioredlock.LockError:
            return False
        await once.unlock(held)
        return True

    async def close() -> None:
        await manager.destroy()
        await once.destroy()

    return AsyncLock(hold, attempt, close, cycle)


async def abuild_cashews(port: int) -> AsyncLock:
    """Use the lock of cashews: while it waits it asks without a pause, unless told otherwise."""
    from cashews import Cache, LockedError

    cache = Cache()
    cache.setup(f"redis://127.0.0.1:{port}/0")

    async def attempt(number: int) -> bool:
        try:
            async with cache.lock(NAME.format(number), expire=LEASE, wait=False):
                return True
        except LockedError:
            return False

    return AsyncLock(lambda number: cache.lock(NAME.format(number), expire=LEASE), attempt, cache.close)


def _trying(
    make: Callable[[int], Any], take: Callable[[Any], Awaitable[bool]], give_back: Callable[[Any], Awaitable[object]]
) -> Callable[[int], Awaitable[bool]]:
    """Return an attempt with a lock object of a peer."""

    async def attempt(number: int) -> bool:
        lock = make(number)
        if not await take(lock):
            return False
        await give_back(lock)
        return True

    return attempt
