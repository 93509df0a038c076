"""Waiting for a lock: seated in the lobby, looking when it is worth it.

What wakes: the news that a lock was given back, a call from the queue, the end of the lease that was seen, and now and
then a look without reason, since messages may be lost. No connection is held meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from math import inf
from typing import Final

from holdfast._lobby import Lobby, Seat, Seen
from holdfast.core.held_lock import Hold
from holdfast.core.lock_claims import WAITING, Claim
from holdfast.core.lock_renewing import ends_at
from holdfast.core.locking import HeldLocks, Trial
from holdfast.errors import BackendError, BackendTimeout, BackendUnavailable, LockLost, LockNotAcquired
from holdfast.events import LockAcquired, LockBusy
from holdfast.policy.waiting import pause
from holdfast.port import Port, WaitOver

_OUTAGE: Final = 10.0
"""Seconds for which those who wait put up with a Redis that cannot be asked."""
_AWAY: Final = 0.1
"""Seconds between two tries meanwhile; while the circuit breaker is open they cost nothing."""
_BEHIND: Final = 5.0
"""Seconds after which whoever waits behind another looks whether that one is still there."""
_LOOKS: Final = 4
_QUEUED: Final = WAITING / _LOOKS
"""Seconds between two looks of a caller in the queue, so that it goes on counting as waiting."""
_CROWD: Final = 100
"""How many looks a second those of one process may take together, who are in one queue."""
_SLOWEST: Final = 30.0
"""Seconds between two looks however many they are."""
_NEXT: Final = 0.6
"""The same for the first in the queue: one that misses its call for a second loses its turn."""
_FOREMOST: Final = 2
_LEEWAY: Final = 0.002


class Locks(HeldLocks):
    """The locks of one layer."""

    async def acquire(self, port: Port, claim: Claim, token: str) -> Hold:
        """Take a lock, waiting as long as the claim says, and have it renewed.

        Raises:
            LockNotAcquired: others held it all the time.
            BackendError: Redis could not be asked for a while.
        """
        trial = Trial(self, port, claim, token)
        began = port.monotonic()
        try:
            hold = await _first(self, trial)
            if hold is None and claim.wait != 0:
                hold = await _wait(self, port, trial, began)
            if hold is None:
                await trial.give_up()
        except Exception as error:
            if isinstance(error, LockNotAcquired):
                self._refused(claim, port.monotonic() - began)
            await trial.give_up()
            raise
        except BaseException:
            trial.give_up_at_last()
            raise
        if hold is None:
            waited = port.monotonic() - began
            self._refused(claim, waited)
            raise LockNotAcquired(_busy(claim, waited))
        try:
            self.renewing.add(hold)
            waited = port.monotonic() - began
            claim.tally.acquired += 1
            if self.recorder.hooks:
                self.recorder.emit(LockAcquired(claim.tally.pattern, claim.places.held, waited))
        except BaseException:
            self.release_at_last(port, hold)
            raise
        return hold

    def _refused(self, claim: Claim, waited: float) -> None:
        claim.tally.busy += 1
        if self.recorder.hooks:
            self.recorder.emit(LockBusy(claim.tally.pattern, claim.places.held, waited))

    async def acquire_all(self, port: Port, claims: Sequence[Claim]) -> list[Hold]:
        """Take several locks one after the other, all of them or none; their claims wait together.

        Two callers never wait for each other if all take them in the same order.
        """
        began = port.monotonic()
        while True:
            holds = await self._each(port, claims, began)
            if not any(hold.lost for hold in holds):
                for hold in holds:  # their lifetimes begin when all are held
                    hold.ends = ends_at(port.monotonic(), hold.claim.max_lifetime)
                return holds
            await self.release_all(port, holds)  # one was lost while the others were waited for

    async def _each(self, port: Port, claims: Sequence[Claim], began: float) -> list[Hold]:
        holds: list[Hold] = []
        try:
            for claim in claims:
                wait = None if claim.wait is None else max(0.0, began + claim.wait - port.monotonic())
                hold = await self.acquire(port, replace(claim, wait=wait), port.token())
                hold.ends = inf
                holds.append(hold)
        except Exception:
            await self.release_all(port, holds)
            raise
        except BaseException:
            for hold in holds:
                self.release_at_last(port, hold)
            raise
        return holds

    async def release_all(self, port: Port, holds: Sequence[Hold]) -> None:
        """Give locks back that are of no use; what cannot be given back now is given back later."""
        left = list(holds)
        try:
            while left:
                with suppress(LockLost, BackendError):
                    await self.release(port, left[-1])
                left.pop()
        except BaseException:
            for hold in left:
                self.release_at_last(port, hold)
            raise


async def _first(locks: Locks, trial: Trial) -> Hold | None:
    """Ask at once, unless others of this process wait already: a caller who waits, too, comes after them."""
    claim = trial.claim
    waits = claim.wait != 0
    if waits and not claim.queues and locks.lobbies.find(claim.places.news) is not None:
        return None
    try:
        answer = await trial.ask(waits=waits)
    except BackendError as error:
        locks.recorder.backend_failed(claim.tally, "take", error)
        if waits and _may_pass(error):
            return None
        raise
    return answer if isinstance(answer, Hold) else None


async def _wait(locks: Locks, port: Port, trial: Trial, began: float) -> Hold | None:
    """Wait for a lock; None if the time is over."""
    claim = trial.claim
    seat = Seat(trial.member if claim.queues else "", port.lifeline(), port.place(), port.may_wait_for)
    lobby = locks.lobbies.join(claim.places.news, seat, port)
    waiting = _Waiting(locks, port, trial, lobby, seat)
    deadline = None if claim.wait is None else began + claim.wait
    try:
        while True:
            hold, look_at = await waiting.look()
            if hold is not None:
                return hold
            now = port.monotonic()
            if deadline is not None and now >= deadline:
                if lobby.trouble is not None:  # nobody knows whether others hold it; each caller raises its own error
                    raise type(lobby.trouble)(*lobby.trouble.args) from lobby.trouble
                return None
            until = look_at if deadline is None else min(look_at, deadline)
            try:
                await port.wait(seat.armed, max(0.0, until - now))
            except WaitOver:
                waiting.polls += 1
    finally:
        locks.lobbies.leave(claim.places.news, seat)


class _Waiting:
    """One caller in the lobby."""

    def __init__(self, locks: Locks, port: Port, trial: Trial, lobby: Lobby, seat: Seat) -> None:
        self._locks = locks
        self._port = port
        self._trial = trial
        self._lobby = lobby
        self._seat = seat
        self._look_at = 0.0
        self.polls = 0
        """How often it was looked for no other reason than that time had passed."""

    async def look(self) -> tuple[Hold | None, float]:
        """Look if that is worth it. Return the lock, or None, and when to look again if nothing rings before."""
        lobby, seat, now = self._lobby, self._seat, self._port.monotonic()
        seat.arm()
        if not lobby.is_in_front(seat):
            return None, now + self._spread(_BEHIND)
        news = lobby.news
        known = not seat.member and lobby.seen.news is news and now < lobby.seen.until
        if known and now < self._look_at:
            return None, self._look_at
        if known and not self._look_at:  # whoever was in front before has just seen it taken
            return None, self._plan(lobby.seen.until)
        return await self._ask(news)

    async def _ask(self, news: object) -> tuple[Hold | None, float]:
        lobby, port = self._lobby, self._port
        try:
            answer = await self._trial.ask(waits=True, waiting=max(WAITING, _LOOKS * self._pace()))
        except BackendError as error:
            self._locks.recorder.backend_failed(self._trial.claim.tally, "take", error)
            self._bear(error)
            return None, port.monotonic() + self._spread(_AWAY)
        lobby.away_since = lobby.trouble = None
        until = answer.until
        lobby.seen = Seen(news, until)
        if isinstance(answer, Hold):
            return answer, until
        return None, self._plan(until, answer.place)

    def _plan(self, until: float, place: int = 0) -> float:
        """Return when to look again, if `until` then the lease ends that was seen.

        In the queue only the first two need to look at that very moment: the one whose turn it is, and the one behind,
        should the first be dead. All others would look in vain.
        """
        port, now = self._port, self._port.monotonic()
        lasts = max(0.0, until - now)
        if self._seat.member:
            wait = self._spread(_NEXT if place == 1 else self._pace())
            self._look_at = now + (min(wait, lasts + _LEEWAY) if place <= _FOREMOST else wait)
        else:
            self._look_at = now + pause(self.polls, lasts, port.random(), hears=self._lobby.hears)
        return self._look_at

    def _pace(self) -> float:
        """Return the seconds between two looks of a caller in the queue: more when there are a great many."""
        usual = _QUEUED if self._lobby.hears else _NEXT  # nobody can be called who does not hear
        return min(_SLOWEST, max(usual, self._lobby.queued / _CROWD))

    def _bear(self, error: BackendError) -> None:
        """Put up with a Redis that is away, but not for ever; what it refuses, waiting does not mend."""
        now, lobby = self._port.monotonic(), self._lobby
        lobby.trouble = error
        if lobby.away_since is None:
            lobby.away_since = now
        if not _may_pass(error) or now - lobby.away_since >= _OUTAGE:
            raise error

    def _spread(self, seconds: float) -> float:
        return seconds * (0.75 + 0.5 * self._port.random())


def _may_pass(error: BackendError) -> bool:
    """Say whether waiting may mend it: Redis is away, or late, and has refused nothing."""
    return isinstance(error, BackendTimeout | BackendUnavailable) and not error.is_final


def _busy(claim: Claim, waited: float) -> str:
    how = f" for the {waited:.3g} s that it was waited for" if claim.wait else ""
    advice = "wait longer, or try again later" if claim.wait else "try again later, or say how long to wait: wait='5s'"
    return f"the {claim.what} {claim.title} is held by others{how}: {advice}"
