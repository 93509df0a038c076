"""Work that the destructor of a forgotten object leaves to others: one thread a process does it.

An object is collected wherever its thread allocates something, also while that thread is inside of a lock that what the
destructor would do needs, or in an event loop. So a destructor only puts the work into a queue that is safe to use in
there, and the thread, which was started when the object was made, does it soon after.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final

from holdfast import _forks

_log = logging.getLogger("holdfast")


class _Heirs:
    """The thread, and what it has to do."""

    def __init__(self) -> None:
        self.after_fork()
        _forks.watch(self)

    def after_fork(self) -> None:
        """In a child process: what the parent's objects have left is the parent's to do."""
        self._lock = threading.Lock()
        self._left: SimpleQueue[Callable[[], Any]] = SimpleQueue()
        self._is_running = False

    def be_there(self) -> None:
        """Start the thread, unless it runs."""
        if self._is_running:
            return
        with self._lock:
            if self._is_running:
                return
            try:
                threading.Thread(target=_work, args=(self._left,), name="holdfast-forgotten", daemon=True).start()
                self._is_running = True
            except RuntimeError as error:  # too many threads, or the interpreter is about to exit
                _log.warning("what is forgotten stays until its lease ends, for want of a thread: %s", error)

    def take(self, work: Callable[[], Any]) -> None:
        """Have it done; without the thread nobody does it."""
        if self._is_running:
            self._left.put(work)


def _work(left: SimpleQueue[Callable[[], Any]]) -> None:
    while True:
        work: Callable[[], Any] | None = left.get()
        try:
            if work is not None:
                work()
        except BaseException:
            _log.exception("what a forgotten object had left to do could not be done")
        work = None  # nothing is held until the next one comes


_heirs: Final = _Heirs()


def expect() -> None:
    """Have the thread run: whoever makes an object that may leave something to do calls this, its destructor cannot."""
    _heirs.be_there()


def leave(work: Callable[[], Any]) -> None:
    """Have work done soon, in another thread, from a destructor: it takes no lock, waits for nothing, and never raises.

    Args:
        work: what to do; it must not hold the object that is being destroyed. It may talk to Redis.
    """
    _heirs.take(work)
