"""Work of blocking code that nobody waits for: threads that do it, and the clockwork that repeats it.

Each piece of work gets a thread of its own; what is short and recurs shares one thread a process. All are daemons,
since a program must be able to end. So that a refresh is not lost then, closing a backend and the end of the
interpreter wait up to `DRAIN` seconds for the former. A forked child has none of its parent's work.
"""

from __future__ import annotations

import atexit
import contextvars
import heapq
import logging
import math
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future, wait
from typing import Any, Final
from weakref import WeakSet

from holdfast import _forks
from holdfast._calls import drive
from holdfast.port import Cancel

Work = Coroutine[Any, Any, None]
Round = Callable[[], Coroutine[Any, Any, bool]]

MOST_THREADS: Final = 16
"""How many threads of one backend may be at work before it has no free hands."""
DRAIN: Final = 5.0
"""Seconds to wait at the end for what is at work."""
_FEW: Final = 100
"""Pieces of recurring work among which those that were cancelled may stay until they are due."""
_AWAKE: Final = -math.inf
"""Of a thread that is at work, and will look at the queue before it sleeps."""
_log = logging.getLogger("holdfast")


class Hands:
    """The threads that work in the background of one backend, and what recurs there."""

    def __init__(self) -> None:
        self._busy: dict[Future[None], int | None] = {}
        """What is done when the work of a thread is, and which thread that is."""
        self._recurring: WeakSet[_Recurring] = WeakSet()
        _all_hands.add(self)

    @property
    def free(self) -> bool:
        """Whether there is room for more work."""
        return len(self._busy) < MOST_THREADS

    def spawn(self, work: Work, ended: Callable[[], object]) -> None:
        """Drive a coroutine that never suspends in a thread of its own, with a copy of the caller's context."""
        _have_the_interpreter_wait()
        done: Future[None] = Future()
        done.set_running_or_notify_cancel()  # who waits for it must not be able to cancel it
        context = contextvars.copy_context()
        busy = self._busy
        busy[done] = None

        def run() -> None:
            busy[done] = threading.get_ident()
            try:
                context.run(_drive, work)
            finally:
                _end(busy, done, ended)

        try:
            threading.Thread(target=run, name="holdfast-background", daemon=True).start()
        except RuntimeError as error:  # too many threads, or the interpreter is about to exit
            work.close()
            _log.warning("background work could not be started: %s", error)
            _end(busy, done, ended)

    def every(self, seconds: float, work: Round) -> Cancel:
        """Have the clockwork run `work()` every `seconds` seconds; return what ends that."""
        recurring = _Recurring(seconds, work)
        self._recurring.add(recurring)
        _clockwork.add(recurring)
        return recurring.cancel

    def at_work(self) -> list[Future[None]]:
        """Return what is done when the work of a thread is, for all threads but the calling one."""
        here = threading.get_ident()
        return [done for done, thread in tuple(self._busy.items()) if thread != here]

    def stop_recurring(self) -> None:
        """End all that recurs."""
        for recurring in tuple(self._recurring):
            recurring.cancel()

    def after_fork(self) -> None:
        """In a child process: forget the parent's work."""
        self._busy = {}
        self._recurring = WeakSet()


def _drive(work: Work) -> None:
    try:
        drive(work)
    except BaseException:
        _log.exception("background work raised")


def _end(busy: dict[Future[None], int | None], done: Future[None], ended: Callable[[], object]) -> None:
    try:
        ended()
    except Exception:
        _log.exception("the end of background work could not be reported")
    finally:
        del busy[done]
        done.set_result(None)


def drain(hands: Iterable[Hands], seconds: float) -> None:
    """Wait up to `seconds` for all that is at work, and for what that starts."""
    deadline = time.monotonic() + seconds
    everybody = tuple(hands)
    while work := [done for each in everybody for done in each.at_work()]:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            return
        wait(work, remaining)


