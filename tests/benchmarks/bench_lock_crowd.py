"""A thousand tasks that want one lock: how long until all have had it, in which order, and with how many commands.

A run is one try of each contender, and it is told when the time limit ends it.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from bench_frame import describe
from bench_limit_lineup import empty
from bench_lock_monitor import monitoring
from bench_lock_trial import AsyncBuilder, AsyncLock

ALL: Final = "all had it"
_CLOSING: Final = 10.0
"""Seconds that a contender gets to end what the time limit cut short."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """How one contender served a crowd."""

    name: str
    ended: str
    """`ALL`, or what went wrong."""
    served: int
    """Tasks that had the lock."""
    seconds: float
    commands: int
    in_order: bool
    """Whether all had it in the order in which they came."""


def serve(name: str, build: AsyncBuilder, port: int, size: int, patience: float) -> Crowd:
    """Let a crowd of so many tasks take one lock of a contender in turn.

    Args:
        name: the contender.
        build: makes it; all tasks share it, as the tasks of one process would.
        port: of the server.
        size: tasks.
        patience: seconds after which those that still wait are cancelled.
    """
    empty(port)

    async def scenario() -> Crowd:
        lock = await build(port)
        with monitoring(port) as sent:
            ended, visits, seconds = await gather_at(lock, size, patience)
            commands = sent()
        with suppress(Exception):  # what a cut contender says while it is closed is no result
            await asyncio.wait_for(_close(lock), _CLOSING)
        return Crowd(name, ended, len(visits), seconds, commands, visits == list(range(size)))

    try:
        return asyncio.run(scenario())
    except Exception as error:  # reported in the table; the others are measured
        return Crowd(name, describe(error), 0, 0.0, 0, in_order=False)


async def gather_at(lock: AsyncLock, size: int, patience: float) -> tuple[str, list[int], float]:
    """Let tasks take a lock; return how it ended, who had the lock in which order, and the seconds it took."""
    visits: list[int] = []
    crowded = False
    inside = 0

    async def visit(number: int) -> None:
        nonlocal inside, crowded
        async with lock.hold(0):
            inside += 1
            crowded = crowded or inside > 1
            visits.append(number)
            await asyncio.sleep(0)  # others run while the lock is held
            inside -= 1

    begun = time.perf_counter()
    tasks = [asyncio.create_task(visit(number)) for number in range(size)]
    done, pending = await asyncio.wait(tasks, timeout=patience, return_when=asyncio.FIRST_EXCEPTION)
    seconds = time.perf_counter() - begun
    served = visits.copy()
    for task in pending:
        task.cancel()
    if pending:
        await asyncio.wait(pending, timeout=_CLOSING)
    errors = [error for task in done if (error := task.exception())]
    if crowded:
        return "two held it at once", served, seconds
    if errors:
        return describe(errors[0]), served, seconds
    return (f"gave up after {patience:.0f} s" if pending else ALL), served, seconds


async def _close(lock: AsyncLock) -> None:
    await lock.close()
