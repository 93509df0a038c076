"""Scenarios on a multiplexed connection to a scripted server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from holdfast.backend.connections import open_asyncio
from holdfast.backend.multiplex import Multiplex
from holdfast.backend.url import parse
from support.colours import Colour
from unit.backend.scripted import Peer, Scripted, scripted

ASYNC = Colour("async")


@asynccontextmanager
async def connected(server: Scripted, options: str = "") -> AsyncIterator[tuple[Multiplex, Peer]]:
    """Connect for a block; give the connection and the server's end of it."""
    topology = parse(f"{server.url}{options}")
    connection = Multiplex(*await open_asyncio(topology, topology.addresses[0]), topology.socket_timeout)
    await ASYNC.until(lambda: server.peers, "the server sees it")
    try:
        yield connection, server.peers[-1]
    finally:
        await connection.close()


def against(scenario: Callable[[Multiplex, Peer], Any], options: str = "", receive_buffer: int = 0) -> None:
    """Run a scenario on a connection to a scripted server."""

    async def run(server: Scripted) -> None:
        async with connected(server, options) as (connection, peer):
            await scenario(connection, peer)

    with scripted(receive_buffer) as server:
        asyncio.run(run(server))


async def heard(peer: Peer, count: int) -> None:
    """Wait until the server has heard that many commands."""
    await ASYNC.until(lambda: len(peer.heard) >= count, f"{count} commands are heard")
