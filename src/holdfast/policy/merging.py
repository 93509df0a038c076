"""What becomes of one field that two have changed at the same time: a three-way merge.

Both began with the same value. What one of them left alone is as the other made it; what both changed is as the later
writer made it. Dicts are merged key by key, everything else is one value: of a list nobody can tell whether an item was
moved, replaced or changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

from holdfast._missing import MISSING
from holdfast.policy.roundtrip import difference

_DEEPEST: Final = 100
"""Dicts within dicts that are merged; what lies deeper is one value."""
_CONTAINERS: Final[dict[type, Callable[[Any], Any]]] = {each: each for each in (dict, list, tuple, set)}


def merge(base: Any, ours: Any, theirs: Any) -> Any:
    """Return what a field holds after a conflict; `MISSING` where there is none, in the arguments and as the result.

    Key by key if ours is a dict and theirs is one or absent: a key that we left alone is theirs, one that we set or
    deleted is ours, and dicts within are merged likewise. Anything else that we changed is ours, as a whole. A base
    that is absent or no dict counts as an empty one. Only `dict` itself counts as a dict, its subclasses are values.

    The type counts at every depth when it is asked whether we changed something: True is not 1, and 1 is not 1.0 (but
    an aware datetime is its instant, and a dict has no order). Keys that are equal are one key, whatever their type.

    The arguments are not changed. The result shares parts with ours; dicts, lists and sets of theirs are copied down to
    100 levels, so that whoever changes the result leaves theirs as it is; nothing in it is of base.

    Args:
        base: what both have read.
        ours: what we want to write.
        theirs: what another has written meanwhile.

    Returns:
        Keys in the order of theirs, then those that only we have. `MISSING` also if others deleted the field, and we
        have only deleted in it.

    Example:
        >>> merge({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 1, "c": 3})
        {'a': 2, 'c': 3}
    """
    return _merge(base, ours, theirs, _DEEPEST)


def _merge(base: Any, ours: Any, theirs: Any, left: int) -> Any:
    if _same(base, ours):
        return _copy(theirs, left)
    mine, others = _as_dict(ours), {} if theirs is MISSING else _as_dict(theirs)
    if mine is None or others is None or not left:
        return ours
    merged = _merge_dicts(_as_dict(base) or {}, mine, others, left - 1)
    if theirs is MISSING and type(base) is dict and not merged:
        return MISSING  # they deleted the field, and we did nothing but delete in it
    return merged


def _merge_dicts(base: dict[Any, Any], ours: dict[Any, Any], theirs: dict[Any, Any], left: int) -> dict[Any, Any]:
    merged: dict[Any, Any] = {}
    for key in (*theirs, *(key for key in ours if key not in theirs)):
        value = _merge(base.get(key, MISSING), ours.get(key, MISSING), theirs.get(key, MISSING), left)
        if value is not MISSING:
            merged[key] = value
    return merged


def _same(base: Any, ours: Any) -> bool:
    """Say whether we left a value alone; both ways round, since an int that became an equal float is no difference."""
    return base is ours or (difference(base, ours) is None and difference(ours, base) is None)


def _copy(value: Any, left: int) -> Any:
    """Return plain containers anew and everything else as it is, without a call of anything that users wrote."""
    make = _CONTAINERS.get(type(cast("object", value)))
    if make is None or not left:
        return value
    if make is dict:
        return {key: _copy(item, left - 1) for key, item in value.items()}
    return make([_copy(item, left - 1) for item in value])


def _as_dict(value: Any) -> dict[Any, Any] | None:
    return value if type(value) is dict else None  # pyright: ignore[reportUnknownVariableType] - of any kind
