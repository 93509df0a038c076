"""Websockets behind the limits: the handshake, the slot, the messages."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from holdfast import Layer
from holdfast.asgi import RateLimitMiddleware
from holdfast.web import LimitRule
from support.edge_limits import PEER, fill, taken
from support.staged import Stage

pytestmark = pytest.mark.usefixtures("patient_limits")

SCOPE = {"type": "websocket", "path": "/chat", "headers": [], "client": (PEER, 40000), "query_string": b""}
DENIAL = {"extensions": {"websocket.http.response": {}}}
ONE = [LimitRule("9/hour", concurrency=1, name="work")]


class Socket:
    """Plays the server of one websocket whose client sends some messages and leaves."""

    def __init__(self, *texts: str, **scope: Any) -> None:
        self.scope = {**SCOPE, **scope}
        received = [{"type": "websocket.receive", "text": text} for text in texts]
        left = {"type": "websocket.disconnect", "code": 1001}
        self.messages = iter([{"type": "websocket.connect"}, *received, left])
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        return next(self.messages)

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    def ask(self, app: Any, layer: Layer, **options: Any) -> list[str]:
        """Open it, and return the types of what was sent."""
        limited = RateLimitMiddleware(app, layer=layer, **options)
        asyncio.run(limited(self.scope, self.receive, self.send))
        return [message["type"] for message in self.sent]


async def echo(_: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept", "headers": [(b"x-a", b"1")]})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


def test_an_opened_websocket_tells_what_is_left(layer: Layer) -> None:
    """In the fields of the handshake, behind the app's own; opening it is one request."""
    socket = Socket("a")
    assert socket.ask(echo, layer, quota="2/hour") == ["websocket.accept", "websocket.send"]
    assert [name for name, _ in socket.sent[0]["headers"]] == [b"x-a", b"ratelimit-policy", b"ratelimit"]
    assert socket.scope["holdfast.limit"].remaining == 1


def test_a_refused_websocket_gets_the_whole_answer_where_servers_can_send_one(layer: Layer) -> None:
    """By the extension `websocket.http.response`; elsewhere it is closed before it opens, which servers tell as 403."""
    Socket().ask(echo, layer, quota="1/hour")
    socket = Socket(**DENIAL)
    types = ["websocket.http.response.start", "websocket.http.response.body"]
    assert socket.ask(echo, layer, quota="1/hour") == types
    assert socket.sent[0]["status"] == 429
    assert b"quota-exceeded" in socket.sent[1]["body"]
    plain = Socket()
    assert plain.ask(echo, layer, quota="1/hour") == ["websocket.close"]
    assert plain.sent[0]["code"] == 1008


