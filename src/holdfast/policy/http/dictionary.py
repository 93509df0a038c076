"""Structured Field Values (RFC 9651): reading an Item, or a Dictionary, as fields in the manner of Cache-Control are.

Strict, as the RFC wants its readers: a field is read as a whole or not at all, so that all who read it agree on it.
Parameters are checked and left out, since no field that we read has any. Writing lives in `policy/structured.py`.
"""

from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import unquote_to_bytes


@dataclass(frozen=True, slots=True)
class Token:
    """A short word without quotes (3.3.4); a String is a `str`."""

    text: str


@dataclass(frozen=True, slots=True)
class Date:
    """A time in Unix seconds (3.3.7); an Integer is an `int`."""

    seconds: int


@dataclass(frozen=True, slots=True)
class DisplayString:
    """Text in any alphabet (3.3.8)."""

    text: str


BareItem: TypeAlias = bool | int | float | str | bytes | Token | Date | DisplayString
"""A Decimal is a `float`, a Byte Sequence is `bytes`. Mind that a `bool` is an `int`."""

Item: TypeAlias = BareItem | tuple[BareItem, ...]
"""The value of a member, without parameters; a tuple is an Inner List."""

_KEY: Final = re.compile(r"[a-z*][a-z0-9_.*-]*")
_NUMBER: Final = re.compile(r"-?([0-9]+)(\.[0-9]*)?")
_STRING: Final = re.compile(r'"([ !#-\[\]-~]*(?:\\["\\][ !#-\[\]-~]*)*)"')
_TOKEN: Final = re.compile(r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*")
_BYTES: Final = re.compile(r":([A-Za-z0-9+/=]*):")
_BOOLEAN: Final = re.compile(r"\?([01])")
_DISPLAY: Final = re.compile(r'%"([ !#$&-~]*(?:%[0-9a-f]{2}[ !#$&-~]*)*)"')
_ESCAPED: Final = re.compile(r"\\(.)")
_SPACES: Final = re.compile(r" *")
_OPTIONAL_SPACE: Final = re.compile(r"[ \t]*")
_INTEGER_DIGITS: Final = 15
_DECIMAL_DIGITS: Final = 12
_FRACTION: Final = 4
"""Signs of a Decimal behind its integer digits, the point among them."""


def parse_dictionary(value: str) -> dict[str, Item] | None:
    """Return the members of a Dictionary (4.2.2), the last of those with one key; None if it cannot be read.

    A field without members is an empty one.

    Example:
        >>> parse_dictionary("max-age=60, foo;x=1, bar=(a 1.5)")
        {'max-age': 60, 'foo': True, 'bar': (Token(text='a'), 1.5)}
    """
    try:
        return _Reader(value.strip(" ")).read_members()
    except ValueError:
        return None


def parse_item(value: str) -> BareItem | None:
    """Return the value of an Item (4.2.3); None if it cannot be read.

    Example:
        >>> parse_item('"8e03978e-40d5";x=1')
        '8e03978e-40d5'
    """
    try:
        return _Reader(value.strip(" ")).read_item()
    except ValueError:
        return None


class _Reader:
    """A field, and the place up to which it has been read; raises `ValueError` where no rule fits."""

    __slots__ = ("_place", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0

    def read_item(self) -> BareItem:
        found = self._read_bare()
        self._skip_parameters()
        if self._place < len(self._text):
            raise ValueError
        return found

    def read_members(self) -> dict[str, Item]:
        found: dict[str, Item] = {}
        while self._place < len(self._text):
            if found:
                self._take(",")
                self._match(_OPTIONAL_SPACE)
            key = self._match(_KEY)[0]
            found[key] = self._read_member() if self._takes("=") else True
            self._skip_parameters()
            self._match(_OPTIONAL_SPACE)
        return found

    def _read_member(self) -> Item:
        return self._read_inner_list() if self._takes("(") else self._read_bare()

    def _read_inner_list(self) -> tuple[BareItem, ...]:
        items: list[BareItem] = []
        while True:
            spaces = self._match(_SPACES)[0]
            if self._takes(")"):
                return tuple(items)
            if items and not spaces:
                raise ValueError
            items.append(self._read_bare())
            self._skip_parameters()

    def _skip_parameters(self) -> None:
        while self._takes(";"):
            self._match(_SPACES)
            self._match(_KEY)
            if self._takes("="):
                self._read_bare()

    def _read_bare(self) -> BareItem:
        sign = self._next()
        if sign == '"':
            return _ESCAPED.sub(r"\1", self._match(_STRING)[1])
        if sign == "?":
            return self._match(_BOOLEAN)[1] == "1"
        if sign == ":":
            encoded = self._match(_BYTES)[1]
            return b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)  # padding may be left out
        if sign == "%":
            return DisplayString(unquote_to_bytes(self._match(_DISPLAY)[1]).decode())
        if self._takes("@"):
            seconds = self._read_number()
            if isinstance(seconds, float):
                raise ValueError
            return Date(seconds)
        return self._read_number() if sign in "-0123456789" else Token(self._match(_TOKEN)[0])

    def _read_number(self) -> int | float:
        number = self._match(_NUMBER)
        if number[2] is None:
            if len(number[1]) > _INTEGER_DIGITS:
                raise ValueError
            return int(number[0])
        if len(number[1]) > _DECIMAL_DIGITS or not 1 < len(number[2]) <= _FRACTION:
            raise ValueError
        return float(number[0])

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        match = pattern.match(self._text, self._place)
        if match is None:
            raise ValueError
        self._place = match.end()
        return match

    def _next(self) -> str:
        if self._place == len(self._text):
            raise ValueError
        return self._text[self._place]

    def _takes(self, sign: str) -> bool:
        if not self._text.startswith(sign, self._place):
            return False
        self._place += 1
        return True

    def _take(self, sign: str) -> None:
        if not self._takes(sign):
            raise ValueError
