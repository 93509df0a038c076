"""The ASGI middleware between a server and an app: messages, scopes, clients that leave, tasks behind the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from holdfast import Layer
from holdfast.asgi import CacheMiddleware
from support.http_world import Got, ask_asgi, scope_of
from support.peeking import idle

Message = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]
FRESH = [(b"cache-control", b"max-age=60")]
HOST = (("Host", "shop.example"),)
START: Message = {"type": "http.response.start", "status": 200, "headers": FRESH}


def body(data: bytes = b"", *, more: bool = False) -> Message:
    """Return a message with a piece of the body."""
    return {"type": "http.response.body", "body": data, "more_body": more}


class App:
    """Sends the same messages each time, and counts."""

    def __init__(self, *messages: Message) -> None:
        self.messages = messages
        self.scopes: list[Any] = []
        self.receives: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        """Answer."""
        self.scopes.append(scope)
        self.receives.append(receive)
        for message in self.messages:
            await send({**message})


async def ask(app: Any, method: str = "GET", target: str = "/") -> Got:
    """Send a request and return the answer."""
    return await ask_asgi(app, method, target, HOST)


async def raw(app: Any, scope: Any = None) -> list[Message]:
    """Send a request and return the messages of the answer."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope or scope_of("GET", "/", HOST), nothing_more, send)
    return sent


async def nothing_more() -> Message:
    """Receive nothing: a cache has no need to."""
    raise AssertionError("the cache received something")


def run(scenario: Coroutine[Any, Any, None]) -> None:
    """Run a scenario."""
    asyncio.run(scenario)


@pytest.mark.parametrize("kind", ["websocket", "lifespan", "something.new"])
def test_other_scopes(kind: str, layer: Layer) -> None:
    """What is no HTTP request reaches the app as it is: the very scope, receive and send."""
    given: list[Any] = []

    async def app(*arguments: Any) -> None:
        given.extend(arguments)

    scope, receive, send = {"type": kind}, object(), object()
    run(CacheMiddleware(app, layer=layer)(scope, receive, send))  # type: ignore[arg-type]
    assert given[0] is scope
    assert given[1] is receive
    assert given[2] is send


def test_extensions_that_hide_the_body(layer: Layer) -> None:
    """An app is not told of ways to send a file that the cache would not see; other extensions stay."""
    app = App(START, body(b"x"))

    async def scenario() -> None:
        scope = scope_of("GET", "/", HOST)
        scope["extensions"] = {"http.response.pathsend": {}, "http.response.zerocopysend": {}, "http.response.debug": {}}
        before = dict(scope["extensions"])
        await raw(CacheMiddleware(app, layer=layer), scope)
        assert app.scopes[0]["extensions"] == {"http.response.debug": {}}
        assert scope["extensions"] == before

    run(scenario())


def test_the_scope_is_the_servers(layer: Layer) -> None:
    """The app gets the server's own scope and receive where nothing of them has to be another."""
    app = App(START, body(b"x"))

    async def scenario() -> None:
        scope = scope_of("POST", "/", HOST)
        receive = nothing_more
        await CacheMiddleware(app, layer=layer)(scope, receive, _drop)
        assert app.scopes[0] is scope
        assert app.receives[0] is receive

    run(scenario())


async def _drop(_: Message) -> None:
    """Send nothing."""


def test_early_hints(layer: Layer) -> None:
    """Early hints pass at once and are not stored (RFC 8297); nor is anything else that is no part of the answer."""
    hint = {"type": "http.response.early_hint", "links": [b"</a>; rel=preload"]}
    other = {"type": "http.response.something", "x": 1}
    cache = CacheMiddleware(App(hint, other, START, body(b"x")), layer=layer)

    async def scenario() -> None:
        first = await raw(cache)
        assert first[:2] == [hint, other]
        second = await raw(cache)
        assert [each["type"] for each in second] == ["http.response.start", "http.response.body"]
        assert second[1]["body"] == b"x"

    run(scenario())


def test_trailers(layer: Layer) -> None:
    """A response with trailers passes whole, and is not stored without them."""
    trailers = {"type": "http.response.trailers", "headers": [(b"x", b"1")], "more_trailers": False}
    app = App({**START, "trailers": True}, body(b"x"), trailers)
    cache = CacheMiddleware(app, layer=layer)

    async def scenario() -> None:
        for _ in range(2):
            sent = await raw(cache)
            assert [each["type"] for each in sent] == [
                "http.response.start",
                "http.response.body",
                "http.response.trailers",
            ]
            assert sent[0]["trailers"] is True
        assert len(app.scopes) == 2

    run(scenario())


