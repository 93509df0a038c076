"""Opening the connection of a subscriber, wherever Redis is. Each time anew, so that changes are followed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any, Final

from hiredis import ReplyError

from holdfast._calls import drive
from holdfast.backend.blocking_link import Blocking
from holdfast.backend.connections import open_blocking
from holdfast.backend.failures import WireBroken
from holdfast.backend.sentinel import Primary
from holdfast.backend.subscriber_wire import EmbeddedNews, NewsWire, SocketNews
from holdfast.backend.topology import Address, Topology
from holdfast.commands import Command, Reply
from holdfast.errors import BackendError

_HELLO: Final = Command(("HELLO", "3"), (), True)


class Opener:
    """Opens a connection to a server that hears everything that is published.

    That is the one server; the primary, as the sentinels name it now; or any node of a cluster, whose nodes pass on to
    each other what is published.
    """

    def __init__(self, topology: Topology, nodes: Callable[[], Iterable[Address]]) -> None:
        """Set up the way.

        Args:
            topology: where Redis is.
            nodes: returns the nodes of a cluster that are known by now, besides those of the topology.
        """
        self._topology = topology
        self._nodes = nodes
        self._primary = Primary(topology, Blocking()) if topology.kind == "sentinel" else None
        self._may_greet = topology.kind != "cluster"

    def open(self) -> NewsWire:
        """Connect, in RESP3 where invalidations could be pushed.

        Raises:
            WireBroken: no server could be reached.
            BackendError: one was reached and refused us.
        """
        if self._topology.kind == "memory":
            return EmbeddedNews(self._topology.name)
        if self._topology.kind == "cluster":
            return self._open_any()
        if self._primary is not None:
            return self._open_one(drive(_found(self._primary)))
        return self._open_one(self._topology.addresses[0] if self._topology.addresses else None)

    def _open_any(self) -> NewsWire:
        nodes = list({*self._topology.addresses, *self._nodes()})
        random.shuffle(nodes)
        failure: WireBroken | BackendError | None = None
        for address in nodes:
            try:
                return self._open_one(address)
            except (WireBroken, BackendError) as error:
                failure = error
        raise failure or WireBroken("refused", sent=False, detail="no node is known")

    def _open_one(self, address: Address | None) -> NewsWire:
        wire = SocketNews(*open_blocking(self._topology, address))
        try:
            if self._primary is not None:
                drive(_verified(self._primary, wire))
            if self._topology.kind != "cluster":
                wire.can_track = self._greet(wire)
            wire.go_live()
        except BaseException:
            wire.close()
            raise
        return wire

    def _greet(self, wire: SocketNews) -> bool:
        """Switch to RESP3. A server or proxy that hangs up instead of refusing is not asked the next time."""
        if not self._may_greet:
            self._may_greet = True
            return False
        self._may_greet = False
        reply: Any = wire.ask(_HELLO)
        self._may_greet = True
        return type(reply) is not ReplyError


async def _found(primary: Primary) -> Address:
    return await primary.find()


async def _verified(primary: Primary, wire: SocketNews) -> None:
    async def ask(command: Command) -> Reply:
        return wire.ask(command)

    await primary.verify(ask)
