"""The HTTP cache in unusual but lawful company: paths rewritten, buffers used again, answers that break off."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from holdfast import Layer
from holdfast.asgi import CacheMiddleware
from holdfast.commands import Command
from holdfast.core.http_writing import Writing
from holdfast.defaults import engine_of
from holdfast.wsgi import CacheMiddleware as WsgiCacheMiddleware
from support.http_asgi import FRESH, PAIRS, START, App, Message, Send, body, nothing_more
from support.http_clients import Got, ask_asgi, scope_of
from support.http_wsgi import Start
from support.http_wsgi import ask as ask_wsgi

Asgi = Callable[[Any, Any, Any], Awaitable[None]]
TIMEOUT = 5.0


async def ask(app: Any, method: str = "GET", *pairs: tuple[str, str]) -> Got:
    """Send a request for / and return the answer; none that comes is slower than `TIMEOUT`."""
    async with asyncio.timeout(TIMEOUT):
        return await ask_asgi(app, method, "/", (*PAIRS, *pairs))


def status_of(got: Got) -> str:
    """Return what the last cache on the way said."""
    return (got.fields.get("cache-status") or "").rpartition(", ")[2]


class Counter:
    """Answers by what it is told, and counts."""

    def __init__(self, *fields: tuple[bytes, bytes], data: bytes = b"x") -> None:
        self.fields = list(fields)
        self.data = data
        self.calls = 0
        self.working = 0
        self.most = 0
        """How many ran at once."""

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        """Answer."""
        self.calls += 1
        self.working += 1
        self.most = max(self.most, self.working)
        for _ in range(20):  # so that others can come in, without a clock
            await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 200, "headers": list(self.fields)})
        await send(body(self.data))
        self.working -= 1


def test_a_path_that_was_rewritten(layer: Layer) -> None:
    """Who rewrites `path` outside of the cache has made another URL, though `raw_path` is as it was."""

    async def app(scope: Any, receive: Any, send: Send) -> None:
        await send(START)
        await send(body(scope["path"].encode()))

    cache = CacheMiddleware(app, layer=layer)

    async def outside(scope: Any, receive: Any, send: Send) -> None:
        tenant = dict(scope["headers"])[b"x-tenant"].decode()
        await cache({**scope, "path": f"/{tenant}{scope['path']}"}, receive, send)

    async def scenario() -> None:
        assert (await ask(outside, "GET", ("X-Tenant", "anna"))).body == b"/anna/"
        assert (await ask(outside, "GET", ("X-Tenant", "bob"))).body == b"/bob/"

    asyncio.run(scenario())


def test_a_fresh_page_does_not_wait_for_a_reload(layer: Layer) -> None:
    """What is fresh is served while another request has it validated, in a process that is new as well."""
    begun, gate, slow = asyncio.Event(), asyncio.Event(), False

    async def app(scope: Any, receive: Any, send: Send) -> None:
        if slow:
            begun.set()
            await gate.wait()
        await send(START)
        await send(body(b"x"))

    async def scenario() -> None:
        nonlocal slow
        await ask(CacheMiddleware(app, layer=layer))
        slow, new = True, CacheMiddleware(app, layer=layer)
        reload = asyncio.create_task(ask(new, "GET", ("Cache-Control", "no-cache")))
        async with asyncio.timeout(TIMEOUT):
            await begun.wait()
        assert status_of(await ask(new)).startswith("holdfast;hit")
        gate.set()
        await reload

    asyncio.run(scenario())


def layer_turns(layer: Layer) -> list[str]:
    """Return the keys that somebody fetches."""
    return list(engine_of(layer)().turns._turns)  # pyright: ignore[reportPrivateUsage]


def test_what_is_invalidated_leaves_no_bodies(layer: Layer, namespace: str) -> None:
    """However often a long page is purged and fetched again: what lies in Redis does not grow."""
    app = Counter((b"cache-control", b"max-age=31536000"), data=b"x" * 50_000)
    cache = CacheMiddleware(app, layer=layer)

    async def scenario() -> None:
        for _ in range(10):
            await ask(cache)
            await layer.http_cache.apurge("http://shop.example/", f"http://{PAIRS[0][1]}/")
        found = await engine_of(layer)().asyncio.call(Command(("KEYS", f"{namespace}:*"), (), True))
        assert len([key for key in found if b"http:" in key]) <= 1, found

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "more",
    [
        pytest.param((b"content-length", b"7"), id="another-length"),
        pytest.param((b"cache-tag", b",".join(b"t%d" % each for each in range(3000))), id="too-many-tags"),
    ],
)
def test_nobody_waits_for_what_fails_at_the_end(more: tuple[bytes, bytes], layer: Layer) -> None:
    """What cannot be stored, as only its end or the storing shows, is fetched by all at once afterwards."""
    app = Counter(FRESH[0], more)
    cache = CacheMiddleware(app, layer=layer)

    async def scenario() -> None:
        await ask(cache)
        await asyncio.gather(*[ask(cache) for _ in range(5)])
        assert app.most >= 4

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", ["dict", "buffer"])
def test_an_app_may_reuse_its_message(kind: str, layer: Layer) -> None:
    """A message and its buffer are the app's again as soon as `send` has returned, however slow the client is."""

    async def app(scope: Any, receive: Any, send: Send) -> None:
        message, buffer = body(more=True), bytearray(1)
        await send(START)
        for each in b"01234":
            buffer[0] = each
            message["body"] = bytes(buffer) if kind == "dict" else memoryview(buffer)
            await send(message if kind == "dict" else {**message})
        await send(body())

    got: list[bytes] = []

    async def slow(message: Message) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        got.append(bytes(message.get("body", b"")))

    asyncio.run(CacheMiddleware(app, layer=layer)(scope_of("GET", "/", PAIRS), nothing_more, slow))
    assert b"".join(got) == b"01234"


