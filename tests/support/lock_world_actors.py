"""Coroutines that chance lets go on, and that may be cancelled or, in threads, interrupted."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, Self

from support.model.actors import Actor


@dataclass(eq=False, slots=True)
class LockActor(Actor):
    """One coroutine: a task of a loop, or what a thread does."""

    owed: type[BaseException] | None = None
    """What it must end with, since it was thrown into it."""
    waits_for: str = ""
    """The key of the lock that it waits for without limit."""
    since: float = 0.0
    """When it began to."""

    @classmethod
    def of(cls, name: str, work: Any, place: int, home: Any, *, blocking: bool) -> Self:
        """Return one that has not begun."""
        return cls(name, work, place, blocking, copy_context(), home)

    def step(self) -> None:
        """Go on to the next wait, or to the end."""
        self.ready = False
        try:
            if self.cancelled:
                self.cancelled = False
                self.owed = KeyboardInterrupt if self.blocking else asyncio.CancelledError
                self.context.run(self.work.throw, self.owed())
            else:
                self.context.run(self.work.send, None)
        except StopIteration as stop:
            self.result, self.over = stop.value, True
        except BaseException as error:  # whatever it is, it is the actor's result
            self.error, self.over = error, True
        if self.over and self.ended is not None:
            self.ended()
