"""The baseline: SET with NX and PX, and a script that compares and deletes, through redis-py and nothing around it.

It makes a fresh token each time, as any lock must; its keys are ready-made. It cannot wait, renews nothing and tells
nobody that the lock is free.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from os import urandom
from typing import Final

from bench_lock_trial import LEASE, NAME, AsyncLock, SyncLock
from bench_product import IDS

RAW: Final = "redis-py `set` + `evalsha`"
GIVE_BACK: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class Busy(Exception):  # noqa: N818 - named as the peers name theirs
    """Somebody holds the lock, or it was lost."""


def build(port: int) -> SyncLock:
    """Send both commands with redis-py's own client and its default pool."""
    import redis

    client = redis.Redis(port=port)
    sha, keys, lifetime = client.script_load(GIVE_BACK), _keys(), LEASE * 1000

    def cycle(number: int) -> None:
        key, token = keys[number], urandom(16)
        if not client.set(key, token, nx=True, px=lifetime):
            raise Busy
        if client.evalsha(sha, 1, key, token) != 1:
            raise Busy

    @contextmanager
    def hold(number: int) -> Iterator[None]:
        key, token = keys[number], urandom(16)
        if not client.set(key, token, nx=True, px=lifetime):
            raise Busy
        try:
            yield
        finally:
            client.evalsha(sha, 1, key, token)

    def attempt(number: int) -> bool:
        try:
            cycle(number)
        except Busy:
            return False
        return True

    return SyncLock(hold, attempt, client.close, cycle, waits=False)


async def abuild(port: int) -> AsyncLock:
    """Send both commands with redis-py's own asyncio client and its default pool."""
    import redis.asyncio

    client = redis.asyncio.Redis(port=port)
    sha, keys, lifetime = await client.script_load(GIVE_BACK), _keys(), LEASE * 1000

    async def cycle(number: int) -> None:
        key, token = keys[number], urandom(16)
        if not await client.set(key, token, nx=True, px=lifetime):
            raise Busy
        if await client.evalsha(sha, 1, key, token) != 1:
            raise Busy

    @asynccontextmanager
    async def hold(number: int) -> AsyncIterator[None]:
        key, token = keys[number], urandom(16)
        if not await client.set(key, token, nx=True, px=lifetime):
            raise Busy
        try:
            yield
        finally:
            await client.evalsha(sha, 1, key, token)

    async def attempt(number: int) -> bool:
        try:
            await cycle(number)
        except Busy:
            return False
        return True

    return AsyncLock(hold, attempt, client.aclose, cycle, waits=False)


def _keys() -> list[str]:
    return [NAME.format(number) for number in IDS]
