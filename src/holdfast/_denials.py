"""What is known to be refused, so that whoever hammers at a limit costs no round trips.

A denial says of a bucket that hits of some cost are refused until some instant. It is believed

- never past the instant at which Redis would admit the hit: the time to wait is counted from before it was asked;
- for no other cost, since a lower one may fit and a higher one has to wait for longer, and for no other quota;
- for at most a second, since another process may reset the bucket or give units back;
- not after a reset or a refund here, even if the reply that refused was under way then.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final, NamedTuple

from holdfast.policy.decision import PolicyDecision
from holdfast.policy.quota import Quota

_MOST: Final = 10_000
LONGEST: Final = 1.0
"""Seconds for which a denial is believed at most."""


class Denial(NamedTuple):
    """One bucket's refusal."""

    until: float
    """When it is no longer believed, on the clock that never jumps."""
    cost: int
    """The units of the hit that was refused."""
    quota: Quota
    since: float
    """When Redis was asked."""
    heard: float
    """When it answered: what it said to wait had not begun sooner for certain."""
    keys: tuple[str, ...]
    """All buckets of the hit."""
    quotas: tuple[Quota, ...]
    policies: tuple[PolicyDecision, ...]
    """What each of them said."""
    place: int = 0
    """Which of them is this one."""

    def told(self, keys: tuple[str, ...], quotas: tuple[Quota, ...]) -> tuple[PolicyDecision, ...]:
        """Return what is known of a hit on some buckets: everything if they are the same, or else the refusal alone."""
        if keys == self.keys and (quotas is self.quotas or quotas == self.quotas):
            return self.policies
        return (self.policies[self.place],)

    def holds(self, now: float) -> bool:
        """Say whether it is still believed; its policy `shifted` to then refuses, too, however floats are rounded."""
        return now < self.until and now - self.since < self.policies[self.place].retry_after


class Denials:
    """The denials of one layer, by the key of the bucket."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self.known: dict[str, Denial] = {}
        """Look here first: mostly there is nothing."""
        self.generation = 0
        """Grows with every reset: a refusal that was asked for before one of its bucket is not to be remembered."""
        self._forgotten: dict[str, int] = {}
        """The generation of the latest reset of a bucket."""
        self._forgotten_before = 0
        """The latest of those that are not in it any more."""
        self._lock = threading.Lock()

    def note(self, key: str, denial: Denial, generation: int) -> None:
        """Remember a refusal, unless something was reset since it was asked for.

        Args:
            key: of the bucket.
            denial: what it said.
            generation: what `generation` was before Redis was asked.
        """
        with self._lock:
            if self._forgotten.get(key, self._forgotten_before) > generation:
                return
            self.known.pop(key, None)
            self.known[key] = denial._replace(place=denial.keys.index(key))
            while len(self.known) > self._most:
                del self.known[next(iter(self.known))]

    def find(self, keys: Sequence[str], quotas: Sequence[Quota], cost: int, now: float) -> tuple[str, Denial | None]:
        """Return the key of a bucket and the denial that holds there for a hit; None if there is none."""
        for key, quota in zip(keys, quotas, strict=True):
            denial = self.known.get(key)
            if denial is None or cost != denial.cost or not denial.holds(now):
                continue
            if denial.quota is quota or denial.quota == quota:
                return key, denial
        return "", None

    def forget(self, keys: Sequence[str]) -> None:
        """Forget what was refused."""
        with self._lock:
            self.generation += 1
            for key in keys:
                self.known.pop(key, None)
                self._forgotten.pop(key, None)
                self._forgotten[key] = self.generation
            while len(self._forgotten) > self._most:
                self._forgotten_before = self._forgotten.pop(next(iter(self._forgotten)))

    def after_fork(self) -> None:
        """In a child process: use a lock that nobody holds."""
        self._lock = threading.Lock()


def shifted(policy: PolicyDecision, seconds: float) -> PolicyDecision:
    """Return what a policy says some time later, if nothing happens in between."""
    wait = max(0.0, policy.retry_after - seconds)
    reset = max(0.0, policy.reset - seconds)
    return PolicyDecision(policy.name, not wait, policy.limit, policy.remaining, reset, wait, policy.per)
