"""What servers were asked, exactly: MONITOR, read up to a marker."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import redis

_LINE = re.compile(rb"^([\d.]+) \[(\d+) (.*?)\] (.*)$", re.DOTALL)
_WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(rb"\\(x[0-9a-f]{2}|.)", re.DOTALL)
_LETTERS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}


@dataclass(frozen=True, slots=True)
class Seen:
    """One command as a server saw it."""

    words: tuple[bytes, ...]
    client: str
    """The address of who sent it; ``lua`` for what a script did."""
    database: int

    @property
    def name(self) -> str:
        """Return the command's name in capitals."""
        return self.words[0].decode().upper()


@dataclass(slots=True)
class Recording:
    """The commands of a block; complete when the block has ended."""

    seen: list[Seen] = field(default_factory=list)

    @property
    def sent(self) -> list[Seen]:
        """Return what came from clients: one a command on the wire."""
        return [one for one in self.seen if one.client != "lua"]

    @property
    def from_scripts(self) -> list[Seen]:
        """Return what scripts did inside the server."""
        return [one for one in self.seen if one.client == "lua"]

    @property
    def names(self) -> list[str]:
        """Return the names of what came from clients, in order."""
        return [one.name for one in self.sent]


@contextmanager
def recorded(clients: Sequence[redis.Redis], containing: str = "") -> Iterator[Recording]:
    """Record what some servers are asked during a block.

    Args:
        clients: one a server. Each monitors, and then sends the marker up to which the record is read: every command
            that was answered inside the block is in it.
        containing: keep only commands with a word that contains this text, such as a test's namespace. Leave it out
            only on a server that nobody else uses: the chatter of connecting, of replicas and of sentinels is there.
    """
    recording = Recording()
    with ExitStack() as stack:
        monitors = [(client, stack.enter_context(client.monitor())) for client in clients]
        yield recording
        for client, monitor in monitors:
            marker = uuid4().hex.encode()
            client.execute_command("ECHO", marker)
            for seen in _read(monitor.connection, marker):
                if any(containing.encode() in word for word in seen.words):
                    recording.seen.append(seen)


def _read(connection: redis.Connection, marker: bytes) -> Iterator[Seen]:
    while True:
        seen = _parse(connection.read_response())
        if seen.words[1:] == (marker,):
            return
        yield seen


def _parse(line: bytes) -> Seen:
    match = _LINE.match(line)
    if match is None:
        msg = f"not a line of MONITOR: {line!r}"
        raise ValueError(msg)
    _, database, client, rest = match.groups()
    return Seen(tuple(_unescape(word) for word in _WORD.findall(rest)), client.decode(), int(database))


def _unescape(word: bytes) -> bytes:
    return _ESCAPE.sub(lambda match: _character(match[1]), word)


def _character(escape: bytes) -> bytes:
    return bytes.fromhex(escape[1:].decode()) if len(escape) == 3 else _LETTERS.get(escape, escape)
