"""Answers with sessions: their fields, caches before them, Redis away, bodies that come late, and what is said twice."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import holdfast.asgi
import holdfast.wsgi
from holdfast import Layer
from holdfast.errors import ConfigurationError, SessionError
from holdfast.events import SessionDropped
from support.http_clients import AppError, ask_wsgi, scope_of
from support.http_world import FRONTS, colour_of
from support.peeking import ask, told
from support.ports import free_port
from support.session_site import Says, Site
from support.staged import Stage

fronts = pytest.mark.parametrize("front", FRONTS)
SAVED = "private, no-store"


def put(**values: Any) -> Any:
    """Return an app that assigns."""
    return lambda session: session.update(values)


def says(*lines: str, **values: Any) -> Any:
    """Return an app that assigns, and answers with some fields."""

    def act(session: Any) -> Says:
        session.mark_accessed()
        session.update(values)
        return Says((name, value) for name, _, value in (line.partition(": ") for line in lines))

    return act


@fronts
def test_what_an_answer_says_of_its_session(front: str, namespace: str) -> None:
    """One that looked at it varies with the cookie and is private; one that sets the cookie is stored by nobody."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(f"memory://{namespace}", namespace=namespace)) as layer:
            site = Site(front, layer)

            async def fields(act: Any = None) -> tuple[str | None, str | None]:
                got = await site.ask(act)
                return got.fields.get("vary"), got.fields.get("cache-control")

            assert await fields(None) == (None, None)
            assert await fields(dict) == ("Cookie", "private")
            assert await fields(lambda session: session.get("a") and None) == ("Cookie", "private")
            assert await fields(says("Vary: Accept", "Cache-Control: public, max-age=5")) == (
                "Accept, Cookie",
                "public, max-age=5",
            )
            for vary in ("*", "cookie", "Accept, COOKIE"):
                assert (await fields(says(f"Vary: {vary}")))[0] == vary
            lines = (
                "Cache-Control: public, max-age=60",
                "CDN-Cache-Control: max-age=60",
                "Shop-CDN-Cache-Control: max-age=60",
                "Surrogate-Control: max-age=60",
                "Edge-Control: max-age=60",
                "X-Accel-Expires: 60",
                "Expires: Thu, 01 Jan 2099 00:00:00 GMT",
            )
            for act in (says(*lines, a=1), lambda session: (session.rotate(), says(*lines)(session))[1]):
                got = await site.ask(act)
                assert got.fields.get("cache-control") == SAVED
                assert got.fields.get("vary") == "Cookie"
                kept = {name.lower() for name, _ in got.fields.pairs}
                assert kept == {"cache-control", "vary", "set-cookie"}, kept
            assert await fields(put(a=2)) == ("Cookie", "private")

    colour.run(scenario)


@fronts
def test_our_cache_before_it(front: str, namespace: str) -> None:
    """It stores no page that sets a cookie, whatever the app says, and shows nobody the page of another."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(f"memory://{namespace}", namespace=namespace)) as layer:
            cache = holdfast.asgi.CacheMiddleware if front == "asgi" else holdfast.wsgi.CacheMiddleware
            site = Site(front, layer, around=lambda app: cache(app, layer=layer))
            public = ("Cache-Control: public, max-age=60, s-maxage=60", "CDN-Cache-Control: max-age=60")
            for path in ("/a", "/b"):
                await site.ask(says(*public, a=path), line=f"GET {path}", keep=path == "/a")
            before = site.asked
            for path in ("/a", "/b"):
                got = await site.ask(line=f"GET {path}", cookie="")
                assert got.fields.get("set-cookie") is None
            assert site.asked == before + 2, "neither was stored"
            await site.ask(says("Cache-Control: max-age=60"), line="GET /mine")
            before = site.asked
            for cookie in ("", "session=another"):
                await site.ask(lambda session: Says(), line="GET /mine", cookie=cookie)
            assert site.asked == before + 2, "the page of one was shown to another"
            await site.ask(lambda _: Says([("Cache-Control", "max-age=60")]), line="GET /public", cookie="")
            before = site.asked
            await site.ask(line="GET /public", cookie="")
            assert site.asked == before, "a page that asked for no session is stored"

    colour.run(scenario)


@fronts
def test_redis_is_away(front: str, namespace: str) -> None:
    """Who needs a session gets 503, and the app nothing but an error; what cannot be stored is not promised."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(f"memory://{namespace}", namespace=namespace)) as layer:
            stage, site = Stage(layer), Site(front, layer)
            await site.ask(put(a=1))
            beyond: list[Any] = []

            def looks(session: Any) -> None:
                beyond.append(dict(session))

            with stage.away():
                for line in ("GET /", "HEAD /", "POST /"):
                    got = await site.ask(looks, line=line)
                    assert (got.status, got.fields.get("retry-after")) == (503, "1")
                    assert got.fields.get("cache-control") == "no-store"
                    assert got.fields.get("set-cookie") is None
                    assert bool(got.body) == (line != "HEAD /")
                assert beyond == [], "it went on with the session of a stranger"
                for look in (lambda session: session.user, lambda session: session.log_out(), put(a=2), len):
                    assert (await site.ask(look)).status == 503
                assert (await site.ask()).body == b"done"
                assert (await site.ask(looks, cookie="")).body == b"done"
                assert (await site.ask(put(a=1), cookie="")).status == 503

            def leaves(session: Any) -> Says:
                session["a"] = 3
                stage.is_away = True
                return Says([("X-App", "its answer"), ("Content-Type", "text/plain")])

            for line in ("GET /", "HEAD /"):
                got = await site.ask(leaves, line=line)
                stage.is_away = False
                assert (got.status, got.fields.get("x-app")) == (503, None)
                assert got.fields.get("content-length") == str(len(got.body)) or line == "HEAD /"
                assert b"done" not in got.body
                assert bool(got.body) == (line != "HEAD /")
            assert dict(await colour.of(layer.sessions).open(site.value)) == {"a": 1}

    colour.run(scenario)


