"""Locks as context managers of both colours, whatever it is that is locked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Generic, Never, TypeVar

from holdfast._calls import drive
from holdfast.core.lock_claims import Claim
from holdfast.entered import Entered, calling_frame, current_owner
from holdfast.errors import ConfigurationError, LockLost, LockNotAcquired
from holdfast.events import LockBusy
from holdfast.lock_handles import Grip, Ground, Held, held_already, note_entered, note_left
from holdfast.lock_several import MultiHeld
from holdfast.lock_terms import Terms
from holdfast.port import Port

H = TypeVar("H", Held, MultiHeld)


class Canceller:
    """Cancels the task that made it, from any thread, when its lock is lost."""

    def __init__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            msg = "cancel_on_loss=True needs a task to cancel: use it in code that asyncio runs as a task"
            raise RuntimeError(msg)
        self._task = task
        self._loop = asyncio.get_running_loop()
        self._cancelling = task.cancelling()
        self._has_fired = False
        self._is_over = False

    def __call__(self) -> None:
        """Cancel the task soon, in its loop."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if not self._is_over:
            self._has_fired = True
            self._task.cancel("the lock was lost")

    def end(self, error: BaseException | None) -> bool:
        """Cancel no more; say whether the error is the cancellation from here, and nobody else's."""
        self._is_over = True
        if not self._has_fired:
            return False
        return self._task.uncancel() <= self._cancelling and isinstance(error, asyncio.CancelledError)


class Block(Generic[H]):
    """A lock, or several, as a context manager of both colours.

    One object may be entered many times, by many threads and tasks at once: each gets a handle of its own.
    """

    def __init__(self, ground: Ground, terms: Terms, what: str) -> None:
        self._ground = ground
        self._terms = terms
        self._entered: Entered[tuple[H, Canceller | None]] = Entered(what)

    async def _take(self, port: Port, *, in_block: bool) -> H:
        raise NotImplementedError

    def acquire(self, **unknown: Never) -> H:
        """Take it, and return a handle that gives it back.

        Keep the handle: a lock whose handle is forgotten is not renewed, and lost when its lease has run out.

        Raises:
            LockNotAcquired: others held it for as long as `wait` says, the caller is in a block of it already, or
                too few replicas have it.
            BackendError: Redis cannot be reached.
        """
        _refuse_options(unknown)
        self._refuse_to_cancel("acquire()")
        return drive(self._take(self._ground.blocking, in_block=False))

    async def aacquire(self, **unknown: Never) -> H:
        """Do what `acquire` does, for async callers."""
        _refuse_options(unknown)
        self._refuse_to_cancel("aacquire()")
        return await self._take(self._ground.asyncio, in_block=False)

    def __reduce__(self) -> str:
        """Refuse to be copied or pickled."""
        msg = f"{self!r} belongs to this process: pass on the name, and make the lock where it is needed"
        raise TypeError(msg)

    def _refuse_to_cancel(self, verb: str) -> None:
        if self._terms.cancel_on_loss:
            msg = f"cancel_on_loss=True cancels an `async with` block; {verb} has none: look at .lost, or call check()"
            raise ConfigurationError(msg)

    def __enter__(self) -> H:
        self._refuse_to_cancel("a plain `with`")
        frame = calling_frame()
        held = drive(self._take(self._ground.blocking, in_block=True))
        return self._enter(held, None, self._ground.blocking, frame)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        held: H | None = None
        try:
            held, _ = self._entered.pop(current_owner(), calling_frame())
            drive(held.leave_block(self._ground.blocking, error))
        finally:
            if held is not None:
                note_left(held.parts)

    async def __aenter__(self) -> H:
        frame = calling_frame()
        canceller = Canceller() if self._terms.cancel_on_loss else None
        held = await self._take(self._ground.asyncio, in_block=True)
        return self._enter(held, canceller, self._ground.asyncio, frame)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        held, canceller = self._entered.pop(current_owner(), calling_frame())
        was_cancelled_here = False
        if canceller is not None:
            held.told_no_more(canceller)
            was_cancelled_here = canceller.end(error)
        try:
            await held.leave_block(self._ground.asyncio, error)
        finally:
            note_left(held.parts)
        if was_cancelled_here:
            msg = f"{self!r} was lost, and its block cancelled: another may hold it now"
            raise LockLost(msg) from error

    def _enter(self, held: H, canceller: Canceller | None, port: Port, frame: FrameType) -> H:
        """Note that a block begins; give back what it holds if that is interrupted."""
        try:
            note_entered(held.parts)
            if canceller is not None:
                held.told_of_loss(canceller)
            return self._entered.push((held, canceller), current_owner(), frame)[0]
        except BaseException:
            for each in held.parts:
                each.release_at_last(port)
            raise


def _refuse_options(given: Mapping[str, object]) -> None:
    for name in given:
        msg = (
            f"acquire has no option {name!r}: say how long to wait where the lock is made, such as wait=0 or wait='5s'"
        )
        raise ConfigurationError(msg)


def refuse_own(ground: Ground, claim: Claim, owner: object, advice: str = "") -> None:
    """Refuse what its owner holds already: nobody but he himself could give it back.

    Raises:
        LockNotAcquired: that is so.
    """
    if held_already(ground, claim.places.held, owner) is None:
        return
    claim.tally.busy += 1
    if ground.recorder.hooks:
        ground.recorder.emit(LockBusy(claim.tally.pattern, claim.places.held, 0.0))
    msg = (
        f"the {claim.what} {claim.title} is held already by this very task or thread, which would wait for itself "
        f"for ever: leave the outer block first{advice}"
    )
    raise LockNotAcquired(msg)


def grip(claim: Claim, owner: object) -> Grip | None:
    """Return that an owner holds a lock. Of a semaphore one may hold several permits."""
    return None if claim.mode and claim.capacity else Grip(owner)
