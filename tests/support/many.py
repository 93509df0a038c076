"""A source of many values, whose loads wait where a test tells them to."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from holdfast import Layer
from support.colours import Colour


class ManySource:
    """A source of the ids below a hundred, each with the version that it had when it was read."""

    def __init__(self, colour: Colour, layer: Layer, *, waits: int = 0, ttl: Any = 60, **options: Any) -> None:
        self.colour = colour
        self.layer = layer
        self.gate = colour.gate()
        self.asked: list[list[int]] = []
        """The ids of each load."""
        self.version = 1
        self.waits = waits
        """How many loads are still to wait at the gate."""
        self.end: Callable[[list[int]], Any] | None = None
        """What a load does instead of returning."""

        async def load(ids: list[int]) -> dict[int, list[int]]:
            self.asked.append(list(ids))
            found = {number: [number, self.version] for number in ids if number < 100}
            if self.waits:
                self.waits -= 1
                await self.gate.passed()
            return self.end(ids) if self.end is not None else found  # type: ignore[no-any-return]

        options.setdefault("key", "many:{number}")
        self.function = layer.cached_many(ttl, **options)(colour.function(load))

    @property
    def loads(self) -> int:
        return len(self.asked)

    async def call(self, *ids: int) -> Any:
        return await self.colour.call(self.function, list(ids))

    def actor(self, *ids: int) -> Callable[[], Coroutine[Any, Any, Any]]:
        async def act() -> Any:
            return await self.call(*ids)

        return act

    async def loading(self, loads: int = 1) -> None:
        """Wait until so many loads have begun."""
        await self.colour.until(lambda: self.loads >= loads, f"{loads} loads have begun")


def versions(version: int, *ids: int) -> dict[int, list[int]]:
    """Return what a call with these ids gives."""
    return {number: [number, version] for number in ids}
