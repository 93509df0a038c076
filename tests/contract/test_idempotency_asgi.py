"""`IdempotencyMiddleware` between an ASGI server and an app, message by message."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast import Layer
from holdfast.asgi import IdempotencyMiddleware
from holdfast.events import ResultUnkept
from support.flights import reached
from support.http_clients import scope_of
from support.once_web import got_of
from support.peeking import told
from support.points import Points

KEY = (("Idempotency-Key", '"k"'),)
START = {"type": "http.response.start", "status": 200, "headers": []}
GONE = {"type": "http.disconnect"}


def body(data: bytes = b"", *, more: bool = False) -> dict[str, Any]:
    """Return a message with a piece of a body."""
    return {"type": "http.response.body", "body": data, "more_body": more}


def asked(data: bytes = b"x", *, more: bool = False) -> dict[str, Any]:
    """Return a message with a piece of a request's body."""
    return {"type": "http.request", "body": data, "more_body": more}


class App:
    """Does what it is told with each of its requests, and counts them."""

    def __init__(self, *does: Any) -> None:
        self.does = does
        self.runs = 0
        self.received: list[Any] = []
        self.scopes: list[Any] = []
        self.extensions: list[set[str]] = []
        self.go_on = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer."""
        self.runs += 1
        self.scopes.append(scope)
        self.extensions.append(set(scope.get("extensions") or ()))
        for step in self.does:
            if step == "receive":
                self.received.append(await receive())
            elif step == "wait":
                await self.go_on.wait()
            elif isinstance(step, BaseException):
                raise step
            else:
                await send({**step})


async def talk(app: Any, *messages: dict[str, Any], scope: Any = None) -> list[Any]:
    """Send a request message by message, and return the messages of the answer."""
    left, sent = list(messages), []

    async def receive() -> Any:
        return left.pop(0) if left else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope or scope_of("POST", "/", KEY), receive, send)
    return sent


def test_the_body_is_read_first_and_given_to_the_app(layer: Layer) -> None:
    """As one piece; behind the answer comes what the server says."""

    async def scenario() -> None:
        app = App("receive", START, body(b"done"), "receive")
        await talk(
            IdempotencyMiddleware(app, layer=layer), asked(b"a", more=True), asked(b"", more=True), asked(b"b"), GONE
        )
        assert app.received == [asked(b"ab"), GONE]

    asyncio.run(scenario())


def test_a_client_that_leaves_before_its_request_is_complete_asked_nothing(layer: Layer) -> None:
    """The app is not run, and the key is free."""

    async def scenario() -> None:
        app = App("receive", START, body(b"done"))
        assert await talk(IdempotencyMiddleware(app, layer=layer), asked(more=True), GONE) == []
        assert app.runs == 0
        await talk(IdempotencyMiddleware(app, layer=layer), asked())
        assert app.runs == 1

    asyncio.run(scenario())


def test_a_client_that_leaves_while_the_app_works_gets_the_answer_later(layer: Layer) -> None:
    """The app goes on, though its server refuses what is sent; its answer is kept before that."""

    async def scenario() -> None:
        app = App("receive", START, body(b"done"))
        once = IdempotencyMiddleware(app, layer=layer)
        left = [asked(), GONE]

        async def receive() -> Any:
            return left.pop(0)

        async def refuse(message: Any) -> None:
            raise OSError("the client has left")

        with pytest.raises(OSError, match="left"):
            await once(scope_of("POST", "/", KEY), receive, refuse)
        again = got_of(await talk(once, asked()))
        assert (again.body, again.fields.get("idempotency-replayed"), app.runs) == (b"done", "true", 1)

    asyncio.run(scenario())


@pytest.mark.parametrize("ends", ["answers", "streams", "raises", "returns"])
def test_an_app_does_not_hear_that_its_client_left_while_its_answer_is_collected(layer: Layer, ends: str) -> None:
    """Else it might leave off in the middle. It hears when its answer is complete, streams, or comes to nothing."""

    async def scenario() -> None:
        heard: list[bool] = []
        ears: list[asyncio.Task[Any]] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            ears.append(asyncio.create_task(receive()))
            await send(START)
            await send(body(b"a", more=True))
            for _ in range(9):
                await asyncio.sleep(0)
            heard.append(ears[0].done())
            if ends == "raises":
                raise LookupError
            if ends != "returns":
                await send(body(b"x" * (200 if ends == "streams" else 1), more=ends == "streams"))
                assert await ears[0] == GONE
            if ends == "streams":
                await send(body(b"end"))

        once = IdempotencyMiddleware(app, layer=layer, max_body=100)
        try:
            sent = await talk(once, asked(), GONE)
        except LookupError:
            assert ends == "raises"
        else:
            assert ends != "answers" or got_of(sent).body == b"ax"
        assert await ears[0] == GONE
        assert heard == [False]

    asyncio.run(scenario())


def test_fields_that_can_be_read_once(layer: Layer) -> None:
    """The headers of a response may be any iterable: the client gets them, and so does a repetition."""

    async def scenario() -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({**START, "headers": iter([(b"x-a", b"1"), (b"content-length", b"4")])})
            await send(body(b"done"))

        once = IdempotencyMiddleware(app, layer=layer)
        for _ in range(2):
            got = got_of(await talk(once, asked()))
            assert (got.fields.get("x-a"), got.fields.get("content-length"), got.body) == ("1", "4", b"done")

    asyncio.run(scenario())


def test_what_the_app_finds_out_is_seen_outside(layer: Layer) -> None:
    """Middleware outside reads in the scope which route has answered, with a key as without one."""

    async def scenario() -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            assert set(scope["extensions"]) == {"tls"}
            scope["route"] = "/pay"
            raise LookupError

        scope = scope_of("POST", "/", KEY)
        extensions = scope["extensions"] = {"http.response.pathsend": {}, "tls": {}}
        with pytest.raises(LookupError):
            await talk(IdempotencyMiddleware(app, layer=layer), asked(), scope=scope)
        assert scope["route"] == "/pay"
        assert scope["extensions"] is extensions

    asyncio.run(scenario())


def test_one_inside_of_another(layer: Layer) -> None:
    """The inner one lets through what the outer one does once already, rather than wait for its own end."""

    async def scenario() -> None:
        app = App(START, body(b"done"))
        once = IdempotencyMiddleware(IdempotencyMiddleware(app, layer=layer), layer=layer)
        for _ in range(2):
            assert got_of(await talk(once, asked())).body == b"done"
        assert app.runs == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", ["identity", "display_name"])
def test_a_user_that_was_found_outside_is_part_of_the_client(layer: Layer, kind: str) -> None:
    """As Starlette's AuthenticationMiddleware leaves it: nobody gets the answer of another user."""

    class User:
        def __init__(self, name: str, *, known: bool = True) -> None:
            self.is_authenticated = known
            self._name = name

        def __getattr__(self, name: str) -> str:
            if name == kind:
                return self._name
            raise NotImplementedError if name == "identity" else AttributeError

    async def scenario() -> None:
        app = App(START, body(b"done"))
        once = IdempotencyMiddleware(app, layer=layer)
        for name, runs in (("ada", 1), ("bob", 2), ("ada", 2)):
            scope = {**scope_of("POST", "/", KEY), "user": User(name)}
            await talk(once, asked(), scope=scope)
            assert app.runs == runs
        for nobody in (User("ada", known=False), None):
            await talk(once, asked(), scope={**scope_of("POST", "/", KEY), "user": nobody})
            assert app.runs == 3

    asyncio.run(scenario())


