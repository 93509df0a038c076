"""The value that stands for "there is no entry", since None is a value like any other."""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal


class Missing(Enum):
    """The type of `MISSING`; its only member. It is false in a condition."""

    MISSING = "missing"

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "MISSING"

    __str__ = __repr__


MISSING: Final = Missing.MISSING
"""What `entries(f).get(...)` returns when there is no entry."""
