"""What sessions do over WSGI alone: all that PEP 3333 permits an app to do with its head and its body."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import holdfast.asgi
import holdfast.wsgi
from holdfast import Layer
from holdfast.errors import SessionError
from support.http_clients import AppError, ask_wsgi, environ_of
from support.staged import Stage

SAVED = "private, no-store"
WsgiApp = Callable[[Any, Any], Any]


def by_write(environ: Any, start_response: Any) -> Any:
    environ["holdfast.session"]["a"] = 1
    write = start_response("200 OK", [])
    write(b"one ")
    with pytest.raises(SessionError):
        environ["holdfast.session"]["b"] = 1
    write(b"two")
    return []


def late(environ: Any, start_response: Any) -> Iterator[bytes]:
    yield b""
    environ["holdfast.session"]["a"] = 1
    start_response("200 OK", [])
    yield b""
    yield b"one "
    yield b"two"


def once_more(environ: Any, start_response: Any) -> Any:
    environ["holdfast.session"]["a"] = 1
    start_response("200 OK", [("X-First", "1")])
    try:
        raise AppError
    except AppError:
        start_response("500 Oops", [("X-Second", "1")], sys.exc_info())
    return [b"one two"]


def once_more_late(environ: Any, start_response: Any) -> Any:
    environ["holdfast.session"]["a"] = 1
    start_response("200 OK", [("X-First", "1")])

    def body() -> Iterator[bytes]:
        try:
            raise AppError
        except AppError:
            start_response("500 Oops", [("X-Second", "1")], sys.exc_info())
        yield b"one two"

    return body()


@pytest.mark.parametrize("app", [by_write, late, once_more, once_more_late], ids=lambda app: app.__name__)
def test_all_that_pep_3333_permits(layer: Layer, app: WsgiApp) -> None:
    """The session is stored, and the head that the client gets has its cookie."""
    got = ask_wsgi(holdfast.wsgi.SessionMiddleware(app, layer=layer), "GET", "/", ())
    assert got.body == b"one two"
    assert got.status == (500 if "once_more" in app.__name__ else 200)
    assert got.fields.get("x-first") is None
    assert got.fields.get("cache-control") == SAVED
    cookie = (got.fields.get("set-cookie") or "").partition(";")[0].partition("=")[2]
    assert dict(layer.sessions.open(cookie) or {}) == {"a": 1}


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("kind", ["list", "generator", "write"])
def test_an_answer_that_is_replaced_whole(layer: Layer, kind: str, empty: bool) -> None:
    """If the session cannot be stored, nothing of the app's answer is left, and its body is closed."""
    stage, closed = Stage(layer), list[str]()

    class Body(list[bytes]):
        def close(self) -> None:
            closed.append("body")

    def app(environ: Any, start_response: Any) -> Any:
        environ["holdfast.session"]["a"] = 1
        stage.is_away = True
        if kind == "generator":
            return generated(start_response)
        write = start_response("200 OK", [("X-App", "1")])
        if kind == "write":
            write(b"the app's")
            return Body()
        return Body([] if empty else [b"the app's"])

    def generated(start_response: Any) -> Iterator[bytes]:
        try:
            start_response("302 Found", [("X-App", "1"), ("Location", "/")])
            if not empty:
                yield b"the app's"
                yield b"and more"
        finally:
            closed.append("body")

    got = ask_wsgi(holdfast.wsgi.SessionMiddleware(app, layer=layer), "GET", "/", ())
    stage.is_away = False
    assert (got.status, got.fields.get("x-app"), got.fields.get("location")) == (503, None, None)
    assert got.body.startswith(b'{"type"')
    assert got.fields.get("content-length") == str(len(got.body))
    assert closed


def test_start_response_twice(layer: Layer) -> None:
    """Without exc_info that is a mistake of the app, as everywhere."""

    def app(_: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        start_response("200 OK", [])

    with pytest.raises(AssertionError, match="twice"):
        ask_wsgi(holdfast.wsgi.SessionMiddleware(app, layer=layer), "GET", "/", ())


def test_no_start_response_at_all(layer: Layer) -> None:
    """It is a mistake, too, and no answer without a head."""

    def app(*_: Any) -> Iterator[bytes]:
        yield b"body"

    with pytest.raises(AssertionError, match="start_response"):
        ask_wsgi(holdfast.wsgi.SessionMiddleware(app, layer=layer), "GET", "/", ())


@pytest.mark.parametrize("writes", [False, True])
def test_the_body_is_the_apps_own(layer: Layer, writes: bool) -> None:
    """So that a server still knows the file that it may send by itself."""

    class Body(list[bytes]):
        pass

    body = Body([b"file"])

    def app(environ: Any, start_response: Any) -> Any:
        if writes:
            environ["holdfast.session"]["a"] = 1
        start_response("200 OK", [])
        return body

    assert holdfast.wsgi.SessionMiddleware(app, layer=layer)(environ_of("GET", "/", ()), lambda *_: print) is body


@pytest.mark.parametrize("early", [False, True])
def test_who_looks_too_late_is_told(layer: Layer, caplog: pytest.LogCaptureFixture, early: bool) -> None:
    """An answer whose body alone depends on the session has not said so: its app is told, and only then."""

    def app(environ: Any, start_response: Any) -> Any:
        session = environ["holdfast.session"]
        if early:
            assert session["a"] == 1
        start_response("200 OK", [])
        return (b"%d" % session["a"] for _ in range(1))

    _, cookie = layer.sessions.create({"a": 1})
    pairs = (("Cookie", f"session={cookie}"),)
    got = ask_wsgi(holdfast.wsgi.SessionMiddleware(app, layer=layer), "GET", "/", pairs)
    assert (got.body, got.fields.get("vary")) == (b"1", "Cookie" if early else None)
    assert bool([each for each in caplog.records if each.levelno == logging.WARNING]) is not early
