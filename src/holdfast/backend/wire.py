"""One blocking connection that carries one exchange at a time.

redis-py opens it; we read and write its socket ourselves, because `Redis.get` spends 45 microseconds of Python on what
takes five: no probe read before a command, no recorder, no lock, one send and as few recvs as there are packets. After
any failure a wire is closed, never reused: a reply that nobody read must not answer the next command.
"""

from __future__ import annotations

import select
import socket
import ssl
import sys
from collections.abc import Sequence
from typing import Any, Protocol

import hiredis

from holdfast.backend.connections import INCOMPLETE, new_reader, pack, wait_in_kernel
from holdfast.backend.failures import WireBroken
from holdfast.commands import Command, Reply

_CHUNK = 65536


class Wire(Protocol):
    """What a pool lends to one caller at a time."""

    command: Command | None
    thread: int
    since: float
    generation: int

    def ask(self, command: Command) -> Reply:
        """Send one command and return its reply; an error reply is a value. Raises WireBroken."""
        ...

    def ask_all(self, commands: Sequence[Command]) -> list[Reply]:
        """Send commands together and return their replies. Raises WireBroken."""
        ...

    def is_stale(self) -> bool:
        """Say whether the other side has closed the connection, or sent something unasked."""
        ...

    def close(self) -> None:
        """Close it, without a word to the server."""
        ...


class SocketWire:
    """A wire over a socket that redis-py has connected."""

    __slots__ = ("_buffer", "_connection", "_poll", "_reader", "_sock", "_timeout", "command", "generation", "since",
                 "thread")  # fmt: skip

    def __init__(self, connection: Any, sock: socket.socket, timeout: float) -> None:
        self._connection = connection
        self._sock = sock
        self._reader = new_reader()
        self._buffer = memoryview(bytearray(_CHUNK))
        self._timeout = timeout
        self._poll: Any = None
        self.command: Command | None = None
        self.thread = 0
        self.since = 0.0
        self.generation = 0
        if not isinstance(sock, ssl.SSLSocket) and sys.platform != "win32":
            wait_in_kernel(sock, timeout)
        else:
            sock.settimeout(timeout)

    def ask(self, command: Command) -> Reply:
        """Send one command and return its reply; an error reply is a value."""
        if command.blocks is not None:
            self._allow(command.blocks)
        self._send(pack(command.words), whole=True)
        reply = self._reader.gets()
        while reply is INCOMPLETE:
            self._receive()
            reply = self._reader.gets()
            while type(reply) is hiredis.PushNotification:
                reply = self._reader.gets()
        return reply

    def ask_all(self, commands: Sequence[Command]) -> list[Reply]:
        """Send commands together and return their replies."""
        self._send(b"".join([pack(command.words) for command in commands]), whole=len(commands) == 1)
        replies: list[Reply] = []
        while len(replies) < len(commands):
            reply = self._reader.gets()
            if reply is INCOMPLETE:
                self._receive()
            elif type(reply) is not hiredis.PushNotification:
                replies.append(reply)
        return replies

    def _send(self, payload: bytes, *, whole: bool) -> None:
        try:
            self._sock.sendall(payload)
        except (BlockingIOError, TimeoutError) as error:
            raise WireBroken("timeout", sent=True) from error
        except OSError as error:
            # A command that did not leave whole cannot have been executed; of several, the first ones may have.
            raise WireBroken("lost", sent=not whole, detail=type(error).__name__) from error

    def _receive(self) -> None:
        try:
            count = self._sock.recv_into(self._buffer)
        except (BlockingIOError, TimeoutError) as error:
            raise WireBroken("timeout", sent=True) from error
        except OSError as error:
            raise WireBroken("lost", sent=True, detail=type(error).__name__) from error
        if not count:
            raise WireBroken("lost", sent=True, detail="end of stream")
        try:
            self._reader.feed(self._buffer, 0, count)
        except hiredis.HiredisError as error:
            raise WireBroken("lost", sent=True, detail="not the Redis protocol") from error

    def _allow(self, blocks: float) -> None:
        seconds = blocks + self._timeout if blocks else _DAY
        if isinstance(self._sock, ssl.SSLSocket) or sys.platform == "win32":
            self._sock.settimeout(seconds)
        else:
            wait_in_kernel(self._sock, seconds)

    def is_stale(self) -> bool:
        """Say whether the other side has closed the connection, or sent something unasked."""
        if not hasattr(select, "poll"):
            return bool(select.select([self._sock], [], [], 0)[0])
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self._sock, select.POLLIN | select.POLLHUP | select.POLLERR)
        return bool(self._poll.poll(0))

    def close(self) -> None:
        """Close the socket, without a word to the server; in a forked child the parent's stays open."""
        self._sock.close()
        self._connection._sock = None  # noqa: SLF001 - so that redis-py's finalizer finds nothing to shut down


_DAY = 86400.0
"""How long a command that blocks without limit may wait before its connection counts as dead."""
