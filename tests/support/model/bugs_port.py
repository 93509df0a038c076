"""Mistakes in what is sent, planted in the port, and in the order of commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from holdfast.commands import Command, Reply, unlink
from holdfast.core import changing
from support.model.actors import SUSPENDED
from support.model.ledger import script_of
from support.model.news import Subscriber
from support.model.port import WorldPort


def one_token_a_process(patch: pytest.MonkeyPatch) -> None:
    """The token is the client's, the same for each acquisition."""
    patch.setattr(WorldPort, "token", lambda port: f"{port._home.number:016d}")


def two_unlinks(patch: pytest.MonkeyPatch) -> None:
    """Invalidating deletes the value, then the lease."""

    async def change(caching: Any, port: Any, plan: Any, keys: Sequence[str], commands: Sequence[Command]) -> list[int]:
        for key in keys:
            await port.call(unlink([key]))
            await port.call(unlink([caching.names.places(key).lease]))
        caching.flights.detach(keys)
        return [1]

    patch.setattr(changing, "_change", change)


def published_before(patch: pytest.MonkeyPatch) -> None:
    """The message goes out before the deletion."""
    right = changing._change

    async def change(caching: Any, port: Any, plan: Any, keys: Sequence[str], commands: Sequence[Command]) -> Any:
        for key in keys:
            await port.call(Command(("PUBLISH", caching.names.places(key).news, "gone"), (key,)))
        return await right(caching, port, plan, keys, commands)

    patch.setattr(changing, "_change", change)


def shared_reads(patch: pytest.MonkeyPatch) -> None:
    """A caller shares a read that is under way."""
    right = WorldPort.call
    under_way: dict[tuple[WorldPort, str], list[Reply]] = {}

    async def call(port: WorldPort, command: Command) -> Reply:
        place = port, command.keys[0]
        if command.name != "GET" or port._blocking:
            return await right(port, command)
        if place in under_way:
            found = under_way[place]
            while not found:
                await SUSPENDED
            return found[0]
        found = under_way[place] = []
        try:
            found.append(await right(port, command))
        finally:
            del under_way[place]
            for actor in port._world.actors:
                actor.wake()
        return found[0]

    patch.setattr(WorldPort, "call", call)


def version_before_epoch(patch: pytest.MonkeyPatch) -> None:
    """A tag is invalidated first, and then the epoch."""
    _swap_steps(patch, "tag_invalidate")


def epoch_read_before_versions(patch: pytest.MonkeyPatch) -> None:
    """The epoch is read again first, and then the versions."""
    _swap_steps(patch, "tag_versions")


def _swap_steps(patch: pytest.MonkeyPatch, script: str) -> None:
    right = WorldPort.steps

    async def steps(port: WorldPort, *groups: Sequence[Command]) -> list[Reply]:
        if script_of(groups[0][0]) != script:
            return await right(port, *groups)
        first, second = groups
        replies = await right(port, second, first)
        return [*replies[len(second) :], *replies[: len(second)]]

    patch.setattr(WorldPort, "steps", steps)


def up_too_soon(patch: pytest.MonkeyPatch) -> None:
    """The near cache serves again before the subscription is confirmed."""
    patch.setattr(Subscriber, "up_too_soon", True)