@fronts
def test_redis_is_away_and_that_is_to_be_borne(front: str, namespace: str) -> None:
    """With "open" the app is called with an empty session; nothing is stored, no cookie is set, and hooks hear of it."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(f"memory://{namespace}", namespace=namespace)) as layer:
            stage, site, seen = Stage(layer), Site(front, layer, on_failure="open"), list[Any]()
            dropped = told(layer, SessionDropped)
            await site.ask(put(a=1))

            def act(session: Any) -> None:
                seen.append(dict(session))
                session["b"] = 2

            with stage.away():
                got = await site.ask(act)
            assert (got.status, got.body, got.fields.get("set-cookie"), seen) == (200, b"done", None, [{}])
            assert [(each.reason, each.names) for each in dropped] == [("unavailable", ("b",))]

            def leaves(session: Any) -> None:
                session["a"] = 3
                stage.is_away = True

            got = await site.ask(leaves)
            stage.is_away = False
            assert (got.status, got.fields.get("set-cookie")) == (200, None)
            assert [(each.handle, each.names) for each in dropped[1:]] == [(site.handle, ("a",))]

            def logs_out(session: Any) -> None:
                session.log_out()
                stage.is_away = True

            value = site.value
            got = await site.ask(logs_out)
            stage.is_away = False
            assert "Max-Age=0" in (got.fields.get("set-cookie") or "")
            assert dict(await colour.of(layer.sessions).open(value)) == {"a": 1}

    colour.run(scenario)


@fronts
def test_no_redis_at_all(front: str, namespace: str) -> None:
    """Where nobody listens, requests with a cookie get 503, and those without are served."""
    colour = colour_of(front)

    async def scenario() -> None:
        url = f"redis://127.0.0.1:{free_port()}/0"
        async with colour.using(Layer(url, namespace=namespace)) as layer:
            site = Site(front, layer)
            assert (await site.ask(dict, cookie="session=" + "B" * 22 + "." + "C" * 43)).status == 503
            assert (await site.ask(dict)).status == 200

    colour.run(scenario)


@fronts
def test_an_app_that_fails(front: str, namespace: str) -> None:
    """Nothing of what it had done is stored."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(f"memory://{namespace}", namespace=namespace)) as layer:
            site = Site(front, layer)
            await site.ask(put(a=1))

            def fails(session: Any) -> None:
                session["a"] = 2
                session.rotate()
                raise AppError

            got = await site.ask(fails)
            assert isinstance(got.error, AppError)
            assert dict(await colour.of(layer.sessions).open(site.value)) == {"a": 1}

    colour.run(scenario)


# Only over ASGI.


