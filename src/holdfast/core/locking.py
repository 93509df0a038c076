"""Locks: taking them, giving them back, extending them.

A token names an acquisition, not a lock object. Taking is idempotent by it, so a command that is sent again cannot lock
its caller out; giving back and extending compare first, so that who was too late harms nobody. A lock that may be held
without its caller's knowing (an answer that never came, a caller who was cancelled) is given back: at once, or as soon
as Redis can be reached.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Final

from holdfast._lobby import Lobbies
from holdfast.commands import Command, wait_for_replicas
from holdfast.core.held_lock import Hold, check_held, told
from holdfast.core.leaving import Leaving, Left
from holdfast.core.lock_claims import WAITING, Claim
from holdfast.core.lock_renewing import LockRenewing, ends_at
from holdfast.core.records import Recorder
from holdfast.errors import BackendError, BackendTimeout, BackendUnavailable, LockLost, LockNotReplicated
from holdfast.policy.names import Names
from holdfast.port import Port
from holdfast.scripts import locks as scripts

_REPLICATED_WITHIN: Final = 1.0
"""Seconds that replicas have to take over what was written, unless the lease is short."""


_LEFT_WITHIN: Final = 1.0
"""Seconds for which whoever gives up waits until that is known in Redis."""


@dataclass(frozen=True, slots=True)
class Busy:
    """Somebody else holds it."""

    until: float
    """When it is worth looking again if nobody calls, on the port's monotonic clock."""
    place: int = 0
    """In the queue, from 1; 0 outside of it."""


class Trial:
    """One caller on its way to a lock: all its tries go by one token."""

    __slots__ = (
        "_in_doubt",
        "_is_asking",
        "_locks",
        "_may_be_held",
        "_may_be_queued",
        "_port",
        "claim",
        "member",
        "token",
    )

    def __init__(self, locks: HeldLocks, port: Port, claim: Claim, token: str) -> None:
        self._locks = locks
        self._port = port
        self.claim = claim
        self.token = token
        self.member = claim.member(token)
        self._may_be_held = False
        self._may_be_queued = False
        self._is_asking = False
        self._in_doubt = 0.0
        """Until when it may be taken late, since nobody has heard of it; 0 if that cannot happen."""

    async def ask(self, *, waits: bool, waiting: float = WAITING) -> Hold | Busy:
        """Ask once; if the caller waits in a queue, it counts as waiting for `waiting` seconds.

        Raises:
            BackendError: Redis could not be asked, or refused. It may be asked again.
        """
        port, claim = self._port, self.claim
        asked = port.monotonic()
        self._may_be_held = True
        self._may_be_queued = self._may_be_queued or (waits and claim.queues)
        self._is_asking = True
        try:
            taken, found, *more = await port.call(claim.take(self.member, waits=waits, waiting=waiting))
            self._locks.renewing.note_pace(port.monotonic() - asked)
            if not taken:
                self._is_asking = False
                self._may_be_held = port.monotonic() < self._in_doubt
                return Busy(asked + found / 1000 if found >= 0 else inf, *more)
            hold = self._locks.holding(claim, self.token, int(found), asked)
            hold.doubted_until = self._in_doubt
            if claim.min_replicas:
                await self._replicate(hold)
        except BackendError as error:
            self._is_asking = False
            if error.was_sent:
                self._in_doubt = port.monotonic() + claim.lease
            raise
        except LockNotReplicated:
            self._is_asking = False
            raise
        self._is_asking = False
        if hold.lost:  # the answer took longer than the lease
            msg = f"the {claim.what} {claim.title} was granted later than its lease of {claim.lease:g} s lasts"
            raise BackendTimeout(msg)
        return hold

    async def _replicate(self, hold: Hold) -> None:
        """See to it that enough replicas know of the lock.

        The lock is renewed on the very connection that then waits: WAIT knows of no other's writes.
        """
        claim = self.claim
        asked = self._port.monotonic()
        within = min(_REPLICATED_WITHIN, claim.lease / 3)
        wait = wait_for_replicas(claim.places.held, claim.min_replicas, within)
        (taken, *_), count = await self._port.pipeline([claim.take(self.member, waits=False), wait])
        if not taken:
            msg = f"the {claim.what} {claim.title} was taken by somebody else before replicas had it"
            raise BackendUnavailable(msg)
        if count < claim.min_replicas:
            msg = (
                f"the {claim.what} {claim.title} is free, but {count} of {claim.min_replicas} replicas took it over "
                f"within {within:g} s, so that a failover could lose it: see to the replicas, or ask for fewer"
            )
            raise LockNotReplicated(msg)
        hold.leased(asked, claim.lease)

    async def give_up(self) -> None:
        """Leave nothing behind: what was taken without an answer, and the place in the queue."""
        if self._may_be_held or self._may_be_queued:
            await self._locks.leaving.leave(self._port, self._left(), _LEFT_WITHIN, self.claim.tally)

    def give_up_at_last(self) -> None:
        """Do what `give_up` does for a caller who was cancelled or interrupted."""
        if self._may_be_held or self._may_be_queued:
            if self._is_asking:  # what was sent last may be on its way
                self._in_doubt = self._port.monotonic() + self.claim.lease
            self._locks.leaving.renounce_at_last(self._port, self._left())

    def _left(self) -> Left:
        lasts = max(self.claim.lease, WAITING) if self._may_be_queued else self.claim.lease
        return Left(self.claim.places.held, self.member, lasts, self._in_doubt, True)


