"""Waiting for locks that several servers vote on, and keeping them.

Who waits listens to all servers, and tries again when one of them tells that the lock was given back, after a moment of
chance, lest two callers share the votes among them again and again.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from math import inf
from typing import Final
from weakref import ref

from holdfast._flight import Bell
from holdfast.core.held_lock import Hold, check_held, told
from holdfast.core.lock_claims import Claim
from holdfast.core.lock_renewing import ends_at, lose
from holdfast.core.records import Recorder
from holdfast.core.red_votes import Grant, Node, PortOf, Refusal
from holdfast.core.redlocking import Redlocking
from holdfast.errors import BackendError, BackendTimeout, BackendUnavailable, LockLost, LockNotAcquired
from holdfast.events import LockAcquired, LockBusy
from holdfast.port import Cancel, Port, WaitOver

_OUTAGE: Final = 10.0
"""Seconds for which those who wait put up with too few servers."""
_ROUNDS: Final = 9
_LONGEST_PAUSE: Final = 1.0
"""A lease is renewed after a third of it; it is looked nine times in a lease, and each second, whether that is due."""
_SOONEST: Final = 0.004
_LATEST: Final = 0.25
"""Seconds between two tries of which the first was granted by some: they grow from the one to the other."""
_POLL: Final = 2.0


class VotedHold(Hold):
    """A lock that a quorum has granted."""

    __slots__ = ("grant",)

    def __init__(self, claim: Claim, grant: Grant, process: object, port: Port) -> None:
        super().__init__(claim, grant.member, grant.fence, process, port.monotonic)
        self.grant = grant


class RedlockKeeping:
    """The locks of several servers."""

    def __init__(self, recorder: Recorder, nodes: list[Node]) -> None:
        self._recorder = recorder
        self._voting = Redlocking(recorder, nodes)
        self._first = nodes[0]
        self.process: object = object()

    def after_fork(self) -> None:
        """In a child process: all locks so far are the parent's."""
        self.process = object()
        self._voting.after_fork()

    def _port_of(self, port: Port) -> PortOf:
        """Return what finds the port of a node that has the colour of this one."""
        is_blocking = port is self._first.blocking
        return lambda node: node.blocking if is_blocking else node.asyncio

    async def acquire(self, port: Port, claim: Claim) -> VotedHold:
        """Take a lock, waiting as long as the claim says, and have it renewed.

        Raises:
            LockNotAcquired: others held it all the time.
            BackendError: too few servers could be asked.
        """
        waiting = _Waiting(self._voting.nodes, self._port_of(port), port, claim)
        try:
            while True:
                waiting.arm()
                asked = port.monotonic()
                answer = await self._try(port, claim)
                if isinstance(answer, Grant):
                    break
                await waiting.wait(answer)
        except LockNotAcquired:
            claim.tally.busy += 1
            if self._recorder.hooks:
                self._recorder.emit(LockBusy(claim.tally.pattern, claim.places.held, waiting.waited()))
            raise
        finally:
            waiting.end()
        hold = VotedHold(claim, answer, self.process, port)
        hold.ends = ends_at(asked, claim.max_lifetime)
        self._note_lease(hold, answer.valid_until)
        self._keep(hold)
        claim.tally.acquired += 1
        if self._recorder.hooks:
            self._recorder.emit(LockAcquired(claim.tally.pattern, claim.places.held, waiting.waited()))
        return hold

    async def _try(self, port: Port, claim: Claim) -> Grant | Refusal:
        try:
            return await self._voting.try_take(
                self._port_of(port), claim.safe_name, port.token(), claim.lease, claim.tally
            )
        except (BackendTimeout, BackendUnavailable) as error:
            if claim.wait == 0 or error.is_final:
                raise
            return Refusal(port.monotonic() + _LATEST, error)

    async def is_held(self, port: Port, claim: Claim) -> bool:
        """Say whether a quorum says that somebody holds a lock."""
        return await self._voting.is_held(self._port_of(port), claim.safe_name, claim.tally)

    async def release(self, port: Port, hold: Hold) -> None:
        """Give a lock back on all servers, where that fails later. Doing it again does nothing.

        Raises:
            LockLost: it was not held any more.
        """
        if hold.is_left:
            return
        if not hold.is_of(self.process):
            raise LockLost(told(hold, "belongs to the process that this one was forked from"))
        was_lost = hold.lost
        hold.is_left = True
        try:
            was_held = await self._leave(port, hold)
        except BaseException:
            self.release_at_last(port, hold)
            raise
        if was_lost or not was_held:
            lose(self._recorder, hold, "expired" if was_lost else "taken")
            raise LockLost(told(hold, "was lost before it was given back: another may have held it meanwhile"))

    def release_at_last(self, port: Port, hold: Hold) -> None:
        """Give a lock back for a caller who was cancelled or interrupted: here and now, or soon in its loop."""
        hold.is_left = True

        async def leave() -> None:
            await self._leave(port, hold)

        with suppress(RuntimeError):  # the loop is gone
            port.afterwards(leave)

    async def _leave(self, port: Port, hold: Hold) -> bool:
        return await self._voting.leave(self._port_of(port), _grant_of(hold), hold.claim.tally)

    async def extend(self, port: Port, hold: Hold, seconds: float) -> None:
        """Let a lock last `seconds` from now, less the drift of clocks; its renewals do so from then on.

        Raises:
            LockLost: it is not held any more.
            BackendError: too few servers could be asked: whether it lasts longer is not known.
        """
        self.check(hold)
        asked = port.monotonic()
        hold.version += 1
        try:
            until = await self._voting.keep(self._port_of(port), _grant_of(hold), seconds, hold.claim.tally)
        except BaseException:
            hold.until = min(hold.until, asked + seconds)
            hold.renew_at = asked  # soon, lest it is lost for want of an answer
            raise
        finally:
            hold.version += 1
        if until is None:
            lose(self._recorder, hold, "taken")
        self.check(hold)
        hold.seconds = seconds
        self._note_lease(hold, min(until or 0.0, asked + hold.shortest))
        hold.ends = max(hold.ends, hold.until)

    def check(self, hold: Hold) -> None:
        """Raise `LockLost` if a lock is not held any more, as far as this process knows. It asks nobody."""
        check_held(hold, self.process)

    def _note_lease(self, hold: Hold, until: float) -> None:
        hold.until = until
        hold.renew_at = until - hold.seconds * 2 / 3

    def _keep(self, hold: VotedHold) -> None:
        """Renew a lock for as long as somebody has the handle, over the blocking port: a busy loop does not lose it."""
        pause = min(_LONGEST_PAUSE, hold.seconds / _ROUNDS)
        self._first.blocking.every(pause, partial(self._renew, ref(hold)))

    async def _renew(self, held: ref[VotedHold]) -> bool:
        """Renew a lock if that is due; say whether to come again."""
        hold, port = held(), self._first.blocking
        if hold is None or hold.is_left or hold.reason is not None or not hold.is_of(self.process):
            return False
        asked = port.monotonic()
        if asked >= hold.until:
            lose(self._recorder, hold, "lifetime" if hold.is_at_its_end else "expired")
            return False
        if asked < hold.renew_at or hold.is_at_its_end:
            return True
        version, length = hold.version, min(hold.seconds, hold.ends - asked)
        hold.shortest = min(hold.shortest, length)
        try:
            until = await self._voting.keep(self._port_of(port), hold.grant, length, hold.claim.tally)
        except BackendError:  # it was told; there may be more servers in time
            return True
        hold.shortest = inf
        if hold.version != version:  # extended meanwhile, and perhaps shortened again by this
            hold.renew_at = asked
            return True
        if hold.is_left:
            return False
        if until is None:
            lose(self._recorder, hold, "taken")
            return False
        self._note_lease(hold, hold.ends if length < hold.seconds else until)
        return True