async def played(app: Any, *received: Any, scope: Any = None, cookie: str = "") -> list[Any]:
    """Let an app play with a server that has some messages for it, and return what it has sent."""
    sent: list[Any] = []
    incoming = list(received)

    async def receive() -> Any:
        return incoming.pop(0) if incoming else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    pairs = (("Cookie", cookie),) if cookie else ()
    await app(scope or scope_of("GET", "/", pairs), receive, send)
    return sent


def cookie_of(message: Any) -> str:
    """Return the cookie in the head of an answer."""
    found = [value for name, value in message.get("headers", ()) if name == b"set-cookie"]
    return found[0].decode().partition(";")[0] if found else ""


def test_streams_are_saved_before_their_first_byte(layer: Layer) -> None:
    """When the head is sent the session is stored; what is written after that is refused, not lost in silence."""

    async def app(scope: Any, _: Any, send: Any) -> None:
        session = scope["session"]
        session["a"] = {"n": 1}
        await send({"type": "http.response.start", "status": 200})
        assert (await layer.sessions.aopen(cookie_of(heads[0]).partition("=")[2]))["a"] == {"n": 1}  # type: ignore[index]
        for act in (put(b=1), lambda session: session.rotate(), lambda session: session.pop("a"), lambda s: s.end()):
            with pytest.raises(SessionError, match="the response has begun"):
                act(session)
        assert session["a"] == {"n": 1}
        async with layer.sessions.edit(session.handle) as editable:
            editable["b"] = "by edit"
        await send({"type": "http.response.body", "body": b"1", "more_body": True})
        await send({"type": "http.response.body", "body": b"2"})

    heads: list[Any] = []

    async def scenario() -> None:
        async def send(message: Any) -> None:
            heads.append(message)

        middleware = holdfast.asgi.SessionMiddleware(app, layer=layer)
        await middleware(scope_of("GET", "/", ()), None, send)
        assert [each["type"] for each in heads] == ["http.response.start", *["http.response.body"] * 2]
        session = await layer.sessions.aopen(cookie_of(heads[0]).partition("=")[2])
        assert dict(session or {}) == {"a": {"n": 1}, "b": "by edit"}
        await layer.aclose()

    asyncio.run(scenario())


@pytest.mark.parametrize("dropped", [False, True])
def test_who_changes_something_inside_too_late_is_told(
    layer: Layer, caplog: pytest.LogCaptureFixture, dropped: bool
) -> None:
    """A warning is logged for that, and only for that: not where the session had ended meanwhile."""

    async def app(scope: Any, _: Any, send: Any) -> None:
        session = scope["session"]
        session["a"].append(1)
        if dropped:
            await layer.sessions.arevoke(session.handle)
        await send({"type": "http.response.start", "status": 200})
        if not dropped:
            session["a"].append(2)
        await send({"type": "http.response.body"})

    async def scenario() -> None:
        _, cookie = await layer.sessions.acreate({"a": []})
        await played(holdfast.asgi.SessionMiddleware(app, layer=layer), cookie=f"session={cookie}")
        await layer.aclose()

    asyncio.run(scenario())
    assert [each.getMessage() for each in caplog.records if "response had begun" in each.getMessage()] == (
        [] if dropped else ["a session was changed after its response had begun: that is not stored"]
    )


SOCKET: dict[str, Any] = {**scope_of("GET", "/", ()), "type": "websocket", "scheme": "ws", "subprotocols": []}