class Shop:
    """Has one state, which a POST changes between its head and its body, or as `end` says."""

    def __init__(self, end: str = "body") -> None:
        self.state = b"old"
        self.end = end
        self.begun = asyncio.Event()
        self.gate = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        """Answer."""
        if scope["method"] == "GET":
            state = self.state
            await send(START)
            await send(body(state))
            return
        if self.end != "body":
            self.state = b"new"
        await send({**START, "headers": [*FRESH, (b"content-location", b"/")]})
        self.begun.set()
        await self.gate.wait()
        self.state = b"new"
        if self.end == "raise":
            raise ValueError(self.end)
        if self.end == "body":
            await send(body(b"done"))


def test_a_change_between_head_and_body(layer: Layer) -> None:
    """What is fetched between the head of an unsafe answer and its body does not stay."""
    shop = Shop()
    cache = CacheMiddleware(shop, layer=layer)

    async def scenario() -> None:
        post = asyncio.create_task(ask(cache, "POST"))
        await shop.begun.wait()
        assert (await ask(cache)).body == b"old"
        shop.gate.set()
        await post
        assert (await ask(cache)).body == b"new"

    asyncio.run(scenario())


@pytest.mark.parametrize("methods", [("GET", "HEAD"), ("GET", "HEAD", "POST")], ids=["", "POST"])
@pytest.mark.parametrize("end", ["raise", "return", "cancel"])
def test_a_change_whose_answer_breaks_off(end: str, methods: tuple[str, ...], layer: Layer) -> None:
    """A 2xx head says that something was changed: what is stored goes, though the body never comes."""
    shop = Shop(end)
    cache = CacheMiddleware(shop, layer=layer, methods=methods)

    async def scenario() -> None:
        await ask(cache)
        post = asyncio.create_task(cache(scope_of("POST", "/", PAIRS), nothing_more, _drop))
        await shop.begun.wait()
        if end == "cancel":
            post.cancel()
        shop.gate.set()
        await asyncio.gather(post, return_exceptions=True)
        assert (await ask(cache)).body == b"new"

    asyncio.run(scenario())


