"""Whether a decoded copy is what was stored, and if not, where it differs.

Pure: two values in, a short text out. The text holds paths and type names, never a value and never a key.

"The same" is stricter than ``==``: the type counts at every depth, so that a subclass of `dict` or `str` that came back
as plain `dict` or `str` is a difference although Python calls the two equal. It is looser in four places: an int may
come back as an equal float, NaN is the same as NaN, an aware datetime is the instant that it names, and an object whose
class defines no equality is compared by its attributes.
"""

from __future__ import annotations

import datetime
import types
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from decimal import Decimal
from itertools import islice
from math import isnan
from typing import Any, Final, TypeAlias, cast

_BUDGET: Final = 10_000
"""Parts compared one by one before `==` on the whole has to do; keeps the check of a huge value to milliseconds."""

_PLAIN: Final = frozenset(
    {str, int, bool, bytes, bytearray, complex, range, type(None), uuid.UUID, datetime.date, datetime.timedelta}
)
"""Types whose own `==` says all, once the two types are the same."""

_Path: TypeAlias = "tuple[_Path, str] | None"
"""Steps from the inside out, put together only when there is something to report."""
_Pair: TypeAlias = "tuple[object, object, _Path]"

_ABSENT: Final = object()


def difference(value: object, copy: object) -> str | None:
    """Return where and how `copy` differs from `value`, such as ``"[].created: datetime became str"``, or None."""
    walk = _Walk(_BUDGET)
    found = walk.compare(value, copy)
    if found is not None or walk.complete or _equal(value, copy):
        return found
    return _Walk(None).compare(value, copy)  # they differ, or hold NaN: only the whole walk can tell


class _Walk:
    """One comparison: the pairs still to be compared, and those that were, so that cycles end."""

    def __init__(self, budget: int | None) -> None:
        self.complete = True
        """Whether everything was within the budget."""
        self._left = budget
        self._pairs: list[_Pair] = []
        self._seen: set[tuple[int, int]] = set()

    def compare(self, value: object, copy: object) -> str | None:
        """Return the first difference found."""
        self._pairs.append((value, copy, None))
        while self._pairs:
            value, copy, path = self._pairs.pop()
            problem = None if value is copy else self._compare_pair(value, copy, path)
            if problem is not None:
                return f"{_render(path)}: {problem}"
        return None

    def _compare_pair(self, value: object, copy: object, path: _Path) -> str | None:
        kind = type(value)
        if kind is not type(copy):
            same_number = kind is int and type(copy) is float and value == copy
            return None if same_number else _became(value, copy)
        if kind in _PLAIN:
            return None if value == copy else "not equal"
        leaf = _LEAVES.get(kind)
        if leaf is not None:
            return leaf(value, copy)
        if (id(value), id(copy)) in self._seen:
            return None
        self._seen.add((id(value), id(copy)))
        return self._compare_parts(value, copy, path)

    def _compare_parts(self, value: object, copy: Any, path: _Path) -> str | None:
        if isinstance(value, dict):
            return self._compare_dicts(cast("dict[object, object]", value), copy, path)
        if isinstance(value, list | tuple):
            return self._compare_items(cast("list[object]", value), copy, path)
        if isinstance(value, set | frozenset):
            return self._compare_sets(cast("set[object]", value), copy, path)
        return self._compare_objects(value, copy, path)

    def _later(self, pairs: Iterable[_Pair], count: int) -> None:
        """Put pairs on the stack, as far as the budget goes."""
        if self._left is not None:
            self.complete &= count <= self._left
            count = min(count, self._left)
            self._left -= count
        self._pairs.extend(islice(pairs, count))

    def _compare_items(self, value: list[object], copy: list[object], path: _Path) -> str | None:
        if len(value) != len(copy):
            return "another number of items"
        names: tuple[str, ...] = getattr(type(value), "_fields", ())
        if len(names) == len(value):
            self._later(((a, b, (path, f".{n}")) for a, b, n in zip(value, copy, names, strict=True)), len(value))
        else:
            step = (path, "[]")
            self._later(((a, b, step) for a, b in zip(value, copy, strict=True)), len(value))
        return None

    def _compare_dicts(self, value: dict[object, object], copy: dict[object, object], path: _Path) -> str | None:
        if len(value) != len(copy):
            return "another number of keys"
        theirs = {key: key for key in copy}
        if any(key not in theirs for key in value):
            mine, other = next(iter(value)), next(iter(copy))
            return "another key" if type(mine) is type(other) else f"a key: {_became(mine, other)}"
        key_step, item_step = (path, "{key}"), (path, "[key]")
        self._later(((key, theirs[key], key_step) for key in value), len(value))
        self._later(((item, copy[key], item_step) for key, item in value.items()), len(value))
        return None

    def _compare_sets(self, value: set[object], copy: set[object], path: _Path) -> str | None:
        if len(value) != len(copy):
            return "another number of items"
        theirs = {item: item for item in copy}
        # NaN, the one item that does not equal itself, cannot be looked up.
        if any(item not in theirs and item == item for item in value):
            return "another item"
        step = (path, "{}")
        self._later(((item, theirs.get(item, item), step) for item in value), len(value))
        return None

    def _compare_objects(self, value: object, copy: object, path: _Path) -> str | None:
        names = _field_names(type(value))
        if names is None and _defines_equality(type(value)):
            return None if _equal(value, copy) or not _equal(value, value) else "not equal"
        parts: list[_Pair] = []
        for name in _attribute_names(value) if names is None else names:
            mine, other = getattr(value, name, _ABSENT), getattr(copy, name, _ABSENT)
            if mine is not other and (mine is _ABSENT or other is _ABSENT):
                return f"another set of attributes: {name}"
            parts.append((mine, other, (path, f".{name}")))
        self._later(parts, len(parts))
        return None


