"""The WSGI middleware between a server and an app: write, generators, close, exc_info, what servers look at."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from typing import Any
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest

from holdfast import Layer
from holdfast.wsgi import CacheMiddleware
from support.http_world import Got, ask_wsgi, environ_of
from support.peeking import idle
from support.waiting import until

Start = Callable[..., Callable[[bytes], object]]
HOST = (("Host", "shop.example"),)
FRESH = ("Cache-Control", "max-age=60")
TEXT = ("Content-Type", "text/plain")


def ask(app: Any, method: str = "GET", *pairs: tuple[str, str]) -> Got:
    """Send a request and return the answer."""
    return ask_wsgi(app, method, "/", (*HOST, *pairs))


class Body:
    """An iterable that notes how far it was read, and how often it was closed."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces = list(pieces)
        self.read = 0
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            self.read += 1
            yield piece

    def close(self) -> None:
        """Note it."""
        self.closed += 1


class App:
    """Answers with a new `Body` each time."""

    def __init__(self, *pieces: bytes | Exception, status: str = "200 OK", fields: Iterable[tuple[str, str]] = (FRESH,)) -> None:
        self.pieces = pieces
        self.status = status
        self.fields = list(fields)
        self.bodies: list[Body] = []
        self.environs: list[dict[str, Any]] = []

    def __call__(self, environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        """Answer."""
        self.environs.append(environ)
        start_response(self.status, list(self.fields))
        self.bodies.append(Body(*self.pieces))
        return self.bodies[-1]


def started() -> tuple[list[tuple[str, list[tuple[str, str]]]], Start]:
    """Return what a server notes of the heads it gets, and its `start_response`."""
    heads: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, fields: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        heads.append((status, fields))
        return bytes

    return heads, start_response


def environ(method: str = "GET", *pairs: tuple[str, str]) -> dict[str, Any]:
    """Return the environ of a request."""
    return environ_of(method, "/", (*HOST, *pairs))


def test_write(layer: Layer) -> None:
    """What an app writes comes before what it returns, and is stored with it (PEP 3333)."""

    def app(environ: Any, start_response: Start) -> Iterable[bytes]:
        write = start_response("200 OK", [FRESH])
        write(b"a")
        write(b"")
        write(b"b")
        return [b"c"]

    cache = CacheMiddleware(app, layer=layer)
    assert [ask(cache).body for _ in range(2)] == [b"abc", b"abc"]
    assert (ask(cache).fields.get("cache-status") or "").startswith("holdfast;hit")


def test_write_in_a_generator(layer: Layer) -> None:
    """An app may write and yield in turns."""

    def app(environ: Any, start_response: Start) -> Iterable[bytes]:
        write = start_response("200 OK", [FRESH])
        write(b"a")
        yield b"b"
        write(b"c")
        yield b"d"

    cache = CacheMiddleware(app, layer=layer)
    assert [ask(cache).body for _ in range(2)] == [b"abcd", b"abcd"]


def test_written_and_too_long(layer: Layer) -> None:
    """What is written beyond the limit reaches the client, and is not stored."""
    calls = 0

    def app(environ: Any, start_response: Start) -> Iterable[bytes]:
        nonlocal calls
        calls += 1
        write = start_response("200 OK", [FRESH])
        for _ in range(20):
            write(b"12345")
        return []

    cache = CacheMiddleware(app, layer=layer, max_body=50)
    assert [ask(cache).body for _ in range(2)] == [b"12345" * 20] * 2
    assert calls == 2


def test_written_for_nobody(layer: Layer) -> None:
    """Nothing that an app writes reaches a client that gets a stored response instead, or no body."""

    def app(environ: Any, start_response: Start) -> Iterable[bytes]:
        fields = [("Cache-Control", "max-age=0"), ("ETag", '"a"')]
        known = environ.get("HTTP_IF_NONE_MATCH") is not None
        write = start_response("304 Not Modified" if known else "200 OK", fields)
        write(b"junk" if known else b"body")
        return []

    cache = CacheMiddleware(app, layer=layer)
    assert [ask(cache).body for _ in range(3)] == [b"body"] * 3


@pytest.mark.parametrize("empty", [0, 2])
def test_generators_start_late(empty: int, layer: Layer) -> None:
    """A generator calls start_response when it is asked for its first piece, or after some empty ones."""

    def app(environ: Any, start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [FRESH])
        yield from [b""] * empty
        yield b"a"
        yield b"b"

    cache = CacheMiddleware(app, layer=layer)
    assert [ask(cache).body for _ in range(2)] == [b"ab", b"ab"]


def test_a_body_streams(layer: Layer) -> None:
    """Each piece reaches the server before the app is asked for the next, whether it is stored or not."""
    for namespace, fields in {"one": [FRESH], "two": [("Cache-Control", "no-store")]}.items():
        app = App(b"a", b"b", b"c", fields=fields)
        produced = CacheMiddleware(app, layer=layer, namespace=namespace)(environ(), started()[1])
        pieces = iter(produced)
        for at, piece in enumerate((b"a", b"b", b"c"), 1):
            assert next(pieces) == piece
            assert app.bodies[0].read == at
        assert next(pieces, None) is None


PATHS = {
    "stored": (App(b"a", b"b"), {}),
    "not stored": (App(b"a", fields=[("Cache-Control", "no-store")]), {}),
    "too long": (App(b"a" * 60, b"b" * 60), {"max_body": 100}),
    "shorter than it says": (App(b"a", fields=[FRESH, ("Content-Length", "9")]), {}),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_bodies_are_closed(path: str, method: str, layer: Layer) -> None:
    """The app's body is closed once, however the response ends."""
    template, options = PATHS[path]
    app = App(*template.pieces, fields=template.fields)
    cache = CacheMiddleware(app, layer=layer, **options)
    for _ in range(3):
        ask(cache, method)
    assert [each.closed for each in app.bodies] == [1] * len(app.bodies)


def test_swallowed_bodies_are_closed(layer: Layer) -> None:
    """So is the body of a 304 to our own condition, and of an error that a stale response stands in for."""
    app = App(b"a", fields=[("Cache-Control", "max-age=0, stale-if-error=60"), ("ETag", '"a"')])
    cache = CacheMiddleware(app, layer=layer)
    assert ask(cache).body == b"a"
    app.status, app.pieces = "304 Not Modified", (b"",)
    assert ask(cache).body == b"a"
    app.fields = [("ETag", '"other"')]
    app.status = "304 Not Modified"
    ask(cache)
    assert [each.closed for each in app.bodies] == [1] * len(app.bodies) == [1] * 4


@pytest.mark.parametrize("read", [0, 1, 2])
def test_a_client_that_leaves(read: int, layer: Layer) -> None:
    """A server that closes the body early, as the client has left, leaves nothing half stored and holds up nobody."""
    app = App(b"a", b"b")
    cache = CacheMiddleware(app, layer=layer)
    produced: Any = cache(environ(), started()[1])
    pieces = iter(produced)
    for _ in range(read):
        next(pieces)
    produced.close()
    assert app.bodies[0].closed == 1
    assert ask(cache).body == b"ab"
    assert ask(cache).body == b"ab"
    assert len(app.bodies) == 2


def test_stored_before_the_end_is_sent(layer: Layer) -> None:
    """Whoever has the last byte of a response gets the next one from the store."""
    for number, fields in enumerate(([FRESH, ("Content-Length", "2")], [FRESH])):
        app = App(b"a", b"b", fields=fields)
        cache = CacheMiddleware(app, layer=layer, namespace=f"http{number}")
        pieces = iter(cache(environ(), started()[1]))
        assert next(pieces) + next(pieces) == b"ab"
        if number:  # only then does the server send the end
            assert next(pieces, None) is None
        assert ask(cache).body == b"ab"
        assert len(app.bodies) == 1


def test_an_app_that_raises(layer: Layer) -> None:
    """What an app raises is raised, its body is closed, and nothing is stored, wherever it happens."""
    for number, pieces in enumerate(([KeyError("x")], [b"a", KeyError("x")], [b"", KeyError("x")])):
        app = App(*pieces)
        cache = CacheMiddleware(app, layer=layer, namespace=f"http{number}")
        produced: Any = None
        with pytest.raises(KeyError, match="x"):
            for _ in (produced := cache(environ(), started()[1])):
                pass
        if produced is not None:
            produced.close()
        assert app.bodies[0].closed == 1
        app.pieces = (b"good",)
        assert ask(cache).body == b"good"


def test_exc_info_before_the_body(layer: Layer) -> None:
    """An app may replace its head before any of the body is there; what counts is the last (PEP 3333)."""

    def app(environ: Any, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [FRESH])
        try:
            raise KeyError("x")
        except KeyError:
            start_response("500 Oops", [("X-Error", "1")], sys.exc_info())
        return [b"error"]

    cache = CacheMiddleware(app, layer=layer)
    for _ in range(2):
        got = ask(cache)
        assert (got.status, got.body, got.fields.get("x-error")) == (500, b"error", "1")
        assert got.fields.get("cache-control") is None


@pytest.mark.parametrize("stored", [True, False])
def test_exc_info_behind_the_head(stored: bool, layer: Layer) -> None:
    """An app that wants another head when the first is sent gets its exception raised, and nothing is stored."""
    fields = [FRESH] if stored else [("Cache-Control", "no-store")]
    calls = 0

    def app(environ: Any, start_response: Start) -> Iterator[bytes]:
        nonlocal calls
        calls += 1
        start_response("200 OK", fields)
        yield b"a"
        try:
            raise KeyError("x")
        except KeyError:
            start_response("500 Oops", [], sys.exc_info())
        yield b"b"

    cache = CacheMiddleware(app, layer=layer)
    for at in range(2):
        with pytest.raises(KeyError, match="x"):
            ask(cache)
        assert calls == at + 1


def test_two_heads(layer: Layer) -> None:
    """An app that calls start_response twice without exc_info is told so, as servers do."""

    def app(environ: Any, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [FRESH])
        start_response("200 OK", [FRESH])
        return [b"a"]

    with pytest.raises(AssertionError, match="start_response"):
        ask(CacheMiddleware(app, layer=layer))


def test_lists_stay_lists(layer: Layer) -> None:
    """A body of one piece stays a list of one, from which servers tell its length; so does a hit."""

    def app(environ: Any, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [FRESH])
        return [b"abc"]

    cache = CacheMiddleware(app, layer=layer)
    for _ in range(2):
        produced: Any = cache(environ(), started()[1])
        assert len(produced) == 1
        assert list(produced) == [b"abc"]


def test_file_wrappers(layer: Layer) -> None:
    """A file that a server would send in its own way reaches it as it is where nothing is stored of it."""

    def app(environ: Any, start_response: Start) -> Any:
        start_response("200 OK", [("Cache-Control", environ["QUERY_STRING"])])
        return environ["wsgi.file_wrapper"](BytesIO(b"abc" * 1000))

    cache = CacheMiddleware(app, layer=layer)
    asked = {**environ(), "wsgi.file_wrapper": FileWrapper, "QUERY_STRING": "no-store"}
    produced = cache(asked, started()[1])
    assert isinstance(produced, FileWrapper)
    produced.close()
    for _ in range(2):
        asked = {**environ(), "wsgi.file_wrapper": FileWrapper, "QUERY_STRING": "max-age=60"}
        produced = cache(asked, started()[1])
        assert b"".join(produced) == b"abc" * 1000
        getattr(produced, "close", bool)()


def test_what_has_no_body(layer: Layer) -> None:
    """HEAD and 304 come without a byte, and a HEAD with the length that a GET would have."""
    app = App(b"abc", fields=[FRESH, ("ETag", '"a"')])
    cache = CacheMiddleware(app, layer=layer)
    ask(cache)
    head = ask(cache, "HEAD")
    assert (head.status, head.body, head.fields.get("content-length")) == (200, b"", "3")
    known = ask(cache, "GET", ("If-None-Match", '"a"'))
    assert (known.status, known.body, known.fields.get("content-length")) == (304, b"", None)
    assert len(app.bodies) == 1


def test_the_status_line(layer: Layer) -> None:
    """The app's own reason phrase reaches the client; what is stored has that of the standard, or some."""
    app = App(b"a", status="404 Nobody Here")
    cache = CacheMiddleware(app, layer=layer)
    heads, start_response = started()
    for _ in range(2):
        list(cache(environ(), start_response))
    app.status = "299 Own"
    for _ in range(2):
        list(cache({**environ(), "PATH_INFO": "/b", "REQUEST_URI": "/b"}, start_response))
    assert [status for status, _ in heads[:3]] == ["404 Nobody Here", "404 Not Found", "299 Own"]
    assert heads[3][0].startswith("299 ")


def test_both_sides_keep_to_the_standard(layer: Layer) -> None:
    """A validator of PEP 3333 finds nothing wrong, neither with what the app sees nor with what the server gets."""

    def app(environ: Any, start_response: Start) -> Iterable[bytes]:
        known = "HTTP_IF_NONE_MATCH" in environ
        fields = [("Cache-Control", "max-age=0, stale-while-revalidate=0"), ("ETag", '"a"')]
        if known:
            start_response("304 Not Modified", fields)
            return []
        start_response("200 OK", [*fields, TEXT, ("Content-Length", "3")])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [b"abc"]

    def fresh(environ: Any, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [FRESH, TEXT, ("ETag", '"a"'), ("Content-Length", "3")])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [b"abc"]

    for number, each in enumerate((app, fresh)):
        cache = validator(CacheMiddleware(validator(each), layer=layer, namespace=f"http{number}"))
        for method, pairs in [("GET", ())] * 3 + [
            ("HEAD", ()),
            ("GET", (("If-None-Match", '"a"'),)),
            ("GET", (("Range", "bytes=0-1"),)),
            ("POST", ()),
            ("GET", ()),
        ]:
            _ask_strictly(cache, environ(method, *pairs))


def _ask_strictly(app: Any, asked: dict[str, Any]) -> None:
    asked.pop("REQUEST_URI")
    produced = app(asked, lambda status, fields, exc_info=None: bytes)
    try:
        for _ in produced:
            pass
    finally:
        produced.close()


def test_a_refresh_has_no_client(layer: Layer) -> None:
    """A refresh behind has an environ of its own and an empty input, whatever becomes of the client's."""
    app = App(b"a", fields=[("Cache-Control", "max-age=0, stale-while-revalidate=60")])
    cache = CacheMiddleware(app, layer=layer)
    ask(cache)
    asked = {**environ("GET", ("X-A", "1")), "wsgi.input": BytesIO(b"of the client"), "CONTENT_LENGTH": "0"}
    list(cache(asked, started()[1]))
    asked.clear()
    until(lambda: idle(layer) and len(app.bodies) == 2, "it is refreshed")
    behind = app.environs[1]
    assert behind["HTTP_X_A"] == "1"
    assert behind["wsgi.input"].read() == b""
    assert not behind.get("CONTENT_LENGTH")


def test_the_environ_is_the_servers(layer: Layer) -> None:
    """The app gets the server's own environ where nothing of it has to be another."""
    app = App(b"a")
    asked = environ("POST")
    list(CacheMiddleware(app, layer=layer)(asked, started()[1]))
    assert app.environs[0] is asked


def test_a_response_that_is_not_stored_is_not_changed(layer: Layer) -> None:
    """The head of what is not stored reaches the server as the app made it, but for Cache-Status."""
    fields = [("Cache-Control", "no-store"), ("X-B", "1\xff"), ("x-b", "2")]
    app = App(b"a", status="299 Own", fields=fields)
    heads, start_response = started()
    list(CacheMiddleware(app, layer=layer)(environ(), start_response))
    status, got = heads[0]
    assert status == "299 Own"
    assert got[:-1] == fields
    assert got[-1][0] == "Cache-Status"
    assert app.fields == fields


def test_mounted_apps(layer: Layer) -> None:
    """An app that is mounted somewhere shares nothing with one mounted elsewhere."""

    def app(environ: Any, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [FRESH])
        return [f"{environ['SCRIPT_NAME']} {environ['PATH_INFO']}".encode()]

    cache = CacheMiddleware(app, layer=layer)
    bodies = []
    for root, path in (("/a", "/x"), ("/b", "/x"), ("", "/x"), ("", "/c")):
        asked = {**environ(), "SCRIPT_NAME": root, "PATH_INFO": path}
        asked.pop("REQUEST_URI")
        bodies += list(cache(asked, started()[1]))
    assert bodies == [b"/a /x", b"/b /x", b" /x", b" /c"]
