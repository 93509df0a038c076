"""One small app whose requests are done once, for web servers that are started by their own commands."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import holdfast.asgi
import holdfast.wsgi
from holdfast import Layer

_layer = Layer(os.environ.get("HOLDFAST_TEST_URL", "memory://once"), namespace="once")
_FIELDS = [("Content-Type", "text/plain"), ("Set-Cookie", "a=b")]


def _answer(body: bytes, run: int) -> bytes:
    return b"run %d of %d bytes" % (run, len(body))


async def _asgi(scope: Any, receive: Any, send: Any) -> None:
    body = (await receive())["body"] if scope["method"] == "POST" else b""
    run = await _layer.limiter.ahit("1000/hour", "runs") if body else None
    while scope["path"] == "/slow" and await _layer.cache.aget("go") is None:  # noqa: ASYNC110 - it comes from Redis
        await asyncio.sleep(0.01)
    headers = [(name.encode(), value.encode()) for name, value in _FIELDS]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": _answer(body, 0 if run is None else 1000 - run.remaining)})


def _wsgi(environ: Any, start_response: Any) -> list[bytes]:
    body = environ["wsgi.input"].read() if environ["REQUEST_METHOD"] == "POST" else b""
    run = _layer.limiter.hit("1000/hour", "runs") if body else None
    while environ["PATH_INFO"] == "/slow" and _layer.cache.get("go") is None:
        time.sleep(0.01)
    start_response("201 Created", list(_FIELDS))
    return [_answer(body, 0 if run is None else 1000 - run.remaining)]


wsgi_site = holdfast.wsgi.IdempotencyMiddleware(_wsgi, layer=_layer, required=["/pay", "/slow"])
_once = holdfast.asgi.IdempotencyMiddleware(_asgi, layer=_layer, required=["/pay", "/slow"])


async def asgi_site(scope: Any, receive: Any, send: Any) -> None:
    """Serve, and take part in the lifespan of servers that insist on it."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await _once(scope, receive, send)
