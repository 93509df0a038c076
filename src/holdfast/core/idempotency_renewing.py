"""What is at work just now, and its leases: renewed together, by one piece of work for each length of lease.

It runs on the blocking port even for async callers, so that a busy event loop does not lose its leases. Who does lose
one is not stopped: what it does cannot be undone from here. Its result is refused if another has begun since.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from holdfast._renewals import Renewals
from holdfast.core.records import Tally
from holdfast.core.sending import chunks
from holdfast.errors import BackendError
from holdfast.port import Port
from holdfast.scripts import idempotency as scripts

_ROUNDS: Final = 9
"""How often in a lease it is looked what is due: a third after it began, and after a failure soon again."""
_LONGEST_PAUSE: Final = 1.0
_SHORTEST_PAUSE: Final = 0.005
_USUAL: Final = 0.1
_LONGEST: Final = 1.0
"""Seconds that a renewal may take, the latter where Redis is far: those of all threads follow one another."""
_SLOWER: Final = 4.0
"""How many times as long as the last beginning took a renewal may take."""


class Run:
    """One run of what is to be done once."""

    __slots__ = ("__weakref__", "fence", "fingerprint", "is_over", "key", "renew_at", "seconds", "tally", "token")

    def __init__(self, key: str, token: str, fence: int, lease: float, fingerprint: str, tally: Tally) -> None:
        self.key = key
        self.token = token
        self.fence = fence
        """Its fencing token."""
        self.seconds = lease
        """How long each lease is."""
        self.fingerprint = fingerprint
        self.tally = tally
        self.renew_at = 0.0
        self.is_over = False
        """Whether it was ended, or is being ended."""


class Runs:
    """What is at work in this process, for one layer."""

    def __init__(self, port: Port) -> None:
        """Set it up over the blocking port."""
        self._port = port
        self._renewals = Renewals[Run]()
        self._patience = _USUAL

    def after_fork(self) -> None:
        """In a child process: what runs is the parent's."""
        self._renewals.after_fork()

    def note_pace(self, took: float) -> None:
        """Note how many seconds it took to begin: who is far from Redis must be patient later, too."""
        self._patience = min(_LONGEST, max(_USUAL, _SLOWER * took))

    def add(self, run: Run, asked: float) -> None:
        """Renew a lease that was asked for at an instant, until it is ended, or until nobody has the run any more."""
        run.renew_at = asked + run.seconds / 3
        if self._renewals.add(run):
            pause = min(_LONGEST_PAUSE, max(_SHORTEST_PAUSE, run.seconds / _ROUNDS))
            self._port.every(pause, partial(self._renew_all, run.seconds))

    def end(self, run: Run) -> bool:
        """Renew it no more; say whether this is the first end of it."""
        if run.is_over:
            return False
        run.is_over = True
        self._renewals.remove(run)
        return True

    async def _renew_all(self, seconds: float) -> bool:
        """Renew what is due; say whether to come again."""
        try:
            now = self._port.monotonic()
            due = [run for run in self._renewals.of_length(seconds) if now >= run.renew_at and not run.is_over]
            for chunk in chunks(due):
                await self._renew(chunk, seconds)
        except BaseException:
            self._renewals.end(seconds)
            raise
        return self._renewals.go_on(seconds)

    async def _renew(self, runs: Sequence[Run], seconds: float) -> None:
        asked = self._port.monotonic()
        commands = [
            scripts.keep(run.key, token=run.token, seconds=seconds)._replace(patience=self._patience) for run in runs
        ]
        try:
            outcomes = await self._port.outcomes(commands)
        except BackendError:
            return  # it may be back in time
        for run, kept in zip(runs, outcomes, strict=True):
            if isinstance(kept, BackendError):
                continue
            run.renew_at = asked + seconds / 3
            if not kept:  # another has begun, or the record is lost
                self._renewals.remove(run)
