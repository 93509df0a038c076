"""Copies of values that callers could change, made faster than by decoding them anew.

A dict or list of values that cannot be changed is copied by its own method. One that holds further dicts and lists is
copied so, and then each of these is replaced by a copy of its own; where they lie is found once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

FLAT: Final = frozenset({str, bytes, bool, int, float, type(None), date, datetime, time, timedelta, Decimal, UUID})
"""Types whose values cannot be changed and hold nothing else."""

_MOST: Final = 200
"""Values in one that is copied; larger ones are better decoded."""


class Copier:
    """Makes copies of one value, which it keeps to itself."""

    __slots__ = ("_size", "copy")

    def __init__(self, value: Any) -> None:
        """Look through a value that nobody else has.

        Raises:
            TypeError: it holds something that may be changed and is neither dict nor list, or is too large.
        """
        self._size = 0
        self.copy = self._copier(value, [_MOST])

    def __sizeof__(self) -> int:
        return self._size + object.__sizeof__(self)

    def _copier(self, value: Any, left: list[int]) -> Callable[[], Any]:
        members = _members(value)
        left[0] -= len(members)
        if left[0] < 0:
            raise TypeError
        self._size += sys.getsizeof(value) + sum(sys.getsizeof(member) for _, member in members)
        nested = [(place, self._copier(member, left)) for place, member in members if type(member) not in FLAT]
        return _copy_of(value.copy, nested) if nested else value.copy


def _members(value: Any) -> list[tuple[Any, Any]]:
    if type(value) is dict:  # pyright: ignore[reportUnknownArgumentType] - of any kind
        return list(value.items())  # pyright: ignore[reportUnknownArgumentType] - as above
    if type(value) is list:  # pyright: ignore[reportUnknownArgumentType] - as above
        return list(enumerate(value))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - as above
    raise TypeError


def _copy_of(shallow: Callable[[], Any], nested: list[tuple[Any, Callable[[], Any]]]) -> Callable[[], Any]:
    def copy() -> Any:
        new = shallow()
        for place, inner in nested:
            new[place] = inner()
        return new

    return copy


def copier(value: object) -> Copier | None:
    """Return what makes copies of a value, or None if it has to be decoded for each caller."""
    try:
        return Copier(value)
    except TypeError:
        return None
