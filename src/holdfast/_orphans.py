"""Leases under which nothing runs any more, and which Redis may still have, since nobody could give them back.

Their loads are over in this process, or have never begun, so they may be given back or taken over at any time. A lease
is forgotten when that is done, or when it would have run out.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

MOST: Final = 1000
"""How many are remembered. When there are more, the first count: in an outage the later ones were never granted."""


class Orphans:
    """What the loads of one layer in this process have left behind."""

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        """In a child process: they are the parent's to give back."""
        self._lock = threading.Lock()
        self._known: dict[str, dict[str, float]] = {}
        """By key and nonce, when the lease has run out at the latest, on the port's monotonic clock."""
        self._size = 0
        self._tended: Callable[[], bool] | None = None
        """Says whether the work that gives them back can still go on; None if there is none."""

    def __bool__(self) -> bool:
        """Say whether there is any. Takes no lock: the answer may be old when it arrives."""
        return bool(self._known)

    def add(self, key: str, nonce: str, until: float) -> None:
        """Note that a lease may be left behind, until it has run out; there is a limit to how many are known."""
        with self._lock:
            known = self._known.get(key, {})
            if nonce not in known:
                if self._size >= MOST:
                    return
                self._size += 1
            known[nonce] = until
            self._known[key] = known

    def recall(self, key: str, nonce: str) -> bool:
        """Say whether a lease is one of these; then it is the one that `latest` returns."""
        with self._lock:
            known = self._known.get(key, {})
            if nonce not in known:
                return False
            known[nonce] = known.pop(nonce)
            return True

    def latest(self, key: str) -> str:
        """Return the nonce of the lease of a key to take over, empty if there is none."""
        if key not in self._known:
            return ""
        with self._lock:
            return next(reversed(self._known.get(key, {})), "")

    def remove(self, key: str, nonce: str) -> None:
        """Note that a lease is gone."""
        if key in self._known:
            with self._lock:
                self._remove(key, [nonce])

    def left(self, now: float) -> list[tuple[str, str]]:
        """Forget those that have run out; return the keys and nonces of the others."""
        with self._lock:
            for key, known in list(self._known.items()):
                self._remove(key, [nonce for nonce, until in known.items() if until <= now])
            return [(key, nonce) for key, known in self._known.items() for nonce in known]

    def tend(self, lifeline: Callable[[], bool]) -> bool:
        """Say whether the caller has to give them back: there are some, and nobody does it yet who still can.

        Args:
            lifeline: says whether what the caller starts can still go on.
        """
        with self._lock:
            if not self._known or (self._tended is not None and self._tended()):
                return False
            self._tended = lifeline
            return True

    def go_on(self) -> bool:
        """Say whether there is more to give back; if not, who tends them must stop."""
        with self._lock:
            if not self._known:
                self._tended = None
            return bool(self._known)

    def neglect(self) -> None:
        """Note that nobody tends them any more."""
        with self._lock:
            self._tended = None

    def _remove(self, key: str, nonces: list[str]) -> None:
        known = self._known.get(key, {})
        for nonce in nonces:
            if known.pop(nonce, None) is not None:
                self._size -= 1
        if not known:
            self._known.pop(key, None)
