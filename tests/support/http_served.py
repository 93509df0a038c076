"""One small app, for web servers that are started by their own commands."""

from __future__ import annotations

import os
from typing import Any

import holdfast.asgi
import holdfast.wsgi
from holdfast import Layer
from support.http_shop import Asked, Made, asgi_app, wsgi_app

_layer = Layer(os.environ.get("HOLDFAST_TEST_URL", "memory://served"), namespace="served")
_runs = 0
LONG = 200_000


async def _respond(asked: Asked) -> Made:
    global _runs
    _runs += 1
    fields = [("Cache-Control", "max-age=60"), ("ETag", '"1"'), ("Content-Type", "text/plain")]
    body = [f"run {_runs} ".encode(), b"x" * LONG, b" end"] if asked.path == "/long" else [f"run {_runs}".encode()]
    if asked.path == "/sized":
        fields.append(("Content-Length", str(len(body[0]))))
    return Made(fields, body)


_asgi = holdfast.asgi.CacheMiddleware(asgi_app(_respond), layer=_layer)
wsgi_site = holdfast.wsgi.CacheMiddleware(wsgi_app(_respond), layer=_layer)


async def asgi_site(scope: Any, receive: Any, send: Any) -> None:
    """Serve, and take part in the lifespan of servers that insist on it."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await _asgi(scope, receive, send)
