"""Several requests of one URL at a time: they collapse, never hold up what is not stored, and lose no change."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from holdfast import Layer
from support.colours import Colour
from support.http_clients import Got
from support.http_steps import FRESH
from support.http_world import Clock, Says, World, colour_of
from support.peeking import idle
from support.topologies import Topology

pytestmark = pytest.mark.parametrize("front", ["asgi", "wsgi", "wsgi-lazy"])
NO_STORE = "Cache-Control: no-store"


@asynccontextmanager
async def worlds(front: str, url: str, namespace: str, count: int = 1, **options: Any) -> AsyncIterator[list[World]]:
    """Give worlds of several processes, with one clock."""
    colour = colour_of(front)
    layers = [Layer(url, namespace=namespace) for _ in range(count)]
    clock = Clock(*layers)
    try:
        yield [World(front, layer, clock=clock, **options) for layer in layers]
    finally:
        for layer in layers:
            await colour.of(layer).close()


def asking(world: World, line: str = "GET /", *wants: str) -> Callable[[], Coroutine[Any, Any, Got]]:
    """Return an actor that sends one request."""
    return lambda: world.ask(line, wants)


def test_misses_collapse(front: str, topology: Topology, namespace: str) -> None:
    """One request of a URL asks the app, in all processes; the others wait, and get what it has stored."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with worlds(front, topology.url, namespace, 1 if topology.is_memory else 2) as both:
            gate = colour.gate()
            for world in both:
                world.origin.script = [Says((FRESH,), gate=gate, body=b"one")]

            async def opener() -> None:
                await colour.until(lambda: gate.waiting, "somebody asks the app")
                await colour.sleep(0.03)
                gate.open()

            got = await colour.together(*[asking(world) for world in both for _ in range(4)], opener)
            assert [each.body for each in got[:-1]] == [b"one"] * (len(got) - 1)
            assert sum(len(world.origin.seen) for world in both) == 1
            told = sorted((each.fields.get("cache-status") or "") for each in got[:-1])
            assert told[0] == "holdfast;fwd=uri-miss;stored"
            assert all(each.startswith("holdfast;hit;ttl=3600") for each in told[1:])

    colour.run(scenario)


def test_what_is_not_stored_holds_nobody_up(front: str, namespace: str) -> None:
    """Once an answer has turned out not to be stored, all requests are in the app at the same time."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with worlds(front, f"memory://{namespace}", namespace) as (world,):
            await _all_in_the_app(colour, world, first_alone=True)
            await _all_in_the_app(colour, world, first_alone=False)
            world.clock.now += 119
            await _all_in_the_app(colour, world, first_alone=False)

    async def _all_in_the_app(colour: Colour, world: World, *, first_alone: bool) -> None:
        gate, begin = colour.gate(), len(world.origin.seen)
        first = [Says((NO_STORE,))] if first_alone else []
        world.origin.script = [*first, *[Says((NO_STORE,), gate=gate) for _ in range(5)]]
        count = 5 + len(first)

        async def opener() -> None:
            await colour.until(lambda: gate.waiting == 5, "five are in the app at the same time")
            gate.open()

        got = await colour.together(*[asking(world)] * count, opener)
        assert [each.status for each in got[:-1]] == [200] * count
        assert len({each.body for each in got[:-1]}) == count
        assert len(world.origin.seen) == begin + count

    colour.run(scenario)


@pytest.mark.parametrize(
    ("line", "wants"),
    [
        ("GET /", "Authorization: x"),
        ("GET /", "Range: bytes=0-1"),
        ("GET /", "Cache-Control: no-store"),
        ("GET /", "If-Match: x"),
        ("POST /", "X-A: 1"),
        ("HEAD /", "X-A: 1"),
        ("GET /other", "X-A: 1"),
    ],
    ids=["authorization", "range", "no-store", "if-match", "post", "head", "another url"],
)
def test_who_does_not_wait(front: str, line: str, wants: str, namespace: str) -> None:
    """A request whose answer is not what the others wait for goes to the app though another is there."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with worlds(front, f"memory://{namespace}", namespace) as (world,):
            gate = colour.gate()
            world.origin.script = [Says((FRESH,), gate=gate), Says((NO_STORE,))]

            async def beside() -> Got:
                await colour.until(lambda: gate.waiting, "the first is in the app")
                got = await world.ask(line, [wants])
                gate.open()
                return got

            first, second = await colour.together(asking(world), beside)
            assert (first.status, second.status) == (200, 200)
            assert len(world.origin.seen) == 2

    colour.run(scenario)


@pytest.mark.parametrize("change", ["POST /", "POST /other", "purge", "tag"])
def test_a_change_meanwhile(front: str, change: str, topology: Topology, namespace: str) -> None:
    """What was asked for before a change and comes after it is not stored (RFC 9111, 4.4)."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with worlds(front, topology.url, namespace) as (world,):
            gate = colour.gate()
            tagged = (FRESH, "Cache-Tag: t")
            world.origin.script = [Says(tagged, gate=gate, body=b"old")]

            async def changing() -> None:
                await colour.until(lambda: gate.waiting, "the first is in the app")
                if change == "purge":
                    await colour.of(world.layer.http_cache).purge("http://shop.example/")
                elif change == "tag":
                    await colour.of(world.layer.cache).invalidate_tags("t")
                else:
                    world.origin.script = [Says(("Location: /",))]
                    await world.ask(change)
                gate.open()

            got, failed = await colour.together(asking(world), changing)
            assert failed is None
            assert got.body == b"old"
            world.origin.script = [Says(tagged, body=b"new")]
            for _ in range(2):
                assert (await world.ask("GET /")).body == b"new"

    colour.run(scenario)


def test_one_refreshes(front: str, server_topology: Topology, namespace: str) -> None:
    """All processes serve a stale response while one request among them validates it (RFC 5861, 3)."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with worlds(front, server_topology.url, namespace, 2) as both:
            says = Says(("Cache-Control: max-age=10, stale-while-revalidate=60",), body=b"old")
            both[0].origin.script = [says]
            await both[0].ask("GET /")
            both[0].clock.now += 15
            gate = colour.gate()
            for world in both:
                world.origin.script = [Says((FRESH,), gate=gate, body=b"new")]
            got = await colour.together(*[asking(world) for world in both for _ in range(3)])
            assert [each.body for each in got] == [b"old"] * 6
            await colour.until(lambda: gate.waiting, "one refreshes")
            await colour.until(lambda: idle(both[0].layer) != idle(both[1].layer), "the other does not")
            assert [(await world.ask("GET /")).body for world in both] == [b"old"] * 2
            gate.open()
            await colour.until(lambda: all(idle(world.layer) for world in both), "the refresh is over")
            assert [(await world.ask("GET /")).body for world in both] == [b"new"] * 2
            assert sum(len(world.origin.seen) for world in both) == 2

    colour.run(scenario)
