"""The seam between colours inside the backend.

Finding a primary, following a cluster and re-sending are written once, as `async def`, over these protocols. On the
blocking side nothing suspends, so `drive` runs it without a loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from holdfast.backend.deadline import Deadline
from holdfast.backend.topology import Address, Topology
from holdfast.commands import Command, Reply

T = TypeVar("T")

FindAddress = Callable[[], Awaitable[Address | None]]
"""Says where to connect to; asked anew for every connection, so that a failover is followed. None for a socket path."""
Ask = Callable[[Command], Awaitable[Reply]]
Verify = Callable[[Ask], Awaitable[None]]
"""Looks at a connection that has just been opened; raises WireBroken if it leads to the wrong server."""


class Link(Protocol):
    """The way to one server, in one colour. An error reply is a value; a broken connection raises WireBroken."""

    async def ask(self, command: Command, deadline: Deadline | None = None) -> Reply:
        """Send one command and return its reply; once the deadline is over, raise and send nothing."""
        ...

    async def ask_all(self, commands: Sequence[Command], deadline: Deadline | None = None) -> list[Reply]:
        """Send commands together and return their replies."""
        ...

    def reset(self) -> None:
        """Forget every connection: what is under way is finished, the next command opens a new one."""
        ...

    def turn_away(self) -> None:
        """Refuse those who wait for a connection, since the server does not answer."""
        ...

    async def aclose(self) -> None:
        """Close every connection that this colour can close, and return when it is done."""
        ...

    def close(self) -> None:
        """Close every connection, without waiting."""
        ...

    def after_fork(self) -> None:
        """In a child process: let go of the parent's connections without a word to the server."""
        ...


class Colour(Protocol):
    """How blocking or asyncio code does I/O."""

    def link(self, topology: Topology, find: FindAddress, verify: Verify | None = None) -> Link:
        """Return the way to the server that `find` names. Nothing is opened yet."""
        ...

    async def ask_once(self, topology: Topology, address: Address, command: Command) -> Reply:
        """Open a connection, ask one question, and close it."""
        ...

    async def pause(self, seconds: float) -> None:
        """Wait."""
        ...

    async def together(self, calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        """Run calls, at once where the colour can, and return their results in order; raise the first error."""
        ...
