"""The blocking peers that lock, each set up as its own documentation shows for production.

A lock object is made each time, as their documentation does it. Packages are imported where they are used, so that one
that is missing takes only its own subject out of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bench_lock_trial import LEASE, NAME, SyncLock

EVER = 1_000_000
"""Retries of those who have no other way to say that they wait as long as it takes."""
BLOCKING = 10
"""Seconds that py-redis-semaphore wants sockets to be patient for: longer than its BLPOP, which takes up to 5."""


def build_redis_py(port: int) -> SyncLock:
    """Use the client's own lock: it asks every 0.1 s while it waits."""
    import redis

    client = redis.Redis(port=port)

    def hold(number: int) -> Any:
        return client.lock(NAME.format(number), timeout=LEASE)

    return SyncLock(hold, _trying(hold, lambda lock: lock.acquire(blocking=False)), client.close)


def build_redis_lock(port: int) -> SyncLock:
    """Use python-redis-lock, whose waiters block in BLPOP for a lease; sockets must be more patient than that."""
    import redis
    import redis_lock

    client = redis.Redis(port=port, socket_timeout=LEASE + 5)

    def hold(number: int) -> Any:
        return redis_lock.Lock(client, NAME.format(number), expire=LEASE)

    return SyncLock(hold, _trying(hold, lambda lock: lock.acquire(blocking=False)), client.close)


def build_pottery(port: int) -> SyncLock:
    """Use pottery's Redlock on one master: it asks again after up to 0.2 s."""
    import pottery
    import redis

    client = redis.Redis(port=port)

    def hold(number: int) -> Any:
        return pottery.Redlock(key=NAME.format(number), masters={client}, auto_release_time=LEASE)

    return SyncLock(hold, _trying(hold, lambda lock: lock.acquire(blocking=False)), client.close)


def build_redlock_py(port: int) -> SyncLock:
    """Use redlock-py on one master: it asks every 0.2 s, three times unless told otherwise."""
    import redlock

    manager: Any = redlock.Redlock([f"redis://127.0.0.1:{port}/0"], retry_count=EVER)
    once: Any = redlock.Redlock([f"redis://127.0.0.1:{port}/0"], retry_count=1)

    def cycle(number: int) -> None:
        manager.unlock(manager.lock(NAME.format(number), LEASE * 1000))

    @contextmanager
    def hold(number: int) -> Iterator[None]:
        held = manager.lock(NAME.format(number), LEASE * 1000)
        try:
            yield
        finally:
            manager.unlock(held)

    def attempt(number: int) -> bool:
        held = once.lock(NAME.format(number), LEASE * 1000)
        if held:
            once.unlock(held)
        return bool(held)

    def close() -> None:
        for server in (*manager.servers, *once.servers):
            server.close()

    return SyncLock(hold, attempt, close, cycle)


def build_portalocker(port: int) -> SyncLock:
    """Use portalocker's RedisLock: who is subscribed to a channel holds the lock."""
    import portalocker
    import redis
    from portalocker.exceptions import AlreadyLocked

    client = redis.Redis(port=port, decode_responses=True, health_check_interval=10)

    def hold(number: int) -> Any:
        return portalocker.RedisLock(NAME.format(number), client, timeout=EVER, interrupt_on_lost=False)

    def take(lock: Any) -> bool:
        try:
            lock.acquire(timeout=0, fail_when_locked=True)
        except AlreadyLocked:
            return False
        return True

    return SyncLock(hold, _trying(hold, take), client.close, traces="channel")


def build_semaphore(port: int) -> SyncLock:
    """Use the Mutex of py-redis-semaphore: renewed by a thread for each lock held; waiters block in BLPOP."""
    import redis
    import redis_semaphore

    client = redis.Redis(port=port, socket_timeout=BLOCKING)

    def hold(number: int) -> Any:
        return redis_semaphore.Mutex(client, NAME.format(number), lock_timeout=LEASE)

    return SyncLock(hold, _trying(hold, lambda lock: lock.acquire(blocking=False).success), client.close)


def _trying(make: Callable[[int], Any], take: Callable[[Any], bool]) -> Callable[[int], bool]:
    """Return an attempt with a lock object of a peer whose lock is given back with `release`."""

    def attempt(number: int) -> bool:
        lock = make(number)
        if not take(lock):
            return False
        lock.release()
        return True

    return attempt
