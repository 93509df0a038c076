"""Which leases have to be renewed in this process, and who does it.

Leases of the same length are renewed together, by one piece of recurring work for each length, which ends a while after
the last of them was given back. What is held is known by weak references: nobody renews what was forgotten.
"""

from __future__ import annotations

import threading
from typing import Final, Generic, Protocol, TypeVar
from weakref import ref

_SPARED: Final = 3
"""Rounds without anything to renew after which the work ends: whoever locks again and again shall not start it anew."""


class Renewable(Protocol):
    """Something that is held under a lease."""

    @property
    def seconds(self) -> float:
        """Return how long its lease is."""
        ...


T = TypeVar("T", bound=Renewable)


class _Round(Generic[T]):
    """What is renewed together."""

    __slots__ = ("held", "spared")

    def __init__(self) -> None:
        self.held: dict[int, ref[T]] = {}
        self.spared = 0


class Renewals(Generic[T]):
    """What one layer holds in this process."""

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        """In a child process: what is held is the parent's."""
        self._lock = threading.Lock()
        self._rounds: dict[float, _Round[T]] = {}

    def add(self, held: T) -> bool:
        """Have something renewed; say whether the caller has to start the work for leases of its length."""
        with self._lock:
            known = self._rounds.get(held.seconds)
            is_new = known is None
            if known is None:
                known = self._rounds[held.seconds] = _Round[T]()
            known.held[id(held)] = ref(held)
            return is_new

    def remove(self, held: T) -> None:
        """Have it renewed no more."""
        known = self._rounds.get(held.seconds)
        if known is not None:
            known.held.pop(id(held), None)

    def of_length(self, seconds: float) -> list[T]:
        """Return what has leases of this length; those that nobody has any more are forgotten."""
        found: list[T] = []
        with self._lock:
            known = self._rounds.get(seconds)
            for number, each in list(known.held.items()) if known is not None else ():
                held = each()
                if held is not None:
                    found.append(held)
                elif known is not None and known.held.get(number) is each:
                    del known.held[number]
        return found

    def go_on(self, seconds: float) -> bool:
        """Say whether to come again for leases of this length; if not, the next one starts the work anew."""
        with self._lock:
            known = self._rounds.get(seconds)
            if known is None:
                return False
            known.spared = 0 if known.held else known.spared + 1
            if known.spared < _SPARED:
                return True
            del self._rounds[seconds]
            return False

    def end(self, seconds: float) -> None:
        """Note that the work for leases of this length has ended: the next one starts it anew."""
        with self._lock:
            self._rounds.pop(seconds, None)