def test_an_answer_of_the_app_instead_of_a_websocket_is_told_of_limits(layer: Layer) -> None:
    """As any other answer."""

    async def deny(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.http.response.start", "status": 403, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b""})

    socket = Socket(**DENIAL)
    socket.ask(deny, layer, quota="2/hour")
    assert [name for name, _ in socket.sent[0]["headers"]] == [b"ratelimit-policy", b"ratelimit"]


@pytest.mark.parametrize("ends", ["returns", "raises", "closes", "hears"])
def test_a_websocket_holds_its_slot_while_it_is_open(layer: Layer, ends: str) -> None:
    """However that ends; the slot comes back once."""
    stage = Stage(layer)

    async def app(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        assert taken(layer, "work") == 1
        if ends == "raises":
            raise LookupError
        if ends == "closes":
            await send({"type": "websocket.close"})
            assert taken(layer, "work") == 0
        if ends == "hears":
            assert (await receive())["type"] == "websocket.disconnect"
            assert taken(layer, "work") == 0

    if ends == "raises":
        with pytest.raises(LookupError):
            Socket().ask(app, layer, rules=ONE)
    else:
        Socket().ask(app, layer, rules=ONE)
    assert stage.sent == ["slot_take", "hit", "slot_leave"]


def test_a_websocket_that_finds_no_slot_is_refused(layer: Layer) -> None:
    """And is not counted."""
    fill(layer, "work")
    stage = Stage(layer)
    assert Socket().ask(echo, layer, rules=ONE) == ["websocket.close"]
    assert stage.sent == ["slot_take"]


def test_who_sends_too_many_messages_is_closed(layer: Layer) -> None:
    """The app hears that the client has left, as from the server; its slot is free; sending on is an error."""

    async def app(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        got = [(await receive())["type"] for _ in range(4)]
        assert got == ["websocket.receive", "websocket.receive", "websocket.disconnect", "websocket.disconnect"]
        assert taken(layer, "work") == 0
        with pytest.raises(OSError, match="too many messages"):
            await send({"type": "websocket.send", "text": "late"})
        await send({"type": "websocket.close"})  # which frameworks do

    stage, socket = Stage(layer), Socket("a", "b", "c", "d")
    assert socket.ask(app, layer, rules=ONE, messages="2/hour") == ["websocket.accept", "websocket.close"]
    assert socket.sent[1]["code"] == 1008
    assert stage.sent == ["slot_take", "hit", "slot_leave"]  # messages cost no round trip


def test_messages_are_counted_for_each_websocket(layer: Layer) -> None:
    """Even if nothing else is limited; requests are none of its business then."""
    for _ in range(2):
        assert Socket("a", "b", "c").ask(echo, layer, messages="2/hour") == [
            "websocket.accept",
            "websocket.send",
            "websocket.send",
            "websocket.close",
        ]


@pytest.mark.parametrize("why", ["shadow", "exempt", "exempt function", "disabled"])
def test_messages_of_a_websocket_that_nothing_limits(layer: Layer, why: str) -> None:
    """In shadow mode, where it is exempt, and while the layer is disabled; who is exempt is asked once."""
    asked: list[str] = []

    def is_exempt(request: Any) -> bool:
        asked.append(request.path)
        return True

    options: dict[str, Any] = {"messages": "1/hour", "quota": "9/hour"}
    options |= {"shadow": {"shadow": True}, "exempt": {"exempt": ["/chat"]}}.get(why, {})
    if why == "exempt function":
        options["exempt"] = is_exempt
    with layer.disabled() if why == "disabled" else nullcontext():
        sent = Socket("a", "b", "c").ask(echo, layer, **options)
    assert sent == ["websocket.accept", *["websocket.send"] * 3]
    assert asked == (["/chat"] if why == "exempt function" else [])


@pytest.mark.parametrize("moment", ["before it is open", "after it is closed"])
def test_messages_are_counted_only_while_a_websocket_is_open(layer: Layer, moment: str) -> None:
    """An app may read what was still to come; closing twice would be an error of the server."""

    async def app(_: Any, receive: Any, send: Any) -> None:
        await receive()
        if moment == "after it is closed":
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close"})
        while (message := await receive())["type"] != "websocket.disconnect":
            pass
        assert message["code"] == 1001  # the client has left by itself
        if moment == "before it is open":
            await send({"type": "websocket.close"})

    sent = Socket("a", "b", "c").ask(app, layer, messages="1/hour")
    assert sent.count("websocket.close") == 1


def test_starlette_understands_all_of_it(layer: Layer) -> None:
    """Its routes, its errors, and the end of a websocket that has sent too much."""

    async def chat(socket: WebSocket) -> None:
        await socket.accept()
        async for text in socket.iter_text():
            await socket.send_text(text)

    middleware = Middleware(
        RateLimitMiddleware,
        layer=layer,
        messages="1/hour",
        rules=[LimitRule("2/hour", routes=["/chat/{room}"], concurrency=1, name="work")],
    )
    app = Starlette(routes=[WebSocketRoute("/chat/{room}", chat)], middleware=[middleware])
    assert _visit(app, "/chat/1", "a", "b") == ["websocket.accept", "websocket.send", "websocket.close"]
    assert _visit(app, "/chat/2") == ["websocket.accept"]
    assert _visit(app, "/chat/3") == ["websocket.close"]
    assert taken(layer, "work") == 0


def _visit(app: Any, path: str, *texts: str) -> list[str]:
    socket = Socket(*texts, path=path)
    asyncio.run(app(socket.scope, socket.receive, socket.send))
    return [message["type"] for message in socket.sent]
