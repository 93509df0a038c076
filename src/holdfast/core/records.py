"""What is told about calls: counters that are always on, and events for hooks.

A counter is raised with `+=` and no lock. CPython switches threads between bytecodes only at calls and loops, and there
is none inside, so nothing is lost under the GIL; without a GIL a count may be a little low.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Final

from holdfast.errors import ConfigurationError
from holdfast.events import BackendFailed, BreakerClosed, Event
from holdfast.typing import Hook

_log = logging.getLogger("holdfast")

_MOST_TOLD = 20
"""Different failures of Redis that are logged, each once, lest bypassing hide a wrong password or address."""


_MOST_PATTERNS = 1000
"""Patterns after which those that come from calls, and not from decorators, count together."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How often things happened."""

    hits: int = 0
    """Calls answered from an entry."""
    misses: int = 0
    """Calls that found no usable entry."""
    fills: int = 0
    """Loaded values that were stored."""
    stale: int = 0
    """Calls answered from an entry past its freshness. Those that did not have to wait count as hits, too."""
    coalesced: int = 0
    """Calls that shared the load of another. They count as misses, too."""
    errors: int = 0
    """Times that Redis could not be used, or that an entry was unreadable."""
    limited: int = 0
    """Hits that a quota refused, or would have if it were not only watching."""
    acquired: int = 0
    """Locks that were acquired."""
    busy: int = 0
    """Locks that were not acquired, since others held them."""
    lost: int = 0
    """Locks that were lost while they were believed to be held."""

    @property
    def hit_ratio(self) -> float:
        """Return hits over calls, from 0 to 1; 0 where there were no calls."""
        calls = self.hits + self.misses
        return self.hits / calls if calls else 0.0


@dataclass(frozen=True, slots=True)
class Stats(Counts):
    """The counts of a layer, in all and apart."""

    patterns: dict[str, Counts] = field(default_factory=dict[str, Counts])
    """The same by key template, or by function where it has none."""


class Tally:
    """The counters of one pattern."""

    __slots__ = (
        "acquired",
        "busy",
        "coalesced",
        "errors",
        "fills",
        "hits",
        "limited",
        "lost",
        "misses",
        "pattern",
        "stale",
    )

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.hits = self.misses = self.fills = self.stale = self.coalesced = self.errors = self.limited = 0
        self.acquired = self.busy = self.lost = 0

    def counts(self) -> Counts:
        """Return the counters as they are now."""
        return Counts(**{name: getattr(self, name) for name in _COUNTED})


_COUNTED: Final = tuple(each.name for each in fields(Counts))


class Recorder:
    """Counts, and passes events on to hooks."""

    def __init__(self, hooks: Iterable[Hook] = ()) -> None:
        # Callers are often untyped.
        if not isinstance(hooks, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
            msg = f"hooks must be several functions of one event, such as hooks=[print], not {type(hooks).__name__}"
            raise ConfigurationError(msg)
        self.hooks: tuple[Hook, ...] = tuple(_checked(hook) for hook in hooks)
        """Who wants events. Look here before making one: most programs have no hook."""
        self._tallies: dict[str, Tally] = {}
        self._told: set[str] = set()

    def add(self, hook: Hook) -> None:
        """Send further events to `hook` as well."""
        self.hooks = (*self.hooks, _checked(hook))

    def tally(self, pattern: str) -> Tally:
        """Return the counters of a pattern; functions with one key template share them."""
        return self._tallies.get(pattern) or self._tallies.setdefault(pattern, Tally(pattern))

    def tally_of_many(self, pattern: str, others: str) -> Tally:
        """Return the counters of a pattern that may have been made up for one call: after a thousand, of the others."""
        found = self._tallies.get(pattern)
        if found is None:
            found = self.tally(pattern if len(self._tallies) < _MOST_PATTERNS else others)
        return found

    def emit(self, event: Event) -> None:
        """Give an event to every hook. What a hook raises is logged and goes no further."""
        if type(event) is BreakerClosed:
            self._told.clear()  # the next outage is news again
        for hook in self.hooks:
            try:
                hook(event)
            except Exception:  # a broken hook must not break the call that it watches
                _log.exception("a hook failed on %s", type(event).__name__)

    def backend_failed(self, tally: Tally, operation: str, error: Exception) -> None:
        """Count and tell that Redis could not be used."""
        tally.errors += 1
        message = str(error)
        if len(self._told) < _MOST_TOLD and message not in self._told:  # a log that repeats it tells no more
            self._told.add(message)
            _log.warning("Redis could not be used: %s", message)
        if self.hooks:
            self.emit(BackendFailed(operation, f"{type(error).__name__}: {error}"))

    def stats(self) -> Stats:
        """Return all counts."""
        patterns = {pattern: tally.counts() for pattern, tally in list(self._tallies.items())}
        totals = {name: sum(getattr(counts, name) for counts in patterns.values()) for name in _COUNTED}
        return Stats(**totals, patterns=patterns)


def _checked(hook: Hook) -> Hook:
    if not callable(hook):
        msg = f"hooks must be functions of one event, not {type(hook).__name__}"
        raise ConfigurationError(msg)
    return hook