@pytest.mark.parametrize("point", ["before", "once_finish", "once_finish!", "after"])
def test_a_task_that_is_cancelled(layer: Layer, point: str) -> None:
    """While the app works, the key is free at once; when it has answered, the answer is kept all the same."""

    async def scenario() -> None:
        steps = ["wait", START, body(b"done")] if point == "before" else [START, body(b"done"), "wait"]
        app, points = App(*steps), Points(layer)
        once = IdempotencyMiddleware(app, layer=layer)
        if point.startswith("once"):
            points.hold(point)
        task = asyncio.create_task(talk(once, asked()))
        await reached(lambda: points.holds(point) if point.startswith("once") else app.runs)
        if point == "after":
            await reached(lambda: "once_finish!" in points.passed)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await reached(lambda: ("once_free!" if point == "before" else "once_finish!") in points.passed)
        app.go_on.set()
        again = got_of(await talk(once, asked()))
        assert (again.body, app.runs) == (b"done", 2 if point == "before" else 1)

    asyncio.run(scenario())


def test_a_long_answer_streams(layer: Layer) -> None:
    """From when it is too long, each piece goes to the client as it comes; a repetition waits for its end."""

    async def scenario() -> None:
        app = App(START, body(b"x" * 60, more=True), body(b"y" * 60, more=True), "wait", body(b"z"))
        once = IdempotencyMiddleware(app, layer=layer, max_body=100)
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return asked()

        task = asyncio.create_task(once(scope_of("POST", "/", KEY), receive, send))
        await reached(lambda: len(sent) == 2)
        assert sent == [START, body(b"x" * 60 + b"y" * 60, more=True)]
        assert got_of(await talk(once, asked())).status == 409
        app.go_on.set()
        await task
        assert sent[2:] == [body(b"z")]
        assert (got_of(await talk(once, asked())).status, app.runs) == (409, 1)

    asyncio.run(scenario())


