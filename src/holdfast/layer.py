"""The composition root: one Redis, and all that holdfast does over it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self, TypedDict, TypeVar, Unpack

from holdfast.cache import Cache
from holdfast.cached import CachedFunction, Recipe
from holdfast.cached_many import ManyRecipe
from holdfast.core.records import Stats
from holdfast.engine import Engine
from holdfast.http_cache import HttpCache
from holdfast.idempotent import IdempotentOptions, run_once
from holdfast.keybuilders import KeyBuilders
from holdfast.limited import LimitOptions, QuotaOption, limit
from holdfast.limiter import Limiter
from holdfast.lock_terms import LeaseOptions, LockOptions, MultiLockOptions
from holdfast.locked import LockedOptions, lock_calls
from holdfast.locks import (
    Lock,
    MultiLock,
    ReadWriteLock,
    make_lock,
    make_multi_lock,
    make_read_write_lock,
    make_semaphore,
)
from holdfast.options import CachedOptions, KeyOption, ManyOptions, OnFailure, Options, refuse_unknown
from holdfast.policy.lifetime import TimeToLive
from holdfast.serializers import Serializers
from holdfast.sessions import Sessions
from holdfast.typing import Duration, Hook

F = TypeVar("F", bound=Callable[..., Any])
_log = logging.getLogger("holdfast")


class LayerOptions(TypedDict, total=False):
    """The options of `Layer`, which explains each."""

    namespace: str
    serializer: str
    compression: str | None
    secret: str | bytes | Sequence[str | bytes] | None
    key_builder: str
    near: Duration | None
    near_entries: int
    near_bytes: int
    on_failure: OnFailure
    hooks: Iterable[Hook]
    replicas: int
    connection: Mapping[str, Any] | None


def url_of_env() -> str:
    """Return where Redis is, as the environment says; what follows where it says nothing is told in the log."""
    url = os.environ.get("HOLDFAST_URL")
    if url is None:
        _log.info("HOLDFAST_URL is not set: all is kept in this process (memory://), and no other sees it")
    return url or "memory://"


class Layer:
    """One Redis for a program: its connections, its keys, its counters, and the verbs over them.

    Nothing is opened before it is used. A layer may be shared by threads, tasks and loops, and survives a fork.

    Example:
        >>> from holdfast import Layer
        >>> with Layer("memory://layer-example", namespace="shop") as layer:
        ...     @layer.cached(ttl="5m", key="square:{number}")
        ...     def square(number: int) -> int:
        ...         return number * number
        ...     first, second = square(12), square(12)
        ...     layer.stats().hits
        1
    """

    def __init__(
        self,
        url: str = "memory://",
        *,
        namespace: str = "",
        serializer: str = "json",
        compression: str | None = None,
        secret: str | bytes | Sequence[str | bytes] | None = None,
        key_builder: str = "by-arguments",
        near: Duration | None = None,
        near_entries: int = 10_000,
        near_bytes: int = 64 * 1024 * 1024,
        on_failure: OnFailure = "bypass",
        hooks: Iterable[Hook] = (),
        replicas: int = 1,
        connection: Mapping[str, Any] | None = None,
    ) -> None:
        """Set up a layer.

        Args:
            url: where Redis is: ``memory://[name]``, ``redis://``, ``rediss://``, ``unix://``,
                ``redis+sentinel://h1:p,h2:p/service/db`` or ``redis+cluster://h1:p,h2:p``.
            namespace: what the keys of this program begin with.
            serializer: ``"json"``, ``"msgpack"``, ``"pickle"`` (needs `secret`), ``"raw"``, ``"tagged"``, or yours.
            compression: None, ``"zlib"``, ``"zstd"`` or ``"lz4"``, for values of a kilobyte and more.
            secret: signs the entries: text or bytes of at least 16 bytes, or several, newest first.
            key_builder: names the entries of functions that give no `key`.
            near: how long an entry may be kept in this process, too, unless a decorator says otherwise; None is not at
                all.
            near_entries: how many entries are kept in this process at most.
            near_bytes: how much memory they may take, in bytes.
            on_failure: while Redis cannot be used, call functions without it (``"bypass"``) or raise (``"raise"``).
            hooks: functions that receive each event.
            replicas: how many processes share the limits: while Redis cannot be used, each grants its share of those
                with ``on_failure="local"``.
            connection: more keyword arguments for redis-py's connection classes, such as ``credential_provider``.

        Raises:
            ConfigurationError: an option cannot work; the message names it.
        """
        # For the modules of holdfast only; it changes without notice.
        self.engine = Engine(
            url,
            namespace=namespace,
            serializer=serializer,
            compression=compression,
            secret=secret,
            key_builder=key_builder,
            near=near,
            near_entries=near_entries,
            near_bytes=near_bytes,
            on_failure=on_failure,
            hooks=hooks,
            replicas=replicas,
            connection={} if connection is None else connection,
        )
        self.cache = Cache(self.engine)
        self.limiter = Limiter(self.engine)
        self.http_cache = HttpCache(self.engine)
        self.sessions = Sessions(self.engine)

    @classmethod
    def from_env(cls, **options: Unpack[LayerOptions]) -> Self:
        """Return a layer for ``HOLDFAST_URL`` (default ``memory://``) and ``HOLDFAST_NAMESPACE`` (default none)."""
        options.setdefault("namespace", os.environ.get("HOLDFAST_NAMESPACE", ""))
        return cls(url_of_env(), **options)

    @property
    def serializers(self) -> Serializers:
        """The serializers that this layer knows by name; register your own here."""
        return self.engine.serializers

    @property
    def key_builders(self) -> KeyBuilders:
        """The key builders that this layer knows by name; register your own here."""
        return self.engine.key_builders

    def cached(self, ttl: TimeToLive, **options: Unpack[CachedOptions]) -> Callable[[F], F]:
        """Keep the results of a function in this layer; `holdfast.cached` explains the options."""
        return decorate(lambda: self.engine, ttl, **options)

    def cached_many(
        self, ttl: TimeToLive, *, key: str, missing_ttl: Duration | None = None, **options: Unpack[ManyOptions]
    ) -> Callable[[F], F]:
        """Keep what a loader of many values brings in this layer; `holdfast.cached_many` explains the options."""
        return decorate_many(lambda: self.engine, ttl, key=key, missing_ttl=missing_ttl, **options)

    def stampede_protected(self, ttl: TimeToLive | None = None, **options: Unpack[CachedOptions]) -> Callable[[F], F]:
        """Protect a function from many callers at once; `holdfast.stampede_protected` explains the options."""
        return protect(lambda: self.engine, ttl, **options)

    def rate_limited(self, quota: QuotaOption, **options: Unpack[LimitOptions]) -> Callable[[F], F]:
        """Limit how often a function is called; `holdfast.rate_limited` explains the options."""
        return limit(lambda: self.engine, quota, **options)

    def locked(self, key: KeyOption, **options: Unpack[LockedOptions]) -> Callable[[F], F]:
        """Run a function one call at a time; `holdfast.locked` explains the options."""
        return lock_calls(lambda: self.engine, key, **options)

    def idempotent(self, key: KeyOption, **options: Unpack[IdempotentOptions]) -> Callable[[F], F]:
        """Call a function once for each key; `holdfast.idempotent` explains the options."""
        return run_once(lambda: self.engine, key, **options)

    def lock(self, name: str, **options: Unpack[LockOptions]) -> Lock:
        """Return a lock that one thread or task of all processes may hold, for ``with`` and ``async with``.

        It is held for as long as the block runs: its lease is renewed, and the lock of a process that died is free when
        the lease has run out. That makes it rare that work is done twice; it cannot rule it out, since a process may
        stand still for longer than its lease. Where that would do harm, hand `Held.fencing_token` to the resource.

        Args:
            name: of the lock, the same in all processes.
            options:
                lease: how long the lock of a process that died stays taken (default 30 s).
                wait: how long to wait for it; None, the default, is for ever, 0 not at all.
                fair: whether those who wait get it in the order in which they came, over all processes.
                reentrant: whether the task or thread that holds it may enter it again; the lease stays the outer one's.
                max_lifetime: after which time it is renewed no more, so that code that hangs does not hold it for ever.
                cancel_on_loss: whether to cancel the ``async with`` block when the lock is lost; it raises `LockLost`.
                min_replicas: how many replicas must have the lock before it counts as held, so that a failover is less
                    likely to lose it; with fewer after a second, `LockNotAcquired`.

        Raises:
            ConfigurationError: an option cannot work. Entering raises `LockNotAcquired` or `BackendError`.

        Example:
            >>> from holdfast import Layer, LockNotAcquired
            >>> layer = Layer("memory://layer-lock-example")
            >>> held = layer.lock("import", lease="10s").acquire()
            >>> try:
            ...     layer.lock("import", wait=0).acquire()
            ... except LockNotAcquired as error:
            ...     print(error)
            the lock 'import' is held by others: try again later, or say how long to wait: wait='5s'
            >>> held.release()
        """
        return make_lock(self.engine, name, options)

    def semaphore(self, name: str, permits: int, **options: Unpack[LeaseOptions]) -> Lock:
        """Return what `permits` threads and tasks of all processes may hold together, each under a lease of its own.

        Those who wait get it in the order in which they came.

        Args:
            name: of the semaphore.
            permits: how many may hold it; the same in all processes.
            options: lease, wait, max_lifetime, cancel_on_loss and min_replicas, see `lock`.

        Raises:
            ConfigurationError: an option cannot work.
        """
        return make_semaphore(self.engine, name, permits, options)

    def read_write_lock(self, name: str) -> ReadWriteLock:
        """Return a lock whose ``read()`` many may hold together, and whose ``write()`` only one, without readers."""
        return make_read_write_lock(self.engine, name)

    def multi_lock(self, names: Iterable[str], **options: Unpack[MultiLockOptions]) -> MultiLock:
        """Return several locks that are held together, all or none.

        They are taken in the order of their names, so that two who want the same ones never wait for each other.

        Args:
            names: of the locks; each is the one that `lock` returns.
            options: lease, wait (for all of them together), fair, max_lifetime, cancel_on_loss and min_replicas, see
                `lock`.

        Raises:
            ConfigurationError: an option cannot work.
        """
        return make_multi_lock(self.engine, names, options)

    def disabled(self) -> AbstractContextManager[None]:
        """Let calls go straight to their functions while a ``with`` block runs, in this thread or task.

        Reads find nothing meanwhile. What changes an entry on request still does: a deletion that was not made could
        not be made good later.
        """
        return self.engine.disabled()

    def add_hook(self, hook: Hook) -> None:
        """Send every further event to `hook`. It must be quick and must not block; what it raises is logged."""
        self.engine.recorder.add(hook)

    def stats(self) -> Stats:
        """Return how many hits, misses, fills, coalesced calls and errors there were, in all and by key pattern."""
        return self.engine.recorder.stats()

    def close(self) -> None:
        """Close every connection. Calls after that run as if Redis were away."""
        self.engine.backend.close()

    async def aclose(self) -> None:
        """Close every connection, and wait until those of the running loop are gone."""
        await self.engine.backend.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<Layer {self.engine.backend.topology}, namespace {self.engine.namespace!r}>"


def decorate(find_engine: Callable[[], Engine], ttl: TimeToLive, **options: Unpack[CachedOptions]) -> Callable[[F], F]:
    """Return the decorator that keeps a function's results in the engine found at each call."""
    refuse_unknown("cached", options, CachedOptions.__optional_keys__)
    return _wrapping(Options.of(ttl, **options), find_engine)


def decorate_many(
    find_engine: Callable[[], Engine],
    ttl: TimeToLive,
    *,
    key: str,
    missing_ttl: Duration | None,
    **options: Unpack[ManyOptions],
) -> Callable[[F], F]:
    """Return the decorator that keeps each value of a loader of many in the engine found at each call."""
    checked = Options.of_many(ttl, key=key, missing_ttl=missing_ttl, **options)

    def wrap(function: F) -> F:
        wrapper: Any = CachedFunction(function, ManyRecipe(function, checked, find_engine))
        return wrapper  # type: ignore[no-any-return]  # to a type checker the function is what it was

    return wrap


def _wrapping(options: Options, find_engine: Callable[[], Engine]) -> Callable[[F], F]:
    def wrap(function: F) -> F:
        recipe = Recipe(function, options, find_engine)
        wrapper: Any = CachedFunction(function, recipe)
        return wrapper  # type: ignore[no-any-return]  # to a type checker the function is what it was

    return wrap


def protect(
    find_engine: Callable[[], Engine], ttl: TimeToLive | None, **options: Unpack[CachedOptions]
) -> Callable[[F], F]:
    """Return the decorator that shares a function's loads, and keeps their results if there is a `ttl`."""
    refuse_unknown("stampede_protected", options, CachedOptions.__optional_keys__)
    options.setdefault("beta", 1.0)
    return _wrapping(Options.of(ttl, keeps=ttl is not None, **options), find_engine)
