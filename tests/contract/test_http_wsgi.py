"""The WSGI middleware between a server and an app: heads, exc_info, what servers look at (PEP 3333)."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import Any
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest

from holdfast import Layer
from holdfast.wsgi import CacheMiddleware
from support.http_wsgi import FRESH, App, Start, ask, environ, started
from support.peeking import idle
from support.waiting import until

TEXT = ("Content-Type", "text/plain")


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
    produced = app(asked, started()[1])
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
    bodies: list[bytes] = []
    for root, path in (("/a", "/x"), ("/b", "/x"), ("", "/x"), ("", "/c")):
        asked = {**environ(), "SCRIPT_NAME": root, "PATH_INFO": path}
        asked.pop("REQUEST_URI")
        bodies += list(cache(asked, started()[1]))
    assert bodies == [b"/a /x", b"/b /x", b" /x", b" /c"]
