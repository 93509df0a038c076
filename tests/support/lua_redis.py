"""A tiny Redis in the process that executes the real scripts, for tests that try thousands of schedules.

It knows the few commands that our scripts use (those of lists and sorted sets are in `lua_collections`), lives by a
clock that the test sets, and runs one script in some microseconds. Like Redis it freezes the clock for the length of a
command. Unlike Redis it never gives the same TIME twice, even while the test's clock stands still: real executions do
not share a microsecond either; unless the test sets TIME itself. It checks little: wrong arguments end as errors of
Python.

The text of a script may be replaced, to see that a test notices a script that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from functools import cache
from typing import Any, Final

from lupa.lua51 import LuaRuntime

from holdfast.commands import Command, Reply, Word
from holdfast.scripts import load
from support import lua_collections
from support.lua_collections import Value, WrongType

SCRIPTS: Final = (
    "acquire",
    "fill",
    "renew",
    "abandon",
    "invalidate",
    "put",
    "expire",
    "tag_versions",
    "tag_invalidate",
)
_lua: Final = LuaRuntime(encoding=None)
_keys: Final = _lua.eval(b"function(...) return {...} end")
_answering: Final = _lua.eval(
    b"""function(body, call)
  return function(KEYS, ...)
    local reply = body({call = call}, KEYS, {...})
    if type(reply) == 'table' then
      return true, unpack(reply)
    end
    return false, reply
  end
