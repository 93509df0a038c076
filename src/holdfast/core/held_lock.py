"""One lock that is held: what this process knows of its lease.

    state     held    renewed   lost                     given back
    held      True    yes       False, until `until`     no
    lost      True    no        True                     no, or nothing was left to give back
    left      False   no        as it was then           yes, or being done

`until` is counted from before the command was sent, on a clock that never jumps: Redis keeps the lock at least as long,
as far as both clocks go at the same speed.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final, Literal, TypeAlias

from holdfast.core.lock_claims import Claim
from holdfast.errors import LockLost

Reason: TypeAlias = Literal["expired", "taken", "lifetime"]
"""Why a lock was lost: its lease ran out before it could be renewed; Redis knows of another holder, or of none; it was
held for as long as it may be."""


_ROUNDED: Final = 0.002
"""Seconds by which a lease may be shorter in Redis than it was asked for: it is rounded, and so is the clock there."""


class Hold:
    """One lock that is held."""

    __slots__ = (
        "__weakref__",
        "_clock",
        "_process",
        "_to_leave",
        "claim",
        "doubted_until",
        "ends",
        "fence",
        "in_doubt",
        "is_behind",
        "is_left",
        "member",
        "on_loss",
        "reason",
        "renew_at",
        "seconds",
        "shortest",
        "token",
        "until",
        "version",
    )

    def __init__(self, claim: Claim, token: str, fence: int, process: object, clock: Callable[[], float]) -> None:
        self.claim = claim
        self.token = token
        self.member = claim.member(token)
        self.fence = fence
        self.seconds = claim.lease
        """How long each lease is."""
        self.until = 0.0
        """When the lease has run out at the latest, on `clock`."""
        self.ends = inf
        """When it is renewed no more."""
        self.renew_at = 0.0
        self.version = 0
        """Another one whenever its lease is changed on request: what was asked before must not count after."""
        self.reason: Reason | None = None
        """Why it was lost; None if that is not known to have happened."""
        self.shortest = inf
        """The shortest lease that a renewal which is under way, or was not answered, may still give it."""
        self.is_behind = False
        """Whether its last renewal failed: its server may be the one that keeps others waiting."""
        self.doubted_until = 0.0
        """Until when it may be taken once more, by a command of its own that was not answered; 0 if there is none."""
        self.is_left = False
        """Whether it was given back, or is being given back."""
        self.in_doubt = False
        """Whether it may have been given back without our hearing of it."""
        self.on_loss: list[Callable[[], object]] = []
        """What to call, in any thread, when it is lost."""
        self._to_leave = [True]
        self._process = process
        self._clock = clock

    def is_of(self, process: object) -> bool:
        """Say whether it was taken in this process: in a forked child it is the parent's."""
        return self._process is process

    def leave_once(self) -> bool:
        """Say whether the caller is the one to give it back: the first of those who want to, in any thread."""
        try:
            self._to_leave.pop()
        except IndexError:
            return False
        self.is_left = True
        return True

    def leased(self, asked: float, seconds: float) -> None:
        """Note a new lease, asked for at an instant."""
        self.until = asked + seconds - _ROUNDED
        self.renew_at = asked + seconds / 3

    @property
    def is_at_its_end(self) -> bool:
        """Whether it is renewed no more, since its lease lasts for as long as it may be held."""
        return self.until + 2 * _ROUNDED >= self.ends

    @property
    def remaining(self) -> float:
        """Seconds for which it is certainly held if nobody renews it."""
        return 0.0 if self.reason is not None else max(0.0, self.until - self._clock())

    @property
    def lost(self) -> bool:
        """Whether somebody else may hold it."""
        return self.reason is not None or (not self.is_left and self._clock() >= self.until)


def check_held(hold: Hold, process: object) -> None:
    """Raise if a lock is not held any more, as far as this process knows.

    Raises:
        LockLost: it was lost, or given back, or belongs to another process.
    """
    if not hold.is_of(process):
        raise LockLost(told(hold, "belongs to the process that this one was forked from"))
    if hold.lost:
        why = {"taken": "is held by another, or by nobody", "lifetime": "was held for as long as it may be"}
        raise LockLost(told(hold, why.get(hold.reason or "", "was not renewed before its lease ran out")))
    if hold.is_left and hold.until != inf:
        raise LockLost(told(hold, "was given back already"))


def told(hold: Hold, what: str) -> str:
    """Return a sentence about a lock."""
    return f"the {hold.claim.what} {hold.claim.title} {what}"
