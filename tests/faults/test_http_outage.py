"""The HTTP cache without Redis, with a slow one, and with one that forgets or refuses: requests are answered.

And nothing stays behind: no lease, no turn, no renewal, no listener.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from holdfast import Layer
from holdfast.events import BackendFailed, FillRefused
from support.colours import Colour
from support.http_shop import HOST, Asked, Made, Pair, Shop, at_rest, leases
from support.peeking import told
from support.programs import oldest
from support.proxy import Proxy
from support.staged import Stage
from support.standalone import Standalone

FRESH: Pair = ("Cache-Control", "max-age=600")
STALE: tuple[Pair, ...] = (("Cache-Control", "max-age=50, stale-while-revalidate=900"), ("Age", "100"))
LONG = 30_000


class Origin:
    """An app whose answers are numbered, so that it shows which one somebody got."""

    def __init__(self, *fields: Pair, size: int = 0) -> None:
        self.fields = fields or (FRESH, ("ETag", '"1"'))
        self.size = size
        self.runs = 0
        self.meanwhile: Callable[[], object] = lambda: None
        """What happens while it runs."""

    async def __call__(self, asked: Asked) -> Made:
        self.runs += 1
        self.meanwhile()
        return Made(self.fields, [f"{self.runs} ".encode(), b"x" * self.size])


async def rests(colour: Colour, layer: Layer, *, away: bool = False) -> None:
    await colour.until(lambda: at_rest(layer, away=away), "nothing goes on behind")


def _cut(proxy: Proxy, *, reset: bool) -> None:
    proxy.refuse()
    proxy.cut_all(reset=reset)


OUTAGES: dict[str, Callable[[Standalone, Proxy], object]] = {
    "stopped": lambda server, proxy: server.stop(),
    "killed": lambda server, proxy: server.kill(),
    "frozen": lambda server, proxy: server.pause(),
    "refusing": lambda server, proxy: _cut(proxy, reset=True),
    "closing": lambda server, proxy: _cut(proxy, reset=False),
    "black hole": lambda server, proxy: proxy.black_hole(),
}


@pytest.mark.parametrize("outage", OUTAGES)
def test_an_outage_is_a_transparent_proxy(colour: Colour, outage: str) -> None:
    """Each request is answered by the app, GET, HEAD and POST, soon; when Redis is back, so is the cache."""

    async def scenario() -> None:
        with Standalone(oldest()) as server, Proxy(server.address) as proxy:
            async with colour.using(Layer(f"{proxy.url}?socket_timeout=0.1")) as layer:
                origin = Origin()
                shop = Shop(colour, layer, origin)
                await shop.ask()
                assert (await shop.ask()).is_hit
                OUTAGES[outage](server, proxy)
                began = time.monotonic()
                for number in range(12):
                    for method in ("GET", "HEAD", "POST"):
                        got = await shop.ask(f"/{number % 3}" if method == "GET" else "/", method=method)
                        assert got.status == 200
                        assert f"{origin.runs} ".encode() in got.body
                        assert not any(word in got.told for word in ("hit", "stored"))
                assert time.monotonic() - began < 5, "36 requests, of which a few wait for a tenth of a second"
                await rests(colour, layer, away=True)
                if server.running:
                    server.resume()
                else:
                    server.start()
                proxy.restore()
                while not (await shop.ask("/back")).is_hit:
                    await colour.sleep(0.02)
                await rests(colour, layer)
                assert leases(layer, "/back", "/0", "/1", "/2", "/") == []

    colour.run(scenario)


@pytest.mark.parametrize("size", [0, LONG], ids=["short", "long"])
def test_a_slow_redis(colour: Colour, size: int) -> None:
    """Answers that come late, but in time, are as good as others."""

    async def scenario() -> None:
        with Standalone(oldest()) as server, Proxy(server.address) as proxy:
            async with colour.using(Layer(proxy.url)) as layer:
                shop = Shop(colour, layer, Origin(size=size))
                proxy.delay(0.02)
                first = await shop.ask()
                second = await shop.ask()
                assert second.is_hit
                assert second.body == first.body
                await shop.ask(method="POST")
                assert not (await shop.ask()).is_hit

    colour.run(scenario)


@pytest.mark.parametrize("dies", ["while the app runs", "while a body is sent"])
@pytest.mark.parametrize("size", [0, LONG], ids=["short", "long"])
def test_redis_dies_during_a_fetch(colour: Colour, dies: str, size: int) -> None:
    """The client gets the whole response, and when Redis is back, nothing waits for the fetch that could not store."""

    async def scenario() -> None:
        with Standalone(oldest()) as server:
            async with colour.using(Layer(server.url)) as layer:

                async def kill() -> None:
                    server.kill()

                async def respond(asked: Asked) -> Made:
                    if dies == "while the app runs" and len(shop.asked) == 1:
                        await kill()
                    breaks = [kill] if len(shop.asked) == 1 else []
                    return Made([FRESH], [b"a", *breaks, b"x" * size, b"end"])

                shop = Shop(colour, layer, respond)
                got = await shop.ask()
                assert (got.status, len(got.body)) == (200, size + 4)
                await rests(colour, layer, away=True)
                server.start()
                began = time.monotonic()
                while not (await shop.ask()).is_hit:
                    await colour.sleep(0.01)
                assert time.monotonic() - began < 5
                await rests(colour, layer)
                assert leases(layer, "/") == []

    colour.run(scenario)


@pytest.mark.parametrize("size", [0, LONG], ids=["short", "long"])
@pytest.mark.parametrize("lost", ["GET", "acquire", "fill", "invalidate"])
def test_a_reply_that_is_lost(layer: Layer, colour: Colour, lost: str, size: int) -> None:
    """A command that was executed and not answered fails no request, and leaves no lease that others wait for."""

    async def scenario() -> None:
        stage = Stage(layer)
        origin = Origin(size=size)
        shop = Shop(colour, layer, origin)
        if lost in {"GET", "invalidate"}:
            await shop.ask()
        stage.loses.add(lost)
        got = await shop.ask(method="POST" if lost == "invalidate" else "GET")
        assert got.body == f"{origin.runs} ".encode() + b"x" * size
        assert stage.loses == set()
        await rests(colour, layer)
        began = time.monotonic()
        for _ in range(3):
            got = await shop.ask()
        assert got.is_hit
        assert time.monotonic() - began < 5
        await rests(colour, layer)
        assert leases(layer, "/") == []

    colour.run(scenario)


@pytest.fixture
def layer(namespace: str) -> Any:
    """Give an embedded layer of the test's own."""
    with Layer(namespace=namespace) as layer:
        yield layer


