"""Which server gets a command. One server has nothing to choose; `cluster.py` has."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Sequence
from typing import Protocol

from hiredis import ReplyError

from holdfast.backend.deadline import Deadline, deadline_of, held_back
from holdfast.backend.failures import WireBroken, as_error, as_moved, find_move, refusal
from holdfast.backend.server import Server
from holdfast.commands import Command, Reply
from holdfast.errors import BackendError


class Router(Protocol):
    """Sends commands to the servers that own their keys. What goes wrong comes out as errors of holdfast."""

    async def call(self, command: Command) -> Reply:
        """Send one command and return its reply."""
        ...

    async def pipeline(self, commands: Sequence[Command]) -> list[Reply]:
        """Send commands together and return their replies in order; a refusal raises after all were read."""
        ...

    async def outcomes(self, commands: Sequence[Command]) -> list[Reply]:
        """Send commands together and return what came of each: its reply, or a `BackendError` as a value."""
        ...

    async def steps(self, *steps: Sequence[Command]) -> list[Reply]:
        """Send groups of commands so that each group is executed after the one before it; return all replies."""
        ...

    def slots(self, keys: Sequence[str]) -> Sequence[int]:
        """Return a number for each key; only keys with the same number may be in one script."""
        ...

    def servers(self) -> list[Server]:
        """Return the servers known so far."""
        ...


class Direct:
    """All commands go to one server: standalone, behind sentinels, or embedded."""

    __slots__ = ("_server",)

    def __init__(self, server: Server) -> None:
        self._server = server

    def begin(self, command: Command, deadline: Deadline | None) -> Future[Reply] | None:
        """Do what `Server.begin` does."""
        return self._server.begin(command, deadline)

    async def call(
        self, command: Command, first: ReplyError | WireBroken | None = None, deadline: Deadline | None = None
    ) -> Reply:
        """Send one command and return its reply.

        Args:
            command: what to send.
            first: what came of sending it once already.
            deadline: of a call that has begun; of one that begins now the command's patience tells it.
        """
        if deadline is None and command.patience is not None:
            deadline = Deadline(command.patience)
        try:
            reply = await self._server.ask(command, first, deadline)
        except WireBroken as broken:
            raise as_error(broken, self._server.name, command) from broken
        if type(reply) is ReplyError:
            raise refusal(reply, self._server.name, command)
        return reply

    def call_now(self, command: Command) -> Reply:
        """Do what `call` does over a blocking link, without a coroutine where nothing is amiss."""
        try:
            reply = self._server.ask_now(command, None if command.patience is None else Deadline(command.patience))
        except WireBroken as broken:
            raise as_error(broken, self._server.name, command) from broken
        if type(reply) is ReplyError:
            raise refusal(reply, self._server.name, command)
        return reply

    async def pipeline(self, commands: Sequence[Command]) -> list[Reply]:
        """Send commands together and return their replies in order."""
        return unless_failed(await self.outcomes(commands))

    async def outcomes(self, commands: Sequence[Command]) -> list[Reply]:
        """Send commands together and return what came of each; a connection that breaks is the same error for all."""
        if not commands:
            return []
        try:
            replies = await self._server.ask_all(commands, deadline_of(commands))
        except WireBroken as broken:
            doubtful = next((command for command in commands if not command.repeatable), commands[0])
            error = as_error(broken, self._server.name, doubtful)
            error.__cause__ = broken
            return [error] * len(commands)
        if held_back(commands) is not None and (move := find_move(replies)) is not None:
            return [as_moved(move, self._server.name, commands[0])] * len(commands)
        for index, reply in enumerate(replies):
            if type(reply) is ReplyError:
                replies[index] = refusal(reply, self._server.name, commands[index])
        return replies

    async def steps(self, *steps: Sequence[Command]) -> list[Reply]:
        """Send everything together: one server executes a pipeline in order.

        Scripts go with their text. One that the server has forgotten would be sent again after all the others.
        """
        return await self.pipeline([command.whole for step in steps for command in step])

    def slots(self, keys: Sequence[str]) -> Sequence[int]:
        """Return zeros: one server can have all keys in one script."""
        return (0,) * len(keys)

    def servers(self) -> list[Server]:
        """Return the one server."""
        return [self._server]


def unless_failed(outcomes: list[Reply]) -> list[Reply]:
    """Return replies, or raise the first error among them."""
    for outcome in outcomes:
        if isinstance(outcome, BackendError):
            raise outcome
    return outcomes
