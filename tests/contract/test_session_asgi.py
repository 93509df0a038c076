"""What sessions do over ASGI alone: streams, websockets, other scopes, and requests that are cancelled."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

import holdfast.asgi
import holdfast.wsgi
from holdfast import Layer
from holdfast.errors import SessionError
from support.http_clients import scope_of
from support.peeking import ask
from support.session_ports import Cancelling
from support.session_site import put
from support.staged import Stage


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
        port: Any = Cancelling(layer.engine.asyncio, step)
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


def test_a_cookie_field_in_two_lines(layer: Layer) -> None:
    """HTTP/2 may split it (RFC 9113, 8.2.3); and the fields of an answer may be any iterable."""
    seen: list[Any] = []

    async def app(scope: Any, _: Any, send: Any) -> None:
        seen.append(dict(scope["session"]))
        scope["session"].rotate()
        await send({"type": "http.response.start", "status": 200, "headers": iter([(b"Vary", b"Accept")])})
        await send({"type": "http.response.body"})

    async def scenario() -> None:
        _, cookie = await layer.sessions.acreate({"a": 1})
        scope = scope_of("GET", "/", (("Cookie", "x=1"), ("Cookie", f"session={cookie}")))
        sent = await played(holdfast.asgi.SessionMiddleware(app, layer=layer), scope=scope)
        assert (b"vary", b"Accept, Cookie") in sent[0]["headers"]
        assert cookie_of(sent[0])
        await layer.aclose()

    asyncio.run(scenario())
    assert seen == [{"a": 1}]


@pytest.mark.parametrize("early", [False, True])
def test_who_looks_too_late_is_told(layer: Layer, caplog: pytest.LogCaptureFixture, early: bool) -> None:
    """An answer whose body alone depends on the session has not said so: its app is told, and only then."""

    async def app(scope: Any, _: Any, send: Any) -> None:
        if early:
            assert scope["session"]["a"] == 1
        await send({"type": "http.response.start", "status": 200})
        assert scope["session"]["a"] == 1
        await send({"type": "http.response.body"})

    async def scenario() -> None:
        _, cookie = await layer.sessions.acreate({"a": 1})
        await played(holdfast.asgi.SessionMiddleware(app, layer=layer), cookie=f"session={cookie}")
        await layer.aclose()

    asyncio.run(scenario())
    assert bool([each for each in caplog.records if each.levelno == logging.WARNING]) is not early
