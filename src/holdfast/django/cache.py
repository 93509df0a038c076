"""The cache backend of Django: its documented API over one Redis, in both colours."""

# ruff: noqa: ASYNC109 - `timeout` is Django's word for how long a value is kept
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, cast

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache

from holdfast._calls import drive
from holdfast._missing import MISSING
from holdfast.core.shelf import Found
from holdfast.django.shelves import open_shelf
from holdfast.layer import Layer
from holdfast.port import Port


class HoldfastCache(BaseCache):
    """A cache of Django in Redis. Its verbs are those that Django documents, each with an async twin that is no thread.

    Every verb costs one round trip; `get_or_set` on a miss, and the changes of versions, cost two. `add`, `incr` and
    `decr` are atomic, and the last two keep the timeout. `clear` costs the same however much there is to remove. Redis
    drops what has timed out, so nothing is ever culled.

    - LOCATION: a URL as `holdfast.Layer` takes it; without one, the layer of `settings.HOLDFAST`.
    - TIMEOUT, VERSION, KEY_PREFIX, KEY_FUNCTION: as in Django.
    - OPTIONS: those of `holdfast.Layer`, such as ``namespace`` and ``on_failure``, and:
        - ``serializer``: ``"pickle"``, signed with a secret derived from SECRET_KEY; or one of the others, which store
          plain data only and refuse what would not come back as it is.
        - ``max_timeout``: for how long a value is kept at most, and those with the timeout None (default 30 days).
          Nothing is kept for ever.

    While Redis is away, reads find nothing and writes store nothing, unless OPTIONS has ``"on_failure": "raise"``; what
    removes raises `holdfast.BackendError` in any case, since what was to be removed may still be there.
    """

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        opened = open_shelf(location, params.get("OPTIONS", {}))
        self._layer, self._shelf, self._longest = opened
        self._blocking, self._asyncio = opened.layer.engine.blocking, opened.layer.engine.asyncio

    @property
    def layer(self) -> Layer:
        """The layer that this cache is in, for locks, limits, or what else Django has no verb for."""
        return self._layer

    def get_backend_timeout(self, timeout: Any = DEFAULT_TIMEOUT) -> float:
        """Return a timeout in seconds, up to the longest; 0 if it has passed already."""
        if timeout is DEFAULT_TIMEOUT:
            timeout = self.default_timeout
        if timeout is None:
            return self._longest
        return 0.0 if timeout <= 0 else min(max(float(timeout), 0.001), self._longest)

    def _name(self, key: str, version: int | None) -> str:
        """Return what Django makes of a key, with a warning if memcached would not take it."""
        return cast("str", self.make_and_validate_key(key, version=version))

    # Reading

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        """Return the value of a key, or `default`."""
        found = drive(self._find(self._blocking, self._name(key, version))).value
        return default if found is MISSING else found

    async def aget(self, key: str, default: Any = None, version: int | None = None) -> Any:
        """Do what `get` does, for async callers."""
        found = (await self._find(self._asyncio, self._name(key, version))).value
        return default if found is MISSING else found

    async def _find(self, port: Port, name: str) -> Found:
        if self._layer.engine.off.get():
            return Found(MISSING)
        return await self._shelf.find(port, name)

    def get_many(self, keys: Iterable[str], version: int | None = None) -> dict[str, Any]:
        """Return the values of those keys that have one."""
        return drive(self._get_many(self._blocking, keys, version))

    async def aget_many(self, keys: Iterable[str], version: int | None = None) -> dict[str, Any]:
        """Do what `get_many` does, for async callers."""
        return await self._get_many(self._asyncio, keys, version)

    async def _get_many(self, port: Port, keys: Iterable[str], version: int | None) -> dict[str, Any]:
        names = {key: self._name(key, version) for key in keys}
        if self._layer.engine.off.get():
            return {}
        found = await self._shelf.find_many(port, names.values())
        values = ((key, found[name].value) for key, name in names.items())
        return {key: value for key, value in values if value is not MISSING}

    def has_key(self, key: str, version: int | None = None) -> bool:
        """Say whether there is something under a key."""
        return drive(self._has(self._blocking, self._name(key, version)))

    async def ahas_key(self, key: str, version: int | None = None) -> bool:
        """Do what `has_key` does, for async callers."""
        return await self._has(self._asyncio, self._name(key, version))

    async def _has(self, port: Port, name: str) -> bool:
        return not self._layer.engine.off.get() and await self._shelf.has(port, name)

    # Storing

    def set(self, key: str, value: object, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        """Store a value; with a timeout of 0 or less, remove what there is."""
        drive(self._set_many(self._blocking, {key: value}, timeout, version))

    async def aset(self, key: str, value: object, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        """Do what `set` does, for async callers."""
        await self._set_many(self._asyncio, {key: value}, timeout, version)

    def set_many(
        self, data: Mapping[str, object], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> list[str]:
        """Store several values; return the keys of those that were not stored."""
        return drive(self._set_many(self._blocking, data, timeout, version))

    async def aset_many(
        self, data: Mapping[str, object], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> list[str]:
        """Do what `set_many` does, for async callers."""
        return await self._set_many(self._asyncio, data, timeout, version)

    async def _set_many(self, port: Port, data: Mapping[str, object], timeout: Any, version: int | None) -> list[str]:
        names = {self._name(key, version): key for key in data}
        kept = self.get_backend_timeout(timeout)
        if not kept:
            await self._shelf.remove(port, names)
            return []
        failed = await self._shelf.put_many(port, {name: data[key] for name, key in names.items()}, kept)
        return [names[name] for name in failed]

    def add(self, key: str, value: object, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """Store a value if there is none, and say whether it was stored; of several callers at once, one wins."""
        return drive(self._add(self._blocking, self._name(key, version), value, timeout))

    async def aadd(self, key: str, value: object, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """Do what `add` does, for async callers."""
        return await self._add(self._asyncio, self._name(key, version), value, timeout)

    async def _add(self, port: Port, name: str, value: object, timeout: Any, instead_of: bytes | None = None) -> bool:
        kept = self.get_backend_timeout(timeout)
        if not kept:  # it would be stored, and gone at once
            return not await self._shelf.has(port, name)
        return await self._shelf.add(port, name, value, kept, instead_of)

    def get_or_set(self, key: str, default: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> Any:
        """Return the value of a key; if there is none, store `default`, or what it returns if it can be called.

        Callers that come at once may call it several times, and all get what the first of them stored. To let one call
        it while the others wait, use `holdfast.cached`, or ``cache.layer.cache.get_or_load``.
        """
        name = self._name(key, version)
        found = drive(self._find(self._blocking, name))
        if found.value is not MISSING:
            return found.value
        value = default() if callable(default) else default
        return drive(self._keep(self._blocking, name, value, timeout, found.unreadable))

    async def aget_or_set(
        self, key: str, default: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> Any:
        """Do what `get_or_set` does, for async callers; what `default` returns may be awaitable."""
        name = self._name(key, version)
        found = await self._find(self._asyncio, name)
        if found.value is not MISSING:
            return found.value
        value = default() if callable(default) else default
        if inspect.isawaitable(value):
            value = await value
        return await self._keep(self._asyncio, name, value, timeout, found.unreadable)

    async def _keep(self, port: Port, name: str, value: Any, timeout: Any, unreadable: bytes | None) -> Any:
        """Store a value unless somebody else has meanwhile; return the one that there is."""
        if await self._add(port, name, value, timeout, unreadable):
            return value
        found = (await self._find(port, name)).value
        return value if found is MISSING else found

    # Changing

    def touch(self, key: str, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """Give a key a new timeout; say whether there is one."""
        return drive(self._touch(self._blocking, self._name(key, version), timeout))

    async def atouch(self, key: str, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """Do what `touch` does, for async callers."""
        return await self._touch(self._asyncio, self._name(key, version), timeout)

    async def _touch(self, port: Port, name: str, timeout: Any) -> bool:
        kept = self.get_backend_timeout(timeout)
        return await self._shelf.touch(port, name, kept) if kept else bool(await self._shelf.remove(port, [name]))

    def incr(self, key: str, delta: Any = 1, version: int | None = None) -> Any:
        """Add to a number, which keeps its timeout, and return the sum.

        Raises:
            ValueError: there is no such key.
            TypeError: it is no number.
        """
        return drive(self._incr(self._blocking, key, delta, version))

    async def aincr(self, key: str, delta: Any = 1, version: int | None = None) -> Any:
        """Do what `incr` does, for async callers."""
        return await self._incr(self._asyncio, key, delta, version)

    async def _incr(self, port: Port, key: str, delta: Any, version: int | None) -> Any:
        total = await self._shelf.incr(port, self._name(key, version), delta)
        if total is MISSING:
            raise ValueError(_not_found(key))
        return total

    def incr_version(self, key: str, delta: int = 1, version: int | None = None) -> int:
        """Give a key another version, for the rest of its timeout; return that version.

        Raises:
            ValueError: there is no such key.
        """
        return drive(self._incr_version(self._blocking, key, delta, version))

    async def aincr_version(self, key: str, delta: int = 1, version: int | None = None) -> int:
        """Do what `incr_version` does, for async callers."""
        return await self._incr_version(self._asyncio, key, delta, version)

    async def _incr_version(self, port: Port, key: str, delta: int, version: int | None) -> int:
        before = cast("int", self.version) if version is None else version
        names = [self._name(key, each) for each in (before, before + delta)]
        if not await self._shelf.move(port, *names):
            raise ValueError(_not_found(key))
        return before + delta

    # Removing

    def delete(self, key: str, version: int | None = None) -> bool:
        """Remove a key; say whether there was one."""
        return bool(drive(self._shelf.remove(self._blocking, [self._name(key, version)])))

    async def adelete(self, key: str, version: int | None = None) -> bool:
        """Do what `delete` does, for async callers."""
        return bool(await self._shelf.remove(self._asyncio, [self._name(key, version)]))

    def delete_many(self, keys: Iterable[str], version: int | None = None) -> None:
        """Remove several keys."""
        names = [self._name(key, version) for key in keys]
        drive(self._shelf.remove(self._blocking, names))

    async def adelete_many(self, keys: Iterable[str], version: int | None = None) -> None:
        """Do what `delete_many` does, for async callers."""
        names = [self._name(key, version) for key in keys]
        await self._shelf.remove(self._asyncio, names)

    def clear(self) -> None:
        """Remove every key of this cache: all versions and prefixes in its namespace, nothing else of holdfast's."""
        drive(self._shelf.clear(self._blocking))

    async def aclear(self) -> None:
        """Do what `clear` does, for async callers."""
        await self._shelf.clear(self._asyncio)


def _not_found(key: str) -> str:
    return f"Key {key!r} not found"
