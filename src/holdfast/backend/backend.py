"""The owner of all connections of a layer: topology in, two ports out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from holdfast import _forks
from holdfast.backend.asyncio_link import Asyncio
from holdfast.backend.background import DRAIN, Hands, drain
from holdfast.backend.background_tasks import Tasks
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
from holdfast.backend.subscriber import Subscriber
from holdfast.backend.subscriber_open import Opener
from holdfast.backend.topology import Address
from holdfast.backend.url import parse
from holdfast.port import Cancel, KeyListener


class Backend:
    """Connections to one Redis, pooled for threads and multiplexed for tasks. Opens nothing until it is used.

    Connections that are forgotten without being closed are closed when they are collected, or at the latest when the
    interpreter exits.
    """

    def __init__(self, url: str, emit: Emit, /, **connection: Any) -> None:
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
        self._nodes: set[Address] = set()
        """The nodes of a cluster that were met so far."""
        self._blocking = self._route(Blocking())
        self._asyncio = self._route(Asyncio())
        self._hands, self._tasks = Hands(), Tasks()
        opener = Opener(self.topology, self._nodes.copy)
        self._subscriber = Subscriber(opener.open, str(self.topology), self.topology.socket_timeout)
        self.blocking = BlockingPort(self._blocking, self._subscriber, self._hands)
        self.asyncio = AsyncioPort(self._asyncio, self._subscriber, self._tasks)
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
        self._nodes.add(address)
        return self._server(colour.link(self.topology, _always(address)), f"{address[0]}:{address[1]}")

    def _server(self, link: Link, name: str) -> Server:
        self._links.append(link)
        return Server(link, self._breakers.setdefault(name, Breaker()), name, self._emit)

    def watch(self, patterns: Sequence[str], prefixes: Sequence[str], listener: KeyListener) -> Cancel:
        """Tell `listener` of what is published under some patterns, and of every change of keys with some prefixes.

        It is up when all of this is confirmed. On a single server and behind sentinels changes are told by client
        tracking: foreign writes, expiry and eviction included. Where a server does not offer that (a cluster, the
        embedded one, one that refuses), the listener is up without it; see `is_tracking`.

        Args:
            patterns: channels, as PSUBSCRIBE understands them.
            prefixes: what the names of the keys begin with.
            listener: what to tell. It is held until this ends.

        Returns:
            What ends it, from any thread, more than once.
        """
        return self._subscriber.watch(patterns, prefixes, listener)

    @property
    def is_tracking(self) -> bool:
        """Whether watchers are told of changed keys now, and not only of what is published."""
        return self._subscriber.is_tracking

    def close(self, *, drain_for: float = DRAIN) -> None:
        """Close every connection. Asyncio connections are closed in their loops as soon as these run.

        Threads that work in the background are waited for first, but not by one of them.

        Args:
            drain_for: the longest wait for background threads, in seconds, all together.
        """
        try:
            drain([self._hands], drain_for)
        finally:
            self._end_background()
            for link in tuple(self._links):
                link.close()

    async def aclose(self, *, drain_for: float = DRAIN) -> None:
        """Close every connection, and wait for those of the running loop.

        What was spawned in the running loop and background threads are waited for first, but not by one of them.

        Args:
            drain_for: the longest wait for background work, in seconds, all together.
        """
        try:
            await self._tasks.drain(self._hands.at_work(), drain_for)
        finally:
            self._end_background()
            for link in tuple(self._links):
                await link.aclose()

    def _end_background(self) -> None:
        self._subscriber.close()
        self._hands.stop_recurring()
        self._tasks.stop_recurring()

    def after_fork(self) -> None:
        """In a child process: let go of the parent's connections, and of locks that its threads may have held."""
        for breaker in tuple(self._breakers.values()):
            breaker.after_fork()
        for link in tuple(self._links):
            link.after_fork()
        self._hands.after_fork()
        self._tasks.after_fork()
        self._subscriber.after_fork()

    def __repr__(self) -> str:
        return f"<Backend {self.topology}>"


def _always(address: Address | None) -> Callable[[], Any]:
    async def find() -> Address | None:
        return address

    return find
