"""`IdempotencyMiddleware` between a WSGI server and an app (PEP 3333)."""

from __future__ import annotations

import gc
import io
import threading
from collections.abc import Iterable
from typing import Any

import pytest

from holdfast import ConfigurationError, Layer
from holdfast.wsgi import IdempotencyMiddleware
from support.http_wsgi import Body, started
from support.once_web import post_wsgi, posted
from support.waiting import until

KEY = (("Idempotency-Key", '"k"'),)


class App:
    """Answers with a function of the environ and `start_response`, and counts."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.runs = 0

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Answer."""
        self.runs += 1
        produced: Iterable[bytes] = self.answer(environ, start_response)
        return produced


def ask(app: App, layer: Layer, **options: Any) -> Any:
    """Send a request through a middleware."""
    return post_wsgi(IdempotencyMiddleware(app, layer=layer, **options), KEY)


def test_what_is_written_is_part_of_the_answer(layer: Layer) -> None:
    """`write` comes before what is returned; a long answer goes on as it comes."""

    def answer(environ: Any, start_response: Any) -> Iterable[bytes]:
        write = start_response("200 OK", [])
        write(b"a")
        write(b"bc")
        return [b"d"]

    app = App(answer)
    assert [ask(app, layer).body for _ in range(2)] == [b"abcd"] * 2
    assert app.runs == 1
    for most, again in ((3, 409), (2, 409), (4, 200)):
        app = App(answer)
        assert ask(app, layer, max_body=most, namespace=f"{most}").body == b"abcd"
        assert (ask(app, layer, max_body=most, namespace=f"{most}").status, app.runs) == (again, 1)


def test_only_written(layer: Layer) -> None:
    """An app that writes all, however long it is, answers once."""

    def answer(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])(b"x" * 10)
        return []

    for most, again in ((5, 409), (50, 200)):
        app = App(answer)
        assert ask(app, layer, max_body=most, namespace=f"{most}").body == b"x" * 10
        assert (ask(app, layer, max_body=most, namespace=f"{most}").status, app.runs) == (again, 1)


