"""Locks over several servers, below what users see, with a hand on every command."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from typing import Any

from holdfast.commands import Command, Reply
from holdfast.core.records import Recorder
from holdfast.core.red_votes import Grant, Node, Refusal
from holdfast.core.redlocking import Redlocking
from holdfast.policy.names import Names
from support.backends import opened
from support.colours import Colour
from support.programs import oldest
from support.standalone import Standalone

NOBODY = "redis://127.0.0.1:1"
"""Where no server is: whoever connects is refused."""


class Client:
    """One who wants a lock over several servers."""

    def __init__(self, colour: Colour, ports: Sequence[Any], namespace: str) -> None:
        self.colour = colour
        self.names = Names(namespace)
        self.sent: list[tuple[str, int]] = []
        """The names of commands, with the number of the server."""
        self.ahead = 0.0
        """Seconds by which its clock is ahead."""
        self.hook: Callable[[str, int], object] = lambda point, server: None
        """Is told of each instant: ``"take"`` is before that is sent, ``"take!"`` before its reply is heard.

        If it returns True the command stops there, until it is cancelled. Of what is given back in the background it
        hears only if that is of the last try.
        """
        self.member = ""
        """Who has tried last."""
        unused: Any = None
        taps: list[Any] = [_Tap(port, self, number) for number, port in enumerate(ports)]
        nodes = [Node(unused, tap, self.names) if colour.is_async else Node(tap, unused, self.names) for tap in taps]
        self.recorder = Recorder()
        self.tally = self.recorder.tally("lock")
        self.core = Redlocking(self.recorder, nodes)
        self.port = taps[0]

    def port_of(self, node: Node) -> Any:
        """Return the port of a server in this colour."""
        return node.asyncio if self.colour.is_async else node.blocking

    async def take(self, lease: float = 10.0, name: str = "n") -> Grant | Refusal:
        """Try once to take the lock."""
        self.member = self.port.token()
        return await self.core.try_take(self.port_of, name, self.member, lease, self.tally)

    async def taken(self, lease: float = 10.0) -> Grant:
        """Take the lock, which is free."""
        found = await self.take(lease)
        assert isinstance(found, Grant), found
        return found

    async def refused(self, lease: float = 10.0) -> Refusal:
        """Check that the lock cannot be had now."""
        found = await self.take(lease)
        assert isinstance(found, Refusal), found
        return found

    async def keep(self, grant: Grant, lease: float = 10.0) -> float | None:
        """Renew a lock."""
        return await self.core.keep(self.port_of, grant, lease, self.tally)

    async def leave(self, grant: Grant) -> bool:
        """Give a lock back."""
        return await self.core.leave(self.port_of, grant, self.tally)

    async def is_held(self) -> bool:
        """Say whether somebody holds the lock."""
        return await self.core.is_held(self.port_of, "n", self.tally)

    def left(self, servers: Sequence[Standalone]) -> list[bytes | None]:
        """Return who holds the lock on each of some servers."""
        held = self.names.lock("lock", "n").held
        found: list[bytes | None] = [server.client.get(held) for server in servers]
        return found

    async def come(self, point: str, server: int, command: Command) -> None:
        """Tell of an instant."""
        if self.member in command.words and self.hook(point, server):
            await asyncio.Event().wait()


class _Tap:
    """A port that tells of each command."""

    def __init__(self, port: Any, client: Client, server: int) -> None:
        self._port = port
        self._client = client
        self._server = server

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    async def call(self, command: Command) -> Reply:
        name = command.name
        await self._client.come(name, self._server, command)
        self._client.sent.append((name, self._server))
        reply = await self._port.call(command)
        await self._client.come(f"{name}!", self._server, command)
        return reply

    def monotonic(self) -> float:
        now: float = self._port.monotonic()
        return now + self._client.ahead


@asynccontextmanager
async def client(colour: Colour, urls: Sequence[str], namespace: str) -> AsyncIterator[Client]:
    """Open the ways to several servers for a block."""
    async with AsyncExitStack() as stack:
        backends = [await stack.enter_async_context(opened(colour, url)) for url in urls]
        yield Client(colour, [each.port for each in backends], namespace)


@contextmanager
def several(count: int = 5) -> Iterator[list[Standalone]]:
    """Start independent servers for a block."""
    with ExitStack() as stack:
        yield [stack.enter_context(Standalone(oldest(), name=f"{each} of {count}")) for each in range(count)]
