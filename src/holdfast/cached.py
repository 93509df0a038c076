"""Decorated functions, and the handle that reaches their entries.

`CachedFunction` is what a decorator returns: a wrapt wrapper, so that methods, classmethods, `inspect` and frameworks
see the function. All that is done once a function is done in `Recipe` and, once a layer, in `Binding`; a call adds one
key and one read to it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, cast

import wrapt

from holdfast._calls import Load, as_coroutine, is_async
from holdfast._current import unkept
from holdfast.core.caching import Caching
from holdfast.core.nearby import NOTHING
from holdfast.core.plan import Plan
from holdfast.engine import Engine
from holdfast.errors import ConfigurationError
from holdfast.key_arguments import by_arguments
from holdfast.key_binding import describe
from holdfast.key_requests import by_request
from holdfast.keybuilders import CompiledKey, compile_key, compile_tag
from holdfast.options import Options
from holdfast.serializers import return_kind
from holdfast.typing import KeyBuilder

_BUILTIN: Final[dict[str, KeyBuilder]] = {"by-arguments": by_arguments, "by-request": by_request}
"""Builders that every layer has under these names: their mistakes can show when decorating."""


@dataclass(frozen=True, slots=True)
class Binding:
    """One function on one layer."""

    engine: Engine
    caching: Caching
    plan: Plan
    name_of: Callable[..., str]
    prefix: str
    takes_instance: bool
    tags_of: tuple[Callable[..., str], ...]
    """Each makes one tag of a call."""
    near: Callable[[str], Any] | None
    """Gives what this process keeps under a key, or `NOTHING`; None where it keeps nothing."""

    def key(self, instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """Return the key of one call. `instance` is what a method was bound to; it is not among `args`."""
        if self.takes_instance and instance is not None:
            return f"{self.prefix}{self.name_of(instance, *args, **kwargs)}}}"
        return f"{self.prefix}{self.name_of(*args, **kwargs)}}}"

    def tags(self, instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, ...]:
        """Return the tags of one call, without repetitions."""
        if not self.tags_of:
            return ()
        if self.takes_instance and instance is not None:
            args = (instance, *args)
        return tuple(dict.fromkeys([tag_of(*args, **kwargs) for tag_of in self.tags_of]))


class Answers(Protocol):
    """How a decorated function answers its calls."""

    is_async: bool

    def call(self, wrapped: Callable[..., Any], instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Answer a call of a plain function."""

    async def acall(
        self, wrapped: Callable[..., Any], instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Answer a call of an async function."""


class Recipe:
    """How one function is cached, on whichever layer it finds when it is called."""

    def __init__(
        self,
        function: Callable[..., Any],
        options: Options,
        find_engine: Callable[[], Engine],
    ) -> None:
        self.function = raw_function(function)
        given: Any = function
        self._binds = inspect.isfunction(given) or isinstance(given, classmethod)
        """Whether an instance or class that it is bound to is its first argument, whatever that is called."""
        self.is_async = is_async(function)
        self.find_engine = find_engine
        self._options = options
        self._compiled = self._compile_now()
        self._tags_of = tuple(compile_tag(self.function, tag) for tag in options.tags)
        self._derives = mentions(self.function, "current_entry")
        self._binding: Binding | None = None

    def _compile_now(self) -> CompiledKey | None:
        """Compile the key when decorating, so that mistakes show there; None if that needs a layer's registry."""
        options = self._options
        if options.key is not None:
            return compile_key(self.function, options.key, version=options.version)
        builder = _BUILTIN.get(options.key_builder or "")
        return compile_key(self.function, builder=builder, version=options.version) if builder else None

    def binding(self) -> Binding:
        """Return this function on the layer in use now."""
        engine = self.find_engine()
        binding = self._binding
        if binding is None or binding.engine is not engine:
            binding = self._binding = self._bind(engine)
        return binding

    def _bind(self, engine: Engine) -> Binding:
        compiled = self._compiled
        if compiled is None:
            builder = engine.key_builders.get(self._options.key_builder or engine.key_builder)
            compiled = compile_key(self.function, builder=builder, version=self._options.version)
        # Not when decorating: the annotation may name a class that is defined further down.
        plan = engine.plan(self._options, compiled.pattern, return_kind(self.function), derives=self._derives)
        prefix = engine.prefix if plan.keeps else engine.caching.names.flights
        takes_instance = self._binds or compiled.takes_instance
        near = engine.caching.nearby.reader(plan, engine.blocking.monotonic) if plan.near else None
        return Binding(engine, engine.caching, plan, compiled.name_of, prefix, takes_instance, self._tags_of, near)

    def call(self, wrapped: Callable[..., Any], instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Answer a call of a plain function."""
        engine, binding = self.find_engine(), self._binding
        if binding is None or binding.engine is not engine:  # `binding()`, without the call
            binding = self.binding()
        if engine.off.get():
            with unkept():
                return wrapped(*args, **kwargs)
        if instance is None:  # `binding.key`, without the call
            key = f"{binding.prefix}{binding.name_of(*args, **kwargs)}}}"
        else:
            key = binding.key(instance, args, kwargs)
        if binding.near is not None:
            value = binding.near(key)
            if value is not NOTHING:
                return value
        load = plain_load(wrapped, args, kwargs)
        tags = binding.tags(instance, args, kwargs) if binding.tags_of else ()
        return binding.caching.fetch_now(engine.blocking, binding.plan, key, load, tags)[0]

    async def acall(
        self, wrapped: Callable[..., Any], instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Answer a call of an async function."""
        engine, binding = self.find_engine(), self._binding
        if binding is None or binding.engine is not engine:
            binding = self.binding()
        if engine.off.get():
            with unkept():
                return await wrapped(*args, **kwargs)
        if instance is None:  # `binding.key`, without the call
            key = f"{binding.prefix}{binding.name_of(*args, **kwargs)}}}"
        else:
            key = binding.key(instance, args, kwargs)
        if binding.near is not None:
            value = binding.near(key)
            if value is not NOTHING:
                return value
        tags = binding.tags(instance, args, kwargs) if binding.tags_of else ()
        outcome = await binding.caching.fetch(engine.asyncio, binding.plan, key, lambda: wrapped(*args, **kwargs), tags)
        return outcome[0]


def plain_load(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Load[Any]:
    """Return what the core calls to load from a plain function."""
    return lambda: as_coroutine(partial(function, *args, **kwargs))


def raw_function(function: Any) -> Callable[..., Any]:
    """Return the function behind a classmethod or staticmethod.

    Raises:
        ConfigurationError: there is none that could be cached.
    """
    inner: Any = cast("Any", function).__func__ if isinstance(function, classmethod | staticmethod) else function
    if isinstance(inner, property):
        msg = "cannot cache a property: put @property outside, above the decorator"
        raise ConfigurationError(msg)
    if not callable(inner) or isinstance(inner, type):
        what = f"class {describe(inner)}" if isinstance(inner, type) else f"value of type {type(inner).__name__}"
        msg = f"cannot cache a {what}: put @cached(ttl=...), with its parentheses, above a function or method"
        raise ConfigurationError(msg)
    if _yields(inner) or _yields(getattr(type(inner), "__call__", None)):  # noqa: B004 - the method itself
        msg = f"cannot cache the generator function {describe(inner)}: return a list instead of yielding"
        raise ConfigurationError(msg)
    return cast("Callable[..., Any]", inner)


def mentions(function: Callable[..., Any], name: str) -> bool:
    """Say whether the text of a function uses a name. A guess that saves a load, never one that must be right."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return code is not None and name in {*code.co_names, *code.co_freevars}


def _yields(function: Any) -> bool:
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


class BoundCachedFunction(wrapt.BoundFunctionWrapper):  # type: ignore[type-arg]  # generic only in newer stubs
    """A cached function as it comes from an instance or a class."""


class CachedFunction(wrapt.FunctionWrapper):  # type: ignore[type-arg]  # generic only in newer stubs
    """A function whose results are kept."""

    __bound_function_wrapper__ = BoundCachedFunction

    def __init__(self, function: Any, recipe: Answers) -> None:
        answer = recipe.acall if recipe.is_async else recipe.call
        super().__init__(function, answer)  # pyright: ignore[reportUnknownMemberType] - generic only in newer stubs
        self._self_recipe = recipe
        self._self_answer = answer

    def __reduce_ex__(self, _: Any) -> str:
        """Pickle the function as others are: by its name in its module, where the decorated one stands."""
        return self.__qualname__

    def __copy__(self) -> CachedFunction:
        """Return the function itself, as copying a function does."""
        return self

    def __deepcopy__(self, _: Any) -> CachedFunction:
        """Return the function itself, as copying a function does."""
        return self

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Answer a call that came through no instance.

        wrapt's own would first look whether the function is bound, by an attribute that a plain function lacks; that
        takes longer than building the key. A function that is bound already has no `self` in its signature, so nobody
        misses the instance.
        """
        wrapped: Callable[..., Any] = self.__wrapped__  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return self._self_answer(wrapped, None, args, kwargs)
