"""Who has entered one object as a context manager: many threads and tasks may, each as often as it likes."""

from __future__ import annotations

import asyncio
import threading
from typing import Generic, TypeVar

T = TypeVar("T")


def current_owner() -> object:
    """Return the task that runs, or else the thread: what a ``with`` block belongs to.

    A task that was started inside of the block is another owner; so is a thread. The thread itself it is, not its
    number, which the next thread gets when this one has ended.
    """
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop runs here
        return threading.current_thread()
    return threading.current_thread() if task is None else task


class Entered(Generic[T]):
    """What was handed out on entering, by owner."""

    __slots__ = ("_known", "_what")

    def __init__(self, what: str) -> None:
        """Set it up.

        Args:
            what: what is entered, for messages.
        """
        self._what = what
        self._known: dict[object, list[T]] = {}

    def __bool__(self) -> bool:
        """Say whether anybody is inside."""
        return bool(self._known)

    def push(self, thing: T, owner: object) -> T:
        """Note what an owner got on entering, and return it."""
        self._known.setdefault(owner, []).append(thing)
        return thing

    def pop(self, owner: object) -> T:
        """Return what is left: the last thing of its owner, or of whoever entered on its behalf.

        Raises:
            RuntimeError: it was left more often than it was entered.
        """
        if not self._known:
            msg = f"{self._what} was left more often than it was entered"
            raise RuntimeError(msg)
        held = self._known.get(owner)
        if held is None:
            owner, held = next(reversed(self._known.items()))
        thing = held.pop()
        if not held:
            del self._known[owner]
        return thing
