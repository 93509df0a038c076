"""Clients of ASGI and WSGI apps that play the server, and check that the app keeps to the standard."""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass
from typing import Any, TypeAlias

from holdfast.policy.http.fields import Fields

Pairs: TypeAlias = tuple[tuple[str, str], ...]


class AppError(Exception):
    """What the app raises."""


@dataclass(frozen=True, slots=True)
class Got:
    """What the app or the client got."""

    line: str
    """Method and target of a request, the status of a response."""
    fields: Fields
    body: bytes = b""
    error: BaseException | None = None

    @property
    def status(self) -> int:
        """The status of a response."""
        return int(self.line)


def scope_of(method: str, target: str, pairs: Pairs, *, scheme: str = "http") -> dict[str, Any]:
    """Return the scope of a request, as a server makes it."""
    path, _, query = target.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": scheme,
        "path": path,
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs],
        "client": ("192.0.2.1", 40000),
        "server": ("192.0.2.2", 80),
    }


async def ask_asgi(app: Any, method: str, target: str, pairs: Pairs, *, scheme: str = "http") -> Got:
    """Send a request to an ASGI app, and check that its answer is one message after the other as it should be."""
    messages: list[dict[str, Any]] = []
    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if asked:
            await asyncio.Event().wait()
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        assert not messages or messages[-1].get("more_body", True), f"a message behind the last one: {message}"
        assert bool(messages) == (message["type"] == "http.response.body"), f"out of order: {message}"
        messages.append(message)

    error: BaseException | None = None
    try:
        await app(scope_of(method, target, pairs, scheme=scheme), receive, send)
    except Exception as raised:
        error = raised
    if error is None:
        assert messages, "no answer"
        assert messages[-1].get("more_body", False) is False, "no last message"
    if not messages:
        return Got("0", Fields(()), b"", error)
    fields = Fields((name.decode("latin-1"), value.decode("latin-1")) for name, value in messages[0]["headers"])
    body = b"".join(message.get("body", b"") for message in messages[1:])
    return Got(str(messages[0]["status"]), fields, body, error)


def environ_of(method: str, target: str, pairs: Pairs, *, scheme: str = "http") -> dict[str, Any]:
    """Return the environ of a request, as a server makes it."""
    path, _, query = target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "REQUEST_URI": target,
        "SERVER_NAME": "192.0.2.2",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in pairs:
        variable = "HTTP_" + name.upper().replace("-", "_")
        sign = "; " if variable == "HTTP_COOKIE" else ", "
        environ[variable] = f"{environ[variable]}{sign}{value}" if variable in environ else value
    return environ


def ask_wsgi(app: Any, method: str, target: str, pairs: Pairs, *, scheme: str = "http") -> Got:
    """Send a request to a WSGI app, and check that it starts its answer before its body, and once."""
    started: list[tuple[str, Fields]] = []
    written: list[bytes] = []

    def start_response(status: str, fields: list[tuple[str, str]], exc_info: Any = None) -> Any:
        assert not started or exc_info is not None, "start_response was called twice"
        assert type(fields) is list
        if exc_info is not None and any(written):  # the head is sent (PEP 3333)
            raise exc_info[1].with_traceback(exc_info[2])
        started.append((status, Fields(fields)))
        return written.append

    error: BaseException | None = None
    body: Any = ()
    try:
        body = app(environ_of(method, target, pairs, scheme=scheme), start_response)
        for piece in body:
            assert started, "a body before start_response"
            written.append(piece)
    except AppError as raised:
        error = raised
    finally:
        close = getattr(body, "close", None)
        if close is not None:
            close()
    if error is None:
        assert started, "no answer"
    if not started:
        return Got("0", Fields(()), b"", error)
    status, fields = started[-1]
    return Got(status[:3], fields, b"".join(written), error)
