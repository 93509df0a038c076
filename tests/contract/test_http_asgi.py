"""The ASGI middleware between a server and an app: messages, scopes, fields (ASGI, HTTP protocol)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast import Layer
from holdfast.asgi import CacheMiddleware
from support.http_asgi import FRESH, PAIRS, START, App, Message, Send, ask, body, nothing_more, raw
from support.http_clients import scope_of


@pytest.mark.parametrize("kind", ["websocket", "lifespan", "something.new"])
def test_other_scopes(kind: str, layer: Layer) -> None:
    """What is no HTTP request reaches the app as it is: the very scope, receive and send."""
    given: list[Any] = []

    async def app(*arguments: Any) -> None:
        given.extend(arguments)

    scope, receive, send = {"type": kind}, object(), object()
    asyncio.run(CacheMiddleware(app, layer=layer)(scope, receive, send))  # type: ignore[arg-type]
    assert given[0] is scope
    assert given[1] is receive
    assert given[2] is send


def test_extensions_that_hide_the_body(layer: Layer) -> None:
    """An app is not told of ways to send a file that the cache would not see; other extensions stay."""
    app = App(START, body(b"x"))

    async def scenario() -> None:
        scope = scope_of("GET", "/", PAIRS)
        scope["extensions"] = {
            "http.response.pathsend": {},
            "http.response.zerocopysend": {},
            "http.response.debug": {},
        }
        before = dict(scope["extensions"])
        await raw(CacheMiddleware(app, layer=layer), scope)
        assert app.scopes[0]["extensions"] == {"http.response.debug": {}}
        assert scope["extensions"] == before

    asyncio.run(scenario())


def test_the_scope_is_the_servers(layer: Layer) -> None:
    """The app gets the server's own scope and receive where nothing of them has to be another."""
    app = App(START, body(b"x"))

    async def scenario() -> None:
        scope = scope_of("POST", "/", PAIRS)
        receive = nothing_more
        await CacheMiddleware(app, layer=layer)(scope, receive, _drop)
        assert app.scopes[0] is scope
        assert app.receives[0] is receive

    asyncio.run(scenario())


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

    asyncio.run(scenario())


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

    asyncio.run(scenario())


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
        assert [each.get("body", b"") for each in (await raw(cache))[1:]] == [
            each.get("body", b"") for each in messages
        ]
        got = await ask(cache)
        assert got.body == b"abc"
        assert len(app.scopes) == 1

    asyncio.run(scenario())


def test_headers_of_any_kind(layer: Layer) -> None:
    """Fields may come as any iterable of pairs, tuples or lists, or not at all."""

    async def scenario() -> None:
        for headers in (iter(FRESH), tuple(FRESH), [list(FRESH[0])], [(b"Cache-Control", b"max-age=60")]):
            async with Layer() as each:
                cache = CacheMiddleware(App({**START, "headers": headers}, body(b"x")), layer=each)
                assert (await ask(cache)).body == b"x"
        none = {"type": "http.response.start", "status": 200}
        assert (await ask(CacheMiddleware(App(none, body(b"x")), layer=layer))).body == b"x"

    asyncio.run(scenario())


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

    asyncio.run(CacheMiddleware(app, layer=layer)(scope_of("GET", "/", PAIRS), nothing_more, send))
    assert seen == [b"0", b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_what_has_no_body(method: str, layer: Layer) -> None:
    """HEAD and 304 come with one empty message, and a HEAD with the length that a GET would have."""
    headers = [*FRESH, (b"etag", b'"a"')]
    cache = CacheMiddleware(App({**START, "headers": headers}, body(b"abc")), layer=layer)

    async def scenario() -> None:
        await ask(cache)
        condition = () if method == "HEAD" else (("If-None-Match", '"a"'),)
        sent = await raw(cache, scope_of(method, "/", (*PAIRS, *condition)))
        assert sent[0]["status"] == (200 if method == "HEAD" else 304)
        assert [each["body"] for each in sent[1:]] == [b""]
        lengths = [value for name, value in sent[0]["headers"] if name == b"content-length"]
        assert lengths == ([b"3"] if method == "HEAD" else [])

    asyncio.run(scenario())


def test_mounted_apps(layer: Layer) -> None:
    """An app that is mounted somewhere shares nothing with one mounted elsewhere, whatever the server puts where."""

    async def app(scope: Any, receive: Any, send: Send) -> None:
        await send(START)
        await send(body(f"{scope['root_path']} {scope['path']}".encode()))

    cache = CacheMiddleware(app, layer=layer)

    async def scenario() -> None:
        bodies = []
        for root, path in (("/a", "/a/x"), ("/b", "/b/x"), ("", "/a/x"), ("/a", "/x")):
            scope = scope_of("GET", path, PAIRS)
            scope["root_path"] = root
            del scope["raw_path"]
            bodies.append((await raw(cache, scope))[1]["body"])
        assert bodies == [b"/a /a/x", b"/b /b/x", b"/a /a/x", b"/a /a/x"]

    asyncio.run(scenario())


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

    asyncio.run(scenario())
