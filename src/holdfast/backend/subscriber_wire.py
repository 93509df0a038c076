"""The connection of a subscriber: what is sent never waits, what arrives is collected by one thread.

The socket does not block. Whoever subscribes sends at once, in his own thread; what the kernel does not take is kept,
and the reading thread sends the rest as soon as there is room. A TLS socket must not be used by two threads at once, so
there the reading thread does all the sending. The owner sees to it that `send`, `flush` and `close` do not overlap.
"""

from __future__ import annotations

import contextlib
import select
import selectors
import socket
import ssl
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import Any, Final, Protocol

import redis.exceptions
from hiredis import HiredisError, ReplyError

from holdfast.backend.connections import INCOMPLETE, new_reader, pack
from holdfast.backend.embedded import open_client
from holdfast.backend.failures import WireBroken
from holdfast.commands import Command, Reply, Word

_CHUNK: Final = 65536
_Selector: Final = selectors.PollSelector if hasattr(select, "poll") else selectors.SelectSelector
"""One without a file of its own, which a forked child would share with its parent."""
_NOT_NOW: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class NewsWire(Protocol):
    """A connection over which the server speaks on its own."""

    can_track: bool
    """Whether it may be asked for CLIENT TRACKING: it speaks RESP3."""

    @property
    def is_full(self) -> bool:
        """Whether something is left to `flush`."""
        ...

    def send(self, commands: Sequence[tuple[Word, ...]]) -> None:
        """Send commands, as far as that goes without waiting. A broken connection shows when receiving."""
        ...

    def flush(self) -> None:
        """Send what is left."""
        ...

    def receive(self, patience: float) -> list[Reply]:
        """Return what has arrived; nothing after `patience` seconds, or when woken.

        Raises:
            WireBroken: the connection is lost.
        """
        ...

    def wake(self) -> None:
        """Let `receive` return, from any thread, even out of a finalizer."""
        ...

    def close(self) -> None:
        """Close it, without a word to the server."""
        ...


class SocketNews:
    """A connection that redis-py has opened."""

    can_track = False

    def __init__(self, connection: Any, sock: socket.socket) -> None:
        self._connection = connection
        self._sock = sock
        self._reader = new_reader()
        self._unsent = bytearray()
        self._is_tls = isinstance(sock, ssl.SSLSocket)
        self._selector = _Selector()
        self._rope, self._bell = socket.socketpair()

    def ask(self, command: Command) -> Reply:
        """Exchange one command, waiting for its reply; only before `go_live`. Raises WireBroken."""
        try:
            self._sock.sendall(pack(command.words))
            while (reply := self._next()) is INCOMPLETE:
                self._feed(self._sock.recv(_CHUNK))
        except (TimeoutError, BlockingIOError) as error:
            raise WireBroken("timeout", sent=True) from error
        except OSError as error:
            raise WireBroken("lost", sent=True, detail=type(error).__name__) from error
        return reply

    def go_live(self) -> None:
        """Stop to block: from now on the server speaks when it likes."""
        for sock in (self._sock, self._rope, self._bell):
            sock.setblocking(False)
        self._selector.register(self._sock, selectors.EVENT_READ)
        self._selector.register(self._bell, selectors.EVENT_READ)

    @property
    def is_full(self) -> bool:
        """Whether something is left to `flush`."""
        return bool(self._unsent)

    def send(self, commands: Sequence[tuple[Word, ...]]) -> None:
        """Send commands, as far as the kernel takes them."""
        self._unsent += b"".join([pack(words) for words in commands])
        if not self._is_tls:
            self.flush()
        if self._unsent:
            self.wake()

    def flush(self) -> None:
        """Send what is left, as far as the kernel takes it."""
        try:
            while self._unsent:
                del self._unsent[: self._sock.send(self._unsent)]
        except _NOT_NOW:
            return
        except OSError:  # the reader finds out why
            self._unsent.clear()

    def receive(self, patience: float) -> list[Reply]:
        """Return what has arrived; nothing after `patience` seconds, or when woken, or when there is room to send."""
        interest = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
        try:
            self._selector.modify(self._sock, interest)
            ready = {key.fileobj for key, events in self._selector.select(patience) if events & selectors.EVENT_READ}
            if self._bell in ready:
                with contextlib.suppress(BlockingIOError):
                    self._bell.recv(_CHUNK)
            if self._sock in ready:
                self._receive()
        except (OSError, ValueError, KeyError) as error:
            raise WireBroken("lost", sent=True, detail=type(error).__name__) from error
        replies: list[Reply] = []
        while (reply := self._next()) is not INCOMPLETE:
            replies.append(reply)
        return replies

    def _receive(self) -> None:
        with contextlib.suppress(*_NOT_NOW):
            while True:
                data = self._sock.recv(_CHUNK)
                self._feed(data)
                if not isinstance(self._sock, ssl.SSLSocket) or not self._sock.pending():
                    return

    def _feed(self, data: bytes) -> None:
        if not data:
            raise WireBroken("lost", sent=True, detail="end of stream")
        self._reader.feed(data)

    def _next(self) -> Reply:
        try:
            return self._reader.gets()
        except HiredisError as error:
            raise WireBroken("lost", sent=True, detail="not the Redis protocol") from error

    def wake(self) -> None:
        """Let `receive` return."""
        with contextlib.suppress(OSError):  # full: it will wake; closed: it is awake
            self._rope.send(b"!")

    def close(self) -> None:
        """Close the sockets, without a word to the server; in a forked child the parent's stay open."""
        self._selector.close()
        for sock in (self._sock, self._rope, self._bell):
            with contextlib.suppress(OSError):
                sock.close()
        self._connection._sock = None  # noqa: SLF001 - so that redis-py's finalizer finds nothing to shut down


class EmbeddedNews:
    """A connection to the embedded server called `name`, which answers in the sender's thread."""

    can_track = False
    is_full = False

    def __init__(self, name: str) -> None:
        self._client = open_client(name)
        self._connection = self._client.connection_pool.make_connection()
        self._connection.connect()
        # Its own queue may not be filled out of a finalizer, and waiting there cannot be interrupted.
        self._news: SimpleQueue[Any] = SimpleQueue()
        self._connection._sock.responses = self._news  # noqa: SLF001 - the one way to its pushes in time

    def send(self, commands: Sequence[tuple[Word, ...]]) -> None:
        """Have commands executed."""
        for words in commands:
            with contextlib.suppress(redis.exceptions.RedisError):
                self._connection.send_command(*words, check_health=False)

    def flush(self) -> None:
        """Nothing is ever left."""

    def receive(self, patience: float) -> list[Reply]:
        """Return what has arrived; nothing after `patience` seconds, or when woken."""
        replies: list[Reply] = []
        with contextlib.suppress(Empty):
            replies.append(self._news.get(timeout=patience))
            while True:
                replies.append(self._news.get_nowait())
        return [
            ReplyError(str(reply)) if isinstance(reply, Exception) else reply for reply in replies if reply is not None
        ]

    def wake(self) -> None:
        """Let `receive` return."""
        self._news.put(None)

    def close(self) -> None:
        """Leave the server."""
        self._connection.disconnect()
        self._client.close()
