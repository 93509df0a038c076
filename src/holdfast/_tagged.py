"""The serializer for values whose types nobody has declared, such as those of sessions: JSON with tags.

Plain JSON stays plain JSON. What JSON does not have is written as ``{"$": [tag, content]}``: a tuple, a set, bytes, a
date. So is a dict that has the key ``"$"`` itself; therefore no value that users store can pass for a tag.

Reading makes values of the types below and nothing else, whatever the bytes are.
"""

from __future__ import annotations

import base64
import collections.abc
import datetime
import math
import sys
import typing
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Final, Union
from uuid import UUID

import msgspec

from holdfast._formats import describe
from holdfast.errors import ConfigurationError, SerializationError

_TAG: Final = "$"
_MARK: Final = b'{"$":'
"""What every tag begins with, as we write it. Within a text the quotes would be escaped."""
_DEEPEST: Final = 100
"""Levels of containers within each other, which Python's stack takes wherever it stands."""
_WHOLE: Final = frozenset({str, bool, int, NoneType})
"""Types whose every value is in JSON what it is."""
_TEXT: Final = frozenset({str})
_CONVERT: Final = "convert it to plain data first, or use serializer='pickle' with a secret"


class Tagged:
    """JSON that keeps types: what comes back is what was stored, without an annotation.

    It knows None, bool, int, float (with NaN and infinity), str, list, tuple, dict (with keys of any of these types),
    set, frozenset, bytes, UUID, Decimal, datetime, date, time, timedelta, and markupsafe's Markup. An aware datetime
    keeps its instant and its distance from UTC, not the zone's name; none keeps its `fold`. Values of derived classes,
    such as IntEnum and defaultdict, are refused: they would come back as something else.
    """

    name = "tagged"

    def check(self, kind: Any, /) -> None:
        """Raise `ConfigurationError` for a type that no stored value can be of, such as a class of the user's."""
        _classes_of(kind)

    def dumps(self, value: Any, kind: Any, /) -> bytes:
        """Return a value as bytes, the same ones in whatever order a set gives its items.

        Raises:
            SerializationError: it holds something of another type, text that is not Unicode, or more than 100 levels.
        """
        try:
            return msgspec.json.encode(_write(value, _DEEPEST))
        except SerializationError:
            raise
        except UnicodeError:
            problem = f"a {describe(type(value))} holds text that is not Unicode: store it as bytes"
        except RecursionError:
            problem = f"a {describe(type(value))} is nested too deeply for tagged"
        except Exception as error:
            problem = f"tagged cannot store this {describe(type(value))} ({type(error).__name__}): {_CONVERT}"
        raise SerializationError(problem) from None  # the cause may quote the value

    def loads(self, data: bytes, kind: Any, /) -> Any:
        """Return the value that `data` holds. What is in containers is as it was stored, whatever the kind says of it.

        Raises:
            SerializationError: it is malformed, or no value of that kind.
        """
        try:
            value = msgspec.json.decode(data)
            if _MARK in data:
                value = _read(value)
        except Exception as error:
            msg = f"these bytes are no value that tagged has stored ({type(error).__name__})"
            raise SerializationError(msg) from None  # the cause may quote the value
        if kind is not Any and not isinstance(value, _classes_of(kind)):
            msg = f"tagged has found a {describe(type(value))} instead of {describe(kind)}"
            raise SerializationError(msg)
        return value


def _write(value: Any, left: int) -> Any:
    """Return a value as what msgspec writes as JSON and `_read` reads as that value."""
    kind: type[Any] = type(value)  # pyright: ignore[reportUnknownVariableType] - of any kind
    if kind in _WHOLE:
        return value
    write = _WRITERS.get(kind)
    if write is not None:
        return write(value, left)
    if kind is _markup():
        return {_TAG: ["markup", str.__str__(value)]}
    base = next((base for base in kind.__mro__ if base in _WRITERS or base in _WHOLE), None)
    instead = "" if base is None else f", and would give back a {describe(base)} instead"
    raise SerializationError(f"tagged cannot store a {describe(kind)}{instead}: {_CONVERT}")


def _write_items(items: Any, left: int) -> list[Any]:
    _check_depth(left)
    return [item if type(item) in _WHOLE else _write(item, left - 1) for item in items]


def _write_dict(items: dict[Any, Any], left: int) -> Any:
    if _TAG in items or not _TEXT.issuperset(map(type, items)):
        return {_TAG: ["dict", [_write_items(items, left), _write_items(items.values(), left)]]}
    _check_depth(left)
    return {key: item if type(item) in _WHOLE else _write(item, left - 1) for key, item in items.items()}


def _check_depth(left: int) -> None:
    if not left:
        raise SerializationError(f"tagged stores at most {_DEEPEST} levels of containers within each other: {_CONVERT}")


def _write_set(tag: str) -> Callable[[Any, int], Any]:
    def write(items: Any, left: int) -> Any:
        # in an order of their own, since that of a set changes from process to process
        return {_TAG: [tag, sorted(_write_items(items, left), key=msgspec.json.encode)]}

    return write


def _write_float(value: float, left: int) -> Any:
    return value if math.isfinite(value) else {_TAG: ["float", repr(value)]}


def _write_moment(tag: str) -> Callable[[Any, int], Any]:
    def write(value: Any, left: int) -> Any:
        if value.tzinfo is not None and value.utcoffset() is None:
            problem = f"a {tag} whose time zone has no fixed distance from UTC would come back without one"
            raise SerializationError(f"{problem}: use a fixed offset, or none")
        return {_TAG: [tag, value.isoformat()]}

    return write