def test_a_head_that_is_replaced(layer: Layer) -> None:
    """The last head counts as long as the client has none; without `exc_info` a second one is an error."""

    def answer(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        try:
            raise LookupError
        except LookupError as error:
            start_response("404 Gone", [("X-A", "1")], (LookupError, error, None))
        return [b"sorry"]

    def twice(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        start_response("200 OK", [])
        return []

    app = App(answer)
    for _ in range(2):
        got = ask(app, layer)
        assert (got.status, got.body, got.fields.get("x-a")) == (404, b"sorry", "1")
    assert app.runs == 1
    app = App(twice)
    assert [type(ask(app, layer, namespace="2").error) for _ in range(2)] == [AssertionError] * 2
    assert app.runs == 2


@pytest.mark.parametrize("status", [422, 500])
def test_an_answer_that_is_replaced_after_its_first_piece(layer: Layer, status: int) -> None:
    """Nothing of it was sent, so nothing of it is in front of the other one, which has a length of its own."""

    def answer(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        yield b"part one "
        start_response(f"{status} Oops", [("Content-Length", "5")], (LookupError, LookupError(), None))
        yield b"error"

    app = App(answer)
    for _ in range(2):
        got = ask(app, layer)
        assert (got.status, got.body, got.fields.get("content-length")) == (status, b"error", "5")
    assert app.runs == (1 if status == 422 else 2)


def test_who_the_server_has_found_is_part_of_the_client(layer: Layer) -> None:
    """REMOTE_USER tells users apart who show nothing else: nobody gets the answer of another."""

    def answer(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [environ.get("REMOTE_USER", "").encode()]

    once = IdempotencyMiddleware(App(answer), layer=layer)
    bodies: list[bytes] = []
    for user in ("ada", "bob", "ada", ""):
        _, start_response = started()
        bodies.append(b"".join(once({**posted(KEY), "REMOTE_USER": user}, start_response)))
    assert bodies == [b"ada", b"bob", b"ada", b""]


def test_one_inside_of_another(layer: Layer) -> None:
    """The inner one lets through what the outer one does once already, rather than wait for its own end."""

    def answer(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [b"done"]

    app = App(answer)
    once = IdempotencyMiddleware(IdempotencyMiddleware(app, layer=layer), layer=layer)
    assert [post_wsgi(once, KEY).body for _ in range(2)] == [b"done"] * 2
    assert app.runs == 1


def test_an_app_without_a_head_is_an_error(layer: Layer) -> None:
    """It frees the key."""
    app = App(lambda environ, start_response: [])
    assert [type(ask(app, layer).error) for _ in range(2)] == [AssertionError] * 2
    assert app.runs == 2


def test_a_head_that_comes_with_the_first_piece(layer: Layer) -> None:
    """A generator starts its response when it is first asked for a piece."""

    def answer(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        yield b"a"

    app = App(answer)
    assert [ask(app, layer).body for _ in range(2)] == [b"a"] * 2
    assert app.runs == 1


@pytest.mark.parametrize("most", [1, 100])
@pytest.mark.parametrize("fails", [True, False])
def test_the_body_is_closed_once(layer: Layer, most: int, fails: bool) -> None:
    """Whether it is collected, streams, or fails."""
    body = Body(b"a", b"b", *([LookupError()] if fails else []), b"c")

    def answer(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return body

    app = App(answer)
    got = ask(app, layer, max_body=most)
    assert (body.closed, type(got.error)) == (1, LookupError if fails else type(None))
    body.pieces[:] = [b"again"]
    assert ask(app, layer, max_body=most).status == (200 if fails or most == 100 else 409)
    assert app.runs == (2 if fails else 1)


def test_a_body_whose_end_fails_frees_the_key(layer: Layer) -> None:
    """Where `close` raises, nothing reaches the client."""

    class Bad(Body):
        def close(self) -> None:
            super().close()
            raise LookupError

    def answer(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return Bad(b"a")

    app = App(answer)
    assert [type(ask(app, layer).error) for _ in range(2)] == [LookupError] * 2
    assert app.runs == 2


@pytest.mark.parametrize("way", ["closed", "dropped", "dropped in a cycle"])
def test_a_client_that_leaves_a_long_answer(layer: Layer, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The app has answered: it is done, and not kept. A server that drops the body waits for nothing meanwhile."""

    def answer(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return Body(b"a" * 10, b"b", b"c")

    app = App(answer)
    once = IdempotencyMiddleware(app, layer=layer, max_body=5)
    body: Any = once(posted(KEY), started()[1])
    assert next(body) == b"a" * 10
    core, threads = layer.engine.idempotency, []
    finish = core.finish

    async def noted(*args: Any) -> bool:
        threads.append(threading.current_thread())
        return await finish(*args)

    monkeypatch.setattr(core, "finish", noted)
    if way == "closed":
        body.close()
        body.close()
        assert (b"result-not-kept" in post_wsgi(once, KEY).body, app.runs) == (True, 1)
        return
    if "cycle" in way:
        body.itself = body
    del body
    gc.collect()
    until(lambda: b"result-not-kept" in post_wsgi(once, KEY).body, "it is noted")
    assert (threading.current_thread() in threads, len(threads), app.runs) == (False, 1, 1)


def test_a_long_failure_that_is_dropped(layer: Layer) -> None:
    """It came to nothing: its key is free at once, and not when its lease has run out."""

    def answer(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("503 Service Unavailable" if app.runs == 1 else "200 OK", [])
        return Body(b"a" * 10, b"b")

    app = App(answer)
    once = IdempotencyMiddleware(app, layer=layer, max_body=5, lease="10m")
    body: Any = once(posted(KEY), started()[1])
    assert next(body) == b"a" * 10
    assert post_wsgi(once, KEY).status == 409
    del body
    until(lambda: post_wsgi(once, KEY).status == 200, "the key is free")
    assert app.runs == 2


class Slow(io.BytesIO):
    """A stream that gives a byte or two at a time."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Return less than is asked for."""
        return super().read(min(size or 2, 2) if size != 0 else 0)


@pytest.mark.parametrize(
    ("declared", "terminated", "sent", "status", "seen"),
    [
        ("5", False, b"hello", 200, b"hello"),
        ("3", False, b"hello", 200, b"hel"),
        ("", False, b"hello", 200, b""),
        (None, False, b"hello", 200, b""),
        (None, True, b"hello", 200, b"hello"),
        (None, True, b"hello world", 413, None),
        ("11", False, b"hello world", 413, None),
        ("9", False, b"hello", 400, None),
        ("x", False, b"hello", 400, None),
    ],
)
def test_the_body_of_a_request(
    layer: Layer, declared: str | None, terminated: bool, sent: bytes, status: int, seen: bytes | None
) -> None:
    """It is as long as it says, or ends by itself where the server says so; the app reads it anew."""
    found: list[Any] = []

    def answer(environ: Any, start_response: Any) -> Iterable[bytes]:
        found.append((environ["wsgi.input"].read(), environ["CONTENT_LENGTH"], "HTTP_TRANSFER_ENCODING" in environ))
        start_response("200 OK", [])
        return []

    environ = posted(KEY)
    environ.pop("CONTENT_LENGTH")
    if declared is not None:
        environ["CONTENT_LENGTH"] = declared
    if terminated:
        environ.update({"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"})
    environ["wsgi.input"] = Slow(sent)
    heads, start_response = started()
    list(IdempotencyMiddleware(App(answer), layer=layer, max_body=10)(environ, start_response))
    assert int(heads[0][0][:3]) == status
    assert found == ([] if seen is None else [(seen, str(len(seen)), False)])


def test_the_reason_of_a_status_is_kept_for_the_first_client(layer: Layer) -> None:
    """It gets the app's words; a repetition, those of the standard."""

    def answer(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("201 Well Done", [])
        return []

    once, lines = IdempotencyMiddleware(App(answer), layer=layer), []
    for _ in range(2):
        heads, start_response = started()
        list(once(posted(KEY), start_response))
        lines.append(heads[0][0])
    assert lines == ["201 Well Done", "201 Created"]


def test_an_async_identity_is_refused(layer: Layer) -> None:
    """Nobody would await it."""

    async def identity(request: Any) -> str:
        return "a"

    with pytest.raises(ConfigurationError, match="identity="):
        IdempotencyMiddleware(App(None), layer=layer, identity=identity)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit()])
def test_an_interrupted_app_frees_the_key(layer: Layer, error: BaseException) -> None:
    """At once, as a crash would when the lease has run out."""

    def answer(environ: Any, start_response: Any) -> Iterable[bytes]:
        if app.runs == 1:
            raise error
        start_response("200 OK", [])
        return [b"done"]

    app = App(answer)
    once = IdempotencyMiddleware(app, layer=layer)
    with pytest.raises(type(error)):
        once(posted(KEY), started()[1])
    assert (post_wsgi(once, KEY).body, app.runs) == (b"done", 2)
