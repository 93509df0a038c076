"""Work of asyncio code that nobody waits for: held tasks, and what recurs in a loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Final
from weakref import WeakSet

from holdfast.backend.abandon import keep
from holdfast.backend.background import Round, Work
from holdfast.port import Cancel

MOST_TASKS: Final = 1000
"""How many spawned tasks of one backend may be at work before it has no free hands."""
_log = logging.getLogger("holdfast")


class Tasks:
    """The tasks that work for one backend, in any loop. A loop itself holds tasks only weakly."""

    def __init__(self) -> None:
        self._held: set[asyncio.Task[None]] = set()
        self._spawned: set[asyncio.Task[None]] = set()
        self._last: set[asyncio.Task[None]] = set()
        """What cancelled callers have left to do."""
        self._recurring: WeakSet[_Recurring] = WeakSet()

    @property
    def free(self) -> bool:
        """Whether there is room for more spawned work."""
        if len(self._spawned) >= MOST_TASKS:
            self._spawned -= {task for task in self._spawned if task.get_loop().is_closed()}
        return len(self._spawned) < MOST_TASKS

    def start(self, work: Work, ended: Callable[[], object]) -> Cancel:
        """Run the work in a task of the running loop; return what cancels it from any thread."""
        task = self.hold(work)
        task.add_done_callback(_look_away)
        task.add_done_callback(lambda _: ended())
        return partial(_cancel, task)

    def start_soon(self, work: Callable[[], Work]) -> None:
        """Run work in a task that begins a little later, for a caller who was cancelled.

        One that exists when its loop ends would be cancelled at once.
        """

        def begin() -> None:
            task = self.hold(work())
            self._last.add(task)
            task.add_done_callback(self._last.discard)
            task.add_done_callback(_look_away)

        asyncio.get_running_loop().call_soon(begin)

    def spawn(self, work: Work, ended: Callable[[], object]) -> Cancel:
        """Do what `start` does, for work that nobody waits for."""
        task = self.hold(work)
        self._spawned.add(task)
        task.add_done_callback(self._spawned.discard)
        task.add_done_callback(_report)
        task.add_done_callback(lambda _: ended())
        return partial(_cancel, task)

    def hold(self, work: Work) -> asyncio.Task[None]:
        """Run the work in a task that is held until it is done."""
        task = asyncio.get_running_loop().create_task(work)
        self._held.add(task)
        task.add_done_callback(self._held.discard)
        return task

    def every(self, seconds: float, work: Round) -> Cancel:
        """Run `work()` every `seconds` seconds in the running loop; return what ends that, from any thread."""
        recurring = _Recurring(self, seconds, work)
        self._recurring.add(recurring)
        return recurring.cancel

    async def drain(self, threads: list[Future[None]], seconds: float) -> None:
        """Wait up to `seconds` for what was spawned in the running loop, but for the caller, and for threads.

        And for what cancelled callers have left to do: the one who closes may have been cancelled, too.
        """
        await asyncio.sleep(0)  # what begins a little later begins now
        loop, here = asyncio.get_running_loop(), asyncio.current_task()
        work: set[asyncio.Future[None]] = {
            task for task in self._spawned | self._last if task.get_loop() is loop and task is not here
        }
        work |= {asyncio.wrap_future(done) for done in threads}
        if work:
            await asyncio.wait(work, timeout=seconds)

    def stop_recurring(self) -> None:
        """End all that recurs, in whatever loop."""
        for recurring in tuple(self._recurring):
            recurring.cancel()

    def after_fork(self) -> None:
        """In a child process: forget the parent's tasks, without touching their loops."""
        keep((self._held, self._spawned, self._last))
        for recurring in tuple(self._recurring):
            recurring.work = None
        self._held, self._spawned, self._last, self._recurring = set(), set(), set(), WeakSet()


def _cancel(task: asyncio.Task[None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed
        task.get_loop().call_soon_threadsafe(task.cancel)


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("background work raised", exc_info=error)


def _look_away(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()  # asyncio would log one that nobody has looked at


class _Recurring:
    """Work that is run again and again in one loop until it is cancelled, which forgets it."""

    def __init__(self, tasks: Tasks, seconds: float, work: Round) -> None:
        self._tasks = tasks
        self._seconds = seconds
        self.work: Round | None = work
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(seconds, self._begin)

    def _begin(self) -> None:
        if self.work is not None:
            self._task = self._tasks.hold(self._run(self.work))

    async def _run(self, work: Round) -> None:
        try:
            again = await work()
        except Exception:
            if self.work is not None:
                _log.exception("recurring work raised; it is not run again")
            return
        finally:
            self._task = None
        if again and self.work is not None:
            self._timer = self._loop.call_later(self._seconds, self._begin)

    def cancel(self) -> None:
        """End it; a run that is under way is cancelled, unless it is the caller."""
        self.work = None
        if _running_loop() is self._loop:  # to wake a loop from outside takes a system call
            self._stop(_running_task())
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._stop, _running_task())

    def _stop(self, canceller: asyncio.Task[object] | None) -> None:
        self._timer.cancel()
        if self._task is not None and self._task is not canceller:
            self._task.cancel()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _running_task() -> asyncio.Task[object] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop runs here
        return None
