"""Fields of a message (RFC 9110, section 5): looked up by name, split into members, and sifted for storage.

Names and values are text in latin-1, as ASGI's bytes decode to and as WSGI has them. What is malformed is read in some
harmless way and never raises: it comes from apps and from anybody on the network.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Protocol, TypeAlias

Pair: TypeAlias = tuple[str, str]
"""The name and the value of one field line."""

Pairs: TypeAlias = tuple[Pair, ...]
"""The field lines of a message, in their order, with duplicates."""

HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
    }
)
"""Fields about one connection or one proxy, which nobody stores (RFC 9111, 3.1; RFC 9110, 7.6.1)."""

_OF_LIMITS: Final = ("ratelimit-", "x-ratelimit-", "x-rate-limit-")
"""How fields begin that tell one client what is left of its quota (draft-ietf-httpapi-ratelimit-headers, and older)."""

_SPACE: Final = " \t"
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[^\x00\r\n\u0100-\U0010ffff]*")
# A quoted string to its end, or to the end of the text if nothing closes it: then the group is empty.
_BREAK: Final = re.compile(r',|"[^"\\]*(?:\\.[^"\\]*)*("?)', re.DOTALL)


class RequestFields(Protocol):
    """What decisions need to know of a request: its fields by name."""

    def get(self, name: str, /) -> str | None:
        """Return the lines of a field, named in lower case, joined by `", "`; None if it is absent."""
        ...


class Fields:
    """The fields of a message, as received, with an index that is made when it is first needed.

    Example:
        >>> fields = Fields([("Vary", "Accept"), ("vary", "Cookie")])
        >>> fields.get("vary")
        'Accept, Cookie'
    """

    __slots__ = ("_joined", "pairs")

    def __init__(self, pairs: Iterable[Pair]) -> None:
        self.pairs: Final[Pairs] = tuple(pairs)
        self._joined: dict[str, str] | None = None

    def get(self, name: str, /) -> str | None:
        """Return the lines of a field, named in lower case, joined by `", "`; None if it is absent.

        The space around a line does not belong to its value (RFC 9110, 5.5).
        """
        joined = self._joined
        if joined is None:
            joined = self._join()
        return joined.get(name)

    def lines(self, name: str) -> tuple[str, ...]:
        """Return the lines of a field, named in lower case, one by one: for fields that are no lists."""
        return tuple([value.strip(_SPACE) for each, value in self.pairs if each.lower() == name])

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __repr__(self) -> str:
        return f"Fields({self.pairs!r})"

    def _join(self) -> dict[str, str]:
        joined: dict[str, str] = {}
        for name, value in self.pairs:
            lower, bare = name.lower(), value.strip(_SPACE)
            joined[lower] = f"{joined[lower]}, {bare}" if lower in joined else bare
        self._joined = joined  # threads may do this twice, to the same end
        return joined


def members(value: str) -> list[str]:
    """Return the members of a list (RFC 9110, 5.6.1): split at commas outside quoted strings, without the empty ones.

    A quote that nothing closes is an ordinary sign, so that it cannot hide a `no-store` behind it. Takes time in
    proportion to the text's length, whatever is in it.
    """
    pieces = value.split(",") if '"' not in value else _split_quoted(value)
    return [member for piece in pieces if (member := piece.strip(_SPACE))]


def is_token(text: str) -> bool:
    """Return whether a text is a token (RFC 9110, 5.6.2), as names of fields, methods and directives are."""
    return _TOKEN.fullmatch(text) is not None


def is_sound(name: str, value: str) -> bool:
    """Return whether a field may stand in a message: its name is a token, its value one line of latin-1.

    Others could end the field early and begin another, or a second message.
    """
    return _TOKEN.fullmatch(name) is not None and _VALUE.fullmatch(value) is not None


def storable(fields: Fields) -> Pairs:
    """Return the fields that a stored response keeps, bytes and order as received (RFC 9111, 3.1).

    Gone are those about the connection, those that `Connection` names, those that may not stand in a message, and those
    that tell of a quota: it is that of the client whose request was answered, and others would believe it theirs.
    """
    unkept = HOP_BY_HOP
    if connection := fields.get("connection"):
        unkept = HOP_BY_HOP.union(map(str.lower, members(connection)))
    return tuple([pair for pair in fields.pairs if _lasts(pair[0].lower(), unkept) and is_sound(*pair)])


def declared_length(pairs: Pairs) -> int | None:
    """Return how many bytes a body has by its Content-Length; None if that does not say."""
    for name, value in pairs:
        if name.lower() == "content-length" and value.strip().isascii() and value.strip().isdigit():
            return int(value)
    return None


def _lasts(name: str, unkept: frozenset[str]) -> bool:
    """Say whether a field, named in lower case, means the same in an answer to another request."""
    return name not in unkept and name != "ratelimit" and not name.startswith(_OF_LIMITS)


def _split_quoted(value: str) -> list[str]:
    pieces: list[str] = []
    start = 0
    for mark in _BREAK.finditer(value):
        if mark[1] is None:  # a comma
            pieces.append(value[start : mark.start()])
            start = mark.end()
        elif not mark[1]:  # never closed
            head, *rest = value[mark.start() :].split(",")
            return [*pieces, value[start : mark.start()] + head, *rest]
    pieces.append(value[start:])
    return pieces
