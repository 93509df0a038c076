"""Who has entered one object as a context manager: many threads and tasks may, each as often as it likes."""

from __future__ import annotations

import asyncio
import sys
import threading
from types import FrameType
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
    """What was handed out on entering, by the frame in which that was, and by owner.

    A ``with`` is left in the frame that has entered it, in whatever thread or task that runs by then: a generator may
    be closed by another. Who enters and leaves by other means, an exit stack say, is known by the owner.
    """

    __slots__ = ("_are_alike", "_known", "_what")

    def __init__(self, what: str, *, are_alike: bool = False) -> None:
        """Set it up.

        Args:
            what: what is entered, for messages.
            are_alike: whether one is as good as another, so that whoever is not known leaves the last one.
        """
        self._what = what
        self._are_alike = are_alike
        self._known: list[tuple[FrameType, object, T]] = []

    def __bool__(self) -> bool:
        """Say whether anybody is inside."""
        return bool(self._known)

    def push(self, thing: T, owner: object, frame: FrameType) -> T:
        """Note what an owner got on entering in a frame, and return it."""
        self._known.append((frame, owner, thing))
        return thing

    def pop(self, owner: object, frame: FrameType) -> T:
        """Return what is left: the last thing of the frame, or of the owner, or the only one that there is.

        Raises:
            RuntimeError: it was left more often than it was entered, or nobody can say what is meant.
        """
        known = self._known
        entry = next((each for each in reversed(known) if each[0] is frame), None)
        if entry is None:
            entry = next((each for each in reversed(known) if each[1] is owner), None)
        if entry is None and known and (self._are_alike or len(known) == 1):
            entry = known[-1]
        if entry is not None:
            known.remove(entry)
            return entry[2]
        msg = f"{self._what} was left more often than it was entered"
        if known:
            msg = f"{self._what} was left by another task or thread than entered it: make one for each block"
        raise RuntimeError(msg)


def calling_frame() -> FrameType:
    """Return the frame that called the caller: the one with the ``with``."""
    return sys._getframe(2)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - there is no other way to know it
