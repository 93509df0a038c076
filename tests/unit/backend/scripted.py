"""A server whose every byte the test decides: it collects what clients send, and sends what it is told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import hiredis

from support.waiting import until

_HANDSHAKE: Final = {b"CLIENT": b"+OK\r\n", b"AUTH": b"+OK\r\n", b"SELECT": b"+OK\r\n"}


class Peer:
    """One client's connection. `heard` are its commands after redis-py's greeting, `reads` how many recvs they took."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._may_read = threading.Event()
        self._may_read.set()
        self.heard: list[list[bytes]] = []
        self.chunks: list[bytes] = []
        self.gone = False
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        reader = hiredis.Reader()
        while True:
            self._may_read.wait()
            try:
                data = self._sock.recv(1 << 20)
            except OSError:
                data = b""
            if not data:
                self.gone = True
                return
            reader.feed(data)
            news = 0
            while (command := reader.gets()) is not False:
                if command[0] in _HANDSHAKE:
                    self._sock.sendall(_HANDSHAKE[command[0]])
                else:
                    self.heard.append(command)
                    news += 1
            if news or len(data) > 1000:
                self.chunks.append(data)

    def say(self, data: bytes) -> None:
        """Send bytes."""
        self._sock.sendall(data)

    def stop_reading(self) -> None:
        """Leave what the client sends in the kernel; one more recv may already be under way."""
        self._may_read.clear()

    def read_on(self) -> None:
        """Read again."""
        self._may_read.set()

    def has_heard(self, count: int) -> None:
        """Wait until that many commands have come in."""
        until(lambda: len(self.heard) >= count, f"{count} commands are heard")

    def reset(self) -> None:
        """Break the connection with a RST."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.close()

    def close(self) -> None:
        """End the connection."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()


class Scripted:
    """A listening server. `peers` are its clients in the order in which they came."""

    def __init__(self, receive_buffer: int = 0) -> None:
        self._listener = socket.socket()
        if receive_buffer:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(128)
        self.port = int(self._listener.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}"
        self.peers: list[Peer] = []
        self._closed = False
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self._closed:
                sock.close()
                return
            self.peers.append(Peer(sock))

    def peer(self, index: int = 0) -> Peer:
        """Return a client's connection, when it is there."""
        until(lambda: len(self.peers) > index, f"client {index} connects")
        return self.peers[index]

    def close(self) -> None:
        """End everything."""
        self._closed = True
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join()
        self._listener.close()
        for peer in self.peers:
            peer.close()


@contextmanager
def scripted(receive_buffer: int = 0) -> Iterator[Scripted]:
    """Run a scripted server for a block."""
    server = Scripted(receive_buffer)
    try:
        yield server
    finally:
        server.close()
