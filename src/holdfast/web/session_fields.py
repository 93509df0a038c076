"""What a response says of a session: Set-Cookie, Vary and Cache-Control."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from holdfast.policy.http.fields import Pair, members

_KEEPING: Final = frozenset({"edge-control", "expires", "pragma", "surrogate-control", "x-accel-expires"})
_KEEPING_TOO: Final = "cache-control"
"""Fields that tell caches how long they may keep a response, and how those end that one kind of cache alone looks at
(RFC 9213, section 2)."""
UNKEPT: Final = "private, no-store"
"""The Cache-Control of what sets the cookie."""


def told(fields: Iterable[Pair], cookie: str | None) -> list[Pair]:
    """Return the fields of a response that depends on a session.

    It varies with the cookie, and is private unless the app says how it is to be cached. One that sets the cookie is
    kept by nobody, whatever the app says: whoever got it from a cache would get the session with it (RFC 9111,
    section 7.3; OWASP Session Management Cheat Sheet).

    Args:
        fields: of the app.
        cookie: the value of Set-Cookie; None: none is set.
    """
    found = list(fields)
    if cookie is not None:
        kept = [pair for pair in found if not is_for_caches(pair[0].lower())]
        return [*_varied(kept), ("Cache-Control", UNKEPT), ("Set-Cookie", cookie)]
    if not any(name.lower() == "cache-control" for name, _ in found):
        found.append(("Cache-Control", "private"))
    return _varied(found)


def is_for_caches(name: str) -> bool:
    """Say whether a field, named in lower case, tells caches how long they may keep a response."""
    return name in _KEEPING or name.endswith(_KEEPING_TOO)


def _varied(fields: list[Pair]) -> list[Pair]:
    """Return fields with Cookie in Vary."""
    for place, (name, value) in enumerate(fields):
        if name.lower() == "vary":
            names = {each.lower() for each in members(value)}
            if "*" not in names and "cookie" not in names:
                fields[place] = (name, f"{value}, Cookie" if names else "Cookie")
            return fields
    return [*fields, ("Vary", "Cookie")]
