"""One Redis layer for every Python web app.

Decorate a function, set one URL, and the hard parts are right. The public names of the package are those in `__all__`;
events are in `holdfast.events`, what users may supply in `holdfast.typing`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from holdfast._current import CurrentEntry, current_entry
from holdfast._missing import MISSING
from holdfast._version import __version__
from holdfast.core.plan import CallInfo, EntryInfo
from holdfast.core.records import Counts, Stats
from holdfast.core.session import Session
from holdfast.core.session_index import SessionInfo
from holdfast.decorators import cached, cached_many, idempotent, locked, rate_limited, stampede_protected
from holdfast.defaults import configure, default_layer
from holdfast.entries import Entries, entries
from holdfast.errors import (
    AlreadyRunning,
    BackendError,
    BackendTimeout,
    BackendUnavailable,
    ConfigurationError,
    HoldfastError,
    IdempotencyError,
    KeyReused,
    LoadTimeout,
    LockError,
    LockLost,
    LockNotAcquired,
    LockNotReplicated,
    RateLimited,
    SerializationError,
    SessionError,
    StreamError,
)
from holdfast.idempotent_calls import IdempotentRun, current_idempotency
from holdfast.layer import Layer
from holdfast.lock_handles import Held, current_lock
from holdfast.lock_several import MultiHeld
from holdfast.locks import Lock, MultiLock, ReadWriteLock
from holdfast.policy.decision import LimitDecision, PolicyDecision
from holdfast.policy.quota import Quota
from holdfast.redlock import Redlock
from holdfast.responses import cache_response

if TYPE_CHECKING:
    from holdfast import asgi, web, wsgi

__all__ = [
    "MISSING",
    "AlreadyRunning",
    "BackendError",
    "BackendTimeout",
    "BackendUnavailable",
    "CallInfo",
    "ConfigurationError",
    "Counts",
    "CurrentEntry",
    "Entries",
    "EntryInfo",
    "Held",
    "HoldfastError",
    "IdempotencyError",
    "IdempotentRun",
    "KeyReused",
    "Layer",
    "LimitDecision",
    "LoadTimeout",
    "Lock",
    "LockError",
    "LockLost",
    "LockNotAcquired",
    "LockNotReplicated",
    "MultiHeld",
    "MultiLock",
    "PolicyDecision",
    "Quota",
    "RateLimited",
    "ReadWriteLock",
    "Redlock",
    "SerializationError",
    "Session",
    "SessionError",
    "SessionInfo",
    "Stats",
    "StreamError",
    "__version__",
    "asgi",
    "cache_response",
    "cached",
    "cached_many",
    "configure",
    "current_entry",
    "current_idempotency",
    "current_lock",
    "default_layer",
    "entries",
    "idempotent",
    "locked",
    "rate_limited",
    "stampede_protected",
    "web",
    "wsgi",
]

_PARTS = frozenset({"asgi", "web", "wsgi"})
"""Packages that are loaded when they are first asked for: a program that serves no web app needs none of them."""


def __getattr__(name: str) -> Any:
    if name in _PARTS:
        return import_module(f"holdfast.{name}")
    msg = f"module 'holdfast' has no attribute {name!r}"
    raise AttributeError(msg)