def _field_names(kind: type[Any]) -> list[str] | None:
    """Return the names of the fields by which instances of a class are equal, where the class declares them."""
    if is_dataclass(kind):
        return [field.name for field in dataclass_fields(kind) if field.compare]
    if hasattr(kind, "__struct_fields__"):  # msgspec
        return list(kind.__struct_fields__)
    if hasattr(kind, "__attrs_attrs__"):
        return [field.name for field in kind.__attrs_attrs__ if field.eq]
    if hasattr(kind, "__pydantic_validator__"):
        return [*kind.model_fields, "__pydantic_extra__", "__pydantic_private__"]
    return None


def _attribute_names(value: object) -> Iterator[str]:
    """Yield the attributes of an object without declared fields: those in its ``__dict__`` and its slots."""
    if isinstance(value, type | types.FunctionType | types.ModuleType):
        return
    yield from getattr(value, "__dict__", ())
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name.startswith("__") and not name.endswith("__"):
                yield f"_{kind.__name__.lstrip('_')}{name}"
            elif name not in {"__dict__", "__weakref__"}:
                yield name


def _defines_equality(kind: type[Any]) -> bool:
    return any("__eq__" in base.__dict__ for base in kind.__mro__[:-1])


def _equal(value: Any, copy: Any) -> bool:
    """Compare with `==`; what cannot be compared, such as arrays or a cycle, gets the benefit of the doubt."""
    try:
        return bool(value == copy)
    except Exception:
        return True


def _compare_floats(value: float, copy: float) -> str | None:
    return None if value == copy or (isnan(value) and isnan(copy)) else "not equal"


def _compare_decimals(value: Decimal, copy: Decimal) -> str | None:
    if value.is_nan() or copy.is_nan():  # a signalling NaN raises when it is compared
        return None if value.is_nan() and copy.is_nan() else "not equal"
    return None if value == copy else "not equal"


def _compare_datetimes(value: datetime.datetime, copy: datetime.datetime) -> str | None:
    """Compare instants. `==` of two time zones is always false in an hour that a clock change repeats (PEP 495)."""
    mine, other = value.utcoffset(), copy.utcoffset()
    if mine is None or other is None:
        return None if mine is other and value == copy else "not equal"
    return None if value.replace(tzinfo=None) - copy.replace(tzinfo=None) == mine - other else "not equal"


def _compare_times(value: datetime.time, copy: datetime.time) -> str | None:
    if (value.tzinfo is None) != (copy.tzinfo is None):
        return "the time zone is missing"
    return None if value == copy else "not equal"


_LEAVES: Final[dict[type[Any], Callable[[Any, Any], str | None]]] = {
    float: _compare_floats,
    Decimal: _compare_decimals,
    datetime.datetime: _compare_datetimes,
    datetime.time: _compare_times,
}


def _became(value: object, copy: object) -> str:
    kind, other = type(value), type(copy)
    if kind.__qualname__ == other.__qualname__:
        return f"{kind.__module__}.{kind.__qualname__} became {other.__module__}.{other.__qualname__}"
    return f"{kind.__qualname__} became {other.__qualname__}"


def _render(path: _Path) -> str:
    steps: list[str] = []
    while path is not None:
        path, step = path
        steps.append(step)
    return "".join(reversed(steps)) or "the value"
