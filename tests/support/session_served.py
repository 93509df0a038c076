"""One small app with sessions, for web servers that are started by their own commands."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from typing import Any, Final

import redis

import holdfast.asgi
import holdfast.wsgi
from holdfast import Layer

_URL: Final = os.environ.get("HOLDFAST_TEST_URL", "memory://served")
_layer: Final = Layer(_URL, namespace="served")
_control: Final = redis.Redis.from_url(os.environ.get("HOLDFAST_TEST_CONTROL", "redis://127.0.0.1:1/0"))


def _act(path: str, session: Any) -> Any:
    """Do what a path says, and return what to answer."""
    what, _, word = path[1:].partition("/")
    if what == "count":
        session["basket"] = session.get("basket", {})
        session["basket"][word] = 1
        return session.change("count", lambda count: count + 1, 0)
    if what == "login":
        session.log_in(word)
    elif what == "logout":
        session.log_out()
    elif what in ("hang", "stream"):
        session[what] = word
    elif what == "up":
        return "up"
    return dict(session)


def _hang(gate: str) -> None:
    """Say that somebody is at a gate, and wait until it is opened."""
    _control.set(f"at:{gate}", 1)
    while not _control.exists(f"open:{gate}"):
        time.sleep(0.02)


async def _asgi_app(scope: Any, _: Any, send: Any) -> None:
    answer, gate = _act(scope["path"], scope["session"]), scope["path"][1:]
    if gate.startswith("hang"):
        await asyncio.to_thread(_hang, gate)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b" ", "more_body": True})
    if gate.startswith("stream"):
        await asyncio.to_thread(_hang, gate)
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


def _wsgi_app(environ: Any, start_response: Any) -> Iterator[bytes]:
    answer, gate = _act(environ["PATH_INFO"], environ["holdfast.session"]), environ["PATH_INFO"][1:]
    if gate.startswith("hang"):
        _hang(gate)
    start_response("200 OK", [])
    yield b" "
    if gate.startswith("stream"):
        _hang(gate)
    yield json.dumps(answer).encode()


_asgi = holdfast.asgi.SessionMiddleware(_asgi_app, layer=_layer)
wsgi_site = holdfast.wsgi.SessionMiddleware(_wsgi_app, layer=_layer)


async def asgi_site(scope: Any, receive: Any, send: Any) -> None:
    """Serve, and take part in the lifespan of servers that insist on it."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await _asgi(scope, receive, send)
