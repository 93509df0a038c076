"""Byte ranges of a stored 200 (RFC 9110, section 14; RFC 9111, section 3.4).

One range is served. A server may ignore the field (section 14.2), and so it is ignored where serving it gains little:
several ranges, units that are not bytes, what is malformed, and bodies without a byte.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple, TypeAlias

from holdfast.policy.http.conditions import strong_match, validators_of
from holdfast.policy.http.dates import parse_date
from holdfast.policy.http.fields import Fields, Pair, Pairs, RequestFields, members

_UNIT: Final = "bytes="
_RANGE: Final = re.compile(r"([0-9]*)-([0-9]*)")
_MOST_DIGITS: Final = 18
"""Digits of a position that are worth reading: no body has more bytes."""
_OF_THE_WHOLE: Final = frozenset({"content-digest", "content-length", "content-md5", "content-range"})
"""Fields about the bytes of one message."""
_OF_A_200: Final = _OF_THE_WHOLE | {
    *{"accept-ranges", "age", "cache-control", "content-encoding", "content-language", "content-location"},
    *{"content-type", "etag", "expires", "last-modified", "pragma", "repr-digest", "set-cookie"},
}
"""Fields that a 416 does not take over: those that describe what it does not carry, and how long that may be stored.
A 416 that was stored would be the answer to requests without a range, too."""


class Part(NamedTuple):
    """A range of bytes that lies within a body."""

    first: int
    last: int
    """Included."""


class Unsatisfiable(NamedTuple):
    """A range that begins behind the end of the body."""


UNSATISFIABLE: Final = Unsatisfiable()

Selected: TypeAlias = Part | Unsatisfiable | None


def part_of(request: RequestFields, fields: Fields, size: int, now: float) -> Selected:
    """Return which bytes a GET wants of a stored 200; None for the whole.

    Args:
        request: the fields of the request.
        fields: of the stored response.
        size: of its body, in bytes.
        now: Unix seconds; tells the century of old dates.
    """
    wanted = request.get("range")
    if wanted is None or size <= 0:
        return None
    wanted = wanted.strip(" \t")
    if wanted[: len(_UNIT)].lower() != _UNIT:
        return None
    ranges = members(wanted[len(_UNIT) :])
    found = _RANGE.fullmatch(ranges[0]) if len(ranges) == 1 else None
    if found is None or not _is_unchanged(request.get("if-range"), fields, now):
        return None
    return _selected(found[1], found[2], size)


def partial(pairs: Pairs, part: Part, size: int) -> Pairs:
    """Return the fields of a 206 (RFC 9110, section 15.3.7).

    Args:
        pairs: the fields that the 200 would have.
        part: which bytes it carries.
        size: of the whole body, in bytes.
    """
    kept = _without(pairs, _OF_THE_WHOLE)
    length = ("content-length", str(part.last - part.first + 1))
    return (*kept, length, ("content-range", f"bytes {part.first}-{part.last}/{size}"))


def unsatisfiable(pairs: Pairs, size: int) -> Pairs:
    """Return the fields of a 416 without a body, which nobody may store (RFC 9110, section 15.5.17).

    Args:
        pairs: the fields that the 200 would have.
        size: of its body, in bytes.
    """
    kept = [pair for pair in _without(pairs, _OF_A_200) if not pair[0].lower().endswith("-cache-control")]
    told = (("content-length", "0"), ("content-range", f"bytes */{size}"), ("cache-control", "no-store"))
    return (*kept, *told)


def _selected(first: str, last: str, size: int) -> Selected:
    """Return the part that two positions name (RFC 9110, section 14.1.2)."""
    if not first:
        if not last:
            return None
        length = _position(last)
        return Part(max(0, size - length), size - 1) if length else UNSATISFIABLE
    begin = _position(first)
    end = _position(last) if last else size - 1
    if last and _is_less(last, first):
        return None  # malformed, so there is no range at all
    return Part(begin, min(end, size - 1)) if begin < size else UNSATISFIABLE


def _position(digits: str) -> int:
    """Return a number of any length, which is cut where it is larger than any body."""
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) <= _MOST_DIGITS else 10**_MOST_DIGITS


def _is_less(a: str, b: str) -> bool:
    """Compare two numbers of any length."""
    a, b = a.lstrip("0"), b.lstrip("0")
    return (len(a), a) < (len(b), b)


def _is_unchanged(condition: str | None, fields: Fields, now: float) -> bool:
    """Tell whether an If-Range holds (RFC 9110, section 13.1.5): by a strong ETag, or by exactly the date.

    A date is a strong validator only if the response was made at least a second later (section 8.8.2.2).
    """
    if condition is None:
        return True
    condition = condition.strip(" \t")
    etag, modified = validators_of(fields, now)
    if etag is not None and strong_match(condition, etag):
        return True
    since = parse_date(condition, now)
    if since is None or modified is None or since != parse_date(modified, now):
        return False
    made = parse_date(fields.get("date") or "", now)
    return made is not None and made > since


def _without(pairs: Pairs, names: frozenset[str]) -> list[Pair]:
    return [pair for pair in pairs if pair[0].lower() not in names]