class HeldLocks:
    """What is held of one layer's locks."""

    def __init__(self, recorder: Recorder, names: Names, keeper: Port) -> None:
        """Set them up.

        Args:
            recorder: where events and failures are told.
            names: of the layer's keys.
            keeper: the blocking port, over which leases are renewed.
        """
        self.recorder = recorder
        self.lobbies = Lobbies()
        self.renewing = LockRenewing(recorder, keeper)
        self.leaving = Leaving(recorder, partial(_leave_at, names))
        self.process: object = object()
        self._clock = keeper.monotonic

    def after_fork(self) -> None:
        """In a child process: all locks so far are the parent's."""
        self.process = object()
        self.lobbies.after_fork()
        self.renewing.after_fork()
        self.leaving.after_fork()

    def holding(self, claim: Claim, token: str, fence: int, asked: float) -> Hold:
        """Return a lock that was granted to a command which was sent at an instant. It is not renewed yet."""
        hold = Hold(claim, token, fence, self.process, self._clock)
        hold.leased(asked, claim.lease)
        hold.ends = ends_at(asked, claim.max_lifetime)
        return hold

    def pretend(self, claim: Claim, token: str, fence: int) -> Hold:
        """Return a lock that nobody was asked for: the layer is disabled."""
        hold = Hold(claim, token, fence, self.process, self._clock)
        hold.until = inf
        hold.leave_once()
        return hold

    def release_at_last(self, port: Port, hold: Hold) -> None:
        """Give a lock back for a caller who was cancelled or interrupted: here and now, or soon in its loop."""
        if hold.leave_once() or hold.in_doubt:
            self.renewing.remove(hold)
            self.leaving.renounce_at_last(port, _left(hold))

    async def release(self, port: Port, hold: Hold) -> None:
        """Give a lock back. Doing it again does nothing.

        Raises:
            LockLost: it was not held any more.
            BackendError: Redis cannot be reached. It is tried again in the background, and may be repeated.
        """
        if not hold.is_of(self.process):
            raise LockLost(told(hold, "belongs to the process that this one was forked from"))
        was_lost = hold.lost
        try:
            if not hold.leave_once() and not hold.in_doubt:
                return
            self.renewing.remove(hold)
            found = await self._leave(port, hold)
        except BackendError as error:
            self.recorder.backend_failed(hold.claim.tally, "leave", error)
            self.leaving.renounce(port, _left(hold))
            raise
        except BaseException:
            self.leaving.renounce_at_last(port, _left(hold))
            raise
        in_doubt, hold.in_doubt = hold.in_doubt, False
        if port.monotonic() < hold.doubted_until:
            self.leaving.renounce(port, _left(hold))
        self.lobbies.ring(hold.claim.places.news)
        # Found there, it was ours all the time: nobody else can have held it.
        if hold.reason is not None or not (found or (in_doubt and not was_lost)):
            self.renewing.lose(hold, "expired" if was_lost else "taken")
            raise LockLost(told(hold, "was lost before it was given back: another may have held it meanwhile"))

    async def _leave(self, port: Port, hold: Hold) -> bool:
        """Give a lock back; say whether it was held. Once in doubt, a second time is needed to be sure."""
        command = hold.claim.leave(hold.member)
        if not hold.in_doubt:
            try:
                found: int = await port.call(command)
            except BackendError as error:
                hold.in_doubt = error.was_sent
                if not isinstance(error, BackendTimeout | BackendUnavailable):
                    raise
            else:
                return bool(found)
        try:
            return bool(await port.call(command))
        except BackendError:
            hold.in_doubt = True
            raise

    async def extend(self, port: Port, hold: Hold, seconds: float) -> None:
        """Let a lock last `seconds` from now; its renewals give it as long from then on.

        Raises:
            LockLost: it is not held any more.
            BackendError: Redis cannot be reached: whether it lasts longer is not known.
        """
        self.check(hold)
        if hold.until == inf:
            return  # it is pretended
        asked = port.monotonic()
        hold.version += 1
        try:
            kept = await port.call(hold.claim.keep(hold.member, seconds))
        except BaseException:
            hold.until = min(hold.until, asked + seconds)
            hold.renew_at = asked  # soon, lest it is lost for want of an answer
            raise
        finally:
            hold.version += 1
        if not kept:
            self.renewing.lose(hold, "taken")
        self.check(hold)
        self.renewing.remove(hold)
        hold.seconds = seconds
        taken_late = hold.claim.lease if asked < hold.doubted_until else seconds
        hold.leased(asked, min(seconds, hold.shortest, taken_late))
        hold.ends = max(hold.ends, hold.until)
        if not hold.is_left:
            self.renewing.add(hold)

    def check(self, hold: Hold) -> None:
        """Raise `LockLost` if a lock is not held any more, as far as this process knows. It asks nobody."""
        check_held(hold, self.process)


def _leave_at(names: Names, key: str, member: str) -> Command:
    """Return what gives back whatever a member holds at a key, and takes it out of the queue there."""
    kind, places = names.lock_at(key)
    return (scripts.leave_fair if kind == "lock" else scripts.leave_share)(places, member)


def _left(hold: Hold) -> Left:
    return Left(hold.claim.places.held, hold.member, hold.seconds, hold.doubted_until, True)
