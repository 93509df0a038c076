"""A source whose value changes, with loads that can be stopped after they have read it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from holdfast import Layer
from support.colours import Colour, Gate


class Table:
    """A source of one value, `value`, which tests change as they like."""

    def __init__(self, colour: Colour) -> None:
        self.colour = colour
        self.value: Any = 1
        self.loads = 0
        self.fails: Exception | None = None
        """What every load raises, if it is to fail."""
        self._gate: Gate | None = None
        self.stopped: Gate | None = None
        """Where a load is stopped, if one is."""

    def stop(self) -> Gate:
        """Let the next load read the value, and then wait until the gate is opened; later ones pass."""
        self._gate = self.colour.gate()
        return self._gate

    async def read(self) -> Any:
        """Load."""
        self.loads += 1
        found, error = self.value, self.fails
        gate, self._gate = self._gate, None
        if gate is not None:
            self.stopped = gate
            await gate.passed()
        if error is not None:
            raise error
        return found

    def on(self, layer: Layer, ttl: Any = 60, *, key: str = "row:{number}", **options: Any) -> Callable[..., Any]:
        """Return a function of one number that is kept in a layer and loads from here."""

        async def row(number: int) -> Any:
            return await self.read()

        return layer.cached(ttl, key=key, **options)(self.colour.function(row))

    def calling(self, function: Callable[..., Any], *args: Any) -> Callable[[], Coroutine[Any, Any, Any]]:
        """Return an actor that calls a function."""

        async def call() -> Any:
            return await self.colour.call(function, *args)

        return call
