"""The asyncio colour: one multiplexed connection to one server for each running loop.

An asyncio connection belongs to the loop that opened it. A link therefore keeps a seat a loop, and remembers the last
one it saw, since most programs have one. A loop that ends in good order closes its connections; those of a loop that
did not are let go when the next loop shows up, or when the link is closed.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from weakref import finalize

from holdfast.backend.abandon import abandon, keep
from holdfast.backend.connections import open_asyncio
from holdfast.backend.deadline import Deadline, held_back
from holdfast.backend.failures import WireBroken, too_late
from holdfast.backend.link import FindAddress, Verify
from holdfast.backend.multiplex import Multiplex
from holdfast.backend.together import at_once
from holdfast.backend.topology import Address, Topology
from holdfast.commands import Command, Reply


@dataclass(slots=True, eq=False)
class _Seat:
    """What a link has in one loop."""

    loop: asyncio.AbstractEventLoop
    connection: Multiplex | None = None
    """The one that takes commands."""
    opening: asyncio.Task[Multiplex] | None = None
    alive: set[Multiplex] = field(default_factory=set[Multiplex])
    """All that are not closed yet: this one, those that finish their work, those that wait on purpose."""
    attendant: AsyncGenerator[None, None] | None = None

    def add(self, connection: Multiplex) -> Multiplex:
        self.alive.add(connection)
        connection.closed.add_done_callback(lambda _: self.alive.discard(connection))
        return connection

    def attend(self) -> None:
        """Have the loop close the connections when it ends in good order, as `asyncio.run` ends one.

        Then it closes the asynchronous generators that were begun in it, and this is one.
        """

        async def until_the_end() -> AsyncGenerator[None, None]:
            try:
                yield
            finally:
                for connection in tuple(self.alive):
                    await connection.close()

        self.attendant = until_the_end()
        with suppress(StopIteration):
            self.attendant.__anext__().send(None)


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
        finalize(self, _let_go, self._seats)  # when nobody uses it any more, or the interpreter exits

    async def ask(self, command: Command, deadline: Deadline | None = None) -> Reply:
        """Send one command and return its reply. One that blocks on purpose gets a connection of its own."""
        if command.blocks is not None:
            return (await self._ask_apart((command,), held_back((command,)) or 0.0, deadline))[0]
        return await (self._current() or await self._connect(deadline)).ask(command, deadline)

    def begin(self, command: Command, deadline: Deadline | None) -> asyncio.Future[Reply] | None:
        """Send a command at once, and return what its reply comes to; None if `ask` has to see to it."""
        seat = self._last
        if seat is None or seat.connection is None or seat.loop is not asyncio.get_running_loop():
            return None
        return seat.connection.begin(command, deadline) if command.blocks is None else None

    async def ask_all(self, commands: Sequence[Command], deadline: Deadline | None = None) -> list[Reply]:
        """Send commands together and return their replies. If one blocks on purpose, all have its connection."""
        pause = held_back(commands)
        if pause is not None:
            return await self._ask_apart(commands, pause, deadline)
        return await (self._current() or await self._connect(deadline)).ask_all(commands, deadline)

    def _current(self) -> Multiplex | None:
        """Return the connection of the running loop if there is an open one."""
        seat = self._last
        if seat is None or seat.loop is not asyncio.get_running_loop():
            seat = self._take_seat()
        connection = seat.connection
        return connection if connection is not None and connection.is_open else None

    def _take_seat(self) -> _Seat:
        loop = asyncio.get_running_loop()
        forsaken: list[_Seat] = []
        with self._lock:
            if self._closed:
                raise WireBroken("closed", sent=False)
            seat = self._seats.get(loop)
            if seat is None:
                forsaken = [other for other in self._seats.values() if other.loop.is_closed()]
                for other in forsaken:
                    del self._seats[other.loop]
                seat = self._seats[loop] = _Seat(loop)
                seat.attend()
            self._last = seat
        for other in forsaken:
            _forsake(other)
        return seat

    async def _connect(self, deadline: Deadline | None) -> Multiplex:
        """Open the loop's connection, once for all who want it; a caller that leaves does not stop the opening."""
        seat = self._take_seat()
        if seat.opening is None:
            seat.opening = seat.loop.create_task(self._open(seat, self._topology.socket_timeout))
            seat.opening.add_done_callback(lambda task: _opened(seat, task))
        opening = seat.opening
        if deadline is not None:
            await _until(opening, deadline)
        return await asyncio.shield(opening)

    async def _open(self, seat: _Seat, patience: float) -> Multiplex:
        address = await self._find()
        connection = seat.add(Multiplex(*await open_asyncio(self._topology, address), patience))
        try:
            if self._verify is not None:
                await self._verify(connection.ask)
            if self._closed:
                raise WireBroken("closed", sent=False)
        except BaseException:
            connection.abort()
            raise
        return connection

    async def _ask_apart(self, commands: Sequence[Command], pause: float, deadline: Deadline | None) -> list[Reply]:
        opening = self._open(self._take_seat(), pause + self._topology.socket_timeout)
        connection = await (opening if deadline is None else _within(opening, deadline))
        try:
            return await connection.ask_all(commands, deadline)
        finally:
            connection.abort()

    def turn_away(self) -> None:
        """Nobody waits for a connection here but those who learn by themselves that it cannot be had."""

    def reset(self) -> None:
        """Let the connections finish what is under way, each in its own loop; the next command opens a new one."""
        for seat in self._all_seats():
            connection = seat.connection
            if connection is not None:
                _run_in(seat, connection.retire)

    async def aclose(self) -> None:
        """Close the connections of every loop; wait for those of the running one."""
        self.close()
        seat = self._seats.get(asyncio.get_running_loop())
        if seat is None:
            return
        if seat.opening is not None:
            await asyncio.wait([seat.opening])
        for connection in tuple(seat.alive):
            await connection.close()

    def close(self) -> None:
        """Close the connections of every loop, without waiting: each in its own, as soon as that runs."""
        with self._lock:
            self._closed = True
            self._last = None
            seats = dict(self._seats)
        _let_go(seats)

    def _all_seats(self) -> list[_Seat]:
        with self._lock:
            return list(self._seats.values())

    def after_fork(self) -> None:
        """In a child process: let go of the parent's connections."""
        self._last = None
        self._lock = threading.Lock()
        while self._seats:
            _, seat = self._seats.popitem()
            _forsake(seat)
            keep(seat.attendant)


