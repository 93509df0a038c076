"""Targeted cache control (RFC 9213): fields such as CDN-Cache-Control, for caches that have been told to obey them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from holdfast.policy.http.dictionary import Item, Token, parse_dictionary
from holdfast.policy.http.directives import ResponseDirectives, response_of
from holdfast.policy.http.fields import Fields

_TIMES: Final = {"max-age", "s-maxage", "stale-while-revalidate", "stale-if-error"}
_NAMING: Final = {"no-cache", "private"}
"""Directives that may name fields; to take them for the whole response is permitted, and less is reused."""


def targeted(fields: Fields, targets: Sequence[str]) -> ResponseDirectives | None:
    """Return what the targeted field says that comes first in the list and can be read (2.2).

    Args:
        fields: the fields of a response.
        targets: names of targeted fields in lower case, the most specific first.

    Returns:
        The directives, which stand in place of Cache-Control and of Expires altogether; None if no target is there, all
        are empty or none can be read: then these two are in force.
    """
    for name in targets:
        value = fields.get(name)
        if value is not None and (directives := _parse(value)) is not None:
            return directives
    return None


@lru_cache(maxsize=256)
def _parse(value: str) -> ResponseDirectives | None:
    found = parse_dictionary(value)
    if not found:  # an empty field is as good as none
        return None
    return response_of({name: [_argument(item)] for name, item in found.items() if _is_of_type(name, item)})


def _is_of_type(name: str, item: Item) -> bool:
    """Return whether a directive has a value of its type (2.1): others are not consumed."""
    if name in _TIMES:
        return isinstance(item, int) and not isinstance(item, bool)
    return item is True or (name in _NAMING and isinstance(item, str | Token))


def _argument(item: Item) -> str | None:
    return None if item is True else str(item)
