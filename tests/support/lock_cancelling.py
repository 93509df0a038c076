"""Cancelling a task at each place where it waits, one run after the other, and what is left in Redis then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial
from typing import Any

from holdfast import Layer
from holdfast.core.lock_claims import Claim
from holdfast.locks import Lock, MultiLock
from support.flights import reached
from support.peeking import ask

STEPS = (0, 1, 2, 3)
"""How many steps of the loop after a task begins to wait it is cancelled."""


class Run:
    """One run of a coroutine that is cancelled at one of its waits.

    Args:
        wait: which one, from 0.
        steps: so many steps of the loop after it has begun.
    """

    def __init__(self, wait: int, steps: int) -> None:
        self.reached = False
        """Whether there was such a wait."""
        self.accepted = False
        """Whether the task could still be cancelled then."""
        self._wait = wait
        self._steps = steps
        self._waits = 0

    async def of(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run the coroutine to its end, and return its task."""
        loop = asyncio.get_running_loop()
        task = loop.create_task(_Watched(work, self._waiting).run())
        self._task = task
        await asyncio.wait([task])
        return task

    def _waiting(self) -> None:
        self._waits += 1
        if self._waits == self._wait + 1:
            self.reached = True
            self._soon(self._steps)

    def _soon(self, steps: int) -> None:
        loop = asyncio.get_running_loop()
        if steps:
            loop.call_soon(self._soon, steps - 1)
        else:
            loop.call_soon(self._cancel)

    def _cancel(self) -> None:
        self.accepted = self._task.cancel()


class _Watched:
    """A coroutine that tells whenever it waits."""

    def __init__(self, work: Coroutine[Any, Any, Any], waiting: Callable[[], None]) -> None:
        self._work = work
        self._waiting = waiting

    async def run(self) -> Any:
        return await self

    def __await__(self) -> Generator[Any, Any, Any]:
        step = partial(self._work.send, None)
        while True:
            try:
                future = step()
            except StopIteration as stop:
                return stop.value
            self._waiting()
            try:
                yield future
            except BaseException as error:  # whatever comes in goes to the coroutine
                step = partial(self._work.throw, error)
            else:
                step = partial(self._work.send, None)


async def each_wait(case: Callable[[int, int], Awaitable[Run]], *, most: int = 60) -> int:
    """Run a case for its first wait, its second and so on, at each step, until it has no more; return how many it has.

    Args:
        case: runs it, given the wait and the steps.
        most: waits that it can have.
    """
    for wait in range(most):
        runs = [await case(wait, steps) for steps in STEPS]
        if not any(run.reached for run in runs):
            return wait
    msg = f"it waits more than {most} times"
    raise AssertionError(msg)


def claims_of(lock: Lock | MultiLock) -> tuple[Claim, ...]:
    """Return what a lock comes to."""
    return (lock._claim,) if isinstance(lock, Lock) else lock._claims


def left_of(layer: Layer, lock: Lock | MultiLock) -> list[str]:
    """Return the keys of a lock that are there, except those of the fencing token, which hold nobody up."""
    keys = [key for claim in claims_of(lock) for key in (claim.places.held, claim.places.queue, claim.places.alive)]
    return [key for key in keys if ask(layer, "EXISTS", key, key=key)]


async def is_left_alone(layer: Layer, lock: Lock | MultiLock) -> None:
    """Wait until nothing is left of a lock: it is looked at through another layer."""
    await reached(lambda: not left_of(layer, lock))