def test_websockets(layer: Layer) -> None:
    """The session is stored when the socket is accepted, whose answer has the cookie; later there is `edit`."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        session = scope["session"]
        await receive()
        session["a"] = 1
        await send({"type": "websocket.accept", "headers": [(b"x-app", b"1")]})
        with pytest.raises(SessionError):
            session["b"] = 1
        async with layer.sessions.edit(session.handle) as editable:
            editable["b"] = 2
        await send({"type": "websocket.close"})

    async def scenario() -> None:
        sent = await played(
            holdfast.asgi.SessionMiddleware(app, layer=layer), {"type": "websocket.connect"}, scope=dict(SOCKET)
        )
        assert [each["type"] for each in sent] == ["websocket.accept", "websocket.close"]
        assert (b"x-app", b"1") in sent[0]["headers"]
        session = await layer.sessions.aopen(cookie_of(sent[0]).partition("=")[2])
        assert dict(session or {}) == {"a": 1, "b": 2}
        await layer.aclose()

    asyncio.run(scenario())


def test_websockets_while_redis_is_away(layer: Layer) -> None:
    """One that needs its session is closed, and one whose session cannot be stored is closed instead of accepted."""
    stage = Stage(layer)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        scope["session"]["a"] = 1
        stage.is_away = True
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "for nobody"})

    async def scenario() -> None:
        middleware = holdfast.asgi.SessionMiddleware(app, layer=layer)
        connect = {"type": "websocket.connect"}
        cookie = [(b"cookie", b"session=" + b"B" * 22 + b"." + b"C" * 43)]
        with stage.away():
            sent = await played(middleware, connect, scope={**SOCKET, "headers": cookie})
        assert [(each["type"], each["code"]) for each in sent] == [("websocket.close", 1013)]
        sent = await played(middleware, connect, scope=dict(SOCKET))
        assert [(each["type"], each["code"]) for each in sent] == [("websocket.close", 1013)]
        stage.is_away = False
        await layer.aclose()

    asyncio.run(scenario())


def test_other_scopes_pass(layer: Layer) -> None:
    """Lifespan, and what nobody knows yet."""
    asked: list[Any] = []

    async def app(scope: Any, *_: Any) -> None:
        asked.append(scope)

    for kind in ("lifespan", "something new"):
        scope = {"type": kind}
        asyncio.run(holdfast.asgi.SessionMiddleware(app, layer=layer)(scope, None, None))  # type: ignore[arg-type]
        assert asked.pop() is scope == {"type": kind}


# Only over WSGI.

WsgiApp = Callable[[Any, Any], Any]


def by_write(environ: Any, start_response: Any) -> Any:
    environ["holdfast.session"]["a"] = 1
    write = start_response("200 OK", [])
    write(b"one ")
    with pytest.raises(SessionError):
        environ["holdfast.session"]["b"] = 1
    write(b"two")
    return []


def late(environ: Any, start_response: Any) -> Iterator[bytes]:
    yield b""
    environ["holdfast.session"]["a"] = 1
    start_response("200 OK", [])
    yield b""
    yield b"one "
    yield b"two"


def once_more(environ: Any, start_response: Any) -> Any:
    environ["holdfast.session"]["a"] = 1
    start_response("200 OK", [("X-First", "1")])
    try:
        raise AppError
    except AppError:
        start_response("500 Oops", [("X-Second", "1")], sys.exc_info())
    return [b"one two"]


def once_more_late(environ: Any, start_response: Any) -> Any:
    environ["holdfast.session"]["a"] = 1
    start_response("200 OK", [("X-First", "1")])

    def body() -> Iterator[bytes]:
        try:
            raise AppError
        except AppError:
            start_response("500 Oops", [("X-Second", "1")], sys.exc_info())
        yield b"one two"

    return body()


@pytest.mark.parametrize("app", [by_write, late, once_more, once_more_late], ids=lambda app: app.__name__)
def test_all_that_pep_3333_permits(layer: Layer, app: WsgiApp) -> None:
    """The session is stored, and the head that the client gets has its cookie."""
    got = ask_wsgi(holdfast.wsgi.SessionMiddleware(app, layer=layer), "GET", "/", ())
    assert got.body == b"one two"
    assert got.status == (500 if "once_more" in app.__name__ else 200)
    assert got.fields.get("x-first") is None
    assert got.fields.get("cache-control") == SAVED
    cookie = (got.fields.get("set-cookie") or "").partition(";")[0].partition("=")[2]
    assert dict(layer.sessions.open(cookie) or {}) == {"a": 1}


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("kind", ["list", "generator", "write"])
def test_an_answer_that_is_replaced_whole(layer: Layer, kind: str, empty: bool) -> None:
    """If the session cannot be stored, nothing of the app's answer is left, and its body is closed."""
    stage, closed = Stage(layer), list[str]()

    class Body(list[bytes]):
        def close(self) -> None:
            closed.append("body")

    def app(environ: Any, start_response: Any) -> Any:
        environ["holdfast.session"]["a"] = 1
        stage.is_away = True
        if kind == "generator":
            return generated(start_response)
        write = start_response("200 OK", [("X-App", "1")])
        if kind == "write":
            write(b"the app's")
            return Body()
        return Body([] if empty else [b"the app's"])

    def generated(start_response: Any) -> Iterator[bytes]:
        try:
            start_response("302 Found", [("X-App", "1"), ("Location", "/")])
            if not empty:
                yield b"the app's"
                yield b"and more"
        finally:
            closed.append("body")

    got = ask_wsgi(holdfast.wsgi.SessionMiddleware(app, layer=layer), "GET", "/", ())
    stage.is_away = False
    assert (got.status, got.fields.get("x-app"), got.fields.get("location")) == (503, None, None)
    assert got.body.startswith(b'{"type"')
    assert got.fields.get("content-length") == str(len(got.body))
    assert closed


