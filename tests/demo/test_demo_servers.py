from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import ExitStack
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest

from holdfast.demo import servers


async def _asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def _broken_at_start(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no"})


def _wsgi(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


@pytest.mark.parametrize(("serve", "app"), [(servers.serve_asgi, _asgi), (servers.serve_wsgi, _wsgi)])
def test_a_server_answers_during_the_block_and_is_gone_after_it(serve: Any, app: Any) -> None:
    """A connection that the client has kept open does not hold it up: it is closed, and no thread stays."""
    before = set(threading.enumerate())
    with ExitStack() as stack:
        address = urlsplit(stack.enter_context(serve(app)))
        assert address.hostname == "127.0.0.1"
        connection = HTTPConnection(address.netloc, timeout=30)
        for _ in range(2):
            connection.request("GET", "/")
            assert connection.getresponse().read() == b"ok"
        stack.close()
        assert connection.sock.recv(1) == b""
        connection.close()
    assert set(threading.enumerate()) == before


def test_an_app_that_does_not_start_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """At once, and the block is not entered, rather than every request of it failing."""
    began = time.monotonic()
    with pytest.raises(RuntimeError, match="did not start"), servers.serve_asgi(_broken_at_start):
        pytest.fail("entered")
    assert "Application startup failed" in caplog.text
    assert time.monotonic() - began < servers._PATIENCE / 2


def test_answers_are_not_held_back_by_the_network_stack() -> None:
    """Nagle's algorithm is off on accepted connections: it would add 40 ms to each answer and hide the cache."""

    async def accept() -> int:
        accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        listener = servers._listener()
        async with await asyncio.start_server(serve, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            no_delay = await accepted
            writer.close()
            await writer.wait_closed()
        return no_delay

    assert asyncio.run(accept()) != 0
