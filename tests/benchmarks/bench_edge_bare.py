"""The apps at whose edge limits and sessions are measured: they greet in JSON and count how often they ran.

With sessions they greet whoever the session knows, and count the visits of a session in it. Without, they answer in the
same length, so that the load is equal. Run in processes of their own, see `bench_http_serve.py`.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from itertools import count
from typing import Any, Final

from bench_http_bare import greet

HELLO: Final = "/hello"
VISIT: Final = "/visit"
"""Counts the visits of a session; one field of it changes."""
BEGIN: Final = "/begin"
"""Begins a session."""
NAME: Final = "world"
"""Whom a session knows."""
STRANGER: Final = "nobody"
"""Who is greeted without one."""
SESSION: Final = {
    "name": NAME,
    "user": 48213,
    "visits": 0,
    "roles": ["reader", "author"],
    "csrf": "3lZ7pXo0Qk2yT9aVb1nWcR5s",
    "locale": "en-GB",
    "basket": [{"sku": "LMP-48213-BRS", "count": 1}, {"sku": "CHR-10077-OAK", "count": 4}],
}
"""What a session holds: about 220 bytes as JSON."""
_visits = count(1)


def greeting(session: MutableMapping[str, Any]) -> dict[str, Any]:
    """Return what the app answers to one with a session."""
    return {**greet(), "message": f"Hello, {session.get('name', STRANGER)}!"}


def visit(session: MutableMapping[str, Any]) -> dict[str, Any]:
    """Count a visit in the session, and return what the app answers."""
    visits = session["visits"] = session.get("visits", 0) + 1
    return {**greet(), "visits": f"{visits:010}"}


def bare_visit() -> dict[str, Any]:
    """Return an answer of the same length, of an app without sessions."""
    return {**greet(), "visits": f"{next(_visits):010}"}


def starlette(_port: int) -> Any:
    """Return the app in Starlette, with nothing in front of it."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def hello(request: Request) -> JSONResponse:
        return JSONResponse(greet())

    async def seen(request: Request) -> JSONResponse:
        return JSONResponse(bare_visit())

    return Starlette(routes=[Route(HELLO, hello, methods=["GET", "POST"]), Route(VISIT, seen)])


def starlette_session(_port: int) -> Any:
    """Return the app in Starlette that uses sessions, for those who provide them."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def begin(request: Request) -> JSONResponse:
        request.session.update(SESSION)
        return JSONResponse(greet())

    async def hello(request: Request) -> JSONResponse:
        return JSONResponse(greeting(request.session))

    async def seen(request: Request) -> JSONResponse:
        return JSONResponse(visit(request.session))

    return Starlette(routes=[Route(BEGIN, begin, methods=["POST"]), Route(HELLO, hello), Route(VISIT, seen)])


def fastapi(_port: int) -> Any:
    """Return the app in FastAPI, for those that are made for it; beside it stand those that need it."""
    from fastapi import FastAPI

    app = FastAPI()
    app.get(HELLO)(endpoint)
    app.get(VISIT)(seen_endpoint)
    return app


async def endpoint() -> dict[str, Any]:
    """Return what the app answers."""
    return greet()


async def seen_endpoint() -> dict[str, Any]:
    """Return what the app answers to a visit."""
    return bare_visit()


def flask(_port: int) -> Any:
    """Return the app in Flask, with nothing in front of it."""
    from flask import Flask, Response, jsonify

    app = Flask("benchmark")

    @app.get(HELLO)
    def hello() -> Response:
        return jsonify(greet())

    @app.get(VISIT)
    def seen() -> Response:
        return jsonify(bare_visit())

    return app


def flask_session(find: Callable[[], MutableMapping[str, Any]] | None = None) -> Any:
    """Return the app in Flask that uses sessions, for those who provide them.

    Args:
        find: gives the session of the request under way; None: Flask's own.
    """
    from flask import Flask, Response, jsonify, session

    app = Flask("benchmark")
    found = find or (lambda: session)

    @app.post(BEGIN)
    def begin() -> Response:
        found().update(SESSION)
        return jsonify(greet())

    @app.get(HELLO)
    def hello() -> Response:
        return jsonify(greeting(found()))

    @app.get(VISIT)
    def seen() -> Response:
        return jsonify(visit(found()))

    return app