def test_a_change_that_is_cancelled_while_it_is_told(layer: Layer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that leaves while Redis is told of its change does not undo that."""
    shop, telling, real = Shop(), asyncio.Event(), Writing.invalidate
    cache = CacheMiddleware(shop, layer=layer)

    async def slow(self: Writing, port: Any, keys: Any) -> None:
        if not telling.is_set():
            telling.set()
            await asyncio.Event().wait()
        await real(self, port, keys)

    monkeypatch.setattr(Writing, "invalidate", slow)

    async def scenario() -> None:
        await ask(cache)
        shop.gate.set()
        post = asyncio.create_task(ask(cache, "POST"))
        await telling.wait()
        post.cancel()
        await asyncio.gather(post, return_exceptions=True)
        await asyncio.sleep(0.01)  # it may be told afterwards
        assert (await ask(cache)).body == b"new"

    asyncio.run(scenario())


class Leaver:
    """A client that leaves when it is told to, with a server that speaks one version of the standard."""

    def __init__(self, spec: str) -> None:
        self.scope = scope_of("GET", "/", PAIRS)
        self.scope["asgi"]["spec_version"] = spec
        self.asked = False
        self.gone = asyncio.Event()

    async def receive(self) -> Message:
        """Receive as a server does."""
        if self.asked:
            await self.gone.wait()
            return {"type": "http.disconnect"}
        self.asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Message) -> None:
        """Send as a server does: since 2.4 it says that the client has left."""
        await asyncio.sleep(0)
        if self.gone.is_set() and self.scope["asgi"]["spec_version"] == "2.4":
            raise OSError("the client has left")


def _wrapped(layer: Layer) -> Any:
    """Return an app that streams, with a middleware inside of the cache that ends bodies itself."""

    async def pass_on(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        return await call_next(request)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(5):
            await asyncio.sleep(0)
            yield b"x"

    async def stream(request: Request) -> Response:
        return StreamingResponse(pieces(), headers={"Cache-Control": "max-age=60"})

    inside = Middleware(BaseHTTPMiddleware, dispatch=pass_on)
    return Starlette(routes=[Route("/", stream)], middleware=[Middleware(CacheMiddleware, layer=layer), inside])


@pytest.mark.parametrize("spec", ["2.3", "2.4"])
@pytest.mark.parametrize("steps", [1, 7, 13, 21, 33])
def test_a_client_that_leaves_a_wrapped_stream(spec: str, steps: int, layer: Layer) -> None:
    """What an app sends after it was told that the client has left is no whole body, whoever ends it."""
    app = _wrapped(layer)

    async def scenario() -> None:
        client = Leaver(spec)
        request = asyncio.create_task(app(client.scope, client.receive, client.send))
        for _ in range(steps):
            await asyncio.sleep(0)
        client.gone.set()
        async with asyncio.timeout(TIMEOUT):
            await asyncio.gather(request, return_exceptions=True)
        assert (await ask(app)).body == b"xxxxx"

    asyncio.run(scenario())


async def _drop(message: Message) -> None:
    """Send nothing."""


def test_a_change_while_disabled(layer: Layer) -> None:
    """`disabled()` reads and stores nothing; changes are still made."""
    app = Counter(*FRESH)
    cache = CacheMiddleware(app, layer=layer)

    async def scenario() -> None:
        await ask(cache)
        with layer.disabled():
            await ask(cache, "POST")
        assert status_of(await ask(cache)).startswith("holdfast;fwd")

    asyncio.run(scenario())


def test_a_post_that_asks_itself(layer: Layer) -> None:
    """A POST whose answer may be stored does not wait for itself when its app asks for the URL."""

    async def app(scope: Any, receive: Any, send: Send) -> None:
        if scope["method"] == "POST":
            await ask(cache)
        await send({**START, "headers": [*FRESH, (b"content-location", b"/")]})
        await send(body(b"x"))

    cache = CacheMiddleware(app, layer=layer, methods=["GET", "HEAD", "POST"], wait="1h")
    assert asyncio.run(ask(cache, "POST")).status == 200


def test_twice_around_an_app(layer: Layer) -> None:
    """Two of the same caches in a row: what is stale is refreshed by the app, and Cache-Status does not grow."""
    app = Counter((b"cache-control", b"max-age=0, stale-while-revalidate=1000"))
    cache = CacheMiddleware(CacheMiddleware(app, layer=layer), layer=layer)

    async def scenario() -> Got:
        for _ in range(5):
            await ask(cache)
            for _ in range(100):  # until what is refreshed behind has ended
                await asyncio.sleep(0)
        return await ask(cache)

    got = asyncio.run(scenario())
    assert app.calls >= 5
    assert len((got.fields.get("cache-status") or "").split(", ")) <= 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_refresh_whose_loop_was_closed(layer: Layer) -> None:
    """A refresh behind that ended with its loop does not keep others from refreshing."""
    app = Counter((b"cache-control", b"max-age=0, stale-while-revalidate=1000"))
    begun, hangs = asyncio.Event(), True

    async def outer(scope: Any, receive: Any, send: Send) -> None:
        if app.calls and hangs:
            begun.set()
            await asyncio.Event().wait()
        await app(scope, receive, send)

    cache = CacheMiddleware(outer, layer=layer, lease="20ms")  # which nobody renews once the loop is closed
    loop = asyncio.new_event_loop()

    async def first() -> None:
        await ask(cache)
        await ask(cache)
        await begun.wait()

    loop.run_until_complete(first())
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
    hangs = False

    async def then() -> None:
        async with asyncio.timeout(TIMEOUT):
            while app.calls == 1:
                await ask(cache)
                await asyncio.sleep(0.01)

    asyncio.run(then())
    gc.collect()


def test_a_soft_tag_of_another_variant(layer: Layer) -> None:
    """A variant that was fetched after another's tag was made stale is fresh."""
    calls: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Send) -> None:
        said = dict(scope["headers"]).get(b"accept-language", b"")
        calls.append(said)
        tags = [(b"cache-tag", b"t")] if said == b"de" else []
        await send({**START, "headers": [*FRESH, (b"vary", b"accept-language"), *tags]})
        await send(body(said))

    cache = CacheMiddleware(app, layer=layer)

    async def scenario() -> None:
        for language in ("en", "de"):
            await ask(cache, "GET", ("Accept-Language", language))
        await layer.cache.ainvalidate_tags("t", soft=True)
        calls.clear()
        for _ in range(3):
            await ask(cache, "GET", ("Accept-Language", "en"))
        assert len(calls) == 1

    asyncio.run(scenario())


