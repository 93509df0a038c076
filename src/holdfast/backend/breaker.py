"""The circuit breaker: a dead server costs each call microseconds, not a time-out.

    state       a call comes          it succeeds            it fails
    closed      goes through          failures = 0           failures + its weight; at the threshold: open
    open        refused               -                      -
    half-open   one goes through as   closed                 open again, for twice as long,
                probe, the rest are                          up to a limit
                refused

Open becomes half-open when the pause is over. Calls that were under way when it opened change nothing when they end:
only the probe speaks for the server as it is now. A time-out weighs as much as the threshold, since Redis has one
thread and whoever asks next would wait as long. Pure but for a lock: the clock is the caller's.
"""

from __future__ import annotations

import threading
from typing import Final, Literal

THRESHOLD: Final = 3
FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 2.0
"""Seconds between probes that each cost their caller a time-out."""
LONGEST_CHEAP_PAUSE: Final = 0.5
"""Seconds between probes that fail at once, since nobody listens; so a restart or a failover is noticed soon."""

Admission = Literal["free", "probe", "refused"]


class Breaker:
    """Counts failures of one server in a row, and decides who may try."""

    __slots__ = ("_lock", "_pause", "_probing", "_retry_at", "failures", "tripped")

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._pause = FIRST_PAUSE
        self._retry_at = 0.0
        self._probing = False
        self.failures = 0
        """Not 0 while tripped; read without the lock after every call."""
        self.tripped = False
        """Whether the breaker is open or half-open; read without the lock before every call."""

    def admit(self, now: float) -> Admission:
        """Say whether a call may go through, and whether it is the probe, which must report how it ended."""
        with self._lock:
            if not self.tripped:
                return "free"
            if self._probing or now < self._retry_at:
                return "refused"
            self._probing = True
            return "probe"

    def success(self, *, probe: bool) -> bool:
        """Note an answer; say whether this closed the breaker."""
        with self._lock:
            if self.tripped and not probe:
                return False
            closed = self.tripped
            self.tripped = self._probing = False
            self.failures = 0
            self._pause = FIRST_PAUSE
            return closed

    def failure(self, now: float, *, weight: int = 1, probe: bool = False) -> float | None:
        """Note a failure; return the seconds until the first probe if this opened the breaker, else None."""
        with self._lock:
            if probe:
                self._probing = False
                self._pause = min(self._pause * 2, LONGEST_PAUSE if weight >= THRESHOLD else LONGEST_CHEAP_PAUSE)
                self._retry_at = now + self._pause
                return None
            if self.tripped:
                return None
            self.failures += weight
            if self.failures < THRESHOLD:
                return None
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