_all_hands: WeakSet[Hands] = WeakSet()
_will_wait = False


def _have_the_interpreter_wait() -> None:
    """Drain at exit.

    It is registered when there is a backend: what is registered last is called first, and the connections must not be
    closed before this is over.
    """
    global _will_wait  # noqa: PLW0603 - once a process
    if not _will_wait:
        _will_wait = True
        atexit.register(lambda: drain(_all_hands, DRAIN))


class _Recurring:
    """Work that is run again and again until it is cancelled, which forgets it."""

    __slots__ = ("__weakref__", "clockwork", "seconds", "work")

    def __init__(self, seconds: float, work: Round) -> None:
        self.seconds = seconds
        self.work: Round | None = work
        self.clockwork: _Clockwork | None = None

    def run(self) -> bool:
        """Run it once; say whether to run it again."""
        work = self.work
        try:
            return work is not None and drive(work()) and self.work is not None
        except BaseException:
            if self.work is not None:
                _log.exception("recurring work raised; it is not run again")
            return False

    def cancel(self) -> None:
        work, self.work = self.work, None
        if work is not None and self.clockwork is not None:
            self.clockwork.dead += 1  # without its lock, which this thread may hold: a collected object may cancel


class _Clockwork:
    """Runs short work at its times, in one thread a process, which starts with the first piece of it.

    Work that blocks delays all other by as long, so it may be a few calls to Redis and no more.
    """

    def __init__(self) -> None:
        self.after_fork()
        _forks.watch(self)

    def after_fork(self) -> None:
        """In a child process: forget the parent's work, which goes on over there."""
        self._changed = threading.Condition(threading.Lock())
        self._queue: list[tuple[float, int, _Recurring]] = []
        self._count = 0
        self.dead = 0
        """About how many in the queue were cancelled."""
        self._is_running = False
        self._sleeps_until = _AWAKE
        """When the thread will look at the queue without being woken, on the monotonic clock."""

    def add(self, recurring: _Recurring) -> None:
        """Run it after its pause, and again."""
        recurring.clockwork = self
        with self._changed:
            due = self._put(recurring)
            try:
                if not self._is_running:
                    threading.Thread(target=self._run, name="holdfast-clockwork", daemon=True).start()
                    self._is_running = True
            except RuntimeError as error:  # too many threads, or the interpreter is about to exit
                _log.warning("recurring work waits for a thread to run it: %s", error)
            if due < self._sleeps_until:  # waking it for less makes two threads fight for the interpreter at each call
                self._sleeps_until = due
                self._changed.notify()

    def _put(self, recurring: _Recurring) -> float:
        """Queue it; return when it is due. What was cancelled goes here, since the thread sleeps until it is due."""
        queue = self._queue
        while queue and queue[0][2].work is None:
            heapq.heappop(queue)
            self.dead -= 1
        if len(queue) > _FEW and self.dead * 2 > len(queue):
            queue[:] = [each for each in queue if each[2].work is not None]
            heapq.heapify(queue)
            self.dead = 0
        self._count += 1
        due = time.monotonic() + recurring.seconds
        heapq.heappush(queue, (due, self._count, recurring))
        return due

    def _run(self) -> None:
        while True:
            recurring = self._next()
            if recurring.run():
                with self._changed:
                    self._put(recurring)
            del recurring  # nothing is held until the next one is due

    def _next(self) -> _Recurring:
        with self._changed:
            while True:
                now = time.monotonic()
                while self._queue and self._queue[0][0] <= now:
                    recurring = heapq.heappop(self._queue)[2]
                    if recurring.work is not None:
                        return recurring
                    self.dead -= 1
                self._sleeps_until = self._queue[0][0] if self._queue else math.inf
                self._changed.wait(None if math.isinf(self._sleeps_until) else self._sleeps_until - now)
                self._sleeps_until = _AWAKE


_clockwork: Final = _Clockwork()
