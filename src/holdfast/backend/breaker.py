"""The circuit breaker: a dead server costs each call microseconds, not a time-out.

    state       a call comes          it succeeds            it fails
    closed      goes through          failures = 0           failures + 1; at the threshold: open
    open        refused               -                      -
    half-open   one goes through as   closed                 open again, for twice as long
                probe, the rest are
                refused

Open becomes half-open when the pause is over. Pure but for a lock: the clock is the caller's.
"""

from __future__ import annotations

import threading
from typing import Final

_THRESHOLD: Final = 3
_FIRST_PAUSE: Final = 0.25
_LONGEST_PAUSE: Final = 4.0


class Breaker:
    """Counts failures of one server in a row, and decides who may try."""

    __slots__ = ("_lock", "_pause", "_probing", "_retry_at", "failures", "tripped")

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._pause = _FIRST_PAUSE
        self._retry_at = 0.0
        self._probing = False
        self.failures = 0
        self.tripped = False
        """Whether the breaker is open or half-open; read without the lock on every call."""

    def admit(self, now: float) -> bool:
        """Say whether a call may go through. While tripped, who is admitted is the probe and must report back."""
        with self._lock:
            if not self.tripped:
                return True
            if self._probing or now < self._retry_at:
                return False
            self._probing = True
            return True

    def success(self) -> bool:
        """Note an answer; say whether this closed the breaker."""
        with self._lock:
            closed = self.tripped
            self.tripped = self._probing = False
            self.failures = 0
            self._pause = _FIRST_PAUSE
            return closed

    def failure(self, now: float) -> float | None:
        """Note a failure; return the seconds until the next probe if this opened the breaker, else None."""
        with self._lock:
            self.failures += 1
            if self.tripped and not self._probing:
                return None
            if not self.tripped and self.failures < _THRESHOLD:
                return None
            was_probe, self._probing = self._probing, False
            self._pause = min(self._pause * 2, _LONGEST_PAUSE) if was_probe else _FIRST_PAUSE
            self.tripped = True
            self._retry_at = now + self._pause
            return self._pause

    def withdraw(self) -> None:
        """Note that the probe ended without an answer either way (its caller was cancelled); another may probe."""
        with self._lock:
            self._probing = False

    def after_fork(self) -> None:
        """In a child process: start closed, with a lock that nobody holds."""
        self._reset()
