"""Many callers of one slow function, and a source whose loads wait until a test lets them go."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from holdfast import Layer
from support.colours import Colour
from support.flights import joined


class Source:
    """A slow source of values: every load waits at a gate and then does what `end` says."""

    def __init__(self, colour: Colour) -> None:
        self.gate = colour.gate()
        self.loads = 0
        self.end: Callable[[int], Any] = lambda number: [number]

    async def load(self, number: int) -> Any:
        self.loads += 1
        await self.gate.passed()
        return self.end(number)


def cached_source(layer: Layer, colour: Colour, source: Source, **options: Any) -> Callable[..., Any]:
    async def slow(number: int) -> Any:
        return await source.load(number)

    return layer.cached(60, key="slow:{number}", **options)(colour.function(slow))


def actor(colour: Colour, function: Callable[..., Any], *args: Any) -> Callable[[], Coroutine[Any, Any, Any]]:
    async def act() -> Any:
        return await colour.call(function, *args)

    return act


def opener(colour: Colour, layer: Layer, source: Source, members: int) -> Callable[[], Coroutine[Any, Any, Any]]:
    async def act() -> None:
        await colour.until(lambda: joined(layer) >= members, "all have joined")
        source.gate.open()

    return act
