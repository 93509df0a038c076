"""Sending many commands, in groups that one pipeline may carry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

from holdfast.commands import Command, Reply
from holdfast.port import Port

T = TypeVar("T")

CHUNK: Final = 500
"""Entries a command or pipeline: Redis serves nobody else while it executes one command."""


def chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield items in groups that one pipeline may carry."""
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]


async def send(port: Port, commands: Sequence[Command]) -> list[Reply]:
    """Send commands, at least one, in one round trip."""
    return await port.pipeline(commands) if len(commands) > 1 else [await port.call(commands[0])]
