"""Lists and sorted sets of the tiny Redis, as far as our scripts use them: functions over Python's list and dict."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

Items: TypeAlias = list[bytes]
Scores: TypeAlias = dict[bytes, float]
Value: TypeAlias = bytes | Items | Scores


class WrongType(Exception):  # noqa: N818 - says what happened, as Redis does
    """WRONGTYPE Operation against a key holding the wrong kind of value."""


def _slice(items: list[Any], first: Any, last: Any) -> list[Any]:
    start, end = int(first), int(last)
    start = max(0, start + len(items)) if start < 0 else start
    end = end + len(items) if end < 0 else end
    return items[start : end + 1] if end >= 0 else []


def _lrange(items: Items, first: Any, last: Any) -> Items:
    return _slice(items, first, last)


def _ltrim(items: Items, first: Any, last: Any) -> bytes:
    items[:] = _slice(items, first, last)
    return b"OK"


def _lindex(items: Items, index: Any) -> bytes | bool:
    place = int(index)
    return items[place] if -len(items) <= place < len(items) else False


def _lset(items: Items, index: Any, item: Any) -> bytes:
    items[int(index)] = _word(item)
    return b"OK"


def _lpush(items: Items, *new: Any) -> int:
    items[:0] = [_word(item) for item in reversed(new)]
    return len(items)


def _rpush(items: Items, *new: Any) -> int:
    items.extend(_word(item) for item in new)
    return len(items)


def _zadd(scores: Scores, score: Any, member: bytes) -> int:
    new = member not in scores
    scores[member] = float(score)
    return int(new)


def _zrank(scores: Scores, member: bytes) -> int | bool:
    ordered = sorted(scores, key=lambda each: (scores[each], each))
    return ordered.index(member) if member in scores else False


def _zscore(scores: Scores, member: bytes) -> bytes | bool:
    return _word(scores[member]) if member in scores else False


def _zrange(scores: Scores, first: Any, last: Any, *options: bytes) -> Items:
    ordered = sorted(scores, key=lambda member: (scores[member], member))
    found: Items = []
    for member in _slice(ordered, first, last):
        found += (member, _word(scores[member])) if options else (member,)
    return found


def _zrem(scores: Scores, *members: bytes) -> int:
    return sum(scores.pop(member, None) is not None for member in members)


def _zremrangebyscore(scores: Scores, low: Any, high: Any) -> int:
    return _zrem(scores, *[member for member, score in scores.items() if float(low) <= score <= float(high)])


def _word(item: Any) -> bytes:
    """Return what Redis makes of an argument: of a number, its 17 digits."""
    return item if isinstance(item, bytes) else b"%.17g" % item


HANDLERS: Final[dict[bytes, tuple[type[Any], Callable[..., Any]]]] = {
    b"LRANGE": (list, _lrange),
    b"LTRIM": (list, _ltrim),
    b"LINDEX": (list, _lindex),
    b"LLEN": (list, len),
    b"LSET": (list, _lset),
    b"LPUSH": (list, _lpush),
    b"RPUSH": (list, _rpush),
    b"ZADD": (dict, _zadd),
    b"ZCARD": (dict, len),
    b"ZRANK": (dict, _zrank),
    b"ZSCORE": (dict, _zscore),
    b"ZRANGE": (dict, _zrange),
    b"ZREM": (dict, _zrem),
    b"ZREMRANGEBYSCORE": (dict, _zremrangebyscore),
}
"""Commands of one key: the type that the key must have, and what the command does with it."""