@pytest.mark.parametrize(
    "messages",
    [
        (body(b"abc"),),
        (body(b"abc", more=True), body()),
        (body(b"a", more=True), body(b"", more=True), body(b"bc")),
        ({"type": "http.response.body", "body": b"abc"},),
        (body(b"abc", more=True), {"type": "http.response.body"}),
        ({"type": "http.response.body", "more_body": True}, body(b"abc")),
        tuple(body(bytes([each]), more=each < 99) for each in b"abc"),
    ],
    ids=["one", "an empty last", "an empty middle", "without more_body", "without anything", "an empty first", "many"],
)
def test_bodies_in_messages(messages: tuple[Message, ...], layer: Layer) -> None:
    """A body may come in any number of messages; each passes on as it comes, and all are stored as one."""
    app = App(START, *messages)
    cache = CacheMiddleware(app, layer=layer)

    async def scenario() -> None:
        assert [each.get("body", b"") for each in (await raw(cache))[1:]] == [each.get("body", b"") for each in messages]
        got = await ask(cache)
        assert got.body == b"abc"
        assert len(app.scopes) == 1

    run(scenario())


def test_headers_of_any_kind(layer: Layer) -> None:
    """Fields may come as any iterable of pairs, tuples or lists, or not at all."""

    async def scenario() -> None:
        for headers in (iter(FRESH), tuple(FRESH), [list(FRESH[0])], [(b"Cache-Control", b"max-age=60")]):
            async with Layer() as each:
                cache = CacheMiddleware(App({**START, "headers": headers}, body(b"x")), layer=each)
                assert (await ask(cache)).body == b"x"
        none = {"type": "http.response.start", "status": 200}
        assert (await ask(CacheMiddleware(App(none, body(b"x")), layer=layer))).body == b"x"

    run(scenario())


def test_a_hit_needs_nothing_of_the_client(layer: Layer) -> None:
    """A hit is sent without the app, and without a look at the request's body."""
    app = App(START, body(b"x"))
    cache = CacheMiddleware(app, layer=layer)

    async def scenario() -> None:
        await raw(cache)
        await raw(cache)
        assert len(app.scopes) == 1

    run(scenario())


def test_stored_before_the_end_is_sent(layer: Layer) -> None:
    """Whoever has the last byte of a response gets the next one from the store."""
    app = App(START, body(b"a", more=True), body(b"b"))
    cache = CacheMiddleware(app, layer=layer)
    inner: list[Got] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body" and not message["more_body"]:
            inner.append(await ask(cache))

    run(cache(scope_of("GET", "/", HOST), nothing_more, send))
    assert inner[0].body == b"ab"
    assert len(app.scopes) == 1