def test_who_waits_when_redis_goes(colour: Colour) -> None:
    """Those who wait for a fetch of another process are answered soon after Redis is gone."""

    async def scenario() -> None:
        with Standalone(oldest()) as server:
            async with colour.using(Layer(server.url)) as layer, colour.using(Layer(server.url)) as other:
                gate, origin = colour.gate(), Origin()

                async def slow(asked: Asked) -> Made:
                    await gate.passed()
                    return await origin(asked)

                first, second = Shop(colour, other, slow), Shop(colour, layer, origin)

                async def waiter() -> Any:
                    await colour.until(lambda: gate.waiting, "the first is in the app")
                    return await second.ask()

                async def killer() -> float:
                    await colour.until(lambda: layer.stats().misses >= 4, "all have missed")
                    await colour.until(lambda: layer.engine.backend._subscriber._topics, "one listens")
                    server.kill()
                    began = time.monotonic()
                    await colour.until(lambda: len(second.asked) == 5, "all were answered")
                    gate.open()
                    return time.monotonic() - began

                *got, took = await colour.together(first.asking(), *[waiter] * 5, killer)
                assert [each.status for each in got] == [200] * 6
                assert took < 5
                await rests(colour, layer, away=True)
                await rests(colour, other, away=True)

    colour.run(scenario)


