"""One blocking connection that carries one exchange at a time.

redis-py opens it; we read and write its socket ourselves, because `Redis.get` spends 45 microseconds of Python on what
takes five: no probe read before a command, no recorder, no lock, one send and as few recvs as there are packets. After
any failure a wire is closed, never reused: a reply that nobody read must not answer the next command.

A time-out of the kernel costs a system call to change. So one that is too short for a command is left as it is: when it
has passed the rest is waited for.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
from collections.abc import Sequence
from typing import Any, Final, Protocol
from weakref import finalize

import hiredis

from holdfast.backend.connections import (
    INCOMPLETE,
    new_reader,
    pack,
    pack_command,
    receive_within,
    wait_in_kernel,
    watch,
)
from holdfast.backend.deadline import Deadline
from holdfast.backend.failures import WireBroken, too_late
from holdfast.commands import Command, Reply

_CHUNK: Final = 65536
_FITS: Final = 4096
"""Bytes that an idle socket takes at once, whatever the other side does."""
_LOOK: Final = 0.001
"""Seconds to read what is there; all zeros would mean for ever to the kernel."""
SPOILT: Final = -1
"""The generation of a wire that must not be used again."""


class Wire(Protocol):
    """What a pool lends to one caller at a time."""

    command: Command | None
    thread: int
    since: float
    """When it was last lent; 0 for one that is fresh."""
    generation: int

    def ask(self, command: Command, deadline: Deadline | None = None) -> Reply:
        """Send one command and return its reply; an error reply is a value. Raises WireBroken."""
        ...

    def ask_all(self, commands: Sequence[Command], deadline: Deadline | None = None) -> list[Reply]:
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

    __slots__ = ("__weakref__", "_buffer", "_close", "_has_arrived", "_in_kernel", "_reader", "_sock", "_timeout",
                 "_waits", "command", "generation", "since", "thread")  # fmt: skip

    def __init__(self, connection: Any, sock: socket.socket, timeout: float) -> None:
        # Also closes a wire that Ctrl-C made its borrower forget, and those that are left when the interpreter exits.
        self._close = finalize(self, _close, connection, sock)
        self._sock = sock
        self._reader = new_reader()
        self._buffer = memoryview(bytearray(_CHUNK))
        self._timeout = timeout
        self.command: Command | None = None
        self.thread = 0
        self.since = 0.0
        self.generation = 0
        self._in_kernel = not (isinstance(sock, ssl.SSLSocket) or sys.platform == "win32")
        self._has_arrived = watch(sock)
        self._waits = timeout
        """Seconds that a recv waits as the socket is set now."""
        if self._in_kernel:
            wait_in_kernel(sock, timeout)
        else:
            sock.settimeout(timeout)

    def ask(self, command: Command, deadline: Deadline | None = None) -> Reply:
        """Send one command and return its reply; an error reply is a value."""
        self._send(pack_command(command), deadline, whole=True)
        reply = INCOMPLETE
        while reply is INCOMPLETE:
            self._receive(self._timeout, deadline)
            reply = self._next()
        if self._reader.has_data():
            self._drop_rest()
        return reply

    def ask_all(
        self, commands: Sequence[Command], deadline: Deadline | None = None, held_back: float = 0.0
    ) -> list[Reply]:
        """Send commands together and return their replies.

        Args:
            commands: what to send.
            deadline: of the caller.
            held_back: for how many seconds the server may hold replies back on purpose.
        """
        self._send(b"".join([pack(command.words) for command in commands]), deadline, whole=len(commands) == 1)
        replies: list[Reply] = []
        while len(replies) < len(commands):
            reply = self._next()
            if reply is INCOMPLETE:
                self._receive(self._timeout + held_back, deadline)
            else:
                replies.append(reply)
        if self._reader.has_data():
            self._drop_rest()
        return replies

    def _next(self) -> Reply:
        """Return the next complete reply, past what the server pushes unasked."""
        try:
            reply = self._reader.gets()
            while type(reply) is hiredis.PushNotification:
                reply = self._reader.gets()
        except hiredis.HiredisError as error:
            raise WireBroken("lost", sent=True, detail="not the Redis protocol") from error
        return reply

    def _drop_rest(self) -> None:
        """Let only push messages go by: after a reply that nobody asked for the wire is out of step."""
        with contextlib.suppress(WireBroken):
            if self._next() is INCOMPLETE and not self._reader.has_data():
                return
        self.generation = SPOILT

    def _send(self, payload: bytes, deadline: Deadline | None, *, whole: bool) -> None:
        if not self._in_kernel and self._waits != self._timeout:
            self._wait_for(self._timeout)
        try:
            if deadline is None or len(payload) <= _FITS:
                self._sock.sendall(payload)
            else:
                self._send_within(deadline.cap(self._timeout), payload)
        except (BlockingIOError, TimeoutError) as error:
            raise self._out_of_time(deadline) from error
        except OSError as error:
            # A command that did not leave whole cannot have been executed; of several, the first ones may have.
            raise WireBroken("lost", sent=not whole, detail=type(error).__name__) from error

    def _send_within(self, seconds: float, payload: bytes) -> None:
        self._sock.settimeout(seconds)
        self._sock.sendall(payload)
        self._sock.settimeout(None if self._in_kernel else self._waits)

    def _receive(self, patience: float, deadline: Deadline | None) -> None:
        if deadline is not None:
            patience = deadline.cap(patience)
        if patience < self._waits or not self._in_kernel:
            self._wait_for(patience)
        try:
            count = self._sock.recv_into(self._buffer)
        except (BlockingIOError, TimeoutError) as error:
            rest = patience - self._waits
            if rest > 0:
                self._wait_for(rest)
            elif not self._has_arrived():  # this thread may have woken long after its time-out, the reply being there
                raise self._out_of_time(deadline) from error
            self._receive(max(rest, _LOOK), deadline)
            return
        except OSError as error:
            raise WireBroken("lost", sent=True, detail=type(error).__name__) from error
        if not count:
            raise WireBroken("lost", sent=True, detail="end of stream")
        self._reader.feed(self._buffer, 0, count)

    def _wait_for(self, seconds: float) -> None:
        """Set how long a recv waits, and where the kernel does not keep the time-outs, a send as well."""
        if seconds == self._waits:
            return
        self._waits = seconds
        if self._in_kernel:
            receive_within(self._sock, seconds)
        else:
            self._sock.settimeout(seconds)

    def _out_of_time(self, deadline: Deadline | None) -> WireBroken:
        if deadline is None or not deadline.is_over():
            return WireBroken("timeout", sent=True)
        return too_late(deadline, sent=True, fair=deadline.was_fair(self.since))

    def is_stale(self) -> bool:
        """Say whether the other side has closed the connection, or sent something unasked."""
        return bool(self._has_arrived())

    def interrupt(self) -> None:
        """Make a thread that waits for a reply here find the connection lost."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket, without a word to the server; in a forked child the parent's stays open."""
        self._close()


def _close(connection: Any, sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.close()
    connection._sock = None  # noqa: SLF001 - so that redis-py's finalizer finds nothing to shut down
