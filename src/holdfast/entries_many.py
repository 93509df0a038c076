"""The handle on the entries of a loader of many values: ``entries(load_products).invalidate([7, 8])``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, cast

from holdfast._calls import drive
from holdfast._current import unkept
from holdfast._missing import MISSING
from holdfast.cached_many import ManyBinding, ManyRecipe, Request
from holdfast.core import changing, single
from holdfast.core.plan import EntryInfo
from holdfast.errors import ConfigurationError
from holdfast.port import Port


class ManyEntries:
    """What `entries` returns for a loader decorated with `cached_many`.

    Its verbs are those of `Entries`. All take the arguments of a call, and so a list of ids; `key` and `info` take a
    list of one.
    """

    def __init__(self, function: Callable[..., Any], recipe: ManyRecipe, instance: object) -> None:
        self._function = function
        self._recipe = recipe
        self._instance = instance

    def key(self, /, *args: Any, **kwargs: Any) -> str:
        """Return the key in Redis of the one id of this call."""
        return self._one(*self._asked(args, kwargs))

    def get(self, /, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        """Return what is stored of this call, by id; the loader is not called.

        Raises:
            BackendError: Redis could not be used, and the layer does not bypass it.
        """
        return drive(self._get(args, kwargs, blocking=True))

    async def aget(self, /, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        """Do what `get` does, for async callers."""
        return await self._get(args, kwargs, blocking=False)

    async def _get(self, args: tuple[Any, ...], kwargs: dict[str, Any], *, blocking: bool) -> dict[Any, Any]:
        binding, request = self._asked(args, kwargs, blocking=blocking)
        if binding.engine.off.get() or not request.asked:
            return {}
        return request.results(await binding.engine.batching.find(_port(binding, blocking=blocking), request.batch))

    def set(self, values: Any, /, *args: Any, **kwargs: Any) -> None:
        """Store what the loader would have returned for this call; the entries of ids that it lacks are removed.

        Raises:
            BackendError: Redis could not be used; what was stored before may still be there.
            SerializationError: a value cannot be stored.
        """
        drive(self._set(values, args, kwargs, blocking=True))

    async def aset(self, values: Any, /, *args: Any, **kwargs: Any) -> None:
        """Do what `set` does, for async callers."""
        await self._set(values, args, kwargs, blocking=False)

    async def _set(self, values: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, blocking: bool) -> None:
        binding, request = self._asked(args, kwargs, blocking=blocking)
        port, caching, plan = _port(binding, blocking=blocking), binding.engine.caching, binding.plan
        gone: list[str] = []
        for key, id_ in request.batch.ids.items():
            value = values.get(id_, MISSING)
            if value is MISSING:
                gone.append(key)
            else:
                await changing.write(caching, port, plan, key, value, request.batch.tags.get(key, ()))
        await changing.remove(caching, port, plan, gone)

    def invalidate(self, /, *args: Any, **kwargs: Any) -> bool:
        """Remove the entries of this call, in one pipeline for up to 500; say whether there was one.

        Raises:
            BackendError: Redis could not be used, whatever the layer's `on_failure`: entries may still be there.
        """
        return drive(self._invalidate(args, kwargs, blocking=True))

    async def ainvalidate(self, /, *args: Any, **kwargs: Any) -> bool:
        """Do what `invalidate` does, for async callers."""
        return await self._invalidate(args, kwargs, blocking=False)

    async def _invalidate(self, args: tuple[Any, ...], kwargs: dict[str, Any], *, blocking: bool) -> bool:
        binding, request = self._asked(args, kwargs, blocking=blocking)
        port, keys = _port(binding, blocking=blocking), list(request.batch.ids)
        return bool(await changing.remove(binding.engine.caching, port, binding.plan, keys))

    def refresh(self, /, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        """Call the loader once, store what it returns, and return it, whatever was stored before.

        Raises:
            BackendError: Redis could not be used, whatever the layer's `on_failure`: old entries may still be there.
        """
        self._refuse_async("refresh")
        return drive(self._refresh(args, kwargs, blocking=True))

    async def arefresh(self, /, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        """Do what `refresh` does, for async callers."""
        return await self._refresh(args, kwargs, blocking=False)

    async def _refresh(self, args: tuple[Any, ...], kwargs: dict[str, Any], *, blocking: bool) -> dict[Any, Any]:
        binding, request = self._asked(args, kwargs, blocking=blocking)
        if not request.asked:
            return {}
        outcomes = await binding.engine.batching.refresh(_port(binding, blocking=blocking), request.batch)
        return request.results(outcomes)

    def bypass(self, /, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        """Call the loader itself; read nothing and store nothing."""
        self._refuse_async("bypass")
        return drive(self._bypass(args, kwargs, blocking=True))

    async def abypass(self, /, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        """Do what `bypass` does, for async callers."""
        return await self._bypass(args, kwargs, blocking=False)

    async def _bypass(self, args: tuple[Any, ...], kwargs: dict[str, Any], *, blocking: bool) -> dict[Any, Any]:
        _, request = self._asked(args, kwargs, blocking=blocking)
        with unkept():
            return request.existing(await request.batch.run(request.batch.ids)) if request.asked else {}

    def info(self, /, *args: Any, **kwargs: Any) -> EntryInfo | None:
        """Describe the entry of the one id of this call; None without one. That nothing exists is an entry, too.

        Raises:
            BackendError: Redis could not be used.
        """
        return drive(self._info(args, kwargs, blocking=True))

    async def ainfo(self, /, *args: Any, **kwargs: Any) -> EntryInfo | None:
        """Do what `info` does, for async callers."""
        return await self._info(args, kwargs, blocking=False)

    async def _info(self, args: tuple[Any, ...], kwargs: dict[str, Any], *, blocking: bool) -> EntryInfo | None:
        binding, request = self._asked(args, kwargs, blocking=blocking)
        key = self._one(binding, request)
        port, tags = _port(binding, blocking=blocking), request.batch.tags.get(key, ())
        return await single.info(binding.engine.caching, port, binding.plan, key, tags)

    def call(self, /, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: the values of one call may come from different places."""
        del args, kwargs
        msg = f"call() tells where one value came from, and {self._name} has many: count them with layer.stats()"
        raise ConfigurationError(msg)

    acall = call

    @property
    def _name(self) -> str:
        return self._recipe.function.__qualname__

    def _asked(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], *, blocking: bool = True
    ) -> tuple[ManyBinding, Request]:
        binding = self._recipe.binding()
        original = cast("Callable[..., Any]", getattr(self._function, "__wrapped__", self._function))
        request = self._recipe.request(binding, original, self._instance, args, kwargs, blocking=blocking)
        return binding, request

    def _one(self, _: ManyBinding, request: Request) -> str:
        if len(request.batch.ids) != 1:
            msg = f"this verb is about one entry of {self._name}: pass a list of one id, not of {len(request.asked)}"
            raise ConfigurationError(msg)
        return next(iter(request.batch.ids))

    def _refuse_async(self, verb: str) -> None:
        if self._recipe.is_async:
            msg = f"{self._name} is an async function: await entries({self._name}).a{verb}(...)"
            raise ConfigurationError(msg)


def _port(binding: ManyBinding, *, blocking: bool) -> Port:
    return binding.engine.blocking if blocking else binding.engine.asyncio
