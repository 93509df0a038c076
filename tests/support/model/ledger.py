"""The books of leases, kept beside Redis: who may hold one, by the rules and not by what the scripts do.

It looks at every command that is executed, at its reply, and at what it left behind:

    P2   a lease is granted only if no other is alive, or if it is taken over on purpose; and none is taken over as left
         behind, or given back, while its load runs
    P2b  and not if another fill has landed since the caller looked
    P4   a fill is stored only under a lease that is alive
    P5   every key has a time to live
"""

from __future__ import annotations

from functools import cache
from typing import Any

from holdfast.commands import Command, Reply
from holdfast.scripts import load
from support.lua_redis import SCRIPTS


def script_of(command: Command) -> str:
    """Return the name of the script that a command calls, or of the command itself."""
    return _names()[str(command.words[1])] if command.words[0] == "EVALSHA" else command.name


@cache
def _names() -> dict[str, str]:
    return {load(name).digest: name for name in SCRIPTS}


class Ledger:
    """What is known of the leases of one Redis."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self._alive: dict[bytes, tuple[bytes, int]] = {}
        """By key, the token and until when it may last."""
        self.running: set[bytes] = set()
        """The tokens under which loads run."""

    def execute(self, command: Command) -> Reply:
        """Execute a command, and see that it kept the rules."""
        redis, script = self._world.redis, script_of(command)
        redis._now = int(self._world.time * 1000)
        check = getattr(self, f"_{script}", None)
        keys = [str(key).encode() for key in command.keys]
        left = keys[0] if script == "fill" else keys[-1]
        before = redis._alive(left)
        reply = redis.execute(command)
        if len(redis._values) != len(redis._deadlines):
            self._world.broken("P5", f"{script} left a key for ever: {redis._values.keys() - redis._deadlines.keys()}")
        if check is not None:
            check(keys, [_bytes(word) for word in command.words[3 + len(keys) :]], reply, before)
        return reply

    def vanished(self, key: bytes) -> None:
        """Note that a key was lost."""
        self._alive.pop(key, None)

    def told(self, command: Command, reply: Reply) -> str:
        """Describe a command that was executed, and its reply."""
        tail = [_short(word) for word in command.words[3:]] if command.words[0] == "EVALSHA" else command.words[1:]
        return f"{script_of(command)} {' '.join(map(str, tail))} -> {_short(reply)}"

    def _holder(self, lease: bytes) -> bytes | None:
        token, until = self._alive.get(lease, (None, 0))
        return token if int(self._world.time * 1000) <= until else None

    def _acquire(self, keys: list[bytes], words: list[bytes], reply: Reply, left: bytes | None) -> None:
        if reply[0] != 1:
            return
        _, lasts, seen, replace = words
        holder = self._holder(keys[0])
        if holder is not None and replace != b"*" and holder[:16] != replace:
            self._world.broken("P2", f"{reply[1]!r} was granted while {holder!r} is alive")
        if replace != b"*":
            self._see_idle(holder)
        if len(keys) > 1 and left is not None and left[2:34] != seen:
            self._world.broken("P2b", f"{reply[1]!r} was granted though {left[2:34]!r} had landed")
        self._alive[keys[0]] = reply[1], int(self._world.time * 1000) + int(lasts)

    def _fill(self, keys: list[bytes], words: list[bytes], reply: Reply, before: bytes | None) -> None:
        held = self._holder(keys[1]) == words[0]
        if reply == 1 and not held and (before is None or before[2:34] != words[0]):
            self._world.broken("P4", f"a fill under {words[0]!r} was stored, which is not alive")
        if held:
            del self._alive[keys[1]]

    def _renew(self, keys: list[bytes], words: list[bytes], reply: Reply, before: bytes | None) -> None:
        if self._holder(keys[0]) == words[0]:
            self._alive[keys[0]] = words[0], int(self._world.time * 1000) + int(words[1])

    def _abandon(self, keys: list[bytes], words: list[bytes], reply: Reply, before: bytes | None) -> None:
        holder = self._holder(keys[1])
        if holder is not None and words[0] in {holder, holder[:16]}:
            self._see_idle(holder)
            del self._alive[keys[1]]

    def _see_idle(self, holder: bytes | None) -> None:
        if holder in self.running:
            self._world.broken("P2", f"{holder!r} counted as left behind while its load runs")

    def _invalidate(self, keys: list[bytes], words: list[bytes], reply: Reply, before: bytes | None) -> None:
        self._alive.pop(keys[1], None)

    _put = _invalidate


def _bytes(word: Any) -> bytes:
    return word if isinstance(word, bytes) else str(word).encode()


def _short(word: Any) -> Any:
    if isinstance(word, list):
        return [_short(one) for one in word]
    if isinstance(word, str | bytes) and len(word) > 40:
        return f"{word[2:34]!r}..."
    return word
