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
from holdfast.core.sessions import SessionInfo
from holdfast.decorators import cached, cached_many, locked, rate_limited, stampede_protected
from holdfast.entries import Entries, entries
from holdfast.errors import (
    BackendError,
    BackendTimeout,
    BackendUnavailable,
    ConfigurationError,
    HoldfastError,
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
from holdfast.layer import Layer, configure, default_layer
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
    "current_lock",
    "default_layer",
    "entries",
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
