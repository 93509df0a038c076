"""The blocking colour: a pool of wires to one server. Its coroutines never suspend."""

from __future__ import annotations

import time
from collections.abc import Sequence

from holdfast._calls import drive
from holdfast.backend.connections import open_blocking
from holdfast.backend.deadline import Deadline, held_back
from holdfast.backend.failures import WireBroken
from holdfast.backend.link import FindAddress, Verify
from holdfast.backend.opening import Opening
from holdfast.backend.pool import Pool
from holdfast.backend.together import in_turn
from holdfast.backend.topology import Address, Topology
from holdfast.backend.wire import SocketWire
from holdfast.commands import Command, Reply


class BlockingLink:
    """The way to one server for threads."""

    def __init__(self, topology: Topology, find: FindAddress, verify: Verify | None) -> None:
        self._topology = topology
        self._find = find
        self._verify = verify
        self._pool = Pool(self._open, topology.max_connections, topology.pool_timeout)
        self._apart: set[SocketWire] = set()
        self._closed = False

    async def ask(self, command: Command, deadline: Deadline | None = None) -> Reply:
        """Send one command and return its reply. One that blocks on purpose gets a connection of its own."""
        return self.ask_now(command, deadline)

    def ask_now(self, command: Command, deadline: Deadline | None = None) -> Reply:
        """Do what `ask` does, without a coroutine."""
        if command.blocks is not None:
            return self._ask_apart((command,), held_back((command,)) or 0.0, deadline)[0]
        return self._pool.ask(command, deadline)

    async def ask_all(self, commands: Sequence[Command], deadline: Deadline | None = None) -> list[Reply]:
        """Send commands together and return their replies. If one blocks on purpose, all have its connection."""
        pause = held_back(commands)
        if pause is not None:
            return self._ask_apart(commands, pause, deadline)
        return self._pool.ask_all(commands, deadline)

    def _open(self) -> SocketWire:
        address = drive(_result(self._find))
        wire = SocketWire(*open_blocking(self._topology, address), self._topology.socket_timeout)
        if self._verify is not None:
            drive(_verified(self._verify, wire))
        return wire

    def _ask_apart(self, commands: Sequence[Command], pause: float, deadline: Deadline | None) -> list[Reply]:
        if self._closed:
            raise WireBroken("closed", sent=False)
        wire = self._open() if deadline is None else Opening(self._open, SocketWire.close).wait(deadline)
        self._apart.add(wire)
        try:
            if self._closed:  # by another thread, which did not see this wire
                raise WireBroken("closed", sent=False)
            return wire.ask_all(commands, deadline, pause)
        except WireBroken as broken:
            if self._closed:
                raise WireBroken("closed", sent=broken.sent) from broken
            raise
        finally:
            self._apart.discard(wire)
            wire.close()

    def turn_away(self) -> None:
        """Refuse all who wait for a connection: the server does not answer."""
        self._pool.turn_away()

    def reset(self) -> None:
        """Forget every connection; those in use are closed when they come back."""
        self._pool.reset()

    async def aclose(self) -> None:
        """Close the pool, and end what blocks on purpose."""
        self.close()

    def close(self) -> None:
        """Close the pool, and end what blocks on purpose."""
        self._closed = True
        self._pool.close()
        for wire in tuple(self._apart):
            wire.interrupt()

    def after_fork(self) -> None:
        """In a child process: let go of the parent's sockets."""
        self._pool.after_fork()
        apart, self._apart = self._apart, set()
        for wire in apart:
            wire.close()


async def _result(find: FindAddress) -> Address | None:
    return await find()


async def _verified(verify: Verify, wire: SocketWire) -> None:
    async def ask(command: Command) -> Reply:
        return wire.ask(command)

    try:
        await verify(ask)
    except BaseException:
        wire.close()
        raise


class Blocking:
    """Blocking I/O."""

    def link(self, topology: Topology, find: FindAddress, verify: Verify | None = None) -> BlockingLink:
        """Return the way to the server that `find` names."""
        return BlockingLink(topology, find, verify)

    async def ask_once(self, topology: Topology, address: Address, command: Command) -> Reply:
        """Open a connection, ask one question, and close it."""
        wire = SocketWire(*open_blocking(topology, address), topology.socket_timeout)
        try:
            return wire.ask(command)
        finally:
            wire.close()

    async def pause(self, seconds: float) -> None:
        """Let the thread sleep."""
        time.sleep(seconds)  # noqa: ASYNC251 - this coroutine never runs on a loop

    together = staticmethod(in_turn)
