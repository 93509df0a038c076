"""The text of one field of a template: what an f-string shows, so that a name written by hand meets the same entry.

It tells texts apart, not types: 1 and ``"1"`` read the same. `key_canonical` tells types apart as well.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Final
from uuid import UUID

from holdfast.errors import ConfigurationError
from holdfast.policy.key_canonical import CONTAINERS, TELLS_ALL, canonical
from holdfast.policy.key_stable import own_text, record_fields
from holdfast.policy.key_text import escape, protect

_PLAIN: Final = frozenset({str, int, bool, float, type(None), Decimal, UUID, date, datetime, time, timedelta})


def field_text(value: object, source: str) -> str:
    """Return the escaped text of one field of a template. This runs at every call: the commonest case comes first."""
    if type(value) is str and value.isalnum():
        return value
    return escape(text_of(value, source))


def tag_text(value: object, source: str) -> str:
    """Return the text of one field of a tag, protected as a tag that is written by hand is.

    Raises:
        ConfigurationError: the value has no text of its own. Its canonical text would do for a key; a tag has to be
            the one that the user's f-string shows.
    """
    if _has_own_text(value):
        with suppress(ConfigurationError):  # what it says is about keys
            return protect(text_of(value, source))
    msg = (
        f"a tag field must be a text, a number or the like, and {source!r} is of type {type(value).__name__}: "
        f"name an attribute, such as {{{source}.id}}, or give tags= a function of the result"
    )
    raise ConfigurationError(msg)


def text_of(value: object, source: str = "value") -> str:
    """Return a value's text as an f-string shows it, not escaped.

    Args:
        value: scalars, dates, identifiers, members of an Enum, paths, network addresses, and objects whose class
            defines `__str__` or `__repr__`. Containers, classes, and records without a `__str__` of their own, have
            their canonical text.
        source: where the value comes from, for the error message.

    Raises:
        ConfigurationError: the value has no text that another process would give it too.

    Example:
        >>> text_of(7), text_of("a:b"), text_of([1, "1"])
        ('7', 'a:b', "[1,'1']")
    """
    kind = type(value)
    if kind in _PLAIN or isinstance(value, (str, Enum, *TELLS_ALL)):
        return str(value)
    if isinstance(value, bytes | bytearray):
        return repr(value)  # the same as str(), which `python -bb` forbids
    return own_text(value, source, "str") if _has_own_text(value) else canonical(value, source)


def _has_own_text(value: object) -> bool:
    """Say whether a value reads as in an f-string, if at all; otherwise its canonical text stands for it."""
    kind = type(value)
    if kind in _PLAIN or isinstance(value, (str, bytes, bytearray, Enum, *TELLS_ALL)):
        return True
    if isinstance(value, (type, *CONTAINERS)):
        return False
    has_text = kind.__str__ is not object.__str__ and not hasattr(kind, "__iter__")
    return has_text or record_fields(value) is None
