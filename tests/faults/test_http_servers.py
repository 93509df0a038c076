"""The HTTP cache under web servers as they are started in production, by their own commands, and real HTTP."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path

import pytest

from support.http_served import LONG
from support.ports import free_port
from support.process import Process
from support.programs import oldest
from support.standalone import Standalone
from support.waiting import until

TESTS = Path(__file__).parent.parent
SITE = "support.http_served"
SERVERS = {
    "uvicorn": ["uvicorn", f"{SITE}:asgi_site", "--port", "{port}", "--log-level", "warning"],
    "hypercorn": ["hypercorn", f"{SITE}:asgi_site", "--bind", "127.0.0.1:{port}"],
    "gunicorn": ["gunicorn", f"{SITE}:wsgi_site", "--bind", "127.0.0.1:{port}", "--workers", "2"],
    "waitress": ["waitress", "--listen=127.0.0.1:{port}", f"{SITE}:wsgi_site"],
}


@contextmanager
def served(name: str, folder: Path) -> Iterator[HTTPConnection]:
    """Give a connection to a server that runs."""
    port = free_port()
    words = [sys.executable, "-m", *(word.format(port=port) for word in SERVERS[name])]
    program = Process(name, folder / "log")
    with Standalone(oldest()) as redis:
        settings = [
            f"HOLDFAST_TEST_URL={redis.url}",
            f"PYTHONPATH={TESTS}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        ]
        program.start(["env", *settings, *words])
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            until(lambda: _answers(connection) or not program.running, f"{name} answers or ends")
            assert program.running, program.written()
            yield connection
        finally:
            connection.close()
            program.terminate()


def _answers(connection: HTTPConnection) -> bool:
    try:
        return ask(connection, "/up")[0].status == 200
    except (OSError, HTTPException):
        connection.close()
        return False


def ask(connection: HTTPConnection, path: str, method: str = "GET", **fields: str) -> tuple[HTTPResponse, bytes]:
    """Send a request on the one connection that is kept, and take the whole response."""
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    return response, response.read()


@pytest.mark.parametrize("name", SERVERS)
def test_a_server(name: str, tmp_path: Path) -> None:
    """Short, long and sized bodies are stored and served whole; conditions, ranges, HEAD and POST are answered."""
    with served(name, tmp_path) as connection:
        for path in ("/short", "/long", "/sized"):
            first, body = ask(connection, path)
            assert "stored" in str(first.getheader("Cache-Status"))
            second, again = ask(connection, path)
            assert ";hit" in str(second.getheader("Cache-Status"))
            assert again == body
            assert second.getheader("Content-Length") == str(len(body))
            assert second.getheader("Age") is not None
        assert len(ask(connection, "/long")[1]) > LONG
        assert ask(connection, "/short", if_none_match='"1"')[0].status == 304
        part, cut = ask(connection, "/long", range="bytes=-4")
        assert (part.status, cut) == (206, b" end")
        head, nothing = ask(connection, "/long", "HEAD")
        assert (head.status, nothing) == (200, b"")
        assert int(head.getheader("Content-Length") or 0) > LONG
        ask(connection, "/short", "POST")
        assert "stored" in str(ask(connection, "/short")[0].getheader("Cache-Status"))