def test_a_refused_fill(layer: Layer, colour: Colour) -> None:
    """A response that was outdated while it was made goes to its client, whole, is told as refused, and not stored."""

    async def scenario() -> None:
        for size in (0, LONG):
            origin = Origin(size=size)
            shop = Shop(colour, layer, origin)
            refused = told(layer, FillRefused)

            async def respond(asked: Asked, origin: Origin = origin) -> Made:
                made = await origin(asked)
                if origin.runs == 1:
                    await colour.of(layer.http_cache).purge(f"http://{HOST}{asked.path}")
                return made

            shop.respond = respond
            got = await shop.ask(f"/{size}")
            assert got.body.startswith(b"1 ")
            assert len(refused) == 1
            assert (await shop.ask(f"/{size}")).body.startswith(b"2 ")
            assert (await shop.ask(f"/{size}")).is_hit
            await rests(colour, layer)

    colour.run(scenario)


def test_a_server_that_forgets_scripts(colour: Colour) -> None:
    """Scripts that are gone are sent again, at any point."""

    async def scenario() -> None:
        with Standalone(oldest()) as server:
            async with colour.using(Layer(server.url)) as layer:
                failures = told(layer, BackendFailed)
                for size in (0, LONG):
                    origin = Origin((FRESH), ("Cache-Tag", "t"), size=size)
                    origin.meanwhile = server.client.script_flush
                    shop = Shop(colour, layer, origin)
                    for number in range(3):
                        path = f"/{size}/{number}"
                        await shop.ask(path)
                        assert (await shop.ask(path)).is_hit
                        server.client.script_flush()
                        await shop.ask(path, method="POST")
                        server.client.script_flush()
                        assert not (await shop.ask(path)).is_hit
                        server.client.script_flush()
                        await colour.of(layer.cache).invalidate_tags("t")
                        assert not (await shop.ask(path)).is_hit
                assert not failures
                await rests(colour, layer)

    colour.run(scenario)


def test_a_full_server(colour: Colour) -> None:
    """What is stored is served and can be invalidated; what is not is answered by the app, and told as a failure."""

    async def scenario() -> None:
        with Standalone(oldest(), options={"maxmemory-policy": "noeviction"}) as server:
            async with colour.using(Layer(server.url)) as layer:
                origin = Origin()
                shop = Shop(colour, layer, origin)
                await shop.ask("/old")
                server.ask("CONFIG", "SET", "maxmemory", "1")
                assert (await shop.ask("/old")).is_hit
                failures = told(layer, BackendFailed)
                for _ in range(2):
                    assert (await shop.ask("/new")).body == f"{origin.runs} ".encode()
                assert failures
                await shop.ask("/old", method="POST")
                assert not (await shop.ask("/old")).is_hit
                server.ask("CONFIG", "SET", "maxmemory", "0")
                origin.meanwhile = lambda: server.ask("CONFIG", "SET", "maxmemory", "1")
                assert (await shop.ask("/newer")).body == f"{origin.runs} ".encode()
                server.ask("CONFIG", "SET", "maxmemory", "0")
                origin.meanwhile = lambda: None
                await shop.ask("/newer")
                assert (await shop.ask("/newer")).is_hit
                await rests(colour, layer)

    colour.run(scenario)


def test_a_refresh_behind_without_redis(colour: Colour) -> None:
    """It ends quietly: what is stored is not there any more, and nobody waits for it."""

    async def scenario() -> None:
        with Standalone(oldest()) as server:
            async with colour.using(Layer(server.url)) as layer:
                origin = Origin(*STALE)
                shop = Shop(colour, layer, origin)
                await shop.ask()
                origin.meanwhile = server.kill
                assert (await shop.ask()).body == b"1 "
                await colour.until(lambda: origin.runs == 2, "the app runs behind")
                await rests(colour, layer, away=True)
                assert (await shop.ask()).body == b"3 "

    colour.run(scenario)


def test_misses_without_redis_all_go_to_the_app(colour: Colour) -> None:
    """Without a place to store in there is nothing to wait for."""

    async def scenario() -> None:
        with Standalone(oldest()) as server:
            async with colour.using(Layer(server.url)) as layer:
                server.kill()
                gate = colour.gate()

                async def respond(asked: Asked) -> Made:
                    await gate.passed()
                    return Made([FRESH], [b"all"])

                shop = Shop(colour, layer, respond)

                async def opener() -> None:
                    await colour.until(lambda: gate.waiting == 5, "all are in the app")
                    gate.open()

                got = await colour.together(*[shop.asking()] * 5, opener)
                assert [each.body for each in got[:5]] == [b"all"] * 5

    colour.run(scenario)