def test_a_mark_that_is_out_of_date(layer: Layer, namespace: str) -> None:
    """Who still believes that a URL is never stored does not remove what another process has stored since."""
    app = Counter((b"cache-control", b"no-store"))

    async def scenario() -> None:
        with Layer(namespace=namespace) as other:
            here, there = CacheMiddleware(app, layer=layer), CacheMiddleware(app, layer=other)
            for _ in range(2):  # leaves a mark, and looks at it
                await ask(here)
            app.fields = list(FRESH)
            for _ in range(2):
                await ask(there)
            assert status_of(await ask(there)).startswith("holdfast;hit")
            await ask(here)
            assert status_of(await ask(there)).startswith("holdfast;hit")

    asyncio.run(scenario())


def test_a_closed_request(layer: Layer) -> None:
    """A request that is closed in the middle of its body (its loop is torn down) ends, and holds nobody up."""

    async def app(scope: Any, receive: Any, send: Send) -> None:
        await send(START)
        await send(body(b"x", more=True))
        await asyncio.Event().wait()

    async def never(message: Message) -> None:
        await asyncio.Event().wait()

    async def scenario() -> None:
        request: Any = CacheMiddleware(app, layer=layer, wait="1h")(scope_of("GET", "/", PAIRS), nothing_more, never)
        future: Any = request.send(None)
        while future is None or layer_turns(layer) == []:
            await asyncio.sleep(0)
            future = request.send(None)
            if future is not None:
                break
        request.close()
        assert (await ask(CacheMiddleware(App(START, body(b"y")), layer=layer, wait="1h"))).body == b"y"

    asyncio.run(scenario())


def test_fields_of_any_iterable(layer: Layer) -> None:
    """The fields of a scope may be any iterable of pairs (ASGI, HTTP connection scope)."""
    cache = CacheMiddleware(App(START, body(b"x")), layer=layer)
    scope = scope_of("GET", "/", PAIRS)
    scope["headers"] = iter(scope["headers"])
    asyncio.run(cache(scope, nothing_more, _drop))


class Once:
    """A body that can be iterated once."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = [b"x"]

    def __iter__(self) -> Iterator[bytes]:
        chunks, self._chunks = self._chunks, []
        return iter(chunks)


@pytest.mark.parametrize("said", ["no-store", "max-age=60"])
def test_a_body_that_can_be_iterated_once(said: str, layer: Layer) -> None:
    """A body is iterated once, as a server does it (PEP 3333)."""

    def app(environ: Any, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [("Cache-Control", said)])
        return Once()

    assert ask_wsgi(WsgiCacheMiddleware(app, layer=layer)).body == b"x"


def test_an_error_page_after_an_empty_chunk(layer: Layer) -> None:
    """Before the first byte that is not empty the head may still be replaced (PEP 3333, start_response)."""

    def app(environ: Any, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [("Cache-Control", "max-age=60")])
        yield b""
        try:
            raise ValueError("late")
        except ValueError:
            start_response("500 Internal Server Error", [("X", "1")], sys.exc_info())
        yield b"sorry"

    got = ask_wsgi(WsgiCacheMiddleware(app, layer=layer))
    assert (got.status, got.body) == (500, b"sorry")
