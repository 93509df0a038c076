"""What locks see of the world: a port that gives up waiting for a reply, as a connection does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, cast

from holdfast.commands import Command, Reply
from holdfast.errors import BackendTimeout, BackendUnavailable
from support.lock_world_actors import LockActor
from support.model.actors import SUSPENDED, current, pause
from support.model.lines import Batch, Sent
from support.model.port import WorldPort

if TYPE_CHECKING:
    from support.lock_world import LockWorld

TIMEOUT: Final = 1.0
"""Seconds that a connection waits for a reply."""


class LockPort(WorldPort):
    """A port of one process."""

    _world: LockWorld

    def token(self) -> str:
        """Return a new token, and note whose it is."""
        token = super().token()
        self._world.watch.owners[token] = cast("LockActor", current[0])
        return token

    async def pipeline(self, commands: Sequence[Command]) -> list[Reply]:
        """Send commands together; wait for their replies, but not for ever."""
        world, actor = self._world, current[0]
        if world.away:
            await pause()
            self._home.fail()
            raise BackendUnavailable("nobody answers")
        batch = self._send(commands)
        world.say(f"    {actor.name} sends", *(command.name for command in commands))
        patience = min([TIMEOUT, *(command.patience for command in commands if command.patience is not None)])
        timer = world.timers.add(
            self.now() + patience, lambda: world.lines.give_up(batch, BackendTimeout("no answer")), self._home
        )
        try:
            while not batch.over:
                await SUSPENDED
        except BaseException:
            if self._blocking:  # the connection is closed; that of a loop goes on
                world.lines.give_up(batch, BackendTimeout("interrupted"))
            raise
        finally:
            world.timers.stop(timer)
        if batch.error is not None:
            self._home.fail()
            raise batch.error
        return batch.replies

    def _send(self, commands: Sequence[Command]) -> Batch:
        batch = Batch([None] * len(commands), current[0], len(commands))
        line = None if self._blocking else self._lines.get("")
        if line is None or line not in self._world.lines.all:
            line = self._world.lines.open(self, kept=not self._blocking)
        if not self._blocking:
            self._lines[""] = line
        line.outgoing.extend(Sent(command, batch, place) for place, command in enumerate(commands))
        return batch
