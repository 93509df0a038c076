"""``layer.cache``: entries by name, for code that has no function to decorate.

A name is the text between the braces of the key. ``"product:7"`` is the entry of a function with
``key="product:{product_id}"`` and the argument 7, so that both reach the same value; say its return type as ``kind=``.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar, Unpack, cast

from holdfast._calls import as_coroutine, drive
from holdfast._current import checked_tags, unkept
from holdfast._durations import seconds
from holdfast._missing import MISSING
from holdfast.core import changing, many, single
from holdfast.core.plan import Plan
from holdfast.engine import Engine
from holdfast.errors import ConfigurationError
from holdfast.options import CacheOptions, Options, refuse_unknown
from holdfast.policy.keys import guard
from holdfast.policy.lifetime import TimeToLive
from holdfast.port import Port
from holdfast.typing import Duration

T = TypeVar("T")

PATTERN = "layer.cache"
"""Under which name `layer.stats()` counts these calls."""


class Cache:
    """The cache of a layer. Every method has an async twin with an ``a`` in front of its name.

    Example:
        >>> from holdfast import Layer
        >>> layer = Layer("memory://cache-example")
        >>> layer.cache.set("greeting", {"en": "hello"}, ttl="5m")
        >>> layer.cache.get("greeting")
        {'en': 'hello'}
        >>> layer.cache.get("farewell", default="-")
        '-'
        >>> layer.cache.delete("greeting")
        1
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._plans: dict[Any, Plan] = {}
        self._derives = False
        """Whether a function that `get_or_load` called has ever added tags to its entry."""

    def _plan(self, kind: Any) -> Plan:
        """Return how values of a kind are written and read."""
        try:
            plan = self._plans.get(kind)
        except TypeError:  # an annotation whose metadata has no hash
            return self._new_plan(kind)
        if plan is None:
            plan = self._plans[kind] = self._new_plan(kind)
        return plan

    def _new_plan(self, kind: Any) -> Plan:
        # The lifetime is never used: each method that stores is told one.
        return self._engine.plan(Options.of(1), PATTERN, kind)

    def _key(self, name: str) -> str:
        return f"{self._engine.prefix}{guard(name)}}}"

    def get(self, key: str, default: Any = None, *, kind: Any = Any) -> Any:
        """Return the value stored under `key`, or `default`.

        Args:
            key: the entry's name.
            default: what to return where there is no usable entry.
            kind: the type to decode to, as a function's return annotation would say it; it must be the one that the
                value was stored with. Without it, only what JSON itself knows comes back as it was.

        Raises:
            BackendError: Redis could not be used, and the layer does not bypass it.
            ConfigurationError: the serializer cannot decode to `kind`.
        """
        return drive(self._get(self._engine.blocking, key, default, kind))

    async def aget(self, key: str, default: Any = None, *, kind: Any = Any) -> Any:
        """Do what `get` does, for async callers."""
        return await self._get(self._engine.asyncio, key, default, kind)

    async def _get(self, port: Port, key: str, default: Any, kind: Any) -> Any:
        plan = self._plan(kind)
        if self._engine.off.get():
            return default
        value = await single.read(self._engine.caching, port, plan, self._key(key))
        return default if value is MISSING else value

    def set(self, key: str, value: object, ttl: Duration, *, tags: Iterable[str] = (), kind: Any = Any) -> None:
        """Store a value for `ttl`; `kind` is the type to which it will be decoded.

        Writers that race may land in any order: invalidate after changing the source, rather than set. `tags` name
        groups of entries that `invalidate_tags` invalidates together.

        Raises:
            BackendError: Redis could not be used; what was stored before may still be there.
            SerializationError: the value cannot be stored, or would not come back as it is.
        """
        drive(self._set_many(self._engine.blocking, [(key, value)], ttl, tags, kind))

    async def aset(self, key: str, value: object, ttl: Duration, *, tags: Iterable[str] = (), kind: Any = Any) -> None:
        """Do what `set` does, for async callers."""
        await self._set_many(self._engine.asyncio, [(key, value)], ttl, tags, kind)

    def get_or_load(
        self, key: str, load: Callable[[], T], ttl: TimeToLive, *, kind: Any = Any, **options: Unpack[CacheOptions]
    ) -> T:
        """Return the value stored under `key`; where there is none, call `load` and store what it returns.

        Concurrent callers of all processes share one load, sync and async ones together.

        Args:
            key: the entry's name.
            load: a function without arguments.
            ttl: how long to keep the value: a duration, or a function of the value that gives one.
            kind: the type of the value, as for `get`.
            options: as for `cached`; `tags` are names here, not templates.
        """
        _check_load(load, "get_or_load")
        return cast("T", drive(self._fetch(self._engine.blocking, ttl, kind, options, key, lambda: as_coroutine(load))))

    async def aget_or_load(
        self,
        key: str,
        load: Callable[[], Awaitable[T] | T],
        ttl: TimeToLive,
        *,
        kind: Any = Any,
        **options: Unpack[CacheOptions],
    ) -> T:
        """Do what `get_or_load` does, for async callers. `load` may be an async function or a plain one."""
        _check_load(load, "aget_or_load")

        async def run() -> object:
            result = load()
            return await result if inspect.isawaitable(result) else result

        return cast("T", await self._fetch(self._engine.asyncio, ttl, kind, options, key, run))

    async def _fetch(
        self,
        port: Port,
        ttl: TimeToLive,
        kind: Any,
        given: CacheOptions,
        key: str,
        load: Callable[[], Awaitable[Any]],
    ) -> Any:
        refuse_unknown("get_or_load", given, CacheOptions.__optional_keys__)
        options = Options.of(ttl, **given)
        plan = self._engine.plan(options, PATTERN, kind, derives=self._derives)
        if self._engine.off.get():
            with unkept():
                return await load()
        outcome = await self._engine.caching.fetch(port, plan, self._key(key), load, _names(options.tags))
        self._derives = self._derives or (plan.derivation.expected and plan.tags_of is None)
        return outcome[0]

    def get_many(self, keys: Iterable[str], *, kind: Any = Any) -> dict[str, Any]:
        """Return the values of those entries that exist, by the names given: one MGET for up to 500.

        `kind` is the type of every value.
        """
        return drive(self._get_many(self._engine.blocking, keys, kind))

    async def aget_many(self, keys: Iterable[str], *, kind: Any = Any) -> dict[str, Any]:
        """Do what `get_many` does, for async callers."""
        return await self._get_many(self._engine.asyncio, keys, kind)

    async def _get_many(self, port: Port, keys: Iterable[str], kind: Any) -> dict[str, Any]:
        plan = self._plan(kind)
        if self._engine.off.get():
            return {}
        full = {key: self._key(key) for key in keys}
        found = await many.read_many(self._engine.caching, port, plan, list(dict.fromkeys(full.values())))
        return {key: found[name] for key, name in full.items() if name in found}

    def set_many(
        self, mapping: Mapping[str, object], ttl: Duration, *, tags: Iterable[str] = (), kind: Any = Any
    ) -> None:
        """Store values of one kind by name, in one pipeline for up to 500; nothing if one cannot be encoded.

        Raises:
            BackendError: Redis could not be used; some of the values may have been stored.
            SerializationError: a value cannot be stored.
        """
        drive(self._set_many(self._engine.blocking, mapping.items(), ttl, tags, kind))

    async def aset_many(
        self, mapping: Mapping[str, object], ttl: Duration, *, tags: Iterable[str] = (), kind: Any = Any
    ) -> None:
        """Do what `set_many` does, for async callers."""
        await self._set_many(self._engine.asyncio, mapping.items(), ttl, tags, kind)

    async def _set_many(
        self, port: Port, items: Iterable[tuple[str, object]], ttl: Duration, tags: Iterable[str], kind: Any
    ) -> None:
        fresh, named = seconds(ttl, "ttl"), _names(checked_tags(tags, "tags="))
        values = {self._key(key): value for key, value in items}
        await changing.write_many(self._engine.caching, port, self._plan(kind), values, fresh, named)

    def delete(self, *keys: str) -> int:
        """Remove entries; return how many there were.

        Raises:
            BackendError: Redis could not be used, whatever the layer's `on_failure`: they may still be there.
        """
        return drive(self._delete(self._engine.blocking, keys))

    async def adelete(self, *keys: str) -> int:
        """Do what `delete` does, for async callers."""
        return await self._delete(self._engine.asyncio, keys)

    async def _delete(self, port: Port, keys: tuple[str, ...]) -> int:
        if not keys:
            return 0
        return await changing.remove(self._engine.caching, port, self._plan(Any), [self._key(key) for key in keys])

    def expire(self, key: str, ttl: Duration) -> bool:
        """Keep an entry for `ttl` from now; say whether there is one.

        Raises:
            BackendError: Redis could not be used.
        """
        return drive(self._expire(self._engine.blocking, key, ttl))

    async def aexpire(self, key: str, ttl: Duration) -> bool:
        """Do what `expire` does, for async callers."""
        return await self._expire(self._engine.asyncio, key, ttl)

    async def _expire(self, port: Port, key: str, ttl: Duration) -> bool:
        kept = seconds(ttl, "ttl")
        return await changing.expire(self._engine.caching, port, self._plan(Any), self._key(key), kept)

    def invalidate_tags(self, *tags: str, soft: bool = False) -> None:
        """Invalidate all entries that carry one of these tags, however many there are, in one round trip.

        A caller that starts after this has returned never gets a value that was loaded before it, in any process; loads
        that are under way are not stored in a way that later callers could see.

        Args:
            tags: their names, as the templates of ``tags=`` make them: ``"category:7"``.
            soft: let entries whose functions have a `grace` be served once more while they are refreshed.

        Raises:
            BackendError: Redis could not be used, whatever the layer's `on_failure`: repeat it.
        """
        drive(self._invalidate_tags(self._engine.blocking, tags, soft=soft))

    async def ainvalidate_tags(self, *tags: str, soft: bool = False) -> None:
        """Do what `invalidate_tags` does, for async callers."""
        await self._invalidate_tags(self._engine.asyncio, tags, soft=soft)

    async def _invalidate_tags(self, port: Port, tags: tuple[str, ...], *, soft: bool) -> None:
        names = _names(checked_tags(tags, "tags"))
        if names:
            await changing.invalidate_tags(self._engine.caching, port, self._plan(Any), names, soft=soft)


def _check_load(load: object, verb: str) -> None:
    if not callable(load):
        msg = f"{verb} takes a function without arguments that loads the value, not {type(load).__name__}"
        raise ConfigurationError(msg)


def _names(tags: Iterable[str]) -> tuple[str, ...]:
    """Return tags as they stand in keys."""
    return tuple(dict.fromkeys(guard(tag, "a tag") for tag in tags))
