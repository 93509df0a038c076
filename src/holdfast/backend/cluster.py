"""Routing on a Redis Cluster: by hash slot, following MOVED and ASK, relearning who owns what.

    the node answers      then
    MOVED                 note the new owner, ask it; relearn the whole table before the next command
    ASK                   ask the other node once, after ASKING
    TRYAGAIN              a multi-key command met a slot on the move: pause, try again
    CLUSTERDOWN           pause, relearn, try again
    nothing (broken)      relearn; if somebody else owns the slot now and re-sending is safe, ask them

All this for at most `_PATIENCE` seconds: a cluster that is down must not hold callers up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from hiredis import ReplyError

from holdfast.backend import slots
from holdfast.backend.failures import WireBroken, as_error, code_of, refusal
from holdfast.backend.link import Colour
from holdfast.backend.server import Server
from holdfast.backend.url import Address, Topology
from holdfast.commands import Command, Reply
from holdfast.errors import BackendError, BackendUnavailable

_PATIENCE: Final = 0.5
_PAUSE: Final = 0.02
_REDIRECTS: Final = 8
_ASKING: Final = Command(("ASKING",), (), True)
_SLOTS: Final = Command(("CLUSTER", "SLOTS"), (), True)
_REDIRECTING: Final = frozenset({"MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN"})


class Cluster:
    """Sends each command to the primary that owns its slot."""

    def __init__(self, topology: Topology, colour: Colour, make_server: Callable[[Address], Server]) -> None:
        self._seeds = topology.addresses
        self._topology = replace(topology, kind="single")
        self._colour = colour
        self._make_server = make_server
        self._servers: dict[Address, Server] = {}
        self._table: list[Address | None] = []
        self._outdated = True
        self._lock = threading.Lock()

    async def call(self, command: Command) -> Reply:
        """Send one command, in parts if its keys lie in several slots, and return its reply."""
        if command.merge and len(command.keys) > 1:
            return await self._call_in_parts(command)
        slot = slots.slot_of(command.keys[0]) if command.keys else 0
        return await self._call_slot(command, slot)

    async def _call_in_parts(self, command: Command) -> Reply:
        parts: dict[int, list[int]] = {}
        for index, key in enumerate(command.keys):
            parts.setdefault(slots.slot_of(key), []).append(index)
        replies = await self._colour.together(
            [self._call_slot(_part(command, indexes), slot) for slot, indexes in parts.items()]
        )
        if command.merge == "sum":
            return sum(replies)
        merged: list[Reply] = [None] * len(command.keys)
        for indexes, values in zip(parts.values(), replies, strict=True):
            for index, value in zip(indexes, values, strict=True):
                merged[index] = value
        return merged

    async def pipeline(self, commands: Sequence[Command]) -> list[Reply]:
        """Send commands together, one batch a node, and return their replies in order."""
        await self._learn_if_outdated()
        replies: list[Reply] = [None] * len(commands)
        batches: dict[Address | None, list[int]] = {}
        for index, command in enumerate(commands):
            slot = slots.slot_of(command.keys[0]) if command.keys else 0
            whole = not (command.merge and len({slots.slot_of(key) for key in command.keys}) > 1)
            batches.setdefault(self._table[slot] if whole else None, []).append(index)
        answers = await self._colour.together(
            [self._batch(address, [commands[index] for index in batch]) for address, batch in batches.items()]
        )
        for batch, answer in zip(batches.values(), answers, strict=True):
            for index, reply in zip(batch, answer, strict=True):
                replies[index] = reply
        return replies

    async def _batch(self, address: Address | None, commands: Sequence[Command]) -> list[Reply]:
        """Ask one node several things; what it cannot answer is asked again one by one."""
        if address is None:
            return [await self.call(command) for command in commands]
        server = self._server(address)
        try:
            replies = await server.ask_all(commands)
        except WireBroken as broken:
            if not all(command.repeatable or not broken.sent for command in commands):
                raise as_error(broken, server.name, commands[0]) from broken
            self._outdated = True
            return [await self.call(command) for command in commands]
        for index, reply in enumerate(replies):
            if type(reply) is not ReplyError:
                continue
            if code_of(reply) not in _REDIRECTING:
                raise refusal(reply, server.name, commands[index])
            self._outdated = True
            replies[index] = await self.call(commands[index])
        return replies

    async def _call_slot(self, command: Command, slot: int) -> Reply:
        await self._learn_if_outdated()
        deadline = time.monotonic() + _PATIENCE
        address, asking = self._owner(slot, command), False
        for turn in range(_REDIRECTS):
            server = self._server(address)
            try:
                reply = await self._ask(server, command, asking=asking)
            except WireBroken as broken:
                address, asking = await self._successor(address, slot, command, broken), False
                continue
            if type(reply) is not ReplyError:
                return reply
            code = code_of(reply)
            if code not in _REDIRECTING or turn == _REDIRECTS - 1 or time.monotonic() >= deadline:
                raise refusal(reply, server.name, command)
            asking = code == "ASK"
            if code in {"MOVED", "ASK"}:
                address = slots.moved_to(str(reply), address)
                self._outdated |= code == "MOVED"
                continue
            await self._colour.pause(_PAUSE * (turn + 1))
            await self._learn()
            address = self._owner(slot, command)
        msg = f"{command.name}: the cluster {self._topology} sent it from node to node; try again later"
        raise BackendUnavailable(msg)

    async def _ask(self, server: Server, command: Command, *, asking: bool) -> Reply:
        if not asking:
            return await server.ask(command)
        return (await server.ask_all([_ASKING, command]))[1]

    async def _successor(self, address: Address, slot: int, command: Command, broken: WireBroken) -> Address:
        """Return who owns the slot after its owner broke; raise what the caller sees if nobody may be asked."""
        server = self._server(address)
        if not (command.repeatable or not broken.sent) or broken.how == "closed":
            raise as_error(broken, server.name, command) from broken
        if broken.how != "open":
            await self._learn()
        successor = self._table[slot] if self._table else None
        if successor is None or successor == address:
            raise as_error(broken, server.name, command) from broken
        return successor

    def _owner(self, slot: int, command: Command) -> Address:
        address = self._table[slot]
        if address is None:
            self._outdated = True
            msg = f"{command.name}: the cluster {self._topology} has no node for slot {slot}"
            raise BackendUnavailable(msg)
        return address

    def _server(self, address: Address) -> Server:
        server = self._servers.get(address)
        if server is None:
            with self._lock:
                server = self._servers.setdefault(address, self._make_server(address))
        return server

    async def _learn_if_outdated(self) -> None:
        if self._outdated:
            await self._learn()

    async def _learn(self) -> None:
        """Ask the nodes, known ones first, who owns which slot."""
        broken = WireBroken("refused", sent=False, detail="no node answered")
        known = list(dict.fromkeys([*self._servers, *self._seeds]))
        for address in known:
            server = self._server(address)
            try:
                reply = await server.ask(_SLOTS)
            except WireBroken as error:
                broken = error
                continue
            if type(reply) is ReplyError:
                raise _not_a_cluster(reply, server.name)
            if reply:
                self._table = slots.owners(reply, address)
                self._outdated = False
                return
        if not self._table:
            raise as_error(broken, str(self._topology), _SLOTS) from broken

    def servers(self) -> list[Server]:
        """Return the nodes known so far."""
        return list(self._servers.values())


def _part(command: Command, indexes: Sequence[int]) -> Command:
    keys = tuple(command.keys[index] for index in indexes)
    return command._replace(words=(command.words[0], *keys), keys=keys)


def _not_a_cluster(reply: ReplyError, name: str) -> BackendError:
    if "cluster support disabled" in str(reply):
        return BackendError(f"Redis at {name} is not a cluster; use redis:// in the URL")
    return refusal(reply, name, _SLOTS)
