"""A backend in one colour, for tests below the layer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from holdfast.backend.backend import Backend
from holdfast.commands import Command, Reply
from holdfast.events import Event
from support.colours import Colour


@dataclass(slots=True)
class Opened:
    """A backend and its port of one colour."""

    backend: Backend
    port: Any
    events: list[Event] = field(default_factory=list)

    async def call(self, *words: str | bytes | int, repeatable: bool = False, blocks: float | None = None) -> Reply:
        """Send a command whose second word is its key."""
        keys = (str(words[1]),) if len(words) > 1 else ()
        return await self.port.call(Command(words, keys, repeatable, blocks=blocks))

    async def outcome(self, *words: str | bytes | int, repeatable: bool = False, blocks: float | None = None) -> Reply:
        """Do what `call` does, but return what it raises."""
        keys = (str(words[1]),) if len(words) > 1 else ()
        return await self.outcome_of(Command(words, keys, repeatable, blocks=blocks))

    async def outcome_of(self, command: Command) -> Reply:
        """Send a command and return its reply, or what is raised instead."""
        try:
            return await self.port.call(command)
        except Exception as error:
            return error


@asynccontextmanager
async def opened(colour: Colour, url: str, **connection: Any) -> AsyncIterator[Opened]:
    """Make a backend for a block, and close it in its colour afterwards."""
    events: list[Event] = []
    backend = Backend(url, events.append, **connection)
    try:
        yield Opened(backend, backend.asyncio if colour.is_async else backend.blocking, events)
    finally:
        if colour.is_async:
            await backend.aclose()
        else:
            backend.close()


async def beside(colour: Colour, step: Callable[[], object]) -> None:
    """Do something that takes time to a server, without holding up a loop."""
    if colour.is_async:
        await asyncio.to_thread(step)
    else:
        step()
