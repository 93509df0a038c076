"""Decorated loaders of many values: ``load(ids) -> {id: value}``, kept id by id.

As in `cached`, all that is done once a function is done in `ManyRecipe` and, once a layer, in `ManyBinding`. A call
adds one key an id, and one read of them all.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from inspect import Parameter, Signature
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin

from holdfast._calls import as_coroutine, drive, is_async
from holdfast._current import unkept
from holdfast._missing import MISSING
from holdfast.cached import mentions
from holdfast.core.batch import Batch, Outcomes
from holdfast.core.plan import Plan
from holdfast.engine import Engine
from holdfast.errors import ConfigurationError
from holdfast.key_binding import define, describe, instance_name, signature_of
from holdfast.key_templates import compile_member, member_field
from holdfast.keybuilders import version_suffix
from holdfast.options import Options
from holdfast.serializers import return_kind
from holdfast.wrapped import raw_function

_SEVERAL = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


class Request(NamedTuple):
    """One call, as the core takes it, and how to give the caller what came of it."""

    batch: Batch
    asked: dict[Any, str]
    """The key of each id, in the order in which they were asked for."""

    def results(self, outcomes: Outcomes) -> dict[Any, Any]:
        """Return what exists, by id, in the order in which the ids were asked for."""
        return self.existing({key: outcome[0] for key, outcome in outcomes.items()})

    def existing(self, values: Mapping[str, Any]) -> dict[Any, Any]:
        """Return what exists of values by key."""
        found = {id_: values.get(key, MISSING) for id_, key in self.asked.items()}
        return {id_: value for id_, value in found.items() if value is not MISSING}


@dataclass(frozen=True, slots=True)
class ManyBinding:
    """One loader on one layer."""

    engine: Engine
    plan: Plan


class ManyRecipe:
    """How one loader is cached, on whichever layer it finds when it is called."""

    def __init__(self, function: Callable[..., Any], options: Options, find_engine: Callable[[], Engine]) -> None:
        self.function = raw_function(function)
        self.is_async = is_async(function)
        self._options = options
        self._find_engine = find_engine
        signature = signature_of(self.function)
        given: Any = function
        named = instance_name(signature) is not None
        self._takes_instance = named or inspect.isfunction(given) or isinstance(given, classmethod)
        self._ids = _ids_parameter(self.function, signature, after_instance=named)
        self._place = list(signature.parameters).index(self._ids)
        self._ids_of = define(self.function, signature, f"return {self._ids}", {})
        self._template = str(options.key)
        member = member_field(self.function, signature, self._template, self._ids)
        compiled = partial(compile_member, self.function, signature, ids=self._ids, member=member)
        self._name_of = compiled(self._template, suffix=version_suffix(options.version))
        self._tags_of = [compiled(tag, option="tags") for tag in options.tags]
        self._kind()  # a wrong annotation shows now, unless it names a class that is defined further down
        self._binding: ManyBinding | None = None

    def binding(self) -> ManyBinding:
        """Return this loader on the layer in use now."""
        engine = self._find_engine()
        binding = self._binding
        if binding is None or binding.engine is not engine:
            derives = mentions(self.function, "current_entry")
            plan = engine.plan(self._options, self._template, self._kind(), derives=derives)
            binding = self._binding = ManyBinding(engine, plan)
        return binding

    def _kind(self) -> Any:
        return _value_kind(return_kind(self.function), self.function)

    def request(
        self,
        binding: ManyBinding,
        wrapped: Callable[..., Any],
        instance: object,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        blocking: bool,
    ) -> Request:
        """Return what one call asks for.

        Args:
            binding: of this loader to a layer.
            wrapped: the loader itself, bound as the decorated one was.
            instance: what a method was bound to; it is not among `args`.
            args: of the call.
            kwargs: of the call.
            blocking: whether the caller is.

        Raises:
            TypeError: the arguments do not fit the loader, or the ids are not several.
        """
        bound = self._takes_instance and instance is not None
        whole = (instance, *args) if bound else args
        given = _several(self._ids_of(*whole, **kwargs), self.function)
        name_of = self._name_of(*whole, **kwargs)
        prefix = binding.engine.prefix
        asked = {id_: f"{prefix}{name_of(id_)}}}" for id_ in given}
        ids: dict[str, Any] = {}
        for id_, key in asked.items():
            ids.setdefault(key, id_)
        tags: dict[str, tuple[str, ...]] = {}
        if self._tags_of:
            tags_of = [tag_of(*whole, **kwargs) for tag_of in self._tags_of]
            tags = {key: tuple(dict.fromkeys([tag_of(id_) for tag_of in tags_of])) for key, id_ in ids.items()}

        def load(wanted: list[Any]) -> Any:
            found, named = self._with_ids(wanted, args, kwargs, bound=bound)
            if self.is_async:
                return wrapped(*found, **named)
            call = partial(wrapped, *found, **named)
            return as_coroutine(call) if blocking else _called(call)

        return Request(Batch(binding.plan, load, ids, tags, describe(self.function)), asked)

    def _with_ids(
        self, ids: list[Any], args: tuple[Any, ...], kwargs: dict[str, Any], *, bound: bool
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments of a call with other ids."""
        place = self._place - bound
        if len(args) > place:
            return (*args[:place], ids, *args[place + 1 :]), kwargs
        return args, {**kwargs, self._ids: ids}

    def call(self, wrapped: Callable[..., Any], instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Answer a call of a plain loader."""
        return drive(self._answer(wrapped, instance, args, kwargs, blocking=True))

    async def acall(
        self, wrapped: Callable[..., Any], instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Answer a call of an async loader."""
        return await self._answer(wrapped, instance, args, kwargs, blocking=False)

    async def _answer(
        self,
        wrapped: Callable[..., Any],
        instance: object,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        blocking: bool,
    ) -> dict[Any, Any]:
        binding = self.binding()
        engine = binding.engine
        request = self.request(binding, wrapped, instance, args, kwargs, blocking=blocking)
        if not request.asked:
            return {}
        if engine.off.get():
            with unkept():
                return request.existing(await request.batch.run(request.batch.ids))
        port = engine.blocking if blocking else engine.asyncio
        return request.results(await engine.batching.fetch(port, request.batch))


def _several(given: Any, function: Callable[..., Any]) -> list[Any]:
    """Return the ids of a call as a list.

    Raises:
        TypeError: they are not several, or one cannot be an id, since it cannot be a key of a mapping.
    """
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        msg = f"{describe(function)} takes several ids, such as [7, 8], not {type(given).__name__}"
        raise TypeError(msg)
    ids: list[Any] = list(given)  # pyright: ignore[reportUnknownArgumentType] - whatever they are
    for id_ in ids:
        try:
            hash(id_)
        except TypeError:
            msg = f"{describe(function)} takes several ids, such as [7, 8], not {type(id_).__name__} in a list"
            raise TypeError(msg) from None
    return ids


async def _called(call: Callable[[], Any]) -> Any:
    """Call a plain loader on the loop: a real coroutine, since none could make sense of a smuggled StopIteration."""
    return call()


def _ids_parameter(function: Callable[..., Any], signature: Signature, *, after_instance: bool) -> str:
    """Return the parameter that takes the ids: the first one, after `self` or `cls`.

    Raises:
        ConfigurationError: there is none that takes a list.
    """
    parameters = list(signature.parameters.values())[after_instance:]
    if not parameters or parameters[0].kind in _SEVERAL:
        msg = f"{describe(function)} must take a list of ids as its first parameter, as in def load(ids): ..."
        raise ConfigurationError(msg)
    return parameters[0].name


def _value_kind(kind: Any, function: Callable[..., Any]) -> Any:
    """Return the type of one value, from the type of what a loader returns.

    Raises:
        ConfigurationError: that is no mapping.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _value_kind(arguments[0], function)
    if kind is Any:
        return Any
    mapping = origin if origin is not None else kind
    if not (isinstance(mapping, type) and issubclass(mapping, Mapping)):
        msg = (
            f"{describe(function)} says that it returns {getattr(kind, '__name__', kind)}: a function decorated with "
            "@cached_many returns a mapping, as in -> dict[int, Product]"
        )
        raise ConfigurationError(msg)
    value = arguments[1] if len(arguments) == 2 else Any
    return Any if value is object or isinstance(value, TypeVar) else value
