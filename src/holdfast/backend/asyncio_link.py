"""The asyncio colour: one multiplexed connection to one server for each running loop.

An asyncio connection belongs to the loop that opened it. A link therefore keeps one connection a loop, and remembers
the last loop it saw, since most programs have one. Connections of loops that were closed without a word to us are let
go when the next loop shows up, or when the link is closed.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from holdfast.backend.abandon import abandon
from holdfast.backend.connections import open_asyncio
from holdfast.backend.failures import WireBroken
from holdfast.backend.link import FindAddress, Verify
from holdfast.backend.multiplex import Multiplex
from holdfast.backend.url import Address, Topology
from holdfast.commands import Command, Reply

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Seat:
    """What a link has in one loop."""

    loop: asyncio.AbstractEventLoop
    connection: Multiplex | None = None
    opening: asyncio.Task[Multiplex] | None = None


class AsyncioLink:
    """The way to one server for tasks."""

    def __init__(self, topology: Topology, find: FindAddress, verify: Verify | None) -> None:
        self._topology = topology
        self._find = find
        self._verify = verify
        self._lock = threading.Lock()
        self._seats: dict[asyncio.AbstractEventLoop, _Seat] = {}
        self._last: _Seat | None = None
        self._closed = False

    async def ask(self, command: Command) -> Reply:
        """Send one command and return its reply. One that blocks on purpose gets a connection of its own."""
        if command.blocks is not None:
            return await self._ask_apart(command)
        return await (self._current() or await self._connect()).ask(command)

    async def ask_all(self, commands: Sequence[Command]) -> list[Reply]:
        """Send commands together and return their replies."""
        return await (self._current() or await self._connect()).ask_all(commands)

    def _current(self) -> Multiplex | None:
        """Return the connection of the running loop if there is an open one."""
        seat = self._last
        if seat is None or seat.loop is not asyncio.get_running_loop():
            seat = self._take_seat()
        connection = seat.connection
        return connection if connection is not None and connection.is_open else None

    def _take_seat(self) -> _Seat:
        loop = asyncio.get_running_loop()
        with self._lock:
            seat = self._seats.get(loop)
            if seat is None:
                forsaken = [other for other in self._seats.values() if other.loop.is_closed()]
                for other in forsaken:
                    del self._seats[other.loop]
                seat = self._seats[loop] = _Seat(loop)
            else:
                forsaken = []
            self._last = seat
        for other in forsaken:
            if other.connection is not None:
                abandon(other.connection)
        return seat

    async def _connect(self) -> Multiplex:
        """Open the loop's connection, once for all who want it; a cancelled caller does not stop the opening."""
        if self._closed:
            raise WireBroken("closed", sent=False)
        seat = self._take_seat()
        if seat.opening is None:
            seat.opening = seat.loop.create_task(self._open(self._topology.socket_timeout))
            seat.opening.add_done_callback(lambda task: self._opened(seat, task))
        return await asyncio.shield(seat.opening)

    def _opened(self, seat: _Seat, task: asyncio.Task[Multiplex]) -> None:
        seat.opening = None
        if not task.cancelled() and task.exception() is None:
            seat.connection = task.result()
            if self._closed:
                seat.connection.abort()

    async def _open(self, patience: float) -> Multiplex:
        address = await self._find()
        connection = Multiplex(*await open_asyncio(self._topology, address), patience)
        if self._verify is not None:
            try:
                await self._verify(connection.ask)
            except BaseException:
                connection.abort()
                raise
        return connection

    async def _ask_apart(self, command: Command) -> Reply:
        if self._closed:
            raise WireBroken("closed", sent=False)
        blocks = command.blocks or _DAY
        connection = await self._open(blocks + self._topology.socket_timeout)
        try:
            return await connection.ask(command)
        finally:
            connection.abort()

    def reset(self) -> None:
        """Forget every connection: each is closed in its own loop."""
        with self._lock:
            seats = list(self._seats.values())
        for seat in seats:
            _abort(seat)

    async def aclose(self) -> None:
        """Close the connections of every loop; wait for that of the running one."""
        self._closed = True
        seat = self._seats.pop(asyncio.get_running_loop(), None)
        if seat is not None:
            if seat.opening is not None:
                await asyncio.wait([seat.opening])
            if seat.connection is not None:
                await seat.connection.close()
        self.close()

    def close(self) -> None:
        """Close the connections of every loop, without waiting."""
        self._closed = True
        with self._lock:
            seats, self._seats, self._last = list(self._seats.values()), {}, None
        for seat in seats:
            _abort(seat)

    def after_fork(self) -> None:
        """In a child process: let go of the parent's connections."""
        seats, self._seats, self._last = list(self._seats.values()), {}, None
        self._lock = threading.Lock()
        for seat in seats:
            if seat.connection is not None:
                abandon(seat.connection)


def _abort(seat: _Seat) -> None:
    """Close a seat's connection, from whichever thread or loop this runs in."""
    connection = seat.connection
    if connection is None:
        return
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        running = None
    if seat.loop is running:
        connection.abort()
        return
    try:
        seat.loop.call_soon_threadsafe(connection.abort)
    except RuntimeError:  # that loop is closed
        abandon(connection)


class Asyncio:
    """I/O on the running asyncio loop."""

    def link(self, topology: Topology, find: FindAddress, verify: Verify | None = None) -> AsyncioLink:
        """Return the way to the server that `find` names."""
        return AsyncioLink(topology, find, verify)

    async def ask_once(self, topology: Topology, address: Address, command: Command) -> Reply:
        """Open a connection, ask one question, and close it."""
        connection = Multiplex(*await open_asyncio(topology, address), topology.socket_timeout)
        try:
            return await connection.ask(command)
        finally:
            await connection.close()

    async def pause(self, seconds: float) -> None:
        """Let the task sleep."""
        await asyncio.sleep(seconds)

    async def together(self, calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        """Run calls at once, wait for all, and raise the first error."""
        results = await asyncio.gather(*calls, return_exceptions=True)
        good: list[T] = []
        for result in results:
            if isinstance(result, BaseException):
                raise result
            good.append(result)
        return good


_DAY = 86400.0
"""How long a command that blocks without limit may wait before its connection counts as dead."""
