"""What is known of a cluster: its nodes, and which of them owns which slot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hiredis import ReplyError

from holdfast.backend import slots
from holdfast.backend.deadline import Deadline
from holdfast.backend.failures import WireBroken, as_error, refusal
from holdfast.backend.server import Server
from holdfast.backend.topology import Address, Topology
from holdfast.commands import Command
from holdfast.errors import BackendError

_SLOTS: Final = Command(("CLUSTER", "SLOTS"), (), True)


class ClusterMap:
    """Learns from any node that answers who owns which slot."""

    def __init__(self, topology: Topology, make_server: Callable[[Address], Server]) -> None:
        self.name = str(topology)
        self._seeds = topology.addresses
        self._make_server = make_server
        self._servers: dict[Address, Server] = {}
        self._table: list[Address | None] = []
        self.outdated = True
        """Whether the next caller should learn anew."""

    def owner(self, slot: int) -> Address | None:
        """Return the primary that owns a slot, as far as is known."""
        return self._table[slot]

    def server(self, address: Address) -> Server:
        """Return the way to a node."""
        return self._servers.get(address) or self._servers.setdefault(address, self._make_server(address))

    def servers(self) -> list[Server]:
        """Return the nodes met so far."""
        return list(self._servers.values())

    def note_move(self, slot: int, address: Address) -> None:
        """Note a slot's new owner at once, and have the rest of the table learned before the next command."""
        self._table[slot] = address
        self.outdated = True

    async def refresh(self, deadline: Deadline | None = None) -> None:
        """Learn anew. With a table in hand one caller does it while the others go on; its failure harms nobody."""
        if not self._table:
            await self.learn(deadline=deadline)
            return
        self.outdated = False
        try:
            await self.learn(deadline=deadline and deadline.half())
        except BackendError:
            self.outdated = True

    async def learn(self, suspect: Address | None = None, deadline: Deadline | None = None) -> None:
        """Ask the nodes, owners of slots first and a suspect last, who owns which slot.

        Raises:
            BackendUnavailable: no node answered.
            BackendTimeout: none answered before the deadline.
            BackendError: the nodes are not a cluster.
        """
        known = dict.fromkeys(address for address in self._table if address is not None)
        order = sorted([*dict.fromkeys([*known, *self._seeds, *self._servers])], key=lambda node: node == suspect)
        failure: BackendError | None = None
        for address in order:
            server = self.server(address)
            try:
                reply = await server.ask(_SLOTS, None, deadline)
            except WireBroken as broken:
                failure = as_error(broken, server.name, _SLOTS)
                if broken.how == "late":
                    break
                continue
            except BackendError as error:
                failure = error
                continue
            if type(reply) is ReplyError:
                failure = _refusal(reply, server.name)
            elif reply:
                self._adopt(slots.owners(reply, address))
                return
        if failure is not None:
            raise failure

    def _adopt(self, table: list[Address | None]) -> None:
        self._table = table
        self.outdated = False
        owners = set(table)
        for address, server in list(self._servers.items()):
            if address not in owners:
                server.link.reset()


def _refusal(reply: ReplyError, name: str) -> BackendError:
    if "cluster support disabled" in str(reply):
        return BackendError(f"Redis at {name} is not a cluster; use redis:// in the URL")
    return refusal(reply, name, _SLOTS)
