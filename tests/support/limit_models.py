"""What the algorithms of limits are, by their definitions: exact, in whole numbers, and as slow as that is.

A model says of an instant whether a hit `fits` then, and since when all is as new; how long to wait, what remains and
when it resets is found by trying instants and costs. Times are whole microseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from holdfast.policy.quota import Quota

NEVER: Final = -1


class Rules(Protocol):
    """One algorithm."""

    def fits(self, at: int, cost: int) -> bool:
        """Say whether a hit may be charged at an instant."""
        ...

    def charge(self, at: int, cost: int) -> None:
        """Charge a hit."""
        ...

    def is_new(self, at: int) -> bool:
        """Say whether nothing of the past counts at an instant."""
        ...


class Gcra:
    """Virtual scheduling: a unit takes period / limit; the next one is due at `due`, and may come burst units early.

    Instants are multiplied by the limit, so that all of them are whole numbers.
    """

    def __init__(self, quota: Quota) -> None:
        self.quota, self.period = quota, microseconds(quota)
        self.due = 0

    def fits(self, at: int, cost: int) -> bool:
        due = max(self.due, at * self.quota.limit) + cost * self.period
        return due - at * self.quota.limit <= self.quota.most * self.period

    def charge(self, at: int, cost: int) -> None:
        self.due = max(self.due, at * self.quota.limit) + cost * self.period

    def is_new(self, at: int) -> bool:
        return self.due <= at * self.quota.limit


class FixedWindow:
    """A window begins with the first unit after the last one has ended, and holds `limit` units."""

    def __init__(self, quota: Quota) -> None:
        self.quota, self.period = quota, microseconds(quota)
        self.windows: list[list[int]] = []
        """When each began, and the units in it."""

    def fits(self, at: int, cost: int) -> bool:
        start, units = self._window(at)
        return at >= start and units + cost <= self.quota.limit

    def charge(self, at: int, cost: int) -> None:
        if cost:
            start, units = self._window(at)
            if not self.windows or self.windows[-1][0] != start or not units:
                self.windows.append([at, 0])
            self.windows[-1][1] += cost

    def is_new(self, at: int) -> bool:
        start, units = self._window(at)
        return at >= start and not units

    def _window(self, at: int) -> tuple[int, int]:
        if self.windows and at < self.windows[-1][0] + self.period:
            return self.windows[-1][0], self.windows[-1][1]
        return at, 0


class SlidingCounter:
    """Windows follow each other; the units of the last one count by how much of it a period before now still covers."""

    def __init__(self, quota: Quota) -> None:
        self.quota, self.period = quota, microseconds(quota)
        self.start, self.previous, self.current = 0, 0, 0

    def fits(self, at: int, cost: int) -> bool:
        start, previous, current = self.window(at)
        covered = start + self.period - at
        return at >= start and (current + cost) * self.period + previous * covered <= self.quota.limit * self.period

    def charge(self, at: int, cost: int) -> None:
        if cost:
            self.start, self.previous, self.current = self.window(at)
            self.current += cost

    def is_new(self, at: int) -> bool:
        start, previous, current = self.window(at)
        return at >= start and not previous and not current

    def window(self, at: int) -> tuple[int, int, int]:
        """Return the window of an instant: its start, and the units of the one before and of itself."""
        if at < self.start + self.period and (self.previous or self.current):
            return self.start, self.previous, self.current
        if at < self.start + 2 * self.period and self.current:
            return self.start + self.period, self.current, 0
        return at, 0, 0


class SlidingLog:
    """All units of the last period count, and nobody goes before those who were admitted already."""

    def __init__(self, quota: Quota) -> None:
        self.quota, self.period = quota, microseconds(quota)
        self.hits: list[list[int]] = []
        """When, and the units."""

    def fits(self, at: int, cost: int) -> bool:
        last = max((when for when, _ in self.hits), default=0)
        counted = sum(units for when, units in self.hits if when > at - self.period)
        return at >= last and counted + cost <= self.quota.limit

    def charge(self, at: int, cost: int) -> None:
        if cost:
            self.hits.append([at, cost])

    def is_new(self, at: int) -> bool:
        return all(when <= at - self.period for when, _ in self.hits)


MODELS: Final[dict[str, Callable[[Quota], Rules]]] = {
    "gcra": Gcra,
    "fixed_window": FixedWindow,
    "sliding_counter": SlidingCounter,
    "sliding_log": SlidingLog,
}


def model(quota: Quota) -> Rules:
    """Return the model of a quota's algorithm."""
    return MODELS[quota.algorithm](quota)


def wait(rules: Rules, quota: Quota, now: int, cost: int) -> int:
    """Return the microseconds until a hit fits, or `NEVER`."""
    if cost > quota.most:
        return NEVER
    return first(lambda later: rules.fits(now + later, cost))


def remaining(rules: Rules, quota: Quota, now: int) -> int:
    """Return the units of the most expensive hit that fits now."""
    too_much = first(lambda cost: cost > quota.most or not rules.fits(now, cost))
    return max(0, too_much - 1)


def reset(rules: Rules, now: int) -> int:
    """Return the microseconds until nothing counts any more."""
    return first(lambda later: rules.is_new(now + later))


def first(holds: Callable[[int], bool]) -> int:
    """Return the least number, 0 or more, for which something holds that holds for all greater ones."""
    high = 1
    while not holds(high):
        high *= 2
    low = -1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def microseconds(quota: Quota) -> int:
    """Return a quota's period in whole microseconds."""
    return round(quota.period * 1_000_000)
