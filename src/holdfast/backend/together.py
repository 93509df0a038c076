"""Several calls of one caller: at once in an event loop, one after the other in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


async def in_turn(calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Run calls one after the other and return their results; if one raises, the rest is not begun."""
    results: list[T] = []
    remaining = list(calls)
    try:
        while remaining:
            results.append(await remaining.pop(0))
    finally:
        for call in remaining:
            call.close()
    return results


async def at_once(calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Run calls in tasks of their own and return their results in order.

    If one raises, or the caller is cancelled, the others are cancelled, and it is waited for their end: nothing of what
    they do happens after this has returned.

    Raises:
        BaseException: what the first of the calls that failed has raised, in their order if several did at once.
    """
    if len(calls) == 1:
        return [await calls[0]]
    tasks = [asyncio.ensure_future(call) for call in calls]
    if not tasks:
        return []
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        await _end(tasks)
    for task in tasks:
        if task in done:
            task.result()
    return [task.result() for task in tasks]


async def _end(tasks: Sequence[asyncio.Task[T]]) -> None:
    """Cancel what still runs and wait for its end, however often the caller is cancelled meanwhile."""
    cancelled: asyncio.CancelledError | None = None
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        try:
            await asyncio.wait(running)
        except asyncio.CancelledError as error:
            cancelled = error
    for task in tasks:
        if not task.cancelled():
            task.exception()  # or it would be told as never retrieved
    if cancelled is not None:
        raise cancelled
