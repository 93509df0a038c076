"""The canonical text of arguments: values that differ, be it in type only, never share one.

    None True 7 1.5 'text' b'bytes' [1,2] (1,2) dict('a'=1,'b'=2) set(1,2)
    decimal.Decimal('1.50')  shop.Colour.RED  shop.Point(x=1,y=2)  type('shop.Point')

Texts inside quotes are escaped and hold no quote, comma or ``=``, so the whole reads back in one way only. Members of
dicts and sets are sorted by their text: neither the order of insertion nor the hash seed shows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import PurePath
from types import MappingProxyType
from typing import Any, Final, TypeAlias
from urllib.parse import quote_from_bytes
from uuid import UUID

from holdfast.errors import ConfigurationError
from holdfast.policy.key_stable import own_text, record_fields, type_name, unstable
from holdfast.policy.key_text import escape

_Inner: TypeAlias = Callable[[object], str]

_DEEPEST: Final = 32
"""Containers within containers; what is deeper most likely contains itself."""

TELLS_ALL: Final = (
    *(Decimal, UUID, date, time, timedelta, PurePath, range),
    *(IPv4Address, IPv4Network, IPv6Address, IPv6Network),
)
"""Classes whose `str` is stable and complete, though some of them are iterable."""


def canonical(value: object, source: str = "value") -> str:
    """Return a text that two values share only if they are equal and of one type. It is safe inside a name.

    Args:
        value: scalars, containers, dates, identifiers, members of an Enum, classes, records (dataclass, attrs, msgspec,
            pydantic), and objects whose class defines `__repr__` or `__str__`.
        source: where the value comes from, for the error message.

    Raises:
        ConfigurationError: the value, or one inside it, has no stable text; or it is nested too deeply.
    """
    return _write(value, source, 0)


def _write(value: object, source: str, depth: int) -> str:
    # The class is asked, not `isinstance`, which a proxy answers for the object behind it.
    kind = type(value)
    scalar = _SCALARS.get(kind)
    if scalar is not None:
        return scalar(value)
    if depth > _DEEPEST:
        msg = f"{source!r} contains itself, or is nested more than {_DEEPEST} levels deep: key on a part of it"
        raise ConfigurationError(msg)

    def inner(member: object) -> str:
        return _write(member, source, depth + 1)

    if issubclass(kind, Enum):
        return _member(value, inner)
    if issubclass(kind, type):
        return f"type({_quote(_class_name(value, source))})"
    fields = record_fields(value)
    if fields is not None:
        body = ",".join(f"{_quotable(name)}={inner(member)}" for name, member in fields.items())
        return f"{_label(value)}({body})"
    return _built_in(value, inner) or _whole(value, source)


def _member(value: Any, inner: _Inner) -> str:
    if isinstance(value, Flag):
        return f"{_label(value)}({inner(value.value)})"  # a combination of flags may have no name
    return f"{_label(value)}.{_quotable(value.name)}"


def _class_name(value: Any, source: str) -> str:
    if "<locals>" in value.__qualname__:  # each call of the function makes another class of that name
        raise unstable(value, source)
    return type_name(value)


def _built_in(value: object, inner: _Inner) -> str | None:
    """Write a container, or an object of a class derived from a built-in one, with the attributes it may have added."""
    kind = type(value)
    base = next((known for known in (*_CONTAINERS, *_SCALARS) if issubclass(kind, known)), None)
    if base is None:
        return None
    body = _CONTAINERS[base](value, inner) if base in _CONTAINERS else _SCALARS[base](value)
    if kind is base:
        return body
    added = getattr(value, "__dict__", None)
    return f"{_label(value)}({body},{inner(added)})" if added else f"{_label(value)}({body})"


def _whole(value: object, source: str) -> str:
    """Write an object that is neither container nor record: its class and its own text."""
    kind = type(value)
    parts = [str(value) if issubclass(kind, TELLS_ALL) else own_text(value, source, "repr")]
    zone = getattr(value, "tzinfo", None) if issubclass(kind, datetime | time) else None
    if zone is not None:
        # Zones of equal offset are not the same zone; the offset itself tells the two sides of a fold apart.
        parts.append(own_text(zone, source, "str"))
    return f"{_label(value)}({','.join(map(_quote, parts))})"


def _pairs(items: Iterable[tuple[object, object]], inner: _Inner) -> str:
    return ",".join(sorted(f"{inner(key)}={inner(member)}" for key, member in items))


def _ordered(value: Iterable[object], inner: _Inner) -> str:
    return ",".join(map(inner, value))


def _unordered(value: Iterable[object], inner: _Inner) -> str:
    return ",".join(sorted(map(inner, value)))


def _label(value: object) -> str:
    return _quotable(type_name(type(value)))


def _quotable(text: str) -> str:
    return text if text.isalnum() else escape(text).replace("'", "%27")


def _quote(text: str) -> str:
    return f"'{_quotable(text)}'"


_stored_items: Final = dict[object, object].items
"""Reads what is stored; the method of a multi-valued dict may show only the first value of a name."""

_SCALARS: Final[Mapping[type, Callable[[Any], str]]] = {
    str: lambda value: f"'{_quotable(str.__str__(value))}'",
    bool: bool.__repr__,
    int: int.__repr__,
    float: float.__repr__,
    type(None): repr,
    bytes: lambda value: f"b'{quote_from_bytes(value, safe='')}'",
    bytearray: lambda value: f"bytearray('{quote_from_bytes(value, safe='')}')",
}
"""How each scalar is written; of a derived class too, whatever that makes of `__str__`. `bool` comes before `int`."""

_CONTAINERS: Final[Mapping[type, Callable[[Any, _Inner], str]]] = {
    list: lambda value, inner: f"[{_ordered(value, inner)}]",
    tuple: lambda value, inner: f"({_ordered(value, inner)})",
    deque: lambda value, inner: f"deque({_ordered(value, inner)})",
    dict: lambda value, inner: f"dict({_pairs(_stored_items(value), inner)})",
    MappingProxyType: lambda value, inner: f"mappingproxy({_pairs(value.items(), inner)})",
    set: lambda value, inner: f"set({_unordered(value, inner)})",
    frozenset: lambda value, inner: f"frozenset({_unordered(value, inner)})",
}
CONTAINERS: Final = tuple(_CONTAINERS)
