"""Layers that know nothing of each other, as in several processes, and one slow function that all of them share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from holdfast import Layer
from holdfast.commands import get
from support.calls import Sent
from support.colours import Colour
from support.crowd import Source, actor
from support.flights import joined

SLOW = "slow:{number}"


class Party:
    """One process: a layer, what it sends, and the slow function on it."""

    def __init__(self, colour: Colour, layer: Layer, source: Source, **options: Any) -> None:
        self.colour = colour
        self.layer = layer
        self.sent = Sent(layer)
        self.source = source
        self.loads = 0
        """How often the function ran in this process."""
        self.slow = self.decorated(**options)

    def decorated(self, ttl: Any = 60, **options: Any) -> Callable[..., Any]:
        """Return the slow function with some options, under the key that all share."""

        async def slow(number: int) -> Any:
            self.loads += 1
            return await self.source.load(number)

        decorate = self.layer.stampede_protected(ttl, key=SLOW, **{"beta": 0, **options})
        return decorate(self.colour.function(slow))

    async def call(self) -> Any:
        """Call the function."""
        return await self.colour.call(self.slow, 1)

    @property
    def caller(self) -> Callable[[], Coroutine[Any, Any, Any]]:
        """An actor that calls the function."""
        return actor(self.colour, self.slow, 1)

    def shift(self, seconds: float) -> None:
        """Let the clock of this process be ahead by so much."""
        for port in (self.layer.engine.blocking, self.layer.engine.asyncio):
            port.now = lambda now=port.now: now() + seconds  # type: ignore[misc]  # it keeps the clock that was

    def listens(self, members: int = 1) -> bool:
        """Say whether so many wait here for another process, and will hear of its end."""
        return joined(self.layer) >= members and self.sent.names.count("acquire") >= 2

    async def leased(self) -> bool:
        """Say whether somebody, anywhere, has the lease of the function's entry."""
        name = f"{self.layer.engine.namespace}:lease:{{slow:1}}"
        port = self.layer.engine.asyncio if self.colour.is_async else self.layer.engine.blocking
        return await port.call(get(name)) is not None

    async def unleased(self) -> None:
        """Wait until nobody has the lease."""
        while await self.leased():
            await self.colour.sleep(0.005)

    def after(self, check: Callable[[], object], function: Callable[..., Any] | None = None) -> Any:
        """Return an actor that calls the function once something is true."""

        async def act() -> Any:
            await self.colour.until(check, "another caller is where it has to be")
            return await self.colour.call(function or self.slow, 1)

        return act


@asynccontextmanager
async def parties(
    colour: Colour, url: str, namespace: str, *, count: int = 2, layer: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[tuple[Any, ...]]:
    """Give a source and several processes that load from it, with the same options."""
    source = Source(colour)
    async with AsyncExitStack() as stack:
        layers = [
            await stack.enter_async_context(colour.using(Layer(url, namespace=namespace, **(layer or {}))))
            for _ in range(count)
        ]
        yield source, *[Party(colour, each, source, **options) for each in layers]


def opening(colour: Colour, source: Source, check: Callable[[], object]) -> Callable[[], Coroutine[Any, Any, None]]:
    """Return an actor that lets all loads go once something is true."""

    async def act() -> None:
        await colour.until(check, "all wait")
        source.gate.open()

    return act
