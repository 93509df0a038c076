"""The load: connections that are kept alive, each with one request under way, from this process to a server's.

The client does as little as it can for a request (one search, two comparisons, one write), so that the server is what
limits. An answer of another status or length than the first one ends the slice: it would be another contest.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Final

from bench_frame import Slice

HOST: Final = "127.0.0.1"
PATIENCE: Final = 20.0
"""Seconds that answers may be late."""
_END: Final = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Asking:
    """What is asked: the same each time, or with a query that was never asked before."""

    path: str
    method: str = "GET"
    fields: tuple[tuple[str, str], ...] = ()
    anew: bool = False
    """Whether each request has a query of its own."""

    def request(self, port: int, number: int) -> bytes:
        """Return a request as it goes over the wire."""
        lines = [f"{self.method} {self.target(number)} HTTP/1.1", f"Host: {HOST}:{port}", "Accept: */*"]
        lines += [f"{name}: {value}" for name, value in self.fields]
        lines += ["Content-Length: 0"] * (self.method == "POST")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def target(self, number: int) -> str:
        """Return what stands in the request line."""
        return f"{self.path}?q={number:010}" if self.anew else self.path


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer."""

    status: int
    fields: dict[str, str]
    """By lower-case names."""
    body: bytes


def ask(port: int, asking: Asking, number: int = 0, client: str = HOST) -> Answer:
    """Ask once, on a connection of its own, from this address."""
    connection = HTTPConnection(HOST, port, timeout=PATIENCE, source_address=(client, 0))
    try:
        connection.request(asking.method, asking.target(number), headers=dict(asking.fields))
        response = connection.getresponse()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, fields, response.read())
    finally:
        connection.close()


@dataclass(slots=True)
class Crowd:
    """All connections of one slice."""

    next_request: Callable[[], bytes]
    status: bytes
    """With what an answer begins."""
    length: int
    """Bytes of an answer's body."""
    members: list[_Member] = field(default_factory=list["_Member"])
    answers: int = 0
    waiting: int = 0
    """Answers that are still to come before all connections rest."""
    deadline: float = 0.0
    rested: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None

    def end(self, error: Exception | None = None) -> None:
        """Note that one connection rests, or that the slice has failed."""
        self.error = self.error or error
        self.waiting -= 1
        if self.error is not None or not self.waiting:
            self.rested.set()

    async def go(self, seconds: float) -> None:
        """Let each connection ask one request after the other, and return when all have their last answer."""
        self.deadline = time.perf_counter() + seconds
        self.waiting = len(self.members)
        self.rested.clear()
        for member in self.members:
            member.ask()
        async with asyncio.timeout(seconds + PATIENCE):
            await self.rested.wait()
        if self.error is not None:
            raise self.error


class _Member(asyncio.Protocol):
    """One connection."""

    __slots__ = ("_crowd", "_held", "_transport", "last")

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._held = b""
        self._transport: asyncio.Transport | None = None
        self.last = b""
        """The body of the last answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._crowd.members.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._crowd.end(exc or ConnectionError("the server closed a connection"))

    def ask(self) -> None:
        if self._transport is not None:
            self._transport.write(self._crowd.next_request())

    def close(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()

    def data_received(self, data: bytes) -> None:
        crowd = self._crowd
        if self._held:
            data = self._held + data
        head = data.find(_END) + len(_END)
        missing = head + crowd.length - len(data)
        if head < len(_END) or missing > 0:
            self._held = data
            return
        self._held = b""
        if missing or not data.startswith(crowd.status):
            crowd.end(ValueError(f"not the answer that came first: {data[:200]!r}"))
            return
        crowd.answers += 1
        if time.perf_counter() < crowd.deadline:
            self.ask()
        else:
            self.last = data[head:]
            crowd.end()


@dataclass(frozen=True, slots=True)
class Turn:
    """What one slice brought."""

    slice: Slice
    answers: int
    """All of them, those before the clock included."""
    bodies: frozenset[bytes]
    """Of the last answer of each connection."""


async def take_turn(
    port: int,
    first: Answer,
    next_request: Callable[[], bytes],
    connections: int,
    seconds: float,
    cpu_seconds: Callable[[], float],
    clients: Sequence[str] = (HOST,),
) -> Turn:
    """Load a server for about so many seconds.

    Args:
        port: where it listens.
        first: an answer that all others must be like.
        next_request: makes the next request.
        connections: how many are open, each with one request under way.
        seconds: how long to go on.
        cpu_seconds: processor time that the server has used so far.
        clients: addresses that the connections come from, in turn.

    Raises:
        ValueError: an answer was unlike the first, or comes in chunks, whose end is dear to see.
        TimeoutError: an answer did not come.
        OSError: the server closed a connection.
    """
    if "transfer-encoding" in first.fields:
        msg = "the answer comes in chunks"
        raise ValueError(msg)
    crowd = Crowd(next_request, f"HTTP/1.1 {first.status} ".encode(), len(first.body))
    loop = asyncio.get_running_loop()
    try:
        for number in range(connections):
            source = (clients[number % len(clients)], 0)
            await loop.create_connection(lambda: _Member(crowd), HOST, port, local_addr=source)
        await crowd.go(0)  # every connection is known to the server from now on
        before, crowd.answers = crowd.answers, 0
        cpu, wall = cpu_seconds(), time.perf_counter()
        await crowd.go(seconds)
        done = Slice(crowd.answers, time.perf_counter() - wall, cpu_seconds() - cpu)
    finally:
        for member in crowd.members:
            member.close()
        await asyncio.sleep(0)
    return Turn(done, before + done.operations, frozenset(member.last for member in crowd.members))
