"""An app that asks itself, two caches in a row, and a change while something is refreshed behind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

import holdfast.asgi
import holdfast.wsgi
from holdfast import Layer
from support.http_clients import Got, ask_asgi, ask_wsgi
from support.http_steps import FRESH
from support.http_world import HOST, Says, World, colour_of
from support.peeking import idle

PAIRS = (("Host", HOST),)


@pytest.mark.parametrize("depth", [1, 2])
def test_an_asgi_app_that_asks_itself(depth: int, layer: Layer) -> None:
    """An app that asks its own cache for the URL that it answers does not wait for itself."""
    asked = 0
    inner: list[Got] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal asked
        asked += 1
        if asked <= depth:
            inner.append(await ask_asgi(cache, "GET", "/", PAIRS))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"cache-control", b"max-age=60")]})
        await send({"type": "http.response.body", "body": b"x"})

    cache = holdfast.asgi.CacheMiddleware(app, layer=layer)
    colour_of("asgi").run(lambda: ask_asgi(cache, "GET", "/", PAIRS))
    assert [each.body for each in inner] == [b"x"] * depth
    assert colour_of("asgi").run(lambda: ask_asgi(cache, "GET", "/", PAIRS)).body == b"x"
    assert asked == depth + 1


@pytest.mark.parametrize("depth", [1, 2])
def test_a_wsgi_app_that_asks_itself(depth: int, layer: Layer) -> None:
    """The same in WSGI, where the thread itself would stand still."""
    asked = 0
    inner: list[Got] = []

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        nonlocal asked
        asked += 1
        if asked <= depth:
            inner.append(ask_wsgi(cache, "GET", "/", PAIRS))
        start_response("200 OK", [("Cache-Control", "max-age=60")])
        return [b"x"]

    cache = holdfast.wsgi.CacheMiddleware(app, layer=layer)
    ask_wsgi(cache, "GET", "/", PAIRS)
    assert [each.body for each in inner] == [b"x"] * depth
    assert ask_wsgi(cache, "GET", "/", PAIRS).body == b"x"
    assert asked == depth + 1


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("front", ["asgi", "wsgi", "wsgi-lazy"])
def test_two_caches_in_a_row(front: str, apart: bool, namespace: str) -> None:
    """A cache in front of a cache works, in the same namespace as well, and both tell what they did."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(f"memory://{namespace}", namespace=namespace)) as layer:
            world = World(front, layer, name="inner")
            kind: Any = holdfast.asgi.CacheMiddleware if front == "asgi" else holdfast.wsgi.CacheMiddleware
            world.cache = kind(world.cache, layer=layer, name="outer", namespace="outer" if apart else "http")
            world.origin.script = [Says((FRESH, 'ETag: "a"'))]
            first, second = await world.ask("GET /"), await world.ask("GET /")
            assert (first.body, second.body) == (b"run 1", b"run 1")
            told = first.fields.get("cache-status") or ""
            assert [each.partition(";")[0] for each in told.split(", ")] == ["inner", "outer"]
            assert (second.fields.get("cache-status") or "").endswith("outer;hit;ttl=3600")
            world.clock.now += 3600
            world.origin.script = [Says((FRESH,), 304)]
            assert (await world.ask("GET /")).body == b"run 1"
            assert not world.origin.script

    colour.run(scenario)


@pytest.mark.parametrize("front", ["asgi", "wsgi", "wsgi-lazy"])
def test_a_change_while_it_is_refreshed(front: str, namespace: str) -> None:
    """What a refresh behind brings is not stored if the URL has been purged meanwhile (RFC 9111, 4.4)."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(f"memory://{namespace}", namespace=namespace)) as layer:
            world, gate = World(front, layer), colour.gate()
            world.origin.script = [Says(("Cache-Control: max-age=10, stale-while-revalidate=60",), body=b"old")]
            await world.ask("GET /")
            world.clock.now += 15
            world.origin.script = [Says((FRESH,), body=b"behind", gate=gate)]
            assert (await world.ask("GET /")).body == b"old"
            await colour.until(lambda: gate.waiting, "it is being refreshed")
            assert await colour.of(layer.http_cache).purge(f"http://{HOST}/") == 1
            gate.open()
            await colour.until(lambda: idle(layer), "the refresh is over")
            world.origin.script = [Says((FRESH,), body=b"new")]
            assert (await world.ask("GET /")).body == b"new"

    colour.run(scenario)


@pytest.mark.parametrize("front", ["asgi", "wsgi"])
def test_errors_pass_at_once(front: str, namespace: str) -> None:
    """Requests that wait for one that fails do not fail with it: the next of them asks the app."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(f"memory://{namespace}", namespace=namespace)) as layer:
            world, gate = World(front, layer), colour.gate()
            world.origin.script = [Says(fails="first", gate=gate), *[Says((FRESH,))] * 3]

            async def opener() -> None:
                await colour.until(lambda: gate.waiting, "one is in the app")
                await colour.sleep(0.02)
                gate.open()

            got = await colour.together(*[lambda: world.ask("GET /")] * 4, opener)
            assert sum(each.error is not None for each in got[:-1]) == 1
            assert all(each.status == 200 for each in got[:-1] if each.error is None)

    colour.run(scenario)