def test_start_response_twice(layer: Layer) -> None:
    """Without exc_info that is a mistake of the app, as everywhere."""

    def app(_: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        start_response("200 OK", [])

    with pytest.raises(AssertionError, match="twice"):
        ask_wsgi(holdfast.wsgi.SessionMiddleware(app, layer=layer), "GET", "/", ())


def test_no_start_response_at_all(layer: Layer) -> None:
    """It is a mistake, too, and no answer without a head."""

    def app(*_: Any) -> Iterator[bytes]:
        yield b"body"

    with pytest.raises(AssertionError, match="start_response"):
        ask_wsgi(holdfast.wsgi.SessionMiddleware(app, layer=layer), "GET", "/", ())


@pytest.mark.parametrize(
    "options",
    [
        {"idle": 0},
        {"absolute": -1},
        {"grace": "soon"},
        {"on_failure": "raise"},
        {"on_unreadable": "no"},
        {"user_key": ""},
        {"user_key": 1},
        {"serializer": ""},
        {"same_site": "none"},
        {"cookie": "__Host-a", "path": "/a"},
        {"cookie": "a b"},
        {"unknown": 1},
        {"secure": "yes"},
        {"layer": "redis://localhost"},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_options_that_cannot_work(kind: str, options: dict[str, Any]) -> None:
    """They show when the middleware is made."""
    middleware: Any = getattr(holdfast, kind).SessionMiddleware
    with pytest.raises(ConfigurationError):
        middleware(lambda *_: None, **options)


@pytest.mark.parametrize("step", range(1, 12))
@pytest.mark.parametrize("act", ["write", "log in", "end"])
def test_a_request_that_is_cancelled(layer: Layer, namespace: str, act: str, step: int) -> None:
    """Wherever that is, the session is as before or as after, the next request works, and no key stays for ever."""

    async def app(scope: Any, _: Any, send: Any) -> None:
        session = scope["session"]
        if act == "write":
            session.update(a=2, b=2)
        elif act == "log in":
            session.update(a=2, b=2)
            session.log_in("u")
        else:
            session.end()
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    async def scenario() -> None:
        first, cookie = await layer.sessions.acreate({"a": 1})
        port: Any = _Cancelling(layer.engine.asyncio, step)
        layer.engine.asyncio = port
        middleware = holdfast.asgi.SessionMiddleware(app, layer=layer)
        port.task = asyncio.ensure_future(played(middleware, cookie=f"session={cookie}"))
        outcome = await asyncio.gather(port.task, return_exceptions=True)
        assert isinstance(outcome[0], list | asyncio.CancelledError)
        layer.engine.asyncio = port.port
        key = layer.engine.caching.names.session(first.handle)
        if act == "log in" and not await layer.sessions.aopen(cookie):
            assert dict(await edited(first.handle)) in ({"a": 1}, {"a": 2, "b": 2})
        elif act != "end" or ask(layer, "EXISTS", key, key=key):
            data = dict(await edited(first.handle))
            assert data in ({"a": 1}, {"a": 2, "b": 2})
            await played(middleware, cookie=f"session={cookie}")
        for each in ask(layer, "KEYS", f"{namespace}*", key=""):
            assert ask(layer, "PTTL", each, key="") > 0, each
        await layer.aclose()

    async def edited(handle: str) -> Any:
        async with layer.sessions.edit(handle) as session:
            return session

    asyncio.run(scenario())


class _Cancelling:
    """A port that has a task cancelled before or after one of its commands."""

    def __init__(self, port: Any, step: int) -> None:
        self.port = port
        self.task: Any = None
        self._left = step

    def __getattr__(self, name: str) -> Any:
        return getattr(self.port, name)

    async def call(self, command: Any) -> Any:
        await self._pass()
        reply = await self.port.call(command)
        await self._pass()
        return reply

    async def pipeline(self, commands: Any) -> Any:
        await self._pass()
        replies = await self.port.pipeline(commands)
        await self._pass()
        return replies

    async def _pass(self) -> None:
        self._left -= 1
        if not self._left:
            self.task.cancel()
            await asyncio.sleep(0)