@pytest.mark.parametrize("how", ["the server refuses", "the app hears of it"])
def test_a_long_answer_whose_client_leaves_is_not_made_again(layer: Layer, how: str) -> None:
    """It was on its way already; a repetition gets 409."""

    async def scenario() -> None:
        pieces = [body(b"x" * 200, more=True)]
        app = App("receive", START, *pieces, *(["receive"] if "hears" in how else [*pieces, body()]))
        once = IdempotencyMiddleware(app, layer=layer, max_body=100)
        left, sent = [asked(), GONE], 0

        async def receive() -> Any:
            return left.pop(0)

        async def send(message: Any) -> None:
            nonlocal sent
            sent += 1
            if sent > 2 and "refuses" in how:
                raise OSError

        try:
            await once(scope_of("POST", "/", KEY), receive, send)
        except OSError:
            assert "refuses" in how
        assert (got_of(await talk(once, asked())).status, app.runs) == (409, 1)

    asyncio.run(scenario())


def test_an_app_that_does_not_complete_its_answer(layer: Layer) -> None:
    """The server gets what there is, as without us, and the key is free."""

    async def scenario() -> None:
        for messages in ([], [START], [START, body(b"a", more=True)]):
            app = App(*messages)
            once = IdempotencyMiddleware(app, layer=layer)
            for _ in range(2):
                assert await talk(once, asked()) == messages
            assert app.runs == 2

    asyncio.run(scenario())


def test_what_cannot_be_collected_passes_through(layer: Layer) -> None:
    """Trailers, and messages of extensions: done, and not kept. The app is not told of those that it need not use."""

    async def scenario() -> None:
        sends = {"type": "http.response.pathsend", "path": "/file"}
        trailers = {"type": "http.response.trailers", "headers": []}
        events = told(layer, ResultUnkept)
        for number, messages in enumerate(
            ([{**START, "trailers": True}, body(b"a"), trailers], [START, body(b"a", more=True), sends, body()])
        ):
            app = App(*messages)
            once = IdempotencyMiddleware(app, layer=layer, namespace=f"{number}")
            scope = scope_of("POST", "/", KEY)
            scope["extensions"] = {"http.response.pathsend": {}, "http.response.trailers": {}, "tls": {}}
            assert await talk(once, asked(), scope=scope) == messages
            assert app.extensions == [{"tls"}]
            assert set(scope["extensions"]) > {"tls"}
            assert (got_of(await talk(once, asked())).status, app.runs) == (409, 1)
        assert len(events) == 2

    asyncio.run(scenario())


def test_messages_before_the_head_go_on_at_once(layer: Layer) -> None:
    """Early hints are not kept back."""

    async def scenario() -> None:
        hint = {"type": "http.response.early_hint", "links": []}
        app = App(hint, "wait", START, body(b"a"))
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return asked()

        once = IdempotencyMiddleware(app, layer=layer)
        task = asyncio.create_task(once(scope_of("POST", "/", KEY), receive, send))
        await reached(lambda: sent)
        assert sent == [hint]
        app.go_on.set()
        await task

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", ["lifespan", "websocket", "another"])
def test_other_scopes_pass(layer: Layer, kind: str) -> None:
    """They reach the app untouched."""

    async def scenario() -> None:
        app = App()
        scope = {"type": kind, "headers": [(b"idempotency-key", b"k")], "path": "/"}
        assert await talk(IdempotencyMiddleware(app, layer=layer), scope=scope) == []
        assert app.scopes[0] is scope

    asyncio.run(scenario())


def test_background_work_behind_an_answer_keeps_nobody(layer: Layer) -> None:
    """A repetition gets the answer while the app still works behind it, whatever comes of that."""

    async def scenario() -> None:
        app = App(START, body(b"done"), "wait", LookupError())
        once = IdempotencyMiddleware(app, layer=layer)
        task = asyncio.create_task(talk(once, asked()))
        await reached(lambda: app.runs)
        await reached(lambda: not layer.engine.idempotency.runs._renewals.of_length(30.0))
        assert got_of(await talk(once, asked())).body == b"done"
        app.go_on.set()
        with pytest.raises(LookupError):
            await task
        assert got_of(await talk(once, asked())).body == b"done"
        assert app.runs == 1

    asyncio.run(scenario())
