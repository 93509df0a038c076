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

    near: bool = False
    """Whether it was found in this process."""


@dataclass(frozen=True, slots=True)
class Miss(CacheEvent):
    """The value has to be loaded."""

    reason: Literal["absent", "unreadable", "unavailable", "stale", "invalidated"]
    """`absent`: no entry; `unreadable`: there was one, see `EntryUnreadable`; `unavailable`: Redis could not be
    asked; `stale`: it is past its freshness and its grace; `invalidated`: by one of its tags."""


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
class Stale(CacheEvent):
    """An entry past its freshness was returned."""

    reason: Literal["grace", "error", "retry", "timeout", "wait"]
    """`grace`: it is being refreshed meanwhile; `error`: the function raised; `retry`: it raised a short while ago;
    `timeout`: it takes longer than `soft_timeout`; `wait`: another process takes longer than `wait`."""


@dataclass(frozen=True, slots=True)
class Refreshed(CacheEvent):
    """A value was loaded anew: because somebody asked for it, or in the background."""

    background: bool = False


@dataclass(frozen=True, slots=True)
class FillRefused(CacheEvent):
    """A loaded value was not stored: its lease was revoked by an invalidation or a write, or had run out.

    Those who waited for it since before the load have got it; the next caller loads.
    """

    load_time: float
    """Seconds that the loader took."""


@dataclass(frozen=True, slots=True)
class Invalidated(CacheEvent):
    """An entry was removed on request, if there was one."""


@dataclass(frozen=True, slots=True)
class TagsInvalidated(Event):
    """All entries with one of these tags were invalidated."""

    tags: tuple[str, ...]
    soft: bool
    """Whether they may still be served while they are refreshed."""


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
class Limited(Event):
    """A quota refused a hit, or would have if it were not only watching."""

    pattern: str
    """The key template, or the function; for hits of `layer.limiter` the names of the policies."""
    key: str
    """The key in Redis of the first bucket that refused."""
    refused_by: tuple[str, ...]
    """The names of the policies that refused."""
    cost: int
    """Units that the hit would have cost."""
    retry_after: float
    """Seconds after which it would be admitted; `math.inf` is never."""
    shadow: bool = False
    """Whether the hit went on all the same."""
    degraded: bool = False
    """Whether this was decided without Redis."""
    local: bool = False
    """Whether this process knew it without asking."""


@dataclass(frozen=True, slots=True)
class LimitDegraded(Event):
    """A hit was decided without Redis, by its rule's `on_failure`."""

    pattern: str
    """The key template, or the function; for hits of `layer.limiter` the names of the policies."""
    on_failure: Literal["open", "closed", "local"]
    allowed: bool


@dataclass(frozen=True, slots=True)
class SlotLost(Event):
    """The lease of a concurrency slot ran out while it was held: somebody else may have the slot, too."""

    pattern: str
    """The name of the policy."""
    key: str
    """The key in Redis of the slots."""


@dataclass(frozen=True, slots=True)
class LockEvent(Event):
    """Something happened to one lock."""

    pattern: str
    """The key template of a decorated function; of others what kind of lock it is."""
    key: str
    """The key of the lock in Redis."""


@dataclass(frozen=True, slots=True)
class LockAcquired(LockEvent):
    """A lock is held."""

    waited: float
    """Seconds that it took."""


@dataclass(frozen=True, slots=True)
class LockBusy(LockEvent):
    """A lock was not acquired: others held it for as long as the caller was ready to wait."""

    waited: float
    """Seconds that this was."""


@dataclass(frozen=True, slots=True)
class LockLost(LockEvent):
    """A lock was lost while it was believed to be held: somebody else may hold it, too."""

    reason: Literal["expired", "taken", "lifetime"]
    """`expired`: it could not be renewed before its lease ran out; `taken`: Redis knows of another holder, or of none;
    `lifetime`: it was held for as long as its `max_lifetime` says."""


@dataclass(frozen=True, slots=True)
class IdempotencyEvent(Event):
    """Something happened to one thing that is to be done once."""

    pattern: str
    """The key template of a decorated function; of a middleware its namespace, or what it is."""
    key: str
    """The key of its record in Redis."""


@dataclass(frozen=True, slots=True)
class Replayed(IdempotencyEvent):
    """A caller got what an earlier one had brought about, or heard that nothing of it was kept."""


@dataclass(frozen=True, slots=True)
class StillRunning(IdempotencyEvent):
    """A caller was turned away: an earlier one was still at it."""

    waited: float
    """Seconds for which the caller had waited."""


@dataclass(frozen=True, slots=True)
class KeyConflict(IdempotencyEvent):
    """A caller was turned away: its key stands for something else."""


@dataclass(frozen=True, slots=True)
class ResultUnkept(IdempotencyEvent):
    """A thing was done, and what came of it will not come back."""

    reason: Literal["taken", "unavailable", "too long", "unstorable"]
    """`taken`: its lease had run out, and another had begun: it was perhaps done twice; `unavailable`: Redis could not
    be told: once the lease has run out it may be done again; `too long`: a response beyond `max_body`, or of a form
    that cannot be collected; `unstorable`: no serializer takes it. Of the latter two Redis knows that they are done."""


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


@dataclass(frozen=True, slots=True)
class SessionDropped(Event):
    """Changes of a session were not stored."""

    handle: str
    """Of the session; empty if it was not known any more."""
    reason: str
    """`ended`: somebody has logged out, or it ran out; `superseded`: it was loaded by a secret that was replaced;
    `revoked`: all of the user's sessions were, during the log-in; `unavailable`: Redis could not be asked."""
    names: tuple[str, ...]
    """What had changed."""


@dataclass(frozen=True, slots=True)
class SessionUnreadable(Event):
    """A datum in a session cannot be read."""

    handle: str
    name: str
    """Of the datum."""
    reason: str
