"""What a function says that it returns, as a type to decode to."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, cast

from holdfast._calls import is_async

_SELF: Final[Any] = getattr(typing, "Self")  # noqa: B009 - as a value, not as an annotation
_ANYTHING: Final[tuple[Any, ...]] = (Any, object, _SELF, typing.Never, typing.NoReturn, typing.LiteralString)
"""Annotations that say nothing about the type to decode to, or nothing that can be known here."""


def return_kind(function: Callable[..., Any]) -> Any:
    """Return the resolved type of what a call of `function` gives, or `typing.Any` where that is not known.

    It is not known without an annotation, with one that says nothing (`object`, a type variable, `Self`), and with one
    that cannot be resolved yet: a class that is defined further down, or the class in whose body the function stands.
    Asking again later may then give more. Names are looked up in the function's module and in its closure.

    Returns:
        The annotation, `NoneType` for ``-> None``. A plain function that returns an awaitable counts as what the
        awaitable gives.
    """
    target = _underlying(function)
    try:
        kind = _resolve(target)
    except Exception:  # a name that is not there, or anything that evaluating user code may raise
        return Any
    if not is_async(function):
        kind = _awaited(kind)
    return Any if _says_nothing(kind) else kind


def _underlying(function: Any) -> Any:
    """Return the function behind a partial, a method, a descriptor, or an object that can be called."""
    inner = function.func if issubclass(type(function), partial) else getattr(function, "__func__", None)
    if inner is not None:
        return _underlying(inner)
    plain = bool(inspect.isroutine(function)) or isinstance(function, type)
    return function if plain else cast("Any", type(function)).__call__


def _resolve(function: Any) -> Any:
    def probe() -> None: ...  # carries the one annotation, so that parameters need not be resolvable

    probe.__annotations__ = {"return": function.__annotations__["return"]}
    innermost: Any = inspect.unwrap(function)
    names = {parameter.__name__: parameter for parameter in getattr(innermost, "__type_params__", ())}
    for name, cell in zip(innermost.__code__.co_freevars, innermost.__closure__ or (), strict=True):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return typing.get_type_hints(probe, innermost.__globals__, names, include_extras=True)["return"]


def _awaited(kind: Any) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(origin, type) and issubclass(origin, Awaitable) and arguments:
        return arguments[-1]
    return kind


def _says_nothing(kind: Any) -> bool:
    if kind in _ANYTHING or isinstance(kind, typing.TypeVar):
        return True
    return any(part is _SELF for part in _parts(kind))


def _parts(kind: Any) -> list[Any]:
    parts = [kind]
    for part in parts:
        parts.extend(typing.get_args(part))
    return parts
