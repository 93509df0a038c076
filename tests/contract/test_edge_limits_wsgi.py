"""Concurrency at the edge of a WSGI app: a slot is held until the body's end or its close, and given back once."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import flask
import pytest

from holdfast import Layer
from holdfast.web import LimitRule
from holdfast.wsgi import RateLimitMiddleware
from support.edge_limits import PEER, ask_wsgi, environ_of, left, taken
from support.http_wsgi import Body
from support.staged import Stage
from support.waiting import until

pytestmark = pytest.mark.usefixtures("patient_limits")

Start = Callable[..., Callable[[bytes], object]]
ONCE = ["slot_take", "hit", "slot_leave"]


class Server:
    """Plays the server for one request."""

    def __init__(self) -> None:
        self.heads: list[Any] = []
        self.written: list[bytes] = []

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        assert exc_info or not self.heads
        self.heads.append((status, dict(headers)))
        return self.written.append

    def ask(self, app: Any) -> Any:
        return app(environ_of("GET", "/", (), PEER), self.start)


def middleware(app: Any, layer: Layer, **options: Any) -> RateLimitMiddleware:
    return RateLimitMiddleware(app, layer=layer, rules=[LimitRule("9/hour", concurrency=1, name="work")], **options)


def answering(body: Any, *fields: tuple[str, str]) -> Any:
    def app(_: Any, start_response: Start) -> Any:
        start_response("200 OK", list(fields))
        return body

    return app


@pytest.mark.parametrize("body", [[b"ab", b"c"], (b"abc",), []])
def test_a_body_that_is_there_already_goes_to_the_server_as_it_is(layer: Layer, body: Any) -> None:
    """Servers look at its length; what is left to do is theirs, and the slot is free."""
    stage, server, sizes = Stage(layer), Server(), []
    got = server.ask(middleware(answering(body), layer, settle=lambda *given: sizes.append(given[2])))
    assert got is body
    assert stage.sent == ONCE
    assert sizes == [sum(map(len, body))]


def test_a_slot_is_held_until_the_body_ends(layer: Layer) -> None:
    """And what was sent is charged then; closing it later changes nothing."""
    stage, body = Stage(layer), Body(b"ab", b"cd")
    got = Server().ask(middleware(answering(body), layer, settle=lambda *given: given[2]))
    assert [next(got), next(got), taken(layer, "work")] == [b"ab", b"cd", 1]
    assert next(got, None) is None
    assert taken(layer, "work") == 0
    got.close()
    assert (stage.sent, body.closed) == ([*ONCE, "adjust"], 1)
    assert left(layer, "9/hour; name=work", "work") == 5


def test_a_response_that_says_how_long_it_is_ends_with_its_last_byte(layer: Layer) -> None:
    """Its client has it then, and may ask again at once."""
    got = Server().ask(middleware(answering(iter([b"ab", b"cd"]), ("Content-Length", "4")), layer))
    assert (next(got), taken(layer, "work")) == (b"ab", 1)
    assert (next(got), taken(layer, "work")) == (b"cd", 0)


def test_closing_a_body_gives_the_slot_back(layer: Layer) -> None:
    """As servers do when the client has left; what was sent is charged. Also if the app's own close raises."""
    stage = Stage(layer)
    got = Server().ask(middleware(answering(Body(b"ab", b"cd")), layer, settle=lambda *given: given[2]))
    next(got)
    got.close()
    got.close()
    assert stage.sent == [*ONCE, "adjust"]
    assert left(layer, "9/hour; name=work", "work") == 7

    class Failing(Body):
        def close(self) -> None:
            raise LookupError

    failing = Server().ask(middleware(answering(Failing(b"ab")), layer))
    with pytest.raises(LookupError):
        failing.close()
    assert taken(layer, "work") == 0


def test_a_body_that_nobody_closes_gives_the_slot_back_when_it_is_forgotten(layer: Layer) -> None:
    """Whether it was begun or not."""
    for begun in (True, False):
        got = Server().ask(middleware(answering(Body(b"ab", b"cd")), layer))
        if begun:
            next(got)
        assert taken(layer, "work") == 1
        del got
        gc.collect()
        until(lambda: taken(layer, "work") == 0, "the slot is free")


@pytest.mark.parametrize("where", ["call", "iter", "first", "second"])
def test_an_app_that_raises_holds_nothing(layer: Layer, where: str) -> None:
    """Wherever that happens; if nothing was sent, it costs the estimate."""
    stage = Stage(layer)

    class Uniterable:
        def __iter__(self) -> Iterator[bytes]:
            raise LookupError

    def app(_: Any, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [])
        if where == "call":
            raise LookupError
        return Uniterable() if where == "iter" else Body(*[b"x"] * (where == "second"), LookupError())

    def serve() -> None:
        for _ in Server().ask(middleware(app, layer, settle=lambda *_: 5)):
            pass

    with pytest.raises(LookupError):
        serve()
    assert stage.sent == ([*ONCE, "adjust"] if where == "second" else ONCE)


def test_what_an_app_writes_counts(layer: Layer) -> None:
    """Through the callable that start_response returns (PEP 3333)."""
    server, sizes = Server(), []

    def app(_: Any, start_response: Start) -> list[bytes]:
        write = start_response("200 OK", [])
        write(b"abc")
        assert taken(layer, "work") == 1
        return [b"d"]

    assert server.ask(middleware(app, layer, settle=lambda *given: sizes.append(given[2]))) == [b"d"]
    assert (server.written, sizes, taken(layer, "work")) == ([b"abc"], [4], 0)


@pytest.mark.parametrize("held", [True, False])
def test_an_app_may_start_again_after_an_error(layer: Layer, held: bool) -> None:
    """With `exc_info`, which reaches the server; the fields stand on the answer that goes out."""
    server, statuses = Server(), []

    def app(_: Any, start_response: Start) -> Any:
        start_response("200 OK", [])
        try:
            raise LookupError
        except LookupError:
            start_response("500 Oh", [("X-A", "1")], sys.exc_info())
        return iter([b"oh"])

    options: dict[str, Any] = {"settle": lambda status, *_: statuses.append(status)} if held else {}
    limited = middleware(app, layer, **options) if held else RateLimitMiddleware(app, layer=layer, quota="9/hour")
    assert list(server.ask(limited)) == [b"oh"]
    assert [status for status, _ in server.heads] == ["200 OK", "500 Oh"]
    assert {"RateLimit", "RateLimit-Policy", "X-A"} == set(server.heads[1][1])
    assert statuses == ([500] if held else [])


def test_without_anything_to_hold_a_body_is_the_apps_own(layer: Layer) -> None:
    """So that a server may send a file by itself, and a response costs no more than its fields."""
    body = Body(b"x")
    assert Server().ask(RateLimitMiddleware(answering(body), layer=layer, quota="9/hour")) is body


def test_flask_streams_through_it(layer: Layer) -> None:
    """And may use the decision."""
    app = flask.Flask("shop")

    @app.get("/")
    def stream() -> Any:
        assert flask.request.environ["holdfast.limit"].remaining == 0
        return flask.stream_with_context(iter([flask.request.path, str(taken(layer, "work"))]))

    app.wsgi_app = middleware(app.wsgi_app, layer)  # type: ignore[method-assign]  # as Flask says
    for _ in range(3):
        assert ask_wsgi(app, "GET", "/", (), PEER).body == b"/1"
    assert taken(layer, "work") == 0
