"""The HTTP cache behind real servers, uvicorn and waitress, and a client that speaks HTTP over a socket."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import pytest
import uvicorn
from waitress.server import create_server

import holdfast.asgi
import holdfast.wsgi
from holdfast import Layer
from support.waiting import PATIENCE, until

FRESH = ("Cache-Control", "max-age=60")
BODY = b"0123456789" * 20_000


@dataclass
class Shop:
    """An app: its paths say what it answers. It counts how often it was asked for each."""

    asked: list[str] = field(default_factory=list[str])
    gate: threading.Event = field(default_factory=threading.Event)
    """Where `/slow` waits in the middle of its body."""

    def answer(self, method: str, path: str, condition: str | None) -> tuple[int, list[tuple[str, str]], list[bytes]]:
        """Return status, fields and pieces of the body of an answer."""
        self.asked.append(f"{method} {path}")
        if path == "/validated":
            fields = [("Cache-Control", "no-cache"), ("ETag", '"v"')]
            return (304, fields, []) if condition == '"v"' else (200, fields, [b"validated"])
        fields = [FRESH, ("ETag", '"e"'), ("Content-Type", "text/plain")]
        if path == "/sized":
            return 200, [*fields, ("Content-Length", str(len(BODY)))], [BODY[:100_000], BODY[100_000:]]
        if path == "/none":
            return 204, [FRESH], []
        if path == "/private":
            return 200, [("Cache-Control", "private")], [b"private"]
        return 200, fields, [b"one", b"two", b"three"]

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer as an ASGI app."""
        if scope["type"] != "http":
            return
        condition = dict(scope["headers"]).get(b"if-none-match")
        status, fields, pieces = self.answer(scope["method"], scope["path"], condition and condition.decode())
        raw = [(name.lower().encode(), value.encode()) for name, value in fields]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        for at, piece in enumerate(pieces if scope["method"] != "HEAD" else []):
            if at == 1 and scope["path"] == "/slow":
                while not self.gate.is_set():  # noqa: ASYNC110 - it is opened by another thread
                    await asyncio.sleep(0.005)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})

    def wsgi(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer as a WSGI app."""
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        status, fields, pieces = self.answer(method, path, environ.get("HTTP_IF_NONE_MATCH"))
        start_response(f"{status} Scripted", fields)
        for at, piece in enumerate(pieces if method != "HEAD" else []):
            if at == 1 and path == "/slow":
                self.gate.wait(PATIENCE)
            yield piece


@dataclass(frozen=True, slots=True)
class Site:
    """A running server."""

    shop: Shop
    port: int
    layer: Layer


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it stood on the wire."""

    status: int
    fields: dict[str, str]
    body: bytes


class Client:
    """A connection that stays open for as long as the server wishes."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._is_over = False
        """Whether the server closes the connection after its last answer: waitress does so after chunks."""
        self._connect()

    def _connect(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port), PATIENCE)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def send(self, line: str, *fields: str) -> None:
        """Send a request, such as `GET /a`."""
        if self._is_over:
            self.__exit__()
            self._connect()
        lines = [f"{line} HTTP/1.1", "Host: shop.example", *fields, "", ""]
        self._socket.sendall("\r\n".join(lines).encode("latin-1"))

    def head(self) -> Reply:
        """Read the head of an answer."""
        status = int(self._file.readline().split()[1])
        fields: dict[str, str] = {}
        while (line := self._file.readline().strip()) != b"":
            name, _, value = line.decode("latin-1").partition(":")
            assert name.lower() not in fields, f"{name} is there twice"
            fields[name.lower()] = value.strip()
        self._is_over = fields.get("connection") == "close"
        return Reply(status, fields, b"")

    def piece(self) -> bytes:
        """Read a chunk."""
        size = int(self._file.readline(), 16)
        return self._file.read(size + 2)[:-2]

    def ask(self, line: str, *fields: str) -> Reply:
        """Send a request and read the answer, to its last byte and not beyond."""
        self.send(line, *fields)
        reply = self.head()
        if line.startswith("HEAD ") or reply.status in {204, 304}:
            return reply
        if reply.fields.get("transfer-encoding") == "chunked":
            pieces = list(iter(self.piece, b""))
            return Reply(reply.status, reply.fields, b"".join(pieces))
        return Reply(reply.status, reply.fields, self._file.read(int(reply.fields["content-length"])))


@pytest.fixture(params=["uvicorn", "waitress"])
def site(request: pytest.FixtureRequest, namespace: str) -> Iterator[Site]:
    """Give a server with the cache in front of an app."""
    shop = Shop()
    with Layer(f"memory://{namespace}", namespace=namespace) as layer:
        serving = _uvicorn if request.param == "uvicorn" else _waitress
        server = serving(shop, layer)
        yield Site(shop, next(server), layer)
        shop.gate.set()
        next(server, None)


def _uvicorn(shop: Shop, layer: Layer) -> Iterator[int]:
    app = holdfast.asgi.CacheMiddleware(shop.asgi, layer=layer)
    config = uvicorn.Config(app, port=0, log_config=None, lifespan="off", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started, "uvicorn listens")
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(PATIENCE)


def _waitress(shop: Shop, layer: Layer) -> Iterator[int]:
    app = holdfast.wsgi.CacheMiddleware(shop.wsgi, layer=layer)
    server: Any = create_server(app, host="127.0.0.1", port=0, threads=4, clear_untrusted_proxy_headers=True)

    def end() -> None:
        for each in list(server._map.values()):
            each.close()

    thread = threading.Thread(target=server.run)
    thread.start()
    yield server.effective_port
    server.task_dispatcher.shutdown(timeout=5)  # first, since its threads wake the loop
    server.trigger.pull_trigger(end)
    thread.join(PATIENCE)


def told(reply: Reply) -> str:
    """Return what the cache says that it did."""
    return reply.fields["cache-status"].partition(";ttl=")[0]


MISS, HIT = "holdfast;fwd=uri-miss;stored", "holdfast;hit"


def test_one_connection(site: Site) -> None:
    """On a connection that stays open each answer ends where it should, and the second is a hit (RFC 9112, 6.3)."""
    with Client(site.port) as client:
        first = client.ask("GET /")
        assert (first.status, first.body, told(first)) == (200, b"onetwothree", MISS)
        assert first.fields.get("transfer-encoding") == "chunked"
        for _ in range(3):
            hit = client.ask("GET /")
            assert (hit.status, hit.body, told(hit)) == (200, b"onetwothree", HIT)
            assert hit.fields["content-length"] == "11"
            assert hit.fields["age"] in {"0", "1", "2"}
        assert client.ask("GET /none").status == client.ask("GET /none").status == 204
        assert client.ask("GET /").body == b"onetwothree"
        assert site.shop.asked == ["GET /", "GET /none"]


def test_lengths_are_kept(site: Site) -> None:
    """A response with a Content-Length keeps it, and streams whole, from the app and from the store."""
    with Client(site.port) as client:
        for expected in (MISS, HIT, HIT):
            reply = client.ask("GET /sized")
            assert (reply.body == BODY, told(reply)) == (True, expected)
            assert reply.fields["content-length"] == str(len(BODY))
            assert "transfer-encoding" not in reply.fields
        assert len(site.shop.asked) == 1


def test_no_second_miss(site: Site) -> None:
    """Who has read an answer to its end gets the next one from the store, on another connection too, each time."""
    for path in [f"/{at}" for at in range(30)]:
        with Client(site.port) as one, Client(site.port) as two:
            assert told(one.ask(f"GET {path}")) == MISS
            assert told(two.ask(f"GET {path}")) == HIT


def test_head_and_conditions(site: Site) -> None:
    """HEAD and 304 have no body, so that the next answer on the connection is read from its begin."""
    with Client(site.port) as client:
        client.ask("GET /")
        head = client.ask("HEAD /")
        assert (head.status, told(head), head.fields["content-length"]) == (200, HIT, "11")
        known = client.ask("GET /", 'If-None-Match: W/"e"')
        assert (known.status, told(known), known.fields["etag"]) == (304, HIT, '"e"')
        assert client.ask("GET /", 'If-None-Match: "x"').status == 200
        assert client.ask("HEAD /other").status == 200
        assert client.ask("GET /").body == b"onetwothree"
        assert site.shop.asked == ["GET /", "HEAD /other"]


def test_ranges(site: Site) -> None:
    """A range is cut from what is stored, with the fields that a client needs to put it together."""
    with Client(site.port) as client:
        client.ask("GET /sized")
        part = client.ask("GET /sized", "Range: bytes=100000-100004", 'If-Range: "e"')
        assert (part.status, part.body, told(part)) == (206, b"01234", HIT)
        assert part.fields["content-range"] == f"bytes 100000-100004/{len(BODY)}"
        none = client.ask("GET /sized", "Range: bytes=999999-")
        assert (none.status, none.fields["content-range"]) == (416, f"bytes */{len(BODY)}")
        assert client.ask("GET /sized").body == BODY
        assert len(site.shop.asked) == 1


def test_validation(site: Site) -> None:
    """What is validated comes from the store with 200, and the app's 304 never reaches a client that did not ask."""
    with Client(site.port) as client:
        assert client.ask("GET /validated").body == b"validated"
        again = client.ask("GET /validated")
        assert (again.status, again.body, told(again)) == (
            200,
            b"validated",
            "holdfast;fwd=stale;fwd-status=304;stored",
        )
        assert client.ask("GET /validated", 'If-None-Match: "v"').status == 304
        assert client.ask("GET /validated").body == b"validated"


def test_unsafe_requests(site: Site) -> None:
    """A POST reaches the app, and what is stored of its URL is gone when its answer is there."""
    with Client(site.port) as client:
        client.ask("GET /")
        assert told(client.ask("POST /", "Content-Length: 0")) == "holdfast;fwd=method"
        assert told(client.ask("GET /")) == MISS
        assert told(client.ask("GET /")) == HIT


def test_what_is_private(site: Site) -> None:
    """What is not to be stored is not, nor changed."""
    with Client(site.port) as client:
        for _ in range(3):
            assert client.ask("GET /private").body == b"private"
        assert len(site.shop.asked) == 3


def test_a_client_that_leaves_midway(site: Site) -> None:
    """What is stored of a response whose client leaves midway is all of it or nothing, and nobody is held up."""
    with Client(site.port) as client:
        client.send("GET /slow")
        assert client.head().status == 200
        assert client.piece() == b"one"
    time.sleep(0.02)  # until the server may have noticed
    site.shop.gate.set()
    with Client(site.port) as client:
        for _ in range(3):
            assert client.ask("GET /slow").body == b"onetwothree"
        assert told(client.ask("GET /slow")) == HIT
    assert len(site.shop.asked) <= 2


def test_a_body_streams(site: Site) -> None:
    """The first piece reaches the client while the app still makes the second."""
    with Client(site.port) as client:
        client.send("GET /slow")
        client.head()
        assert client.piece() == b"one"
        site.shop.gate.set()
        assert client.piece() + client.piece() == b"twothree"
        assert client.piece() == b""
        assert told(client.ask("GET /slow")) == HIT


def test_many_at_once(site: Site) -> None:
    """Of many clients one reaches the app; all get the whole answer."""
    replies: list[Reply] = []

    def ask() -> None:
        with Client(site.port) as client:
            replies.append(client.ask("GET /slow"))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    until(lambda: site.shop.asked, "one reaches the app")
    time.sleep(0.03)
    site.shop.gate.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert [each.body for each in replies] == [b"onetwothree"] * 3
    assert site.shop.asked == ["GET /slow"]