end"""
)
_running: Final[list[LuaRedis]] = []
"""The server that executes a script, in last place."""


def _call(name: bytes, *arguments: Any) -> Any:
    """Execute a command of the script that runs.

    All scripts of all servers have this one function. What Lua is given it keeps until its own garbage collector runs,
    which knows nothing of what hangs on an object of Python: with methods of servers that would be thousands of worlds.
    """
    return _running[-1]._call(name, *arguments)


@cache
def _compiled(source: str) -> Any:
    """Return a script as a Lua function; it is compiled once, however many servers use it."""
    return _answering(_lua.eval(f"function(redis, KEYS, ARGV)\n{source}\nend".encode()), _call)


@cache
def _digests() -> dict[str, str]:
    """Return the digests under which commands call our scripts, with the names of the scripts."""
    return {load(name).digest: name for name in SCRIPTS}


class LuaRedis:
    """One server.

    Args:
        clock: the time in seconds; it says when keys expire, and what TIME is.
        texts: other texts for some of the scripts, by name.
        heard: called with channel and message of whatever is published, while the command is executed.
        micros: the time in whole microseconds instead of `clock`: TIME tells exactly that, also if it stands still or
            goes back.
    """

    def __init__(
        self,
        clock: Callable[[], float] = lambda: 0.0,
        texts: Mapping[str, str] | None = None,
        heard: Callable[[str, bytes], object] | None = None,
        micros: Callable[[], int] | None = None,
    ) -> None:
        self.published: list[tuple[str, bytes]] = []
        """Channels and messages, in order."""
        self._clock = clock
        self._given = micros
        self._heard = heard
        self._now = 0
        self._micros = 0
        self._values: dict[bytes, Value] = {}
        self._deadlines: dict[bytes, int] = {}
        others = texts or {}
        if unknown := others.keys() - set(SCRIPTS):
            msg = f"there is no script called {', '.join(sorted(unknown))}"
            raise ValueError(msg)
        self._scripts = {
            digest: _compiled(others.get(name) or load(name).source) for digest, name in _digests().items()
        }

    def execute(self, command: Command) -> Reply:
        """Execute a command, and return its reply as a port does."""
        self._now = self._milliseconds()
        name, *words = command.words
        if name == "EVALSHA":
            script = self._scripts.get(str(words[0])) or _compiled(str(command.fallback[1]))
            return self._run(script, int(words[1]), words[2:])
        arguments = map(_bytes, words)
        if name == "MGET":
            return [_reply(self._get(key)) for key in arguments]
        if str(name).encode() in lua_collections.HANDLERS:
            return _reply(self._collect(str(name).encode(), *arguments))
        return _reply(self._call(str(name).encode(), *arguments))

    def expire_now(self, key: str) -> None:
        """Lose a key, as if its time were over or the server had needed its memory."""
        self._drop(key.encode())

    def ttls(self) -> dict[str, int]:
        """Return the keys there are, and the milliseconds that each has left; -1 for one that never expires."""
        self._now = self._milliseconds()
        left = {key.decode(): self._pttl(key) for key in list(self._values)}
        return {key: milliseconds for key, milliseconds in left.items() if milliseconds != -2}

    def content(self) -> dict[str, Value]:
        """Return a copy of all that is stored."""
        self._now = self._milliseconds()
        alive = {key: self._alive(key) for key in list(self._values)}
        return {key.decode(): copy(value) for key, value in alive.items() if value is not None}

    def _milliseconds(self) -> int:
        return int(self._clock() * 1000) if self._given is None else self._given() // 1000

    def _run(self, script: Any, keys: int, words: list[Word]) -> Reply:
        names = _keys(*map(_bytes, words[:keys]))
        _running.append(self)
        try:
            is_list, *answers = script(names, *map(_bytes, words[keys:]))
        finally:
            _running.pop()
        return [_reply(answer) for answer in answers] if is_list else _reply(answers[0])

    def _call(self, name: bytes, *arguments: Any) -> Any:
        if name in lua_collections.HANDLERS:
            answer = self._collect(name, *arguments)
            return _keys(*answer) if isinstance(answer, list) else answer
        return _HANDLERS[name](self, *arguments)

    def _collect(self, name: bytes, key: bytes, *arguments: Any) -> Any:
        """Execute a command of lists or sorted sets; what is empty afterwards goes."""
        kind, handler = lua_collections.HANDLERS[name]
        value = self._alive(key)
        if value is not None and not isinstance(value, kind):
            raise WrongType
        held: Any = kind() if value is None else value
        answer = handler(held, *arguments)
        if held:
            self._values[key] = held
        else:
            self._drop(key)
        return answer

    def _text(self, key: bytes) -> bytes | None:
        value = self._alive(key)
        if value is not None and not isinstance(value, bytes):
            raise WrongType
        return value

    def _alive(self, key: bytes) -> Value | None:
        deadline = self._deadlines.get(key)
        if deadline is not None and deadline < self._now:
            self._drop(key)
        return self._values.get(key)

    def _drop(self, key: bytes) -> None:
        self._values.pop(key, None)
        self._deadlines.pop(key, None)

    def _get(self, key: bytes) -> bytes | bool:
        value = self._text(key)
        return False if value is None else value

    def _set(self, key: bytes, value: bytes, *options: bytes | int) -> bytes | bool:
        if b"NX" in options and self._alive(key) is not None:
            return False
        self._drop(key)
        self._values[key] = value
        if b"PX" in options:
            self._deadlines[key] = self._now + int(options[options.index(b"PX") + 1])
        return b"OK"

    def _unlink(self, *keys: bytes) -> int:
        found = self._exists(*keys)
        for key in keys:
            self._drop(key)
        return found

    def _exists(self, *keys: bytes) -> int:
        return sum(self._alive(key) is not None for key in keys)

    def _incr(self, key: bytes) -> int:
        count = int(self._text(key) or 0) + 1
        self._values[key] = b"%d" % count
        return count

    def _pexpire(self, key: bytes, milliseconds: bytes | int) -> int:
        if self._alive(key) is None:
            return 0
        self._deadlines[key] = self._now + int(milliseconds)
        return 1

    def _pttl(self, key: bytes) -> int:
        if self._alive(key) is None:
            return -2
        deadline = self._deadlines.get(key)
        return -1 if deadline is None else deadline - self._now

    def _getrange(self, key: bytes, first: int, last: int) -> bytes:
        return (self._text(key) or b"")[int(first) : int(last) + 1]

    def _setrange(self, key: bytes, offset: int, part: bytes) -> int:
        value = self._text(key) or b""
        start = int(offset)
        if part:
            value = self._values[key] = value[:start].ljust(start, b"\0") + part + value[start + len(part) :]
        return len(value)

    def _time(self) -> Any:
        self._micros = self._given() if self._given else max(self._micros + 1, int(self._clock() * 1_000_000))
        seconds, micros = divmod(self._micros, 1_000_000)
        return _keys(b"%d" % seconds, b"%d" % micros)

    def _publish(self, channel: bytes, message: bytes) -> int:
        name = channel.decode()
        self.published.append((name, message))
        if self._heard is not None:
            self._heard(name, message)
        return 0


_HANDLERS: Final[dict[bytes, Callable[..., Any]]] = {
    b"GET": LuaRedis._get,
    b"SET": LuaRedis._set,
    b"DEL": LuaRedis._unlink,
    b"UNLINK": LuaRedis._unlink,
    b"EXISTS": LuaRedis._exists,
    b"INCR": LuaRedis._incr,
    b"PEXPIRE": LuaRedis._pexpire,
    b"PTTL": LuaRedis._pttl,
    b"GETRANGE": LuaRedis._getrange,
    b"SETRANGE": LuaRedis._setrange,
    b"TIME": LuaRedis._time,
    b"PUBLISH": LuaRedis._publish,
}


def _bytes(word: Word) -> bytes:
    if isinstance(word, bytes):
        return word
    return word.encode() if isinstance(word, str) else b"%d" % word


def _reply(answer: Any) -> Reply:
    """Return what Lua or a handler answered as a client sees it: false is nil."""
    return None if answer is False else answer
