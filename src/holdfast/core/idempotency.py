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
at once, or as soon as Redis can be reached.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from holdfast._flight import Bell
from holdfast.core.idempotency_ending import Endings
from holdfast.core.idempotency_renewing import Run
from holdfast.core.leaving import Left
from holdfast.core.records import Tally
from holdfast.errors import BackendError, BackendTimeout, BackendUnavailable
from holdfast.events import KeyConflict, Replayed, StillRunning
from holdfast.policy.waiting import pause
from holdfast.port import Port, WaitOver
from holdfast.scripts import idempotency as scripts

_RUNNING, _GRANTED, _DONE = 0, 1, 2


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


class Idempotency(Endings):
    """What one layer does once."""

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
        """Ask, and have what was begun renewed; ask again if the answer took longer than the lease lasts."""
        found, is_late = await self._ask_once(port, errand, token)
        if is_late and isinstance(found, Run):  # another may have begun meanwhile
            self.runs.end(found)
            found, _ = await self._ask_once(port, errand, token)
        return found

    async def _ask_once(self, port: Port, errand: Errand, token: str) -> tuple[Found, bool]:
        """Ask once; say also whether the answer took longer than the lease lasts."""
        asked, lease = port.monotonic(), errand.lease
        command = scripts.begin(errand.key, token=token, fingerprint=errand.fingerprint, seconds=lease)
        doubted = Left(errand.key, token, lease, doubted_until=asked + lease)
        try:
            kind, *found = await port.call(command)
        except BackendError as error:
            self.recorder.backend_failed(errand.tally, "begin", error)
            if error.was_sent and isinstance(error, BackendTimeout | BackendUnavailable):
                late = isinstance(error, BackendTimeout)  # else it was executed, or never will be
                self.leaving.renounce(port, doubted if late else doubted._replace(doubted_until=0.0))
            raise
        except BaseException:
            self.leaving.renounce_at_last(port, doubted)
            raise
        took = port.monotonic() - asked
        self.leaving.note_pace(took)
        self.runs.note_pace(took)
        if kind == _GRANTED:
            run = Run(errand.key, token, int(found[0]), lease, errand.fingerprint, errand.tally)
            self.runs.add(run, asked)
            return run, took >= lease
        if kind == _DONE:
            return Done(found[0]), False
        return (Running(float(found[0]) / 1000) if kind == _RUNNING else Reused()), False

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
