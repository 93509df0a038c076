"""Renewing what is held: one piece of work for all locks of a layer that have leases of the same length.

It runs on the blocking port even for async callers, so that a busy event loop does not lose its locks. A renewal that
fails is tried again until the lease has run out; one that is refused proves that the lock is lost. Nothing is ever
taken anew: who has lost a lock may be working beside its next holder, and must be told.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import inf
from typing import Final

from holdfast._renewals import Renewals
from holdfast.commands import Command, Reply
from holdfast.core.held_lock import Hold, Reason
from holdfast.core.records import Recorder
from holdfast.core.sending import chunks
from holdfast.errors import BackendError
from holdfast.events import LockLost
from holdfast.port import Port

_ROUNDS: Final = 9
"""How often in a lease it is looked what is due: a third after it was taken, and after a failure soon again."""
_LONGEST_PAUSE: Final = 1.0
_SHORTEST_PAUSE: Final = 0.005
_USUAL: Final = 0.1
_LONGEST: Final = 1.0
"""Seconds that a renewal may take, the latter where Redis is far: those of all threads follow one another, and one
Redis must not hold up the others."""
_SLOWER: Final = 4.0
"""How many times as long as the last taking took a renewal may take."""


class LockRenewing:
    """Keeps the locks of one layer."""

    def __init__(self, recorder: Recorder, port: Port) -> None:
        """Set it up.

        Args:
            recorder: where losses and failures are told.
            port: the blocking one.
        """
        self._recorder = recorder
        self._port = port
        self._renewals = Renewals[Hold]()
        self._patience = _USUAL

    def after_fork(self) -> None:
        """In a child process: what is held is the parent's."""
        self._renewals.after_fork()

    def add(self, hold: Hold) -> None:
        """Renew a lock until it is removed or lost."""
        if self._renewals.add(hold):
            seconds = hold.seconds
            pause = min(_LONGEST_PAUSE, max(_SHORTEST_PAUSE, seconds / _ROUNDS))
            self._port.every(pause, partial(self._renew_all, seconds))

    def note_pace(self, took: float) -> None:
        """Note how many seconds it took to ask for a lock: who is far from Redis must be patient later, too."""
        self._patience = min(_LONGEST, max(_USUAL, _SLOWER * took))

    def remove(self, hold: Hold) -> None:
        """Renew a lock no more."""
        self._renewals.remove(hold)

    def lose(self, hold: Hold, reason: Reason) -> None:
        """Note that a lock is lost, and tell whoever wants to know, once."""
        if lose(self._recorder, hold, reason):
            self.remove(hold)

    async def _renew_all(self, seconds: float) -> bool:
        """Renew what is due; say whether to come again."""
        try:
            due = [hold for hold in self._renewals.of_length(seconds) if self._is_due(hold)]
            behind = [hold for hold in due if hold.is_behind]
            for chunk in chunks([hold for hold in due if not hold.is_behind]):
                await self._renew(chunk)
            for hold in behind:  # one by one: what hangs must not keep back what is well
                await self._renew([hold])
        except BaseException:
            self._renewals.end(seconds)
            raise
        return self._renewals.go_on(seconds)

    def _is_due(self, hold: Hold) -> bool:
        now = self._port.monotonic()
        if hold.is_left:
            return False
        if now >= hold.until:
            self.lose(hold, "lifetime" if hold.is_at_its_end else "expired")
            return False
        return now >= hold.renew_at and not hold.is_at_its_end

    async def _renew(self, holds: Sequence[Hold]) -> None:
        asked = self._port.monotonic()
        versions = [hold.version for hold in holds]
        lengths = [min(hold.seconds, hold.ends - asked) for hold in holds]
        commands = [
            hold.claim.keep(hold.member, length)._replace(patience=self._patience)
            for hold, length in zip(holds, lengths, strict=True)
        ]
        for hold, length in zip(holds, lengths, strict=True):
            hold.shortest = min(hold.shortest, length)
        outcomes = await self._outcomes(commands)
        for hold, version, length, outcome in zip(holds, versions, lengths, outcomes, strict=True):
            hold.is_behind = isinstance(outcome, BackendError)
            if not hold.is_behind:
                hold.shortest = inf
            if hold.version != version:  # extended meanwhile, and perhaps shortened again by this
                hold.renew_at = asked
            elif not hold.is_left:
                self._note(hold, asked, length, outcome)

    async def _outcomes(self, commands: Sequence[Command]) -> Sequence[Reply]:
        """Send commands; return what came of each, an error for all if nothing could be sent."""
        try:
            return await self._port.outcomes(commands)
        except BackendError as error:
            return [error] * len(commands)

    def _note(self, hold: Hold, asked: float, length: float, outcome: Reply) -> None:
        if isinstance(outcome, BackendError):  # it may be back in time
            self._recorder.backend_failed(hold.claim.tally, "keep", outcome)
        elif outcome:
            hold.leased(asked, length)
        else:
            self.lose(hold, "taken")


def lose(recorder: Recorder, hold: Hold, reason: Reason) -> bool:
    """Note that a lock is lost, and tell whoever wants to know; say whether that is news."""
    if hold.reason is not None:
        return False
    hold.reason = reason
    hold.claim.tally.lost += 1
    if recorder.hooks:
        recorder.emit(LockLost(hold.claim.tally.pattern, hold.claim.places.held, reason))
    for told in tuple(hold.on_loss):
        told()
    return True


def ends_at(asked: float, max_lifetime: float | None) -> float:
    """Return when a lock that was asked for at an instant is renewed no more."""
    return inf if max_lifetime is None else asked + max_lifetime
