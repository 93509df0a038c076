"""A source of one value that changes, and the ways to change the entry with it."""

from __future__ import annotations

from typing import Any

from holdfast import Layer, entries
from holdfast.events import Event, FillRefused
from support.colours import Colour


class Source:
    """A source of one value that changes, with a load that waits at a gate if it is told to."""

    def __init__(self, colour: Colour, layer: Layer, **options: Any) -> None:
        self.colour = colour
        self.version = 1
        self.loads = 0
        self.gate = colour.gate()
        self.waits = True
        self.refused = 0
        """How many loaded values of the layer were not stored, since their lease was gone."""

        async def current(number: int) -> int:
            self.loads += 1
            version = self.version
            if self.waits:
                self.waits = False
                await self.gate.passed()
            return version

        self.function = layer.cached(60, key="current:{number}", **options)(colour.function(current))
        self.layer = layer
        layer.add_hook(self._note)

    def _note(self, event: Event) -> None:
        self.refused += isinstance(event, FillRefused)

    async def call(self) -> Any:
        return await self.colour.call(self.function, 1)

    async def change(self, verb: str) -> Any:
        """Change the source, then the entry, in one of the ways that there are."""
        self.version += 1
        handle, cache = self.colour.of(entries(self.function)), self.colour.of(self.layer.cache)
        if verb == "invalidate":
            return await handle.invalidate(1)
        if verb == "delete":
            return await cache.delete("current:1")
        if verb == "set":
            return await handle.set(self.version, 1)
        if verb == "set_many":
            return await cache.set_many({"current:1": self.version, "else": 1}, 60)
        return await handle.refresh(1)
