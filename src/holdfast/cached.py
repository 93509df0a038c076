"""Decorated functions, and the handle that reaches their entries.

All that is done once a function is done in `Recipe` and, once a layer, in `Binding`; a call adds one
key and one read to it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from holdfast._calls import Load, as_coroutine, is_async
from holdfast._current import unkept
from holdfast.core.caching import Caching
from holdfast.core.nearby import NOTHING
from holdfast.core.plan import Plan
from holdfast.engine import Engine
from holdfast.key_arguments import by_arguments
from holdfast.key_requests import by_request
from holdfast.keybuilders import CompiledKey, compile_key, compile_tag
from holdfast.options import Options
from holdfast.serializers import return_kind
from holdfast.typing import KeyBuilder
from holdfast.wrapped import BoundFunction, DecoratedFunction, raw_function

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


def mentions(function: Callable[..., Any], name: str) -> bool:
    """Say whether the text of a function uses a name. A guess that saves a load, never one that must be right."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return code is not None and name in {*code.co_names, *code.co_freevars}


class BoundCachedFunction(BoundFunction):
    """A cached function as it comes from an instance or a class."""


class CachedFunction(DecoratedFunction):
    """A function whose results are kept."""

    __bound_function_wrapper__ = BoundCachedFunction
