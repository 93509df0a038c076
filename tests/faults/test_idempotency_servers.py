"""Requests that are done once under web servers as they are started in production, by their own commands."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path

import pytest

from holdfast import Layer
from support.ports import free_port
from support.process import Process
from support.programs import oldest
from support.standalone import Standalone
from support.waiting import until

TESTS = Path(__file__).parent.parent
SITE = "support.once_served"
SERVERS = {
    "uvicorn": ["uvicorn", f"{SITE}:asgi_site", "--port", "{port}", "--log-level", "warning"],
    "hypercorn": ["hypercorn", f"{SITE}:asgi_site", "--bind", "127.0.0.1:{port}"],
    "gunicorn": ["gunicorn", f"{SITE}:wsgi_site", "--bind", "127.0.0.1:{port}", "--threads", "4"],
    "waitress": ["waitress", "--listen=127.0.0.1:{port}", f"{SITE}:wsgi_site"],
}


@contextmanager
def served(name: str, folder: Path) -> Iterator[tuple[HTTPConnection, Layer]]:
    """Give a connection to a server that runs, and a layer of its Redis."""
    port = free_port()
    words = [sys.executable, "-m", *(word.format(port=port) for word in SERVERS[name])]
    program = Process(name, folder / "log")
    with Standalone(oldest()) as redis, Layer(redis.url, namespace="once") as layer:
        path = f"PYTHONPATH={TESTS}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        program.start(["env", f"HOLDFAST_TEST_URL={redis.url}", path, *words])
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            until(lambda: _answers(connection) or not program.running, f"{name} answers or ends")
            assert program.running, program.written()
            yield connection, layer
        finally:
            connection.close()
            program.terminate()


def _answers(connection: HTTPConnection) -> bool:
    try:
        connection.request("GET", "/up")
        response = connection.getresponse()
        response.read()
        return response.status == 201
    except (OSError, HTTPException):
        connection.close()
        return False


def post(
    connection: HTTPConnection, body: bytes, key: str | None, path: str = "/pay", *, chunked: bool = False
) -> tuple[HTTPResponse, bytes]:
    """Send a request on a connection of its own, and take the whole response.

    Servers may end a connection when a request was refused before its body was read.
    """
    connection.close()
    fields = {} if key is None else {"Idempotency-Key": key}
    connection.request("POST", path, iter([body]) if chunked else body, fields, encode_chunked=chunked)
    response = connection.getresponse()
    return response, response.read()


@pytest.mark.parametrize("name", SERVERS)
def test_a_server(name: str, tmp_path: Path) -> None:
    """Bodies of all forms are read and compared; what a client did not wait for is there when it comes again."""
    with served(name, tmp_path) as (connection, layer):
        assert post(connection, b"x" * 70_000, '"a"')[1] == b"run 1 of 70000 bytes"
        again, body = post(connection, b"x" * 70_000, '"a"')
        assert (body, again.getheader("Idempotency-Replayed")) == (b"run 1 of 70000 bytes", "true")
        assert (again.getheader("Set-Cookie"), again.getheader("Content-Type")) == (None, "text/plain")
        assert post(connection, b"x" * 70_000, "a", chunked=True)[1] == b"run 1 of 70000 bytes"
        assert [post(connection, *asked)[0].status for asked in ((b"y", '"a"'), (b"x", None), (b"x", "a b"))] == [
            422,
            400,
            400,
        ]
        assert post(connection, b"z" * 9, "b", chunked=True)[1] == b"run 2 of 9 bytes"

        with socket.create_connection((connection.host, connection.port), timeout=30) as client:
            client.sendall(b"POST /slow HTTP/1.1\r\nHost: h\r\nIdempotency-Key: c\r\nContent-Length: 1\r\n")
            client.sendall(b"Expect: 100-continue\r\n\r\n")
            assert b"100" in client.recv(100)
            client.sendall(b"s")
            until(lambda: layer.limiter.peek("1000/hour", "runs").remaining == 997, "the app works")
        layer.cache.set("go", 1, 60)

        def done() -> bytes:
            connection.close()
            connection.request("POST", "/slow", b"s", {"Host": "h", "Idempotency-Key": "c"})
            response = connection.getresponse()
            body = response.read()
            return body if response.status == 201 else b""

        assert until(done, "the app has answered") == b"run 3 of 1 bytes"
