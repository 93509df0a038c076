"""What a scenario of locks is: who takes part and how likely, what troubles them, and what they want to hold."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any, Final, Literal, TypeAlias

from holdfast.core.lock_claims import Claim
from holdfast.core.records import Tally
from holdfast.policy.names import LockKind, Names

NAMES: Final = Names("m")
Kind: TypeAlias = Literal["plain", "fair", "permit", "reader", "writer", "several"]
_KINDS: Final[dict[Kind, LockKind]] = {"permit": "semaphore", "reader": "rwlock", "writer": "rwlock"}


@dataclass(frozen=True)
class LockScenario:
    """A mixture. Chance takes from it."""

    name: str
    kinds: tuple[Kind, ...] = ("plain",)
    capacity: int = 1
    """How many may hold a permit."""
    processes: int = 2
    users: int = 3
    """How many there are at least; up to two more."""
    places: tuple[str, ...] = ("loop", "loop", "thread")
    leases: tuple[float, ...] = (3.0,)
    waits: tuple[float | None, ...] = (None, None, None, 2.0, 0.0)
    lifetimes: tuple[float | None, ...] = (None,)
    troubles: tuple[str, ...] = ()
    most_troubles: int = 3
    rate: float = 0.03
    """How likely there is trouble at each step."""
    loss: float = 0.0
    """How likely a message is lost on its way to a process."""
    rounds: int = 3
    """How many things are done in a block at most."""
    stays: tuple[float, ...] = (0.01, 0.5, 2.0, 4.0)
    """Seconds for which somebody stays in a block."""

    def claims(self, kind: Kind, chance: Random) -> list[Claim]:
        """Return what somebody wants to hold: one lock, or several."""
        names = ("a", "b") if kind == "several" else ("a",)
        wait, lease = chance.choice(self.waits), chance.choice(self.leases)
        mode: Any = {"permit": "r", "reader": "r", "writer": "w"}.get(kind, "")
        return [
            Claim(
                name,
                kind,
                NAMES.lock(_KINDS.get(kind, "lock"), name),
                Tally(kind),
                lease,
                wait,
                kind == "fair",
                mode=mode,
                capacity=self.capacity if kind == "permit" else 0 if mode else 1,
                max_lifetime=chance.choice(self.lifetimes),
            )
            for name in names
        ]
