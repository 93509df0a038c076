"""The owner of all connections of a layer: topology in, two ports out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from holdfast import _forks
from holdfast.backend.asyncio_link import Asyncio
from holdfast.backend.blocking_link import Blocking
from holdfast.backend.breaker import Breaker
from holdfast.backend.cluster import Cluster
from holdfast.backend.connections import check_options
from holdfast.backend.embedded import EmbeddedLink
from holdfast.backend.link import Colour, Link
from holdfast.backend.ports import AsyncioPort, BlockingPort
from holdfast.backend.router import Direct, Router
from holdfast.backend.sentinel import Primary
from holdfast.backend.server import Emit, Server
from holdfast.backend.topology import Address
from holdfast.backend.url import parse


class Backend:
    """Connections to one Redis, pooled for threads and multiplexed for tasks. Opens nothing until it is used.

    Connections that are forgotten without being closed are closed when they are collected, or at the latest when the
    interpreter exits.
    """

    def __init__(self, url: str, emit: Emit, **connection: Any) -> None:
        """Set up the way to Redis.

        Args:
            url: where it is; the forms are in `holdfast.backend.url`.
            emit: receives the events of the circuit breakers.
            connection: more keyword arguments for redis-py's connection classes, such as ``credential_provider``.

        Raises:
            ConfigurationError: a part of the URL cannot be understood.
        """
        self.topology = parse(url, connection)
        if self.topology.kind != "memory":
            check_options(self.topology)
        self._emit = emit
        self._breakers: dict[str, Breaker] = {}
        self._links: list[Link] = []
        self._blocking = self._route(Blocking())
        self._asyncio = self._route(Asyncio())
        self.blocking = BlockingPort(self._blocking)
        self.asyncio = AsyncioPort(self._asyncio)
        _forks.watch(self)

    def _route(self, colour: Colour) -> Router:
        topology = self.topology
        if topology.kind == "cluster":
            return Cluster(topology, colour, partial(self._node, colour))
        link: Link
        if topology.kind == "memory":
            link = EmbeddedLink(topology.name, colour)
        elif topology.kind == "sentinel":
            primary = Primary(topology, colour)
            link = colour.link(topology, primary.find, primary.verify)
        else:
            link = colour.link(topology, _always(topology.addresses[0] if topology.addresses else None))
        return Direct(self._server(link, str(topology)))

    def _node(self, colour: Colour, address: Address) -> Server:
        return self._server(colour.link(self.topology, _always(address)), f"{address[0]}:{address[1]}")

    def _server(self, link: Link, name: str) -> Server:
        self._links.append(link)
        return Server(link, self._breakers.setdefault(name, Breaker()), name, self._emit)

    def close(self) -> None:
        """Close every connection. Asyncio connections are closed in their loops as soon as these run."""
        for link in tuple(self._links):
            link.close()

    async def aclose(self) -> None:
        """Close every connection, and wait for those of the running loop."""
        for link in tuple(self._links):
            await link.aclose()

    def after_fork(self) -> None:
        """In a child process: let go of the parent's connections, and of locks that its threads may have held."""
        for breaker in tuple(self._breakers.values()):
            breaker.after_fork()
        for link in tuple(self._links):
            link.after_fork()

    def __repr__(self) -> str:
        return f"<Backend {self.topology}>"


def _always(address: Address | None) -> Callable[[], Any]:
    async def find() -> Address | None:
        return address

    return find