def test_a_body_streams(layer: Layer) -> None:
    """Each piece reaches the client before the app makes the next, whether it is stored or not."""
    seen: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Send) -> None:
        await send(START)
        for at in range(5):
            assert len(seen) == at
            await send(body(b"%d" % at, more=at < 4))

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            seen.append(message["body"])

    run(CacheMiddleware(app, layer=layer)(scope_of("GET", "/", HOST), nothing_more, send))
    assert seen == [b"0", b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize("fails_at", [0, 1, 2])
def test_a_client_that_leaves(fails_at: int, layer: Layer) -> None:
    """A server whose `send` raises, as the client has left: what is stored is whole, or nothing is."""
    app = App(START, body(b"a", more=True), body(b"b"))
    cache = CacheMiddleware(app, layer=layer)

    async def scenario() -> None:
        sent = 0

        async def send(message: Message) -> None:
            nonlocal sent
            sent += 1
            if sent > fails_at:
                raise OSError("the client has left")

        with pytest.raises(OSError, match="left"):
            await cache(scope_of("GET", "/", HOST), nothing_more, send)
        assert (await ask(cache)).body == b"ab"
        asked = len(app.scopes)
        assert asked == 1 or (asked == 2 and fails_at < 2)
        assert (await ask(cache)).body == b"ab"
        assert len(app.scopes) == asked

    run(scenario())


@pytest.mark.parametrize("when", ["before the head", "midway", "while it waits for another"])
def test_a_request_that_is_cancelled(when: str, layer: Layer) -> None:
    """A server that cancels a request holds up nobody, and leaves nothing half stored."""

    async def scenario() -> None:
        gate, calls = asyncio.Event(), 0

        async def app(scope: Any, receive: Any, send: Send) -> None:
            nonlocal calls
            calls += 1
            if calls == 1 and when != "midway":
                await gate.wait()
            await send(START)
            await send(body(b"a", more=True))
            if calls == 1 and when == "midway":
                await gate.wait()
            await send(body(b"b"))

        cache = CacheMiddleware(app, layer=layer)
        first = asyncio.create_task(ask(cache))
        while not calls:
            await asyncio.sleep(0)
        if when == "while it waits for another":
            second = asyncio.create_task(ask(cache))
            await asyncio.sleep(0.01)
            second.cancel()
            with pytest.raises(asyncio.CancelledError):
                await second
            gate.set()
            assert (await first).body == b"ab"
        else:
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
        assert (await asyncio.wait_for(ask(cache), 5)).body == b"ab"
        assert calls == (1 if when == "while it waits for another" else 2)

    run(scenario())


def test_a_client_that_leaves_a_hit(layer: Layer) -> None:
    """A hit whose client has left does no harm to what is stored."""
    app = App(START, body(b"ab"))
    cache = CacheMiddleware(app, layer=layer)

    async def broken(message: Message) -> None:
        raise OSError("the client has left")

    async def scenario() -> None:
        await ask(cache)
        with pytest.raises(OSError, match="left"):
            await cache(scope_of("GET", "/", HOST), nothing_more, broken)
        assert (await ask(cache)).body == b"ab"
        assert len(app.scopes) == 1

    run(scenario())


def test_work_behind_the_answer(layer: Layer) -> None:
    """What an app does behind its answer, as background tasks do, is waited for; its errors are raised."""
    done: list[int] = []

    async def app(scope: Any, receive: Any, send: Send) -> None:
        await send(START)
        await send(body(b"x"))
        await asyncio.sleep(0)
        done.append(1)
        raise KeyError("in the background")

    cache = CacheMiddleware(app, layer=layer)

    async def scenario() -> None:
        with pytest.raises(KeyError, match="background"):
            await raw(cache)
        assert (await ask(cache)).body == b"x"
        assert done == [1]

    run(scenario())


def test_an_app_that_answers_by_halves(layer: Layer) -> None:
    """An app that returns without the end of its answer stores nothing and holds up nobody."""

    async def scenario() -> None:
        for messages in ((), (START,), (START, body(b"a", more=True))):
            app = App(*messages)
            cache = CacheMiddleware(app, layer=layer)
            sent = await asyncio.wait_for(raw(cache), 5)
            assert [each["type"] for each in sent] == [each["type"] for each in messages]
            await asyncio.wait_for(raw(cache), 5)
            assert len(app.scopes) == 2

    run(scenario())


def test_a_refresh_has_no_client(layer: Layer) -> None:
    """A refresh behind gets an empty body, never that of the client, and its answer goes nowhere."""
    received: list[Message] = []
    headers = [(b"cache-control", b"max-age=0, stale-while-revalidate=60")]

    async def app(scope: Any, receive: Any, send: Send) -> None:
        received.append(await receive())
        await send({**START, "headers": headers})
        await send(body(b"%d" % len(received)))

    cache = CacheMiddleware(app, layer=layer)

    async def scenario() -> None:
        assert [(await ask(cache)).body for _ in range(2)] == [b"1", b"1"]
        while not idle(layer):
            await asyncio.sleep(0.005)
        assert received[1] == {"type": "http.request", "body": b"", "more_body": False}

    run(scenario())


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_what_has_no_body(method: str, layer: Layer) -> None:
    """HEAD and 304 come with one empty message, and a HEAD with the length that a GET would have."""
    headers = [*FRESH, (b"etag", b'"a"')]
    cache = CacheMiddleware(App({**START, "headers": headers}, body(b"abc")), layer=layer)

    async def scenario() -> None:
        await ask(cache)
        condition = () if method == "HEAD" else (("If-None-Match", '"a"'),)
        sent = await raw(cache, scope_of(method, "/", (*HOST, *condition)))
        assert sent[0]["status"] == (200 if method == "HEAD" else 304)
        assert [each["body"] for each in sent[1:]] == [b""]
        lengths = [value for name, value in sent[0]["headers"] if name == b"content-length"]
        assert lengths == ([b"3"] if method == "HEAD" else [])

    run(scenario())


def test_mounted_apps(layer: Layer) -> None:
    """An app that is mounted somewhere shares nothing with one mounted elsewhere, whatever the server puts where."""

    async def app(scope: Any, receive: Any, send: Send) -> None:
        await send(START)
        await send(body(f"{scope['root_path']} {scope['path']}".encode()))

    cache = CacheMiddleware(app, layer=layer)

    async def scenario() -> None:
        bodies = []
        for root, path in (("/a", "/a/x"), ("/b", "/b/x"), ("", "/a/x"), ("/a", "/x")):
            scope = scope_of("GET", path, HOST)
            scope["root_path"] = root
            del scope["raw_path"]
            bodies.append((await raw(cache, scope))[1]["body"])
        assert bodies == [b"/a /a/x", b"/b /b/x", b"/a /a/x", b"/a /a/x"]

    run(scenario())


def test_a_response_that_is_not_stored_is_not_changed(layer: Layer) -> None:
    """The fields of what is not stored reach the client as the app sent them, but for Cache-Status."""
    headers = [(b"Cache-Control", b"no-store"), (b"x-b", b" 1\xff "), (b"X-A", b"2"), (b"connection", b"close")]
    cache = CacheMiddleware(App({**START, "status": 299, "headers": headers}, body(b"x")), layer=layer)

    async def scenario() -> None:
        for _ in range(2):
            sent = await raw(cache)
            assert sent[0]["status"] == 299
            assert sent[0]["headers"][:-1] == headers
            assert sent[0]["headers"][-1][0] == b"cache-status"

    run(scenario())
