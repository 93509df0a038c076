"""A change at each instant of a fetch: once it is acknowledged, what was fetched before is not served to anybody.

A fetch is run once to see where it stops for Redis and for the app, and then again for each of these points: stopped
there, overtaken by a change, and let go.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import pytest

from holdfast import Layer
from support.colours import Colour
from support.http_shop import HOST, Asked, Got, Made, Pair, Shop, at_rest
from support.points import Points


class Steps(Points):
    """The points of a layer, by their number."""

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.stop_at = 0
        """Which point to stop at, from 1; 0 = none."""
        self.stopped_at = ""

    def begin(self, stop_at: int) -> None:
        """Count anew."""
        self.passed, self.stop_at, self.stopped_at = [], stop_at, ""

    async def come(self, point: str, *, blocking: bool) -> None:
        if len(self.passed) + 1 == self.stop_at:
            self.stopped_at = point
            self.hold(point)
        await super().come(point, blocking=blocking)


class World:
    """A resource with versions, two processes that serve it, and one fetch that can be stopped."""

    def __init__(self, colour: Colour, layer: Layer, other: Layer, kind: str) -> None:
        self.colour = colour
        self.kind = kind
        self.version = 0
        self.fails = False
        self.path = "/"
        self.has_ended = False
        """Whether the fetch has answered its client; it may go on behind."""
        options = {"wait": "10ms"}
        self.near = Shop(colour, layer, self._answer, options)
        self.far = Shop(colour, other, self._answer, options)
        self.steps = Steps(layer)
        self.layer = layer

    async def _answer(self, asked: Asked) -> Made:
        if asked.method == "POST":
            return Made(status=204)
        version = self.version
        here = asked.get("x-from") == "near"
        if here:
            await self._come("app")
        fields: list[Pair] = [*_FIELDS.get(self.kind, _FIELDS[""]), ("ETag", f'"{version}"'), ("Cache-Tag", "t")]
        if self.fails and here:
            return Made(status=503)
        if self.kind == "validated" and asked.get("if-none-match") == f'"{version}"':
            return Made(fields, status=304)
        body = [f"{version}".encode(), *([b"-" * 20_000] if self.kind == "long" else [])]
        return Made(fields, [*body, self._piece, b""] if here else body)

    async def _piece(self) -> None:
        await self._come("body")

    async def _come(self, point: str) -> None:
        await self.steps.come(point, blocking=not self.colour.is_async)

    async def fetch(self) -> Got:
        """Ask in the process whose fetch is looked at."""
        try:
            return await self.near.ask(self.path, ("X-From", "near"))
        finally:
            self.has_ended = True

    async def prepare(self, number: int, stop_at: int) -> None:
        """Begin a new URL in the state that the kind of fetch begins with."""
        self.path = f"/{number}"
        self.fails = False
        self.steps.begin(0)
        if self.kind in {"validated", "behind", "failing"}:
            assert _version(await self.fetch()) == self.version
        self.fails = self.kind == "failing"
        self.steps.begin(stop_at)
        self.has_ended = False

    async def is_current(self, shop: Shop) -> bool:
        """Say whether a process serves what is there now."""
        return _version(await shop.ask(self.path)) == self.version


_FIELDS: dict[str, list[Pair]] = {
    "": [("Cache-Control", "max-age=60")],
    "validated": [("Cache-Control", "max-age=0")],
    "behind": [("Cache-Control", "max-age=50, stale-while-revalidate=900"), ("Age", "100")],
    "failing": [("Cache-Control", "max-age=50, stale-if-error=900"), ("Age", "100")],
    "unkept": [("Cache-Control", "no-store")],
}
CHANGES: dict[str, Callable[[World], Awaitable[Any]]] = {
    "purge": lambda world: world.colour.of(world.layer.http_cache).purge(f"http://{HOST}{world.path}"),
    "purge elsewhere": lambda world: world.colour.of(_layer(world.far).http_cache).purge(f"http://{HOST}{world.path}"),
    "tag": lambda world: world.colour.of(_layer(world.far).cache).invalidate_tags("t"),
    "POST": lambda world: world.near.ask(world.path, method="POST"),
    "POST elsewhere": lambda world: world.far.ask(world.path, method="POST"),
}


def _layer(shop: Shop) -> Layer:
    assert shop.layer is not None
    return shop.layer


def _version(got: Got) -> int:
    return int(got.body.rstrip(b"-") or -1)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("kind", ["short", "long", "validated", "behind", "failing", "unkept"])
def test_a_change_during_a_fetch(namespace: str, colour: Colour, kind: str, change: Callable[[World], Any]) -> None:
    """Wherever the fetch is: who asks after the change, here or elsewhere, then or later, gets the new state."""

    async def scenario() -> None:
        url = f"memory://{namespace}"
        async with colour.using(Layer(url)) as layer, colour.using(Layer(url)) as other:
            world = World(colour, layer, other, kind)
            for stop_at in count(1):
                await world.prepare(stop_at, stop_at)
                for each in await colour.together(world.fetch, _changing(world, change)):
                    if isinstance(each, BaseException):
                        raise each
                await colour.until(lambda: at_rest(layer), "the fetch is over")
                if not world.steps.stopped_at:
                    break
                for shop in (world.near, world.far, world.near):
                    assert await world.is_current(shop), world.steps.stopped_at
            assert stop_at >= 4

    colour.run(scenario)


def _changing(world: World, change: Callable[[World], Any]) -> Callable[[], Any]:
    """Return an actor that makes a change while the fetch is stopped, and lets it go."""

    async def act() -> None:
        steps = world.steps
        await world.colour.until(lambda: _is_there(world), "the fetch is stopped, or over")
        if not steps.stopped_at:
            return
        stopped_at = steps.stopped_at
        steps.stop_at = 0
        world.version += 1
        try:
            await change(world)
            assert await world.is_current(world.far), stopped_at
        finally:
            steps.release(stopped_at)

    return act


def _is_there(world: World) -> bool:
    """Say whether the fetch is stopped, or has passed all its points."""
    steps = world.steps
    if steps.stopped_at:
        return steps.holds(steps.stopped_at)
    return world.has_ended and at_rest(world.layer)
