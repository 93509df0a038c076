"""ASGI apps that end only when the client has: they listen for its leaving, which servers tell when all is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from holdfast import Layer, asgi
from support.colours import Colour
from support.http_shop import HOST, Got, Pair, ask_asgi, at_rest, scope_of


class Listener:
    """An app that waits for the client to leave when it has sent all; frameworks that stream do so."""

    def __init__(self) -> None:
        self.runs = 0
        self.etag = "1"
        self.fields: list[Pair] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.runs += 1
        condition = dict(scope["headers"]).get(b"if-none-match")
        etag = f'"{self.etag}"'.encode()
        status = 304 if condition == b'"1"' else 200
        raw = [(name.lower().encode(), value.encode()) for name, value in self.fields]
        await send({"type": "http.response.start", "status": status, "headers": [*raw, (b"etag", etag)]})
        if status == 200:
            await send({"type": "http.response.body", "body": b"body", "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        while (await receive())["type"] != "http.disconnect":
            pass


@pytest.fixture
def layer(namespace: str) -> Iterator[Layer]:
    """Give an embedded layer of the test's own."""
    with Layer(namespace=namespace) as layer:
        yield layer


CASES: dict[str, tuple[str, str]] = {
    "a miss": ("no-store", "1"),
    "a refresh behind": ("max-age=0, stale-while-revalidate=900", "1"),
    "a refresh behind, of something new": ("max-age=0, stale-while-revalidate=900", "2"),
    "a validation": ("max-age=0", "1"),
    "a 304 that names another": ("max-age=0", "2"),
}


@pytest.mark.parametrize(("said", "etag"), CASES.values(), ids=CASES.keys())
def test_an_app_that_listens_until_the_end(layer: Layer, said: str, etag: str) -> None:
    """It is told that the request is over, in every way in which a request can be, and nothing hangs."""
    app = Listener()
    middleware = asgi.CacheMiddleware(app, layer=layer)

    async def ask() -> Got:
        async with asyncio.timeout(10):
            return await ask_asgi(middleware, scope_of("/", [("Host", HOST)]))

    async def scenario() -> None:
        app.fields = [("Cache-Control", said)]
        assert (await ask()).body == b"body"
        app.etag = etag
        assert (await ask()).body == b"body"
        await Colour("async").until(lambda: at_rest(layer), "all has ended", within=5)
        assert app.runs >= 2

    asyncio.run(scenario())