def _write_bytes(value: bytes, left: int) -> Any:
    return {_TAG: ["bytes", base64.b64encode(value).decode("ascii")]}


def _write_timedelta(value: datetime.timedelta, left: int) -> Any:
    return {_TAG: ["timedelta", [value.days, value.seconds, value.microseconds]]}


_WRITERS: Final[dict[type[Any], Callable[[Any, int], Any]]] = {
    float: _write_float,
    list: _write_items,
    dict: _write_dict,
    tuple: lambda items, left: {_TAG: ["tuple", _write_items(items, left)]},
    set: _write_set("set"),
    frozenset: _write_set("frozenset"),
    bytes: _write_bytes,
    UUID: lambda value, left: {_TAG: ["uuid", str(value)]},
    Decimal: lambda value, left: {_TAG: ["decimal", str(value)]},
    datetime.datetime: _write_moment("datetime"),
    datetime.date: lambda value, left: {_TAG: ["date", value.isoformat()]},
    datetime.time: _write_moment("time"),
    datetime.timedelta: _write_timedelta,
}


def _read(value: Any) -> Any:
    """Return the value of which `_write` has made this one; raise anything if there is none."""
    if type(value) is list:
        items: list[Any] = value  # pyright: ignore[reportUnknownVariableType] - of any kind
        return [item if type(item) in _WHOLE else _read(item) for item in items]
    if type(value) is not dict:
        return value
    pairs: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType] - as above
    if _TAG not in pairs:
        return {key: item if type(item) in _WHOLE else _read(item) for key, item in pairs.items()}
    (tag, content), *rest = pairs.values()
    if rest:
        raise ValueError("a tag is alone in its dict")
    return _READERS[tag](content)


def _read_items(content: Any) -> list[Any]:
    if type(content) is not list:
        raise ValueError("items are a list")
    items: list[Any] = _read(content)
    return items


def _read_dict(content: Any) -> dict[Any, Any]:
    keys, values = content
    return dict(zip(_read_items(keys), _read_items(values), strict=True))


def _read_float(content: str) -> float:
    if content not in {"nan", "inf", "-inf"}:
        raise ValueError("other numbers are plain")
    return float(content)


def _read_timedelta(content: Any) -> datetime.timedelta:
    days, seconds, microseconds = content
    return datetime.timedelta(days, seconds, microseconds)


def _read_text(make: Callable[[str], Any]) -> Callable[[Any], Any]:
    def read(content: Any) -> Any:
        if type(content) is not str:
            raise ValueError("it is a text")
        return make(content)

    return read


def _read_markup(content: str) -> Any:
    try:
        from markupsafe import Markup
    except ImportError:
        return content
    return Markup(content)  # noqa: S704 - it was one when it was stored


_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "float": _read_float,
    "tuple": lambda content: tuple(_read_items(content)),
    "set": lambda content: set(_read_items(content)),
    "frozenset": lambda content: frozenset(_read_items(content)),
    "dict": _read_dict,
    "bytes": _read_text(lambda text: base64.b64decode(text, validate=True)),
    "uuid": _read_text(UUID),
    "decimal": _read_text(Decimal),
    "datetime": _read_text(datetime.datetime.fromisoformat),
    "date": _read_text(datetime.date.fromisoformat),
    "time": _read_text(datetime.time.fromisoformat),
    "timedelta": _read_timedelta,
    "markup": _read_text(_read_markup),
}


def _markup() -> Any:
    """Return markupsafe's class, if anybody has loaded it: else there is no value of it."""
    return getattr(sys.modules.get("markupsafe"), "Markup", None)


_ABSTRACT: Final = frozenset(
    {
        collections.abc.Collection,
        collections.abc.Iterable,
        collections.abc.Mapping,
        collections.abc.MutableMapping,
        collections.abc.MutableSequence,
        collections.abc.MutableSet,
        collections.abc.Sequence,
        collections.abc.Set,
    }
)


def _classes_of(kind: Any) -> tuple[type[Any], ...]:
    """Return the classes of which a value of a type is.

    Raises:
        ConfigurationError: we have no such values.
    """
    try:
        return _classes_cached(kind)
    except TypeError:  # an annotation whose metadata has no hash
        return _classes(kind)


def _classes(kind: Any) -> tuple[type[Any], ...]:
    if kind is Any or kind is object:
        return (object,)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _classes(arguments[0])
    if origin is typing.Literal:
        return tuple(each for argument in arguments for each in _classes(type(argument)))
    parts = [_classes(argument) for argument in arguments if argument not in (..., ())]
    if origin in (Union, UnionType):
        return tuple(each for part in parts for each in part)
    if typing.is_typeddict(kind):
        return (dict,)
    if hasattr(kind, "__supertype__"):  # of `NewType`
        return _classes(kind.__supertype__)
    target = origin or kind
    if kind is None:
        return (NoneType,)
    if target is float:
        return (float, int)  # an int is good where a float is (PEP 484)
    if target in _WHOLE or target in _WRITERS or target in _ABSTRACT or target is _markup():
        return (target,)
    advice = "use serializer='json', which reads the annotated type, or return plain data"
    raise ConfigurationError(f"tagged cannot decode to {describe(kind)}: {advice}")


_classes_cached: Final = lru_cache(maxsize=512)(_classes)
