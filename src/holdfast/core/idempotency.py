"""What is to be done once: begun under a lease, finished with a result that comes back later, or freed.

A token names a run. Beginning is idempotent by it, so a command that is sent again cannot lock its caller out; all that
ends a run compares first, so that who is late harms nobody:

    record       begin by another    keep      finish                   free
    none         begins              lost      stored: it is done       nothing
    leased       waits               renewed   stored                   forgotten
    run out      begins              renewed   stored                   forgotten
    another's    waits               lost      refused                  nothing
    done         replays             lost      nothing                  nothing

A run that may have begun without its caller's knowing (an answer that never came, a caller who was cancelled) is freed:
at once, or as soon as Redis can be reached. A result that cannot be stored is sent again for a while.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, NamedTuple, TypeAlias

from holdfast._flight import Bell
from holdfast.commands import Command
from holdfast.core.idempotency_renewing import Run, Runs
from holdfast.core.leaving import Leaving, Left
from holdfast.core.records import Recorder, Tally
from holdfast.errors import BackendError, BackendTimeout, BackendUnavailable
from holdfast.events import KeyConflict, Replayed, ResultUnkept, StillRunning
from holdfast.policy.names import Names
from holdfast.policy.waiting import pause
from holdfast.port import Port, WaitOver
from holdfast.scripts import idempotency as scripts

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

_RUNNING, _GRANTED, _DONE = 0, 1, 2

Reason: TypeAlias = Literal["taken", "unavailable", "too long", "unstorable"]
"""Why a result does not come back, as `ResultUnkept` has it."""


@dataclass(frozen=True, slots=True)
class Errand:
    """What is to be done once, and how."""

    key: str
    """Of its record in Redis."""
    fingerprint: str
    """Of what is asked for: the same key with another one is a mistake."""
    lease: float
    """Seconds after which another may begin if the one who has begun died."""
    wait: float
    """Seconds for which to wait for whoever is at it."""
    tally: Tally


class Done(NamedTuple):
    """It is done."""

    result: bytes
    """As it was stored; empty if nothing was kept."""


class Running(NamedTuple):
    """Somebody else is at it."""

    lasts: float
    """Seconds until its lease runs out, if it is not renewed."""


class Reused(NamedTuple):
    """The key stands for something else."""


Found: TypeAlias = Run | Done | Running | Reused


class Idempotency:
    """What one layer does once."""

    def __init__(self, recorder: Recorder, names: Names, keeper: Port) -> None:
        """Set it up.

        Args:
            recorder: where events and failures are told.
            names: of the layer's keys.
            keeper: the blocking port, over which leases are renewed.
        """
        self.recorder = recorder
        self.names = names
        self._runs = Runs(keeper)
        self._leaving = Leaving(recorder, lambda key, token: scripts.free(key, token=token, news=names.once_news(key)))
        self._late = 0

    def after_fork(self) -> None:
        """In a child process: what runs is the parent's to end."""
        self._runs.after_fork()
        self._leaving.after_fork()
        self._late = 0

    async def begin(self, port: Port, errand: Errand) -> Found:
        """Begin, unless it is done or others are at it; wait for these for as long as the errand says.

        Raises:
            BackendError: Redis could not be asked, or refused.
        """
        began, token = port.monotonic(), port.token()
        found = await self._ask(port, errand, token)
        if isinstance(found, Running) and errand.wait > 0:
            found = await self._wait(port, errand, token, found, began + errand.wait)
        self._tell(errand, found, port.monotonic() - began)
        return found

    def _tell(self, errand: Errand, found: Found, waited: float) -> None:
        if not self.recorder.hooks or isinstance(found, Run):
            return
        pattern, key = errand.tally.pattern, errand.key
        if isinstance(found, Done):
            self.recorder.emit(Replayed(pattern, key))
        elif isinstance(found, Running):
            self.recorder.emit(StillRunning(pattern, key, waited))
        else:
            self.recorder.emit(KeyConflict(pattern, key))

    async def _ask(self, port: Port, errand: Errand, token: str) -> Found:
        """Ask once, and have what was begun renewed."""
        asked, lease = port.monotonic(), errand.lease
        command = scripts.begin(errand.key, token=token, fingerprint=errand.fingerprint, seconds=lease)
        doubted = Left(errand.key, token, lease, doubted_until=asked + lease)
        try:
            kind, *found = await port.call(command)
        except BackendError as error:
            self.recorder.backend_failed(errand.tally, "begin", error)
            if error.was_sent and isinstance(error, BackendTimeout | BackendUnavailable):
                late = isinstance(error, BackendTimeout)  # else it was executed, or never will be
                self._leaving.renounce(port, doubted if late else doubted._replace(doubted_until=0.0))
            raise
        except BaseException:
            self._leaving.renounce_at_last(port, doubted)
            raise
        took = port.monotonic() - asked
        self._leaving.note_pace(took)
        self._runs.note_pace(took)
        if kind == _GRANTED:
            run = Run(errand.key, token, int(found[0]), lease, errand.fingerprint, errand.tally)
            self._runs.add(run, asked)
            return run
        if kind == _DONE:
            return Done(found[0])
        return Running(float(found[0]) / 1000) if kind == _RUNNING else Reused()

    async def _wait(self, port: Port, errand: Errand, token: str, found: Found, deadline: float) -> Found:
        """Ask whenever it is worth it, until there is something else to say or the time is over."""
        bell, polls = Bell(), 0
        hang_up = port.subscribe(self.names.once_news(errand.key), bell)
        try:
            while isinstance(found, Running):
                left = deadline - port.monotonic()
                if left <= 0:
                    break
                patience = min(left, pause(polls, found.lasts, port.random(), hears=bell.hears))
                try:
                    await port.wait(bell.armed, patience)
                except WaitOver:
                    polls += 1
                bell.arm()  # before it is asked: what is told meanwhile must not be missed
                found = await self._ask(port, errand, token)
        finally:
            hang_up()
        return found

    async def finish(self, port: Port, run: Run, result: bytes, ttl: float) -> bool:
        """Store a result for `ttl` seconds; say whether it is stored. Only the first end of a run counts.

        If Redis cannot be reached, it is tried again in the background, for a minute or as long as the lease: until
        then the record says that somebody is at it.

        Args:
            port: of whoever asks.
            run: that has ended.
            result: what comes back later; empty if nothing of it is to be kept.
            ttl: seconds.
        """
        if not self._runs.end(run):
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
        if self._runs.end(run):
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
        passes = isinstance(error, BackendTimeout | BackendUnavailable) and not error.is_final
        if not passes or self._late >= _MOST:
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
        if self._runs.end(run):
            await self._leaving.leave(port, Left(run.key, run.token, run.seconds), _FREED_WITHIN, run.tally)

    def free_at_last(self, port: Port, run: Run) -> None:
        """Do what `free` does for a caller who was cancelled or interrupted: here and now, or soon in its loop."""
        if self._runs.end(run):
            self._leaving.renounce_at_last(port, Left(run.key, run.token, run.seconds))
