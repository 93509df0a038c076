"""The tiny Redis with hashes, as far as the scripts of sessions use them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from lupa.lua51 import lua_type

from holdfast.commands import Command, Reply
from support.lua_redis import LuaRedis


class Hash(dict[bytes, Any]):
    """The value of a hash; a sorted set is another dict."""


def _hget(fields: Hash, name: bytes) -> Any:
    return fields.get(name, False)


def _hmget(fields: Hash, *names: bytes) -> list[Any]:
    return [fields.get(name, False) for name in names]


def _hgetall(fields: Hash) -> list[bytes]:
    return [word for pair in fields.items() for word in pair]


def _hset(fields: Hash, *words: Any) -> int:
    for name, value in zip(words[::2], words[1::2], strict=True):
        fields[name] = value if isinstance(value, bytes) else b"%.17g" % value
    return len(words) // 2


def _zadd(scores: Hash, *words: Any) -> int:
    *options, score, member = words
    value = float(score)
    if b"GT" in options:
        value = max(value, scores.get(member, value))
    new = member not in scores
    scores[member] = value
    return int(new)


def _hdel(fields: Hash, *names: bytes) -> int:
    return sum(fields.pop(name, None) is not None for name in names)


_HANDLERS: Final[dict[bytes, Callable[..., Any]]] = {
    b"HGET": _hget,
    b"HMGET": _hmget,
    b"HGETALL": _hgetall,
    b"HSET": _hset,
    b"HDEL": _hdel,
    b"ZADD": _zadd,
}


class SessionRedis(LuaRedis):
    """One server that keeps sessions."""

    def execute(self, command: Command) -> Reply:
        """Execute a command, and return its reply as a port does."""
        return _plain(super().execute(command))

    def hash(self, key: str) -> dict[bytes, Any] | None:
        """Return what a hash holds; None if there is none."""
        self._now = self._milliseconds()
        found: Any = self._alive(key.encode())
        return found

    def left(self) -> dict[str, int]:
        """Return the keys there are, and the milliseconds that each has left; -1 for one that never expires."""
        return self.ttls()

    def _call(self, name: bytes, *arguments: Any) -> Any:
        handler = _HANDLERS.get(name)
        if handler is None:
            return super()._call(name, *arguments)
        key, *words = arguments
        fields: Any = self._alive(key)
        held = Hash() if fields is None else fields
        answer = handler(held, *words)
        if held:
            self._values[key] = held
        else:
            self._drop(key)
        return _table(answer) if isinstance(answer, list) else answer


def _table(items: list[Any]) -> Any:
    from support.lua_redis import _keys

    return _keys(*items)


def _plain(reply: Any) -> Any:
    """Return tables of Lua within a reply as lists."""
    if isinstance(reply, list):
        return [_plain(each) for each in reply]
    if lua_type(reply) == "table":
        return [_plain(reply[place]) for place in range(1, len(reply) + 1)]
    return int(reply) if isinstance(reply, float) else reply
