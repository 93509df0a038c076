"""Coroutines that chance lets go on: what each waits for, where it runs, and what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any


class _Suspended:
    """Awaited, it hands over until somebody wakes the actor."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        yield


SUSPENDED = _Suspended()


@dataclass(eq=False, slots=True)
class Actor:
    """One coroutine: a task of a loop, or what a thread does."""

    name: str
    work: Coroutine[Any, Any, Any]
    place: int
    """The thread that it runs in; the tasks of one loop share it."""
    blocking: bool
    """Whether it keeps its place to itself until it is through."""
    context: Context
    home: Any = None
    """The process that it belongs to."""
    ended: Callable[[], object] | None = None
    ready: bool = True
    over: bool = False
    cancelled: bool = False
    leased: bool = False
    """Whether an `acquire` that it sent was granted."""
    granted: list[bytes] = field(default_factory=list)
    """The tokens that it was granted and has not loaded under yet."""
    result: Any = None
    error: BaseException | None = None
    rank: float = 0.0

    def wake(self, _: object = None) -> None:
        """Let it go on, for whatever reason; it looks itself whether it may."""
        self.ready = True

    def cancel(self) -> None:
        """Have it cancelled where it waits, or before it begins."""
        if not self.over:
            self.cancelled = self.ready = True

    def step(self) -> None:
        """Go on to the next wait, or to the end."""
        self.ready = False
        try:
            if self.cancelled:
                self.cancelled = False
                self.context.run(self.work.throw, asyncio.CancelledError())
            else:
                self.context.run(self.work.send, None)
        except StopIteration as stop:
            self.result, self.over = stop.value, True
        except BaseException as error:  # whatever it is, it is the actor's result
            self.error, self.over = error, True
        if self.over and self.ended is not None:
            self.ended()

    def discard(self) -> None:
        """End it without a step: its process is no more, or the play is over."""
        self.over = True
        self.context.run(self.work.close)


async def pause() -> None:
    """Let chance decide when to go on."""
    current[0].ready = True
    await SUSPENDED


current: list[Actor] = []
"""The actor that takes its step, in first place."""
