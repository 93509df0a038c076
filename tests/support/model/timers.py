"""What is due at some instant: the end of somebody's patience, or the next run of work that recurs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any


@dataclass(eq=False, slots=True)
class Timer:
    """Something that is due at an instant."""

    due: float
    fire: Callable[[], object]
    home: Any
    """The process that it dies with."""
    rank: float


class Timers:
    """All timers of a world. One that is due fires when chance says so, not at once."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self.all: list[Timer] = []

    def add(self, due: float, fire: Callable[[], object], home: Any) -> Timer:
        """Have something happen at an instant or later; at an infinite one, never."""
        timer = Timer(due, fire, home, self._chance.random())
        if math.isfinite(due):
            self.all.append(timer)
        return timer

    def stop(self, timer: Timer | None) -> None:
        """Have it not happen, if it has not."""
        if timer is not None and timer in self.all:
            self.all.remove(timer)

    def drop(self, home: Any) -> None:
        """Forget those of a process that is no more."""
        self.all = [timer for timer in self.all if timer.home is not home]

    def fire(self, timer: Timer) -> None:
        """Have it happen."""
        self.all.remove(timer)
        timer.fire()

    @property
    def next_due(self) -> float:
        """When the first of them is due."""
        return min(timer.due for timer in self.all)

    @property
    def any_due(self) -> float:
        """When one of them is due, whichever."""
        return self._chance.choice(self.all).due
