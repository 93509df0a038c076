"""Opening a wire for a caller who may not have the time to see it open.

Looking a name up, connecting and greeting take several steps, each with a time-out of its own, and a thread cannot be
called back from them. So another thread takes them, and the caller waits for as long as he likes. A wire that comes too
late for him is for somebody else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from time import monotonic
from typing import Generic, TypeVar

from holdfast.backend.deadline import Deadline
from holdfast.backend.failures import too_late

W = TypeVar("W")


class Opening(Generic[W]):
    """A wire that a thread of its own opens. The thread does not outlive the interpreter."""

    def __init__(self, open_wire: Callable[[], W], leave: Callable[[W], object]) -> None:
        """Begin.

        Args:
            open_wire: opens it.
            leave: gets the wire if nobody waits for it any more. What `open_wire` raises then is dropped.

        Raises:
            RuntimeError: no thread can be started.
        """
        self._open_wire = open_wire
        self._leave = leave
        self._future: Future[W] = Future()
        self._since = monotonic()
        context = copy_context()  # a credential provider may look into it
        threading.Thread(target=context.run, args=(self._run,), name="holdfast opening", daemon=True).start()

    def _run(self) -> None:
        try:
            wire = self._open_wire()
        except BaseException as error:
            if self._future.set_running_or_notify_cancel():
                self._future.set_exception(error)
            return
        if self._future.set_running_or_notify_cancel():
            self._future.set_result(wire)
        else:
            self._leave(wire)

    def wait(self, deadline: Deadline) -> W:
        """Return the wire.

        Raises:
            WireBroken: it could not be opened, or not before the deadline.
        """
        try:
            ended = self._ends_within(deadline.left())
            if deadline.put_off_if_late() and not ended:  # this process was busy, and opened nothing meanwhile
                ended = self._ends_within(deadline.left())
        except BaseException:  # Ctrl-C
            if not self._future.cancel():
                self._leave(self._future.result())
            raise
        if not ended and self._future.cancel():
            raise too_late(deadline, sent=False, fair=deadline.was_fair(self._since))
        return self._future.result()

    def _ends_within(self, seconds: float) -> bool:
        try:
            self._future.exception(max(0.0, seconds))  # raises TimeoutError only for the wait itself
        except TimeoutError:
            return False
        return True
