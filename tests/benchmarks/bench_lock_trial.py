"""What a subject of a row about locks is, and its trial: it must be seen to exclude before it is timed.

A lock that locks nothing is the fastest. So each subject must first take a free lock, leave a trace of it on the
server, keep a second subject with connections of its own out, keep no other lock, and let go at the end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

import redis

LEASE: Final = 30
"""Seconds for which all subjects take a lock. No run holds one for so long."""
NAME: Final = "lock:{}"
"""The name of a lock. All subjects but the baseline format it each time."""


@dataclass(frozen=True, slots=True)
class SyncLock:
    """A blocking way to take the lock with a number."""

    hold: Callable[[int], AbstractContextManager[Any]]
    """Waits until the lock is held, if `waits`; else it raises where somebody has it."""
    attempt: Callable[[int], bool]
    """Take it and give it back without waiting; False where somebody has it."""
    close: Callable[[], object]
    cycle: Callable[[int], object] | None = None
    """Take it and give it back; None: enter and leave `hold`."""
    waits: bool = True
    traces: str = "key"
    """What the server shows while the lock is held: a key with a lifetime, or a subscribed channel."""

    def cycling(self) -> Callable[[int], object]:
        """Return the call that is timed."""
        hold = self.hold

        def cycle(number: int) -> None:
            with hold(number):
                pass

        return self.cycle or cycle


@dataclass(frozen=True, slots=True)
class AsyncLock:
    """An asyncio way to take the lock with a number. Fields as in `SyncLock`."""

    hold: Callable[[int], AbstractAsyncContextManager[Any]]
    attempt: Callable[[int], Awaitable[bool]]
    close: Callable[[], Awaitable[object]]
    cycle: Callable[[int], Awaitable[object]] | None = None
    waits: bool = True
    traces: str = "key"

    def cycling(self) -> Callable[[int], Awaitable[object]]:
        """Return the call that is timed."""
        hold = self.hold

        async def cycle(number: int) -> None:
            async with hold(number):
                pass

        return self.cycle or cycle


SyncBuilder = Callable[[int], SyncLock]
"""Makes a subject for the server on a port."""
AsyncBuilder = Callable[[int], Awaitable[AsyncLock]]
"""The same, in the loop in which it will be used."""


def try_sync(lock: SyncLock, rival: SyncLock, see: Callable[[str], bool]) -> None:
    """See that a lock excludes while it is held, and only then.

    Args:
        lock: who holds.
        rival: the same subject again, with its own connections.
        see: whether the server shows a trace of this kind.

    Raises:
        ValueError: it does not.
    """
    judge(rival.attempt(0), "it could not take a lock that nobody held")
    with lock.hold(0):
        judge(see(lock.traces), f"no {lock.traces} on the server shows that the lock is held")
        judge(not rival.attempt(0), "two held one lock at once")
        judge(rival.attempt(1), "it refused a lock that nobody held")
    judge(rival.attempt(0), "it did not give the lock back")
    lock.cycling()(0)
    judge(rival.attempt(0), "what is timed did not give the lock back")


async def try_async(lock: AsyncLock, rival: AsyncLock, see: Callable[[str], bool]) -> None:
    """See that a lock excludes while it is held, and only then. Arguments and errors as in `try_sync`."""
    judge(await rival.attempt(0), "it could not take a lock that nobody held")
    async with lock.hold(0):
        judge(see(lock.traces), f"no {lock.traces} on the server shows that the lock is held")
        judge(not await rival.attempt(0), "two held one lock at once")
        judge(await rival.attempt(1), "it refused a lock that nobody held")
    judge(await rival.attempt(0), "it did not give the lock back")
    await lock.cycling()(0)
    judge(await rival.attempt(0), "what is timed did not give the lock back")


def judge(holds: bool, complaint: str) -> None:
    """Raise a complaint unless what is claimed holds.

    Raises:
        ValueError: it does not.
    """
    if not holds:
        raise ValueError(complaint)


def seen_on(port: int) -> Callable[[str], bool]:
    """Return what says whether a server shows a trace: a key that will expire, or a listener on the lock's channel."""

    def see(traces: str) -> bool:
        with redis.Redis(port=port) as client:
            ask: Any = client
            if traces == "channel":
                return bool(ask.pubsub_channels(NAME.format(0)))
            return any(ask.pttl(key) > 0 for key in ask.scan_iter())

    return see
