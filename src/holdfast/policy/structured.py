"""Structured Field Values (RFC 9651): as much of writing them as our own fields need.

A List (section 3.1) of Strings (3.3.3), each with Parameters (3.1.2) that are Integers (3.3.1), Strings or Byte
Sequences (3.3.5). Strict: what these forms cannot carry is refused, never replaced or cut, for a recipient drops the
whole field at the first sign that it cannot read. Reading fields does not live here.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from holdfast.errors import ConfigurationError

Bare: TypeAlias = int | str | bytes
"""A value that a parameter may have."""

LARGEST: Final = 999_999_999_999_999
"""The largest Integer; the smallest is its negative."""

_KEY: Final = re.compile(r"[a-z*][a-z0-9_.*-]*")
_STRING: Final = re.compile(r"[\x20-\x7e]*")


def write_list(members: Iterable[tuple[str, Mapping[str, Bare]]]) -> str:
    """Return the value of a field that is a List of Strings with Parameters.

    Args:
        members: the text of each member and its parameters, in the order in which they are written.

    Raises:
        ConfigurationError: a text, a key or a value cannot be written; or there is no member, since an empty List is
            expressed by leaving the field out (section 4.1).

    Example:
        >>> write_list([("burst", {"q": 100, "w": 60}), ("daily", {"q": 1000})])
        '"burst";q=100;w=60, "daily";q=1000'
    """
    written = [write_string(text) + write_parameters(parameters) for text, parameters in members]
    if not written:
        raise ConfigurationError("an empty list cannot be written: leave the field out")
    return ", ".join(written)


def write_parameters(parameters: Mapping[str, Bare]) -> str:
    """Return Parameters as they stand behind the item that they belong to; nothing for none.

    Raises:
        ConfigurationError: a key has signs that no key may have, or a value cannot be written.
    """
    return "".join([f";{_checked(key)}={write_bare(value)}" for key, value in parameters.items()])


def write_bare(value: Bare) -> str:
    """Return a Bare Item: an Integer, a String or a Byte Sequence by the type of the value.

    Raises:
        ConfigurationError: the value is of another type, a bool among them, or cannot be written.
    """
    if isinstance(value, str):
        return write_string(value)
    if isinstance(value, bytes):
        return f":{b64encode(value).decode('ascii')}:"
    if isinstance(value, bool) or not isinstance(value, int):  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = f"a field cannot carry {type(value).__name__}: give an int, ASCII text or bytes"
        raise ConfigurationError(msg)
    if not -LARGEST <= value <= LARGEST:
        raise ConfigurationError("an integer of a field has at most 15 digits, and this one has more")
    return str(int(value))  # a member of an IntEnum is its number


def write_string(text: str) -> str:
    """Return a String: printable ASCII in quotes.

    Raises:
        ConfigurationError: the text has another sign.
    """
    if not _STRING.fullmatch(text):
        msg = f"{text[:80]!r} cannot stand in a field, which takes printable ASCII only: rename it"
        raise ConfigurationError(msg)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        msg = f"{key[:80]!r} is no key of a parameter: lower-case letters, digits and _-.* only, a letter or * first"
        raise ConfigurationError(msg)
    return key