async def _within(opening: Coroutine[Any, Any, Multiplex], deadline: Deadline) -> Multiplex:
    """Open a connection, or stop opening it if that takes too long."""
    since = time.monotonic()
    try:
        async with asyncio.timeout(max(0.0, deadline.left())):
            return await opening
    except TimeoutError:
        raise too_late(deadline, sent=False, fair=deadline.was_fair(since)) from None


async def _until(opening: asyncio.Task[Multiplex], deadline: Deadline) -> None:
    """Wait for a connection that is being opened; leave it alone if that takes too long."""
    since = time.monotonic()
    await asyncio.wait([opening], timeout=max(0.0, deadline.left()))
    if deadline.put_off_if_late() and not opening.done():  # the loop was busy, and opened nothing meanwhile
        await asyncio.wait([opening], timeout=deadline.left())
    if not opening.done():
        raise too_late(deadline, sent=False, fair=deadline.was_fair(since))


def _opened(seat: _Seat, task: asyncio.Task[Multiplex]) -> None:
    seat.opening = None
    if not task.cancelled() and task.exception() is None:
        seat.connection = task.result()


def _let_go(seats: dict[asyncio.AbstractEventLoop, _Seat]) -> None:
    """Close the connections of every loop: each in its own as soon as that runs, or here if it never will."""
    for seat in tuple(seats.values()):
        if seat.loop.is_closed():
            _forsake(seat)
        for connection in tuple(seat.alive):
            _run_in(seat, connection.abort)


def _run_in(seat: _Seat, close: Callable[[], None]) -> None:
    """Call what closes a connection in the seat's loop, whichever thread or loop this runs in."""
    try:
        running: object = asyncio.get_running_loop()
    except RuntimeError:
        running = None
    if seat.loop is running:
        close()
        return
    try:
        seat.loop.call_soon_threadsafe(close)
    except RuntimeError:  # it was closed meanwhile
        _forsake(seat)


def _forsake(seat: _Seat) -> None:
    """Close the sockets of a loop that cannot run any more."""
    while seat.alive:
        abandon(seat.alive.pop())
    seat.connection = None


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
            connection.abort()

    async def pause(self, seconds: float) -> None:
        """Let the task sleep."""
        await asyncio.sleep(seconds)

    together = staticmethod(at_once)
