"""What a request changes, so that what is stored of it is not to be used any more (RFC 9111, section 4.4)."""

from __future__ import annotations

from typing import Final

from holdfast.policy.http.fields import Fields
from holdfast.policy.http.target import Target, resolve, same_origin

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "PRI", "PROPFIND", "QUERY", "REPORT", "SEARCH", "TRACE"})
"""Methods that are registered as safe (RFC 9110, section 16.1). Their case matters."""
_POINTING: Final = ("location", "content-location")


def is_safe_method(method: str) -> bool:
    """Tell whether a method is known to change nothing; one that nobody knows may change everything."""
    return method in _SAFE


def invalidated(method: str, status: int, target: Target, fields: Fields) -> list[Target]:
    """Return the targets whose stored responses a request has made invalid.

    These are its own target, and what Location and Content-Location of the answer name on the same origin: nobody may
    empty the cache of another site.

    Args:
        method: of the request.
        status: of the answer; an error changes nothing.
        target: of the request.
        fields: of the answer.
    """
    if is_safe_method(method) or not 200 <= status < 400:
        return []
    named = [resolve(value, target) for name in _POINTING for value in fields.lines(name)]
    found = [target, *(each for each in named if each is not None and same_origin(each, target))]
    return list(dict.fromkeys(found))
