"""A reader of Structured Fields, made from the parsing rules of RFC 9651, section 4.2, and not from our writer.

Lists of Strings with Parameters that are Integers, Strings or Byte Sequences; anything else fails, as the RFC demands.
"""

from __future__ import annotations

import string
from base64 import b64decode
from typing import Final, TypeAlias

Value: TypeAlias = int | str | bytes
Member: TypeAlias = tuple[str, dict[str, Value]]

_KEY_BEGINS: Final = set(string.ascii_lowercase + "*")
_KEY_GOES_ON: Final = _KEY_BEGINS | set(string.digits + "_-.")
_BASE64: Final = set(string.ascii_letters + string.digits + "+/=")


class _Text:
    """What is left to read."""

    def __init__(self, text: str) -> None:
        self.left = text

    def take(self) -> str:
        assert self.left, "the field ends too early"
        sign, self.left = self.left[0], self.left[1:]
        return sign

    def skip(self, signs: str) -> None:
        self.left = self.left.lstrip(signs)

    def run(self, signs: set[str]) -> str:
        taken = ""
        while self.left and self.left[0] in signs:
            taken += self.take()
        return taken


def parse_list(field: str) -> list[Member]:
    """Return the members of a List (4.2, 4.2.1), or fail."""
    assert field.isascii()
    text = _Text(field.strip(" "))
    members = []
    while text.left:
        assert text.left[0] == '"', "a member is no String"
        members.append((_string(text), _parameters(text)))
        text.skip(" \t")
        if not text.left:
            return members
        assert text.take() == ",", "no comma between members"
        text.skip(" \t")
        assert text.left, "a comma at the end"
    return members


def _parameters(text: _Text) -> dict[str, Value]:
    found: dict[str, Value] = {}
    while text.left.startswith(";"):
        text.take()
        text.skip(" ")
        assert text.left[:1] in _KEY_BEGINS, "a key begins wrongly"
        key = text.run(_KEY_GOES_ON)
        assert text.take() == "=", "a Boolean, which none of ours is"
        assert key not in found, "a key comes twice"
        found[key] = _bare(text)
    return found


def _bare(text: _Text) -> Value:
    if text.left[:1] == '"':
        return _string(text)
    if text.left[:1] == ":":
        text.take()
        encoded = text.run(_BASE64)
        assert text.take() == ":", "a sign that is not of base64"
        return b64decode(encoded, validate=True)
    sign = -1 if text.left[:1] == "-" and text.take() else 1
    digits = text.run(set(string.digits))
    assert 1 <= len(digits) <= 15, "no Integer"
    assert text.left[:1] != ".", "a Decimal"
    return sign * int(digits)


def _string(text: _Text) -> str:
    assert text.take() == '"'
    found = ""
    while (sign := text.take()) != '"':
        if sign == "\\":
            sign = text.take()
            assert sign in '"\\', "an escape of what needs none"
        assert " " <= sign <= "~", "a sign that no String has"
        found += sign
    return found
