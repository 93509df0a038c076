"""One connection through the proxy, and the orders that all connections obey.

Everything here runs on the proxy's loop. Nothing waits: bytes that arrive are noted, and `Link.flush` passes on what
the orders allow. It is called again whenever bytes arrive, an order changes or a delay has passed.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

_RESET = struct.pack("ii", 1, 0)
"""The linger option that turns a close into a TCP reset."""
_ON_THE_WAY = 0.01
"""Seconds given to delivered bytes before a reset, which would overtake them."""


@dataclass(slots=True)
class Orders:
    """How the proxy behaves now."""

    delay: float = 0.0
    hold_requests: bool = False
    hold_replies: bool = False
    black: bool = False
    cut: int | None = None
    """How many more bytes of replies are delivered before a connection is cut; None: no cut is ordered."""
    cut_resets: bool = True


@dataclass(slots=True)
class Counters:
    """What has passed so far."""

    opened: int = 0
    open_now: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    held_up: int = 0
    held_down: int = 0
    swallowed: int = 0
    changed: Callable[[], None] = field(default=lambda: None)


class Link:
    """One client's connection to the server.

    A client that closes has its last requests passed on; a server that closes, its last replies.
    """

    def __init__(self, orders: Orders, counters: Counters) -> None:
        self.client = Side(self._requests_arrived, self._client_ended)
        self.server = Side(self._replies_arrived, self._server_ended)
        self.tainted = False
        """Whether bytes were swallowed, so that what follows would make no sense to either side."""
        self._orders = orders
        self._counters = counters
        self._loop = asyncio.get_running_loop()
        self._requests: deque[bytes] = deque()
        self._replies: deque[tuple[float, bytes]] = deque()
        self._cutting = False
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def is_over(self) -> bool:
        """Say whether both connections are gone."""
        return self.client.lost and (self.server.lost or self.server.transport is None)

    def flush(self) -> None:
        """Pass on what the orders allow now."""
        server, client = self.server.transport, self.client.transport
        if server and not self._cutting and not self._orders.hold_requests:
            self._pass_requests(server)
        if server and client and not self._cutting and not self._orders.hold_replies:
            self._pass_replies(server, client)
        self._counters.changed()

    def cut(self, *, reset: bool) -> None:
        """Close both sides now, whatever is still on its way."""
        self._cutting = True
        self._drop_all()
        for side in (self.client, self.server):
            side.close(reset=reset)
        self._counters.changed()

    def _pass_requests(self, server: asyncio.Transport) -> None:
        while self._requests:
            chunk = self._requests.popleft()
            self._counters.held_up -= len(chunk)
            if not self._swallows(chunk):
                self._counters.bytes_up += len(chunk)
                server.write(chunk)
        if self.client.ended and not server.is_closing():
            server.write_eof()  # not close: what the server has not read yet would be lost with it

    def _pass_replies(self, server: asyncio.Transport, client: asyncio.Transport) -> None:
        while self._replies and not self._cutting:
            due, chunk = self._replies[0]
            if due > self._loop.time():
                self._flush_at(due)
                return
            self._replies.popleft()
            self._counters.held_down -= len(chunk)
            if not self._swallows(chunk) and not client.is_closing():
                self._deliver(client, chunk)
        if self.server.ended and not self._cutting:
            client.close()
            server.close()

    def _flush_at(self, due: float) -> None:
        def ring() -> None:
            self._alarm = None
            self.flush()

        if self._alarm is None:
            self._alarm = self._loop.call_at(due, ring)

    def _deliver(self, client: asyncio.Transport, chunk: bytes) -> None:
        left, orders = self._orders.cut, self._orders
        part = chunk if left is None else chunk[:left]
        self._counters.bytes_down += len(part)
        client.write(part)
        if left is None:
            return
        orders.cut = left - len(part)
        if orders.cut == 0:
            orders.cut = None
            self._cutting = True
            self._loop.call_later(_ON_THE_WAY, lambda: self.cut(reset=orders.cut_resets))

    def _swallows(self, chunk: bytes) -> bool:
        if self._orders.black:
            self.tainted = True
            self._counters.swallowed += len(chunk)
        return self._orders.black

    def _requests_arrived(self, chunk: bytes) -> None:
        self._requests.append(chunk)
        self._counters.held_up += len(chunk)
        self.flush()

    def _replies_arrived(self, chunk: bytes) -> None:
        self._replies.append((self._loop.time() + self._orders.delay, chunk))
        self._counters.held_down += len(chunk)
        self.flush()

    def _client_ended(self) -> None:
        self._counters.open_now -= 1
        if self.tainted:
            self.cut(reset=True)
        self.flush()

    def _server_ended(self) -> None:
        self.flush()

    def _drop_all(self) -> None:
        self._counters.held_up -= sum(map(len, self._requests))
        self._counters.held_down -= sum(len(chunk) for _, chunk in self._replies)
        self._requests.clear()
        self._replies.clear()


class Side(asyncio.Protocol):
    """One end of a link: its transport, once there is one, and whether the peer has said that it is done."""

    def __init__(self, arrived: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        self.transport: asyncio.Transport | None = None
        self.ended = False
        self.lost = False
        """Whether the connection is gone, both directions."""
        self._arrived = arrived
        self._on_end = on_end

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._arrived(data)

    def eof_received(self) -> bool:
        self._end()
        return True  # the other direction stays open

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._end()

    def close(self, *, reset: bool) -> None:
        """Close this end, with a TCP reset or in good order."""
        if self.transport is None:
            return
        if not reset:
            self.transport.close()
            return
        connection: socket.socket = self.transport.get_extra_info("socket")
        if connection.fileno() >= 0:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def _end(self) -> None:
        if not self.ended:
            self.ended = True
            self._on_end()
