"""How what is done once ends: finished with a result, or freed; now, or when Redis can be reached.

A result that cannot be stored is sent again for a while: as long as it is not there, the record says that somebody is
at it, and then that nobody is. Only the first end of a run counts.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Final, Literal, TypeAlias

from holdfast.commands import Command
from holdfast.core.idempotency_renewing import Run, Runs
from holdfast.core.leaving import Leaving, Left
from holdfast.core.records import Recorder
from holdfast.errors import BackendError
from holdfast.events import ResultUnkept
from holdfast.policy.names import Names
from holdfast.port import Port
from holdfast.scripts import idempotency as scripts

Reason: TypeAlias = Literal["taken", "unavailable", "too long", "unstorable"]
"""Why a result does not come back, as `ResultUnkept` has it."""

_FREED_WITHIN: Final = 1.0
"""Seconds for which whoever failed waits until that is known in Redis."""
_RETRY: Final = 0.25
"""Seconds between two tries to store a result; while the circuit breaker is open they cost nothing."""
_TRIED_FOR: Final = 60.0
"""Seconds for which it is tried, unless the lease is longer."""
_TRY: Final = 0.1
"""Seconds that such a try may take: renewals wait for it."""
_MOST: Final = 64
"""Results that may wait for Redis at once: each may be as long as a response."""


class Endings:
    """How what one layer does once ends."""

    def __init__(self, recorder: Recorder, names: Names, keeper: Port) -> None:
        """Set it up.

        Args:
            recorder: where events and failures are told.
            names: of the layer's keys.
            keeper: the blocking port, over which leases are renewed.
        """
        self.recorder = recorder
        self.names = names
        self.runs = Runs(keeper)
        self.leaving = Leaving(recorder, lambda key, token: scripts.free(key, token=token, news=names.once_news(key)))
        self._late = 0
        """How many results wait for Redis."""

    def after_fork(self) -> None:
        """In a child process: what runs is the parent's to end."""
        self.runs.after_fork()
        self.leaving.after_fork()
        self._late = 0

    async def finish(self, port: Port, run: Run, result: bytes, ttl: float) -> bool:
        """Store a result for `ttl` seconds; say whether it is stored. Only the first end of a run counts.

        If Redis cannot be reached, or refuses, it is tried again in the background, for a minute or as long as the
        lease: until then the record says that somebody is at it.

        Args:
            port: of whoever asks.
            run: that has ended.
            result: what comes back later; empty if nothing of it is to be kept.
            ttl: seconds.
        """
        if not self.runs.end(run):
            return False
        command = self._finishing(run, result, ttl)
        try:
            stored = await port.call(command)
        except BackendError as error:
            self.recorder.backend_failed(run.tally, "finish", error)
            self._try_later(port, run, command, error)
            return False
        except BaseException:  # it has been done: whoever is cancelled now cannot undo it
            self._send_at_last(port, run, command)
            raise
        return self._heard(run, stored)

    def finish_at_last(self, port: Port, run: Run, result: bytes, ttl: float) -> None:
        """Do what `finish` does for a caller who was cancelled or interrupted: here and now, or soon in its loop."""
        if self.runs.end(run):
            self._send_at_last(port, run, self._finishing(run, result, ttl))

    def _finishing(self, run: Run, result: bytes, ttl: float) -> Command:
        news = self.names.once_news(run.key)
        return scripts.finish(
            run.key, token=run.token, fingerprint=run.fingerprint, result=result, seconds=ttl, news=news
        )

    def _send_at_last(self, port: Port, run: Run, command: Command) -> None:
        async def send() -> None:
            if not await self._send(port, run, command):
                self.unkept(run, "unavailable")

        with suppress(RuntimeError):  # the loop is gone
            port.afterwards(send)

    def _heard(self, run: Run, stored: object) -> bool:
        if not stored:
            self.unkept(run, "taken")
        return bool(stored)

    def unkept(self, run: Run, reason: Reason) -> None:
        """Tell that a result will not come back."""
        if self.recorder.hooks:
            self.recorder.emit(ResultUnkept(run.tally.pattern, run.key, reason))

    def _try_later(self, port: Port, run: Run, command: Command, error: BackendError) -> None:
        # A refusal passes, too, such as that of a server which is out of memory for a moment.
        if error.is_final or self._late >= _MOST:
            self.unkept(run, "unavailable")
            return
        self._late += 1
        until = port.monotonic() + max(_TRIED_FOR, run.seconds)
        again = partial(self._try_again, port, run, command, until)
        port.every(_RETRY, again)

    async def _try_again(self, port: Port, run: Run, command: Command, until: float) -> bool:
        """Try to store a result; say whether to come again."""
        goes_on = False
        try:
            stored = await self._send(port, run, command)
            goes_on = not stored and port.monotonic() < until
            if not (stored or goes_on):
                self.unkept(run, "unavailable")
        finally:  # also if it is cancelled with its loop
            if not goes_on:
                self._late -= 1
        return goes_on

    async def _send(self, port: Port, run: Run, command: Command) -> bool:
        """Send a result once more; say whether there was an answer."""
        try:
            stored = await port.call(command._replace(patience=_TRY))
        except BackendError:
            return False
        self._heard(run, stored)
        return True

    async def free(self, port: Port, run: Run) -> None:
        """Forget a run that came to nothing: now if that can be done, otherwise later."""
        if self.runs.end(run):
            await self.leaving.leave(port, Left(run.key, run.token, run.seconds), _FREED_WITHIN, run.tally)

    def free_at_last(self, port: Port, run: Run) -> None:
        """Do what `free` does for a caller who was cancelled or interrupted: here and now, or soon in its loop."""
        if self.runs.end(run):
            self.leaving.renounce_at_last(port, Left(run.key, run.token, run.seconds))
