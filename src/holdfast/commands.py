"""Redis commands as values.

A command says all that the backend needs to send it well: the words, the keys (for the cluster slot), whether it may be
sent twice, how replies of its parts merge, how long it may block on purpose, and how long its caller waits at most.
Nothing here talks to Redis.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

Word: TypeAlias = str | bytes | int
Reply: TypeAlias = Any
"""What Redis answered: None, bytes, int, float, or a list or dict of these."""


class Command(NamedTuple):
    """One command for Redis."""

    words: tuple[Word, ...]
    """The command as it goes over the wire: its name, then its arguments."""
    keys: tuple[str, ...] = ()
    """The keys that it touches; on a cluster they choose the node."""
    repeatable: bool = False
    """Whether executing it twice does the same as once, so that it may be re-sent after a lost reply."""
    merge: Literal["", "list", "sum"] = ""
    """How a command over several slots is put together again: its words are then exactly a name and its keys."""
    blocks: float | None = None
    """Seconds for which the server may hold the reply back on purpose, 0 for ever.

    Such a command gets a connection of its own, and so does a whole pipeline with one in it.
    """
    fallback: tuple[Word, ...] = ()
    """What to send when the server answers NOSCRIPT: the same call as EVAL."""
    script: str = ""
    """The name of the script that it calls."""
    patience: float | None = None
    """Seconds after which its caller gives up, wherever it is by then; the server may still execute it.

    None waits as long as the connection's time-outs allow. In a pipeline the least patient command decides for all.
    """
    packed: list[bytes] | None = None
    """Where the backend keeps the words as they go over the wire, of a command that is sent again and again."""

    @property
    def name(self) -> str:
        """The command's name, for messages: of a script, what that is called."""
        return self.script or str(self.words[0])

    @property
    def whole(self) -> Command:
        """The command as a server can execute it whatever it has forgotten: a script goes with its text."""
        return self._replace(words=self.fallback, fallback=(), packed=None) if self.fallback else self


def get(key: str) -> Command:
    """Read a value: bytes, or None."""
    return Command(("GET", key), (key,), True)


def mget(keys: Sequence[str]) -> Command:
    """Read many values in the order of their keys; on a cluster, one MGET a slot."""
    return Command(("MGET", *keys), tuple(keys), True, merge="list")


def put(key: str, value: bytes, ttl: float) -> Command:
    """Store a value for `ttl` seconds, at least a millisecond. Repeating it stores the same again."""
    return Command(("SET", key, value, "PX", milliseconds(ttl)), (key,), True)


def unlink(keys: Sequence[str]) -> Command:
    """Delete keys; the reply counts those that existed.

    It may be re-sent: a second execution deletes nothing more, though it may count less.
    """
    return Command(("UNLINK", *keys), tuple(keys), True, merge="sum")


def pexpire(key: str, ttl: float) -> Command:
    """Give a key a new time to live in seconds; the reply is 1, or 0 if there is no such key."""
    return Command(("PEXPIRE", key, milliseconds(ttl)), (key,), True)


def pttl(key: str) -> Command:
    """Read the time to live in milliseconds: -2 without key, -1 without expiry."""
    return Command(("PTTL", key), (key,), True)


def wait_for_replicas(key: str, replicas: int, seconds: float) -> Command:
    """Wait until replicas have what was written before in the same pipeline; the reply counts those that have it.

    The reply may be fewer after `seconds`, or more at once. A pipeline with this in it goes over a connection of its
    own; sent alone it says nothing of anybody's writes.

    Args:
        key: what was written, for a cluster: its owner is asked.
        replicas: how many to wait for.
        seconds: for how long, at least a millisecond.
    """
    return Command(("WAIT", replicas, milliseconds(seconds)), (key,), True, blocks=seconds)


def ping() -> Command:
    """Ask whether the server answers."""
    return Command(("PING",), (), True)


def milliseconds(duration: float) -> int:
    """Return seconds as the whole milliseconds that Redis wants, never less than one."""
    return max(1, round(duration * 1000))
