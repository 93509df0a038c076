"""Who a request came from by its header fields, read from the right: `Forwarded` (RFC 7239) and `X-Forwarded-For`.

Each proxy writes behind what was there, so the right end is ours and the left end is whatever a client sent. A reader
that begins at the left can be led astray by a quote that is never closed; this one never needs what stands further left
to understand what stands right of it.

    Forwarded = element, element, ...         element = name=value;name=value;...         value = token or quoted-string
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from holdfast.web.addresses import Node, parse_node

Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str] | tuple[bytes, bytes]]
"""Header fields: a mapping, or pairs of names and values, as text or as bytes; names in any case, and repeated."""

FORWARDED: Final = "forwarded"
X_FORWARDED_FOR: Final = "x-forwarded-for"

_LONGEST: Final = 4096
"""Signs of a field that are looked at, from the right: far more than any chain of proxies writes."""
_SIGN: Final = re.compile(r'[",]')
_PAIR: Final = re.compile(r'\s*([\w!#$%&\'*+.^`|~-]+)=("(?:[^"\\]|\\.)*"|[^\s";]*)\s*(?:;|\Z)', re.ASCII | re.DOTALL)
_EMPTY: Final = re.compile(r"\s*(?:;|\Z)")
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


def fields_of(headers: Headers, names: Iterable[str]) -> dict[str, str]:
    """Return the values of the fields with these names that are there, several of one name joined in their order.

    A field without any element is as good as none.

    Args:
        headers: all fields.
        names: in lower case.
    """
    found: dict[str, list[str]] = {}
    wanted = frozenset(names)
    items: Any = getattr(headers, "items", None)
    pairs: Iterable[Any] = headers if items is None else items()
    for name, value in pairs:
        text = (name.decode("latin-1") if isinstance(name, bytes) else name).lower()
        if text in wanted:
            found.setdefault(text, []).append(value.decode("latin-1") if isinstance(value, bytes) else value)
    joined = {name: ",".join(values) for name, values in found.items()}
    return {name: value for name, value in joined.items() if value.strip(" \t,")}


def nodes_from_right(name: str, value: str) -> Iterator[Node]:
    """Yield whom each element names, the last first; None for one that names nobody or that cannot be read.

    Args:
        name: of the field, in lower case; all but `forwarded` are read as lists of addresses.
        value: of the field. It is read as far as somebody asks, and from the last few kilobytes only.
    """
    for element in _elements(value) if name == FORWARDED else _items(value):
        if not element.strip():
            continue  # empty elements of a list are nothing (RFC 9110, section 5.6.1.2)
        yield _forwarded_for(element) if name == FORWARDED else parse_node(element)


def _items(value: str) -> Iterator[str]:
    text = value[-_LONGEST:]
    end = len(text)
    while (comma := text.rfind(",", 0, end)) >= 0:
        yield text[comma + 1 : end]
        end = comma
    if len(text) == len(value):  # else it is the rest of something longer, and may look like another address
        yield text[:end]


def _elements(value: str) -> Iterator[str]:
    """Yield what stands between the commas outside quotes, from the right."""
    text = value[-_LONGEST:]
    end, quoted = len(text), False
    for sign in reversed([found.start() for found in _SIGN.finditer(text)]):
        if text[sign] == '"':
            quoted = not quoted or text[sign - 1 : sign] == "\\"  # an escaped quote is inside
        elif not quoted:
            yield text[sign + 1 : end]
            end = sign
    if len(text) == len(value):
        yield text[:end]


def _forwarded_for(element: str) -> Node:
    """Return whom an element of Forwarded is for; None unless it says so once and all of it can be read."""
    found: list[str] = []
    place = 0
    while place < len(element):
        pair = _PAIR.match(element, place)
        if pair and pair[1].lower() == "for":
            found.append(_ESCAPED.sub(r"\1", pair[2][1:-1]) if pair[2].startswith('"') else pair[2])
        match = pair or _EMPTY.match(element, place)
        if match is None:
            return None
        place = match.end()
    return parse_node(found[0]) if len(found) == 1 else None
