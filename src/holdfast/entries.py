"""The handle on the entries of one decorated function: ``entries(get_product).invalidate(7)``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from types import MethodType
from typing import Any, Generic, NoReturn, ParamSpec, TypeVar, cast, overload

from holdfast._calls import drive
from holdfast._current import unkept
from holdfast._missing import MISSING, Missing
from holdfast.cached import Binding, BoundCachedFunction, CachedFunction, Recipe, plain_load
from holdfast.cached_many import ManyRecipe
from holdfast.core import changing, single
from holdfast.core.plan import CallInfo, EntryInfo
from holdfast.entries_many import ManyEntries
from holdfast.errors import ConfigurationError

P = ParamSpec("P")
R = TypeVar("R")


class Entries(Generic[P, R]):
    """The entries of one decorated function. Every method takes the arguments of a call, and has an async twin."""

    def __init__(self, function: Callable[..., Any], recipe: Recipe, instance: object) -> None:
        self._function = function
        self._recipe = recipe
        self._instance = instance

    def _find(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Binding, str]:
        binding = self._recipe.binding()
        return binding, binding.key(self._instance, args, kwargs)

    def _tags(self, binding: Binding, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, ...]:
        return binding.tags(self._instance, args, kwargs)

    def _original(self) -> Callable[..., Any]:
        """Return the function itself, bound as the decorated one was."""
        return cast("Callable[..., Any]", getattr(self._function, "__wrapped__", self._function))

    def _load(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[], Awaitable[Any]]:
        """Return what a blocking verb calls to load."""
        return plain_load(self._original(), args, kwargs)

    def _aload(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[], Awaitable[Any]]:
        """Return what an async verb calls to load; a plain function runs on the loop."""
        original = self._original()
        if self._recipe.is_async:
            return lambda: original(*args, **kwargs)

        async def run() -> Any:  # a real coroutine: no event loop could make sense of a smuggled StopIteration
            return original(*args, **kwargs)

        return run

    def _refuse_async(self, verb: str) -> None:
        if self._recipe.is_async:
            _fail_async(self._recipe.function.__qualname__, verb)

    def key(self, /, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the key in Redis under which the result of this call is kept."""
        return self._find(args, kwargs)[1]

    def get(self, /, *args: P.args, **kwargs: P.kwargs) -> R | Missing:
        """Return what is stored for this call, or `MISSING`; the function is not called.

        Raises:
            BackendError: Redis could not be used, and the layer does not bypass it.
        """
        return cast("R | Missing", drive(self._get(args, kwargs, blocking=True)))

    async def aget(self, /, *args: P.args, **kwargs: P.kwargs) -> R | Missing:
        """Do what `get` does, for async callers."""
        return cast("R | Missing", await self._get(args, kwargs, blocking=False))

    async def _get(self, args: tuple[Any, ...], kwargs: dict[str, Any], *, blocking: bool) -> Any:
        binding, key = self._find(args, kwargs)
        if binding.engine.off.get():
            return MISSING
        port = binding.engine.blocking if blocking else binding.engine.asyncio
        return await single.read(binding.caching, port, binding.plan, key, self._tags(binding, args, kwargs))

    def set(self, value: R, /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Store `value` as the result of this call, as if the function had just returned it.

        Raises:
            BackendError: Redis could not be used; what was stored before may still be there.
            SerializationError: the value cannot be stored.
        """
        drive(self._set(value, args, kwargs, blocking=True))

    async def aset(self, value: R, /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Do what `set` does, for async callers."""
        await self._set(value, args, kwargs, blocking=False)

    async def _set(self, value: R, args: tuple[Any, ...], kwargs: dict[str, Any], *, blocking: bool) -> None:
        binding, key = self._find(args, kwargs)
        if not binding.plan.keeps:
            msg = f"{self._recipe.function.__qualname__} keeps nothing, so nothing can be set: give it a ttl"
            raise ConfigurationError(msg)
        port = binding.engine.blocking if blocking else binding.engine.asyncio
        await changing.write(binding.caching, port, binding.plan, key, value, self._tags(binding, args, kwargs))

    def invalidate(self, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Remove the entry of this call; say whether there was one.

        Raises:
            BackendError: Redis could not be used, whatever the layer's `on_failure`: the entry may still be there.
        """
        binding, key = self._find(args, kwargs)
        return bool(drive(changing.remove(binding.caching, binding.engine.blocking, binding.plan, [key])))

    async def ainvalidate(self, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Do what `invalidate` does, for async callers."""
        binding, key = self._find(args, kwargs)
        return bool(await changing.remove(binding.caching, binding.engine.asyncio, binding.plan, [key]))

    def refresh(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function, store what it returns, and return it, whatever was stored before.

        Raises:
            BackendError: Redis could not be used, whatever the layer's `on_failure`: the old entry may still be there.
        """
        self._refuse_async("refresh")
        binding, key = self._find(args, kwargs)
        load = self._load(args, kwargs)
        tags = self._tags(binding, args, kwargs)
        return cast("R", drive(binding.caching.refresh(binding.engine.blocking, binding.plan, key, load, tags))[0])

    async def arefresh(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Do what `refresh` does, for async callers."""
        binding, key = self._find(args, kwargs)
        load = self._aload(args, kwargs)
        tags = self._tags(binding, args, kwargs)
        return cast("R", (await binding.caching.refresh(binding.engine.asyncio, binding.plan, key, load, tags))[0])

    def bypass(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself; read nothing and store nothing."""
        self._refuse_async("bypass")
        with unkept():
            return cast("R", self._original()(*args, **kwargs))

    async def abypass(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Do what `bypass` does, for async callers."""
        with unkept():
            return cast("R", await self._aload(args, kwargs)())

    def info(self, /, *args: P.args, **kwargs: P.kwargs) -> EntryInfo | None:
        """Return when the entry of this call was made, how long it stays and how large it is; None without one.

        Raises:
            BackendError: Redis could not be used.
        """
        binding, key = self._find(args, kwargs)
        tags = self._tags(binding, args, kwargs)
        return drive(single.info(binding.caching, binding.engine.blocking, binding.plan, key, tags))

    async def ainfo(self, /, *args: P.args, **kwargs: P.kwargs) -> EntryInfo | None:
        """Do what `info` does, for async callers."""
        binding, key = self._find(args, kwargs)
        tags = self._tags(binding, args, kwargs)
        return await single.info(binding.caching, binding.engine.asyncio, binding.plan, key, tags)

    def call(self, /, *args: P.args, **kwargs: P.kwargs) -> tuple[R, CallInfo]:
        """Call the decorated function, and say where the value came from."""
        self._refuse_async("call")
        return cast("tuple[R, CallInfo]", drive(self._call(args, kwargs, blocking=True)))

    async def acall(self, /, *args: P.args, **kwargs: P.kwargs) -> tuple[R, CallInfo]:
        """Do what `call` does, for async callers."""
        return cast("tuple[R, CallInfo]", await self._call(args, kwargs, blocking=False))

    async def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any], *, blocking: bool) -> tuple[Any, CallInfo]:
        binding, key = self._find(args, kwargs)
        port = binding.engine.blocking if blocking else binding.engine.asyncio
        load = self._load(args, kwargs) if blocking else self._aload(args, kwargs)
        if binding.engine.off.get():
            with unkept():
                return await load(), CallInfo("bypassed", 0.0, 0.0)
        outcome = await binding.caching.fetch(port, binding.plan, key, load, self._tags(binding, args, kwargs))
        return outcome[0], single.describe(port, binding.plan, key, outcome)


@overload
def entries(function: Callable[P, Coroutine[Any, Any, R]], /) -> Entries[P, R]: ...
@overload
def entries(function: Callable[P, R], /) -> Entries[P, R]: ...
def entries(function: Callable[..., Any], /) -> Entries[..., Any]:
    """Return the handle on the entries of a decorated function or bound method.

    Example:
        >>> from holdfast import Layer, cached, entries
        >>> @cached(ttl="5m", key="double:{number}", layer=Layer("memory://entries-example"))
        ... def double(number: int) -> int:
        ...     return 2 * number
        >>> double(21)
        42
        >>> entries(double).get(21)
        42
        >>> entries(double).invalidate(21)
        True
        >>> entries(double).get(21)
        MISSING

    Raises:
        ConfigurationError: the function is not decorated with `cached`.
    """
    found = _find_decorated(function)
    if found is None:
        msg = f"{getattr(function, '__qualname__', function)!r} has no entries: decorate it with @cached first"
        raise ConfigurationError(msg)
    bound = type(found) is BoundCachedFunction
    recipe = (found._self_parent if bound else found)._self_recipe  # noqa: SLF001 - wrapt wants these names
    instance = getattr(found, "__self__", None) if bound else None
    if isinstance(recipe, ManyRecipe):
        return cast("Entries[..., Any]", ManyEntries(found, recipe, instance))  # the same verbs
    return Entries(found, recipe, instance)


def _find_decorated(function: Any) -> Any:
    """Return the cached wrapper in or behind a function, bound as the function is."""
    instance = None
    while function is not None and type(function) not in {CachedFunction, BoundCachedFunction}:
        if type(function) is MethodType:  # of @classmethod above @cached since Python 3.13, or of another decorator
            function, instance = function.__func__, function.__self__
        else:
            function = getattr(function, "__wrapped__", None)
    if function is None or instance is None or getattr(function, "__self__", None) is not None:
        return function
    unbound: Any = function if type(function) is CachedFunction else function._self_parent  # noqa: SLF001 - as above
    return unbound.__get__(instance, type(instance))


def _fail_async(name: str, verb: str) -> NoReturn:
    msg = f"{name} is an async function: await entries({name}).a{verb}(...)"
    raise ConfigurationError(msg)
