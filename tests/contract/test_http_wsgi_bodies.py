"""Bodies on their way through the WSGI middleware: write, generators, close, apps that raise (PEP 3333)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from holdfast import Layer
from holdfast.wsgi import CacheMiddleware
from support.http_wsgi import FRESH, App, Start, ask, environ, started


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


PATHS: dict[str, tuple[App, dict[str, Any]]] = {
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
    before: list[tuple[bytes | Exception, ...]] = [(), (b"a",), (b"",)]
    for number, pieces in enumerate(before):
        app = App(*pieces, KeyError("x"))
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
