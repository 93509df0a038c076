"""Two hundred clients at once that stream and vanish leave no slot taken: in Redis, with each kind of server."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import StreamingResponse
from starlette.routing import Route

from holdfast import Layer
from holdfast.asgi import RateLimitMiddleware
from holdfast.web import LimitRule
from holdfast.wsgi import RateLimitMiddleware as WsgiMiddleware
from support.edge_limits import environ_of, taken
from support.http_clients import scope_of
from support.topologies import Servers
from support.waiting import until

pytestmark = pytest.mark.usefixtures("patient_limits")

CLIENTS = 200
RULES = [LimitRule(by=None, concurrency=CLIENTS, lease=300, name="work")]
WHO = "all:work"


@pytest.fixture
def served(servers: Servers, namespace: str) -> Iterator[Layer]:
    """Give a layer on a real server."""
    with Layer(servers.standalone().url, namespace=namespace) as layer:
        yield layer


async def _endless(_: Any) -> StreamingResponse:
    async def pieces() -> Any:
        while True:
            yield b"x"
            await asyncio.sleep(0.01)

    return StreamingResponse(pieces())


@contextmanager
def _uvicorn(app: Any) -> Iterator[int]:
    """Serve an app in a thread, and return the port."""
    with socket.create_server(("127.0.0.1", 0), backlog=CLIENTS) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            until(lambda: server.started, "uvicorn has started")
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def test_clients_of_a_real_server_that_vanish(served: Layer) -> None:
    """All stream at the same time, no other is let in, all connections are reset, and all slots are free."""
    app = Starlette(
        routes=[Route("/", _endless)], middleware=[Middleware(RateLimitMiddleware, layer=served, rules=RULES)]
    )
    with _uvicorn(app) as port:
        clients = [_connect(port) for _ in range(CLIENTS)]
        for client in clients:
            assert b" 200 " in client.recv(100)
        assert taken(served, "work", WHO) == CLIENTS
        with _connect(port) as late:
            assert b" 429 " in late.recv(100)
        for client in clients:
            client.close()
        until(lambda: taken(served, "work", WHO) == 0, "all slots are free")


def _connect(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=60)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # closing it is a reset
    client.sendall(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
    return client


def test_tasks_that_are_cancelled_and_clients_that_break_off(served: Layer) -> None:
    """A third of the tasks is cancelled, a third cannot send any more, a third hears that the client has left."""

    async def app(_: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        if (await receive())["type"] == "http.disconnect":
            return
        await send({"type": "http.response.body", "body": b"x", "more_body": True})

    async def scenario() -> None:
        limited, leave = RateLimitMiddleware(app, layer=served, rules=RULES), asyncio.Event()
        streaming, all_stream = 0, asyncio.Event()

        async def visit(number: int) -> None:
            sent = 0

            async def receive() -> Any:
                nonlocal streaming
                streaming += 1
                if streaming == CLIENTS:
                    all_stream.set()
                await leave.wait()
                return {"type": "http.disconnect" if number % 3 == 0 else "http.request"}

            async def send(_: Any) -> None:
                nonlocal sent
                sent += 1
                if sent > 2:
                    raise OSError("the client has left")

            await limited(scope_of("GET", "/", ()), receive, send)

        tasks = [asyncio.create_task(visit(number)) for number in range(CLIENTS)]
        await all_stream.wait()
        assert taken(served, "work", WHO) == CLIENTS
        for task in tasks[2::3]:
            task.cancel()
        leave.set()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(end) for end in ends[:3]] == [type(None), OSError, asyncio.CancelledError]
        await asyncio.to_thread(until, lambda: taken(served, "work", WHO) == 0, "all slots are free")
        await served.aclose()

    asyncio.run(scenario())


def test_threads_whose_clients_vanish(served: Layer) -> None:
    """A server of WSGI closes the body, forgets it, or cannot send and raises."""
    limited = WsgiMiddleware(_stream, layer=served, rules=RULES)
    everybody = threading.Barrier(20)

    def visit(number: int) -> None:
        def start(*_: Any) -> Any:
            return bytes

        bodies: list[Any] = []
        for _ in range(CLIENTS // 20):
            bodies.append(limited(environ_of("GET", "/", (), "192.0.2.1"), start))
            assert next(bodies[-1]) == b"x"
        everybody.wait(60)
        if number == 0:
            assert taken(served, "work", WHO) == CLIENTS
        everybody.wait(60)
        for body in bodies[::2]:
            body.close()

    with ThreadPoolExecutor(20) as threads:
        for visited in [threads.submit(visit, number) for number in range(20)]:
            visited.result()
    until(lambda: taken(served, "work", WHO) == 0, "all slots are free")


def _stream(_: Any, start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [])
    while True:
        yield b"x"
