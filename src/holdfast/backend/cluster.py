"""Routing on a Redis Cluster: by hash slot, following MOVED and ASK, relearning who owns what.

    the node answers      then
    MOVED                 note the new owner, ask it; relearn the whole table before the next command
    ASK                   ask the other node once, after ASKING
    TRYAGAIN              a multi-key command met a slot on the move: pause, try again
    CLUSTERDOWN           pause, relearn, try again
    nothing (broken)      relearn; if somebody else owns the slot now and re-sending is safe, ask them

A pipeline that waits for its own writes is not followed: on another connection it would wait for nothing. Its caller is
told, and the next try goes to the right node.

All this for at most `_PATIENCE` seconds: a cluster that is down must not hold callers up, and once it has used up the
patience of one, the next ones do not wait either. A caller with a deadline of its own waits no longer than that, and
leaves half of its time for the question when it has to learn the table first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from hiredis import ReplyError

from holdfast.backend import slots
from holdfast.backend.cluster_map import ClusterMap
from holdfast.backend.deadline import Deadline, deadline_of, held_back
from holdfast.backend.failures import WireBroken, as_error, as_moved, code_of, find_move, refusal
from holdfast.backend.link import Colour
from holdfast.backend.router import unless_failed
from holdfast.backend.server import Server
from holdfast.backend.topology import Address, Topology
from holdfast.commands import Command, Reply
from holdfast.errors import BackendError, BackendUnavailable

_PATIENCE: Final = 0.5
_PAUSE: Final = 0.02
_REDIRECTS: Final = 8
_ASKING: Final = Command(("ASKING",), (), True)
_MOVING: Final = frozenset({"MOVED", "ASK"})
_WAITING: Final = frozenset({"TRYAGAIN", "CLUSTERDOWN"})


class Cluster:
    """Sends each command to the primary that owns its slot."""

    def __init__(self, topology: Topology, colour: Colour, make_server: Callable[[Address], Server]) -> None:
        self._colour = colour
        self._map = ClusterMap(topology, make_server)
        self._impatient_until = 0.0

    def servers(self) -> list[Server]:
        """Return the nodes met so far."""
        return self._map.servers()

    def slots(self, keys: Sequence[str]) -> Sequence[int]:
        """Return the hash slot of each key."""
        return [slots.slot_of(key) for key in keys]

    async def call(self, command: Command) -> Reply:
        """Send one command, in parts if its keys lie in several slots, and return its reply."""
        return await self._ask(command, None if command.patience is None else Deadline(command.patience))

    def _ask(self, command: Command, deadline: Deadline | None) -> Coroutine[Any, Any, Reply]:
        if command.merge and len(command.keys) > 1:
            return self._call_in_parts(command, deadline)
        return self._call_slot(command, deadline)

    async def _call_in_parts(self, command: Command, deadline: Deadline | None) -> Reply:
        parts: dict[int, list[int]] = {}
        for index, key in enumerate(command.keys):
            parts.setdefault(slots.slot_of(key), []).append(index)
        if len(parts) == 1:
            return await self._call_slot(command, deadline)
        replies = unless_failed(await self._outcomes([_part(command, indexes) for indexes in parts.values()], deadline))
        if command.merge == "sum":
            return sum(replies)
        merged: list[Reply] = [None] * len(command.keys)
        for indexes, values in zip(parts.values(), replies, strict=True):
            for index, value in zip(indexes, values, strict=True):
                merged[index] = value
        return merged

    async def pipeline(self, commands: Sequence[Command]) -> list[Reply]:
        """Send commands together, one batch a node, and return their replies in order; raise the first refusal."""
        return unless_failed(await self.outcomes(commands))

    async def outcomes(self, commands: Sequence[Command]) -> list[Reply]:
        """Send commands together, one batch a node, and return what came of each. Raises if nothing could be sent."""
        return await self._outcomes(commands, deadline_of(commands))

    async def _outcomes(self, commands: Sequence[Command], deadline: Deadline | None) -> list[Reply]:
        if self._map.outdated:
            await self._map.refresh(deadline)
        batches: dict[Address | None, list[int]] = {}
        for index, command in enumerate(commands):
            batches.setdefault(self._node_of(command), []).append(index)
        answers = await self._colour.together(
            [self._batch(address, [commands[index] for index in batch], deadline) for address, batch in batches.items()]
        )
        replies: list[Reply] = [None] * len(commands)
        for batch, answer in zip(batches.values(), answers, strict=True):
            for index, reply in zip(batch, answer, strict=True):
                replies[index] = reply
        return replies

    async def steps(self, *steps: Sequence[Command]) -> list[Reply]:
        """Send groups of commands, each when the one before it has been answered: the nodes know no common order."""
        deadline = deadline_of([command for step in steps for command in step])
        replies: list[Reply] = []
        for step in steps:
            replies += unless_failed(await self._outcomes(step, deadline))
        return replies

    def _node_of(self, command: Command) -> Address | None:
        """Return the node that can execute a command whole, or None if there is none."""
        if command.merge and len({slots.slot_of(key) for key in command.keys}) > 1:
            return None
        return self._map.owner(_slot(command))

    async def _batch(
        self, address: Address | None, commands: Sequence[Command], deadline: Deadline | None
    ) -> list[Reply]:
        """Ask one node several things; what it cannot answer is asked again one by one. Errors are values."""
        if address is None:
            return [await _outcome(self._ask(command, deadline)) for command in commands]
        server = self._map.server(address)
        waits = held_back(commands) is not None
        try:
            replies = await server.ask_all(commands, deadline)
        except WireBroken as broken:
            self._suspect(broken)
            return [
                await _outcome(self._call_slot(command, deadline))
                if not waits and _may_move_on(broken, command)
                else as_error(broken, server.name, command)
                for command in commands
            ]
        except BackendError as error:  # no connection came free: other nodes are asked all the same
            return [error] * len(commands)
        if waits and (move := find_move(replies)) is not None:
            self._note(move, commands[replies.index(move)], address)
            return [as_moved(move, server.name, commands[0])] * len(commands)
        for index, reply in enumerate(replies):
            if type(reply) is not ReplyError:
                continue
            if code_of(reply) in _MOVING | _WAITING:
                replies[index] = await _outcome(self._call_slot(commands[index], deadline))
            else:
                replies[index] = refusal(reply, server.name, commands[index])
        return replies

    def _note(self, move: ReplyError, command: Command, address: Address) -> None:
        """Have the next command go where a refusal points to."""
        if code_of(move) == "MOVED":
            self._map.note_move(_slot(command), slots.moved_to(str(move), address))
        self._map.outdated = True

    async def _call_slot(self, command: Command, deadline: Deadline | None) -> Reply:
        if self._map.outdated:
            await self._map.refresh(deadline)
        slot = _slot(command)
        started = time.monotonic()
        address, asking = self._owner(slot, command), False
        redirects = waits = 0
        was_sent = False
        while redirects <= _REDIRECTS:
            server = self._map.server(address)
            try:
                asked = _ask_guest(server, command, deadline) if asking else server.ask(command, None, deadline)
                reply = await asked
            except WireBroken as broken:
                broken.sent = was_sent = broken.sent or was_sent
                address, asking = await self._successor(address, slot, command, broken, deadline), False
                redirects += 1
                continue
            if type(reply) is not ReplyError:
                return reply
            code = code_of(reply)
            asking = code == "ASK"
            if code in _MOVING:
                redirects += 1
                address = slots.moved_to(str(reply), address)
                if code == "MOVED":
                    self._map.note_move(slot, address)
            elif code in _WAITING and self._may_wait(started, _PAUSE * (waits + 1), deadline):
                redirects, waits = 0, waits + 1
                await self._colour.pause(_PAUSE * waits)
                await self._map.refresh(deadline)
                address = self._owner(slot, command)
            else:
                raise refusal(reply, server.name, command)
        msg = f"{command.name}: the {self._map.name} sent it from node to node; try again later"
        raise BackendUnavailable(msg)

    def _may_wait(self, started: float, pause: float, deadline: Deadline | None) -> bool:
        now = time.monotonic()
        if now < self._impatient_until or (deadline is not None and deadline.left() <= pause):
            return False
        if now - started < _PATIENCE:
            return True
        self._impatient_until = now + 2 * _PATIENCE
        return False

    def _suspect(self, broken: WireBroken) -> None:
        """Have the table learned anew, unless a node's breaker is open: its probe will tell what is new."""
        if broken.how != "open" and broken.fair:
            self._map.outdated = True

    async def _successor(
        self, address: Address, slot: int, command: Command, broken: WireBroken, deadline: Deadline | None
    ) -> Address:
        """Return who owns the slot after its owner broke; raise what the caller sees if nobody may be asked."""
        failure = as_error(broken, self._map.server(address).name, command)
        self._suspect(broken)
        if not _may_move_on(broken, command):
            raise failure from broken
        if broken.how != "open":
            try:
                await self._map.learn(suspect=address, deadline=deadline)
            except BackendError:
                raise failure from broken
        successor = self._map.owner(slot)
        if successor is None or successor == address:
            raise failure from broken
        return successor

    def _owner(self, slot: int, command: Command) -> Address:
        address = self._map.owner(slot)
        if address is None:
            self._map.outdated = True
            msg = f"{command.name}: the {self._map.name} has no node for slot {slot}"
            raise BackendUnavailable(msg)
        return address


async def _ask_guest(server: Server, command: Command, deadline: Deadline | None) -> Reply:
    """Ask a node that is taking a slot over, each time after ASKING."""
    plain = command._replace(fallback=())
    reply = (await server.ask_all([_ASKING, plain], deadline))[1]
    if command.fallback and type(reply) is ReplyError and code_of(reply) == "NOSCRIPT":
        reply = (await server.ask_all([_ASKING, plain._replace(words=command.fallback)], deadline))[1]
    return reply


async def _outcome(call: Coroutine[Any, Any, Reply]) -> Reply:
    """Return a reply, or the error as a value, so that the others of a pipeline go on."""
    try:
        return await call
    except BackendError as error:
        return error


def _may_move_on(broken: WireBroken, command: Command) -> bool:
    """Say whether another node may be asked the same."""
    return broken.how not in {"timeout", "late", "closed"} and (command.repeatable or not broken.sent)


def _slot(command: Command) -> int:
    return slots.slot_of(command.keys[0]) if command.keys else 0


def _part(command: Command, indexes: Sequence[int]) -> Command:
    keys = tuple(command.keys[index] for index in indexes)
    return command._replace(words=(command.words[0], *keys), keys=keys)
