"""What hooks receive: one small frozen value an event.

A pattern is the key template or the function's name, so that counters stay few; the key itself is there for tracing.
No event holds a stored value or an argument beyond what the key shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True, slots=True)
class CacheEvent(Event):
    """Something happened to one entry."""

    pattern: str
    """The key template or function that the entry belongs to."""
    key: str
    """The key of the entry in Redis."""


@dataclass(frozen=True, slots=True)
class Hit(CacheEvent):
    """A fresh entry was returned."""


@dataclass(frozen=True, slots=True)
class Miss(CacheEvent):
    """The value has to be loaded."""

    reason: Literal["absent", "unreadable", "unavailable"]
    """`absent`: no entry; `unreadable`: there was one, see `EntryUnreadable`; `unavailable`: Redis could not be
    asked."""


@dataclass(frozen=True, slots=True)
class Fill(CacheEvent):
    """A loaded value was stored."""

    size: int
    """Bytes in Redis, frame included."""
    ttl: float
    """Seconds for which it is kept."""
    load_time: float
    """Seconds that the loader took."""


@dataclass(frozen=True, slots=True)
class Coalesced(CacheEvent):
    """A caller shared the load of another instead of loading itself."""


@dataclass(frozen=True, slots=True)
class Refreshed(CacheEvent):
    """A value was loaded because somebody asked for a new one."""


@dataclass(frozen=True, slots=True)
class Invalidated(CacheEvent):
    """An entry was removed on request, if there was one."""


@dataclass(frozen=True, slots=True)
class EntryUnreadable(CacheEvent):
    """An entry was found that cannot be used; it counts as a miss."""

    reason: str
    """Why: for example ``"version"``, ``"truncated"``, ``"signature"``, ``"serializer"``."""


@dataclass(frozen=True, slots=True)
class LoadFailed(CacheEvent):
    """The decorated function raised."""

    error: str
    """The name of the exception's class."""


@dataclass(frozen=True, slots=True)
class BackendFailed(Event):
    """Redis could not be used, and the caller went on without it or got the error."""

    operation: str
    """What was asked of it: the name of the first command, such as ``"GET"``."""
    error: str
    """The name of the exception's class and its message."""


@dataclass(frozen=True, slots=True)
class BreakerOpened(Event):
    """A server failed too often; calls to it now fail at once."""

    server: str
    """Its address, without credentials."""
    retry_in: float
    """Seconds until one call probes it again."""


@dataclass(frozen=True, slots=True)
class BreakerClosed(Event):
    """A server answered again; calls go to it as before."""

    server: str
    """Its address, without credentials."""