class _Waiting:
    """One caller who waits for several servers."""

    def __init__(self, nodes: tuple[Node, ...], port_of: PortOf, port: Port, claim: Claim) -> None:
        self._nodes = nodes
        self._port_of = port_of
        self._port = port
        self._claim = claim
        self._began = port.monotonic()
        self._away_since: float | None = None
        self._vain = 0
        """How often some servers, but too few, have granted it."""
        self._bell: Bell | None = None
        self._cancels: list[Cancel] = []

    def waited(self) -> float:
        """Return the seconds since the caller came."""
        return self._port.monotonic() - self._began

    def arm(self) -> None:
        """Listen from now on."""
        if self._bell is not None:
            self._bell.arm()

    async def wait(self, refusal: Refusal) -> None:
        """Wait until it is worth trying again; raise if there is no time, or no hope."""
        now, wait, port = self._port.monotonic(), self._claim.wait, self._port
        left = inf if wait is None else self._began + wait - now
        self._bear(refusal, now, left)
        if self._bell is None:
            self._bell = bell = Bell()
            news = [(self._port_of(node), node.names.lock("lock", self._claim.safe_name).news) for node in self._nodes]
            self._cancels = [port_of.subscribe(channel, bell) for port_of, channel in news]
        until = min(max(0.0, refusal.until - now), _POLL) * (0.75 + 0.5 * port.random())
        if refusal.is_own_news:
            self._vain = min(self._vain + 1, 10)
            await port.sleep(min(left, _LATEST, _SOONEST * 2.0**self._vain) * (0.5 + 0.5 * port.random()))
            return
        with suppress(WaitOver):
            await port.wait(self._bell.armed, min(left, until))
            await port.sleep(min(_SOONEST, left) * port.random())

    def _bear(self, refusal: Refusal, now: float, left: float) -> None:
        if refusal.failure is None:
            self._away_since = None
        elif self._away_since is None:
            self._away_since = now
        is_over = self._away_since is not None and now - self._away_since >= _OUTAGE
        if left > 0 and not is_over:
            return
        if refusal.failure is not None:
            raise refusal.failure
        claim = self._claim
        msg = f"the {claim.what} {claim.title} is held by others: wait longer, or try again later"
        raise LockNotAcquired(msg)

    def end(self) -> None:
        """Listen no more."""
        for cancel in self._cancels:
            cancel()


def _grant_of(hold: Hold) -> Grant:
    if not isinstance(hold, VotedHold):
        msg = "a lock of one server is not given back by several"
        raise TypeError(msg)
    return replace(hold.grant, lease=max(hold.grant.lease, hold.seconds))
