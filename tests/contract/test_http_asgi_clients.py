"""Clients of the ASGI middleware that leave or are slow, apps that stop, and work behind the answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast import Layer
from holdfast.asgi import CacheMiddleware
from support.colours import Colour
from support.http_asgi import PAIRS, START, App, Message, Send, ask, body, nothing_more, raw
from support.http_clients import Got, scope_of
from support.peeking import idle


def test_a_hit_needs_nothing_of_the_client(layer: Layer) -> None:
    """A hit is sent without the app, and without a look at the request's body."""
    app = App(START, body(b"x"))
    cache = CacheMiddleware(app, layer=layer)

    async def scenario() -> None:
        await raw(cache)
        await raw(cache)
        assert len(app.scopes) == 1

    asyncio.run(scenario())


def test_stored_before_the_end_is_sent(layer: Layer) -> None:
    """Whoever has the last byte of a response gets the next one from the store."""
    app = App(START, body(b"a", more=True), body(b"b"))
    cache = CacheMiddleware(app, layer=layer)
    inner: list[Got] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body" and not message["more_body"]:
            inner.append(await ask(cache))

    asyncio.run(cache(scope_of("GET", "/", PAIRS), nothing_more, send))
    assert inner[0].body == b"ab"
    assert len(app.scopes) == 1


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
            await cache(scope_of("GET", "/", PAIRS), nothing_more, send)
        assert (await ask(cache)).body == b"ab"
        asked = len(app.scopes)
        assert asked == 1 or (asked == 2 and fails_at < 2)
        assert (await ask(cache)).body == b"ab"
        assert len(app.scopes) == asked

    asyncio.run(scenario())


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
        await Colour("async").until(lambda: calls, "the app is asked")
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

    asyncio.run(scenario())


def test_a_client_that_leaves_a_hit(layer: Layer) -> None:
    """A hit whose client has left does no harm to what is stored."""
    app = App(START, body(b"ab"))
    cache = CacheMiddleware(app, layer=layer)

    async def broken(message: Message) -> None:
        raise OSError("the client has left")

    async def scenario() -> None:
        await ask(cache)
        with pytest.raises(OSError, match="left"):
            await cache(scope_of("GET", "/", PAIRS), nothing_more, broken)
        assert (await ask(cache)).body == b"ab"
        assert len(app.scopes) == 1

    asyncio.run(scenario())


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

    asyncio.run(scenario())


@pytest.mark.parametrize("messages", [(), (START,), (START, body(b"a", more=True))], ids=["nothing", "a head", "half"])
def test_an_app_that_answers_by_halves(messages: tuple[Message, ...], layer: Layer) -> None:
    """An app that returns without the end of its answer stores nothing and holds up nobody."""
    app = App(*messages)
    cache = CacheMiddleware(app, layer=layer)

    async def scenario() -> None:
        for _ in range(2):
            sent = await asyncio.wait_for(raw(cache), 5)
            assert sum(len(each.get("body", b"")) for each in sent) == len(messages) // 2
        assert len(app.scopes) == 2

    asyncio.run(scenario())


@pytest.mark.parametrize("complete", [True, False])
def test_a_slow_client(complete: bool, layer: Layer) -> None:
    """A slow client gets all that the app has sent before the middleware returns, and nothing behind that."""
    messages = (START, body(b"a", more=True), body(b"b", more=not complete))
    sent: list[str] = []

    async def send(message: Message) -> None:
        await asyncio.sleep(0.005)
        sent.append(message["type"])

    async def scenario() -> None:
        await CacheMiddleware(App(*messages), layer=layer)(scope_of("GET", "/", PAIRS), nothing_more, send)
        assert len(sent) == 3
        await asyncio.sleep(0.02)
        assert len(sent) == 3

    asyncio.run(scenario())


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
        await Colour("async").until(lambda: idle(layer), "it is refreshed")
        assert received[1] == {"type": "http.request", "body": b"", "more_body": False}

    asyncio.run(scenario())
