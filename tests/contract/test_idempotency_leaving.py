"""A client of a real server that leaves while its request is worked on: the work is done once, and to its end."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from holdfast import Layer
from holdfast.asgi import IdempotencyMiddleware
from support.waiting import until


class Work:
    """A route whose answer comes in two pieces, the second when the test says so."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0
        self.go_on = threading.Event()

    async def answer(self, request: Request) -> StreamingResponse:
        """Answer."""
        self.begun += 1
        return StreamingResponse(self._pieces())

    async def _pieces(self) -> AsyncIterator[bytes]:
        yield b"half and "
        while not self.go_on.is_set():  # noqa: ASYNC110 - it is set in another thread
            await asyncio.sleep(0.005)
        yield b"half"
        self.ended += 1


class Pass(BaseHTTPMiddleware):
    """Passes requests and responses on, as many a middleware of an app does."""

    async def dispatch(self, request: Request, call_next: Any) -> Any:
        """Pass on."""
        return await call_next(request)


@contextmanager
def _served(app: Any) -> Iterator[tuple[int, uvicorn.Server]]:
    """Serve an app in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            until(lambda: server.started, "uvicorn has started")
            yield listener.getsockname()[1], server
        finally:
            server.should_exit = True
            thread.join()


def _post(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=30)
    client.sendall(
        b"POST / HTTP/1.1\r\nHost: h\r\nIdempotency-Key: k\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    return client


def _all_of(client: socket.socket) -> bytes:
    got = b""
    while piece := client.recv(65536):
        got += piece
    return got


@pytest.mark.parametrize("inside", [[], [Middleware(Pass)]], ids=["bare", "BaseHTTPMiddleware"])
def test_what_streams_is_done_to_its_end(layer: Layer, inside: list[Any]) -> None:
    """Frameworks cancel what streams, or cut it off, when they hear that the client left; so they do not hear of it."""
    work = Work()
    starlette = Starlette(routes=[Route("/", work.answer, methods=["POST"])], middleware=inside)
    with _served(IdempotencyMiddleware(starlette, layer=layer)) as (port, server):
        with _post(port):
            until(lambda: work.begun, "it is worked on")
        until(lambda: not server.server_state.connections, "the server knows that the client left")
        work.go_on.set()
        until(lambda: not server.server_state.tasks, "the app has ended")
        assert (work.begun, work.ended) == (1, 1)
        with _post(port) as again:
            head, _, body = _all_of(again).partition(b"\r\n\r\n")
        assert b"idempotency-replayed: true" in head.lower()
        assert b"half and half" in body
        assert work.begun == 1
