"""The app that all contenders serve: it greets in JSON, says how it may be cached, and counts how often it ran.

Every answer carries the number of the run that made it, in a fixed width. So who answers can be told from an answer:
a cache repeats a number, the app never does. Run in processes of their own, see `bench_http_serve.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from itertools import count
from typing import Any, Final

GREETING: Final = "/hello"
"""Fresh for an hour. Any query gives another URL."""
UNCACHEABLE: Final = "/private"
"""Never to be stored."""
STREAM: Final = "/stream"
"""Fresh for an hour, and as long as the query says in MiB: longer than a cache keeps. It may ask for the length."""
LIFETIME: Final = 3600
FRESH: Final = {"Cache-Control": f"public, max-age={LIFETIME}", "ETag": '"greeting"'}
NEVER: Final = {"Cache-Control": "no-store"}
MIB: Final = 1 << 20
_FILLING: Final = bytes((1 << 16) - 4)
_runs = count(1)


def greet() -> dict[str, Any]:
    """Return what the app answers, with the number of this run."""
    return {"message": "Hello, world!", "run": f"{next(_runs):010}"}


def pieces(mib: int) -> Iterator[bytes]:
    """Yield a body of so many MiB in pieces of 64 KiB, each an object of its own: who gathers them shall be seen."""
    for number in range(mib * MIB >> 16):
        yield number.to_bytes(4, "big") + _FILLING


def fields_of_stream(query: Mapping[str, str]) -> dict[str, str]:
    """Return the fields of a long body."""
    return {**FRESH, "Content-Length": str(int(query["mib"]) * MIB)} if query["told"] == "yes" else FRESH


def starlette(_port: int) -> Any:
    """Return the app in Starlette, with nothing in front of it."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, StreamingResponse
    from starlette.routing import Route

    async def hello(request: Request) -> JSONResponse:
        return JSONResponse(greet(), headers=FRESH)

    async def private(request: Request) -> JSONResponse:
        return JSONResponse(greet(), headers=NEVER)

    async def stream(request: Request) -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            for piece in pieces(int(request.query_params["mib"])):
                yield piece

        return StreamingResponse(body(), headers=fields_of_stream(request.query_params))

    return Starlette(
        routes=[
            Route(GREETING, hello, methods=["GET", "POST"]),
            Route(UNCACHEABLE, private),
            Route(STREAM, stream),
        ]
    )


def fastapi(_port: int) -> Any:
    """Return the greeting alone in FastAPI, for those who cache its endpoints."""
    from fastapi import FastAPI

    app = FastAPI()
    app.get(GREETING)(endpoint)
    return app


async def endpoint(q: str = "") -> dict[str, Any]:
    """Return what the app answers; the query is an argument, as decorators make their keys of these."""
    return greet()


def flask(_port: int) -> Any:
    """Return the app in Flask, with nothing in front of it."""
    from flask import Flask, Response, jsonify, request

    app = Flask("benchmark")

    @app.route(GREETING, methods=["GET", "POST"])
    def hello() -> Response:
        response = jsonify(greet())
        response.headers.update(FRESH)
        return response

    @app.get(UNCACHEABLE)
    def private() -> Response:
        response = jsonify(greet())
        response.headers.update(NEVER)
        return response

    @app.get(STREAM)
    def stream() -> Response:
        return Response(pieces(int(request.args["mib"])), headers=fields_of_stream(request.args))

    return app
