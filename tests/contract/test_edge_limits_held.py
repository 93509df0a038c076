"""Concurrency at the edge of an ASGI app: a slot is held until the response is complete, and given back once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from holdfast import ConfigurationError, Layer
from holdfast.asgi import RateLimitMiddleware
from holdfast.web import LimitRule
from support.colours import Colour
from support.edge_limits import PEER, Site, ask_asgi, fill, left, raw, taken
from support.http_clients import scope_of
from support.staged import Stage

pytestmark = pytest.mark.usefixtures("patient_limits")

App = Callable[[Any, Any, Any], Awaitable[None]]
START = {"type": "http.response.start", "status": 200, "headers": []}
ONE = [LimitRule("9/hour", concurrency=1, name="work")]


def piece(data: bytes = b"x", *, more: bool) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


class Client:
    """Plays the server for one request, and may leave or break off at any time."""

    def __init__(self, method: str = "GET") -> None:
        self.scope = scope_of(method, "/", ()) | {"client": (PEER, 40000)}
        self.left = asyncio.Event()
        self.got: list[dict[str, Any]] = []
        self.breaks_at = -1
        """Which message cannot be sent any more."""

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        if len(self.got) == self.breaks_at:
            raise OSError("the client has left")
        self.got.append(message)

    async def ask(self, app: App) -> None:
        await app(self.scope, self.receive, self.send)


def middleware(app: App, layer: Layer, **options: Any) -> RateLimitMiddleware:
    return RateLimitMiddleware(app, layer=layer, **{"rules": ONE} | options)


def test_a_slot_is_held_until_the_last_piece(layer: Layer) -> None:
    """Before it goes out the slot is free, so that who asks again as soon as he has his answer is served."""
    stage, seen = Stage(layer), []

    async def stream(_: Any, __: Any, send: Any) -> None:
        for message in (START, piece(more=True), piece(more=True)):
            await send(message)
            seen.append(taken(layer, "work"))
        await send(piece(more=False))

    class Watching(Client):
        async def send(self, message: dict[str, Any]) -> None:
            await super().send(message)
            seen.append(taken(layer, "work"))

    asyncio.run(Watching().ask(middleware(stream, layer)))
    assert seen == [1, 1, 1, 1, 1, 1, 0]
    assert stage.sent == ["slot_take", "hit", "slot_leave"]


@pytest.mark.parametrize("length", [b"2", b"x", None])
def test_a_response_that_says_how_long_it_is_ends_with_its_last_byte(layer: Layer, length: bytes | None) -> None:
    """Its client knows that it is complete, even if the app has a message left to send."""
    fields = [] if length is None else [(b"Content-Length", length)]

    async def stream(_: Any, __: Any, send: Any) -> None:
        await send(START | {"headers": fields})
        await send(piece(b"ab", more=True))
        assert taken(layer, "work") == (0 if length == b"2" else 1)
        await send(piece(b"", more=False))

    asyncio.run(Client().ask(middleware(stream, layer)))
    assert taken(layer, "work") == 0


@pytest.mark.parametrize("sent", range(4))
@pytest.mark.parametrize("ends", ["returns", "raises"])
def test_an_app_that_ends_early_holds_nothing(layer: Layer, sent: int, ends: str) -> None:
    """Whatever it has sent before."""
    stage = Stage(layer)

    async def breaks_off(_: Any, __: Any, send: Any) -> None:
        for message in [START, piece(more=True), piece(more=False)][:sent]:
            await send(message)
        if ends == "raises":
            raise LookupError

    async def scenario() -> None:
        try:
            await Client().ask(middleware(breaks_off, layer))
        except LookupError:
            assert ends == "raises"

    asyncio.run(scenario())
    assert stage.sent == ["slot_take", "hit", "slot_leave"]


@pytest.mark.parametrize("breaks_at", range(3))
def test_a_client_that_left_while_something_was_sent_holds_nothing(layer: Layer, breaks_at: int) -> None:
    """The app hears of it as it would from the server; what was sent is charged."""
    stage, sizes = Stage(layer), []

    async def stream(_: Any, __: Any, send: Any) -> None:
        for message in (START, piece(b"ab", more=True), piece(b"cd", more=False)):
            await send(message)

    def settle(_: int, __: Any, size: int) -> int:
        sizes.append(size)
        return 1

    async def scenario() -> None:
        client = Client()
        client.breaks_at = breaks_at
        with pytest.raises(OSError, match="has left"):
            await client.ask(middleware(stream, layer, settle=settle))

    asyncio.run(scenario())
    assert stage.sent == ["slot_take", "hit", "slot_leave"]
    assert sizes == [[0], [0], [2]][breaks_at]


def test_who_leaves_gives_his_slot_back_as_soon_as_the_app_knows(layer: Layer) -> None:
    """Also if the app takes its time to end, or listens again."""
    stage = Stage(layer)

    async def lingers(_: Any, receive: Any, send: Any) -> None:
        await send(START)
        for _ in range(2):
            assert (await receive())["type"] == "http.disconnect"
            assert taken(layer, "work") == 0

    async def scenario() -> None:
        client = Client()
        client.left.set()
        await client.ask(middleware(lingers, layer))

    asyncio.run(scenario())
    assert stage.sent == ["slot_take", "hit", "slot_leave"]


def test_a_request_that_is_cancelled_at_any_await_holds_nothing(layer: Layer) -> None:
    """At the first, at the second, and so on, until one is complete; and its quota was charged at most once."""

    async def stream(_: Any, receive: Any, send: Any) -> None:
        for message in (START, piece(more=True), piece(more=False)):
            await asyncio.sleep(0)
            await send(message)

    async def scenario() -> int:
        app = middleware(stream, layer, rules=[LimitRule("900/hour", concurrency=1, name="work")])
        rounds = 0
        while True:
            rounds += 1
            task = asyncio.create_task(Client().ask(app))
            for _ in range(rounds):
                await asyncio.sleep(0)
            if task.done():
                return rounds
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            for _ in range(1000):
                if taken(layer, "work") == 0:
                    break
                await asyncio.sleep(0.001)
            assert taken(layer, "work") == 0, f"cancelled at step {rounds}"

    rounds = asyncio.run(scenario())
    assert rounds > 5
    assert 900 - left(layer, "900/hour; name=work", "work") <= rounds


@pytest.mark.parametrize("interrupted", ["slot_take", "hit", "slot_leave"])
def test_a_request_that_is_cancelled_while_redis_answers_holds_nothing(layer: Layer, interrupted: str) -> None:
    """The command was executed; its answer is what got lost."""
    stage = Stage(layer)
    stage.interrupts[interrupted] = asyncio.CancelledError()

    async def app(_: Any, __: Any, send: Any) -> None:
        await send(START)
        await send(piece(more=False))

    async def scenario() -> None:
        with pytest.raises(asyncio.CancelledError):
            await Client().ask(middleware(app, layer))
        for _ in range(1000):
            if taken(layer, "work") == 0:
                return
            await asyncio.sleep(0.001)

    asyncio.run(scenario())
    assert taken(layer, "work") == 0


def test_of_several_slots_all_are_given_back_even_if_one_fails(layer: Layer) -> None:
    """An interruption at the first does not forget the second."""
    stage = Stage(layer)
    stage.interrupts["slot_leave"] = asyncio.CancelledError()
    rules = [LimitRule(concurrency=1, name="work"), LimitRule(concurrency=2, name="more")]

    async def app(_: Any, __: Any, send: Any) -> None:
        await send(START)
        await send(piece(more=False))

    async def scenario() -> None:
        with pytest.raises(asyncio.CancelledError):
            await Client().ask(middleware(app, layer, rules=rules))
        for _ in range(1000):
            if not (taken(layer, "work") or taken(layer, "more")):
                return
            await asyncio.sleep(0.001)

    asyncio.run(scenario())
    assert (taken(layer, "work"), taken(layer, "more")) == (0, 0)


def test_a_refused_request_that_is_cancelled_gives_all_slots_back(layer: Layer) -> None:
    """Though it is interrupted while it gives back the first."""
    fill(layer, "full")
    stage = Stage(layer)
    stage.interrupts["slot_leave"] = asyncio.CancelledError()
    rules = [LimitRule(concurrency=1, name=name) for name in ("work", "more", "full")]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        """Nobody gets here."""

    async def scenario() -> None:
        with pytest.raises(asyncio.CancelledError):
            await Client().ask(middleware(app, layer, rules=rules))

    asyncio.run(scenario())
    assert stage.sent[:5] == ["slot_take", "slot_take", "slot_take", "slot_leave", "slot_leave"]
    assert (taken(layer, "work"), taken(layer, "more")) == (0, 0)


def test_what_is_refused_holds_and_consumes_nothing(colour: Colour, layer: Layer) -> None:
    """Neither the slots taken before a full one, nor the quota that a full slot stands before, nor the reverse."""
    rules = [LimitRule("9/hour", concurrency=2, name="first"), LimitRule(concurrency=1, name="work")]
    few = [LimitRule("1/hour", concurrency=1, name="work")]

    async def scenario() -> None:
        site = Site(colour, layer, rules=rules)
        fill(layer, "work")
        refused = await site.ask()
        assert (refused.status, refused.get("Retry-After")) == (429, "1")
        assert refused.members("RateLimit-Policy") == {"work": {"q": 1, "qu": "concurrent-requests"}}
        assert taken(layer, "first") == 0
        assert left(layer, "9/hour; name=first", "first") == 9
        other = Site(colour, layer, rules=few, trusted=["10.0.0.0/8"])
        stage = Stage(layer)
        fields = ("X-Forwarded-For", "198.51.100.9")
        assert await other.statuses(3, "/", fields, peer="10.0.0.1") == [200, 429, 429]
        assert taken(layer, "work", "client:198.51.100.9") == 0
        assert stage.sent == ["slot_take", "hit", "slot_leave", "slot_take", "hit", "slot_leave"]

    colour.run(scenario)


def test_starlette_gives_back_before_its_background_tasks(layer: Layer) -> None:
    """They run when the client has its answer, and hold no slot; also behind a streamed response."""
    seen: list[int] = []

    async def note() -> None:
        seen.append(taken(layer, "work"))

    async def whole(_: Any) -> Any:
        seen.append(taken(layer, "work"))
        return PlainTextResponse("x", background=BackgroundTask(note))

    async def stream(_: Any) -> Any:
        return StreamingResponse(iter(["a", "b"]), background=BackgroundTask(note))

    app = Starlette(
        routes=[Route("/whole", whole), Route("/stream", stream)],
        middleware=[Middleware(RateLimitMiddleware, layer=layer, rules=ONE)],
    )
    for path in ("/whole", "/stream"):
        assert asyncio.run(ask_asgi(app, "GET", path, (), PEER)).status == 200
    assert seen == [1, 0, 0]


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304), ("GET", 302)])
@pytest.mark.parametrize("rules", [[], ONE])
def test_responses_without_a_body_are_told_and_end_as_well(layer: Layer, method: str, status: int, rules: Any) -> None:
    """Fields stand on all of them."""

    async def app(_: Any, __: Any, send: Any) -> None:
        await send(START | {"status": status, "headers": raw([("ETag", '"1"')])})
        await send({"type": "http.response.body"})

    limited = middleware(app, layer, quota="9/hour", rules=rules)
    reply = asyncio.run(ask_asgi(limited, method, "/", (), PEER))
    assert (reply.status, reply.body, reply.get("ETag")) == (status, b"", '"1"')
    assert reply.left["per-hour"] == 8
    assert taken(layer, "work") == 0


def test_what_a_response_has_cost_is_charged_though_its_request_is_cancelled(layer: Layer) -> None:
    """While the user's function is still at work."""

    async def scenario() -> None:
        asked, answered = asyncio.Event(), asyncio.Event()

        async def settle(*_: Any) -> int:
            asked.set()
            await answered.wait()
            return 4

        async def app(_: Any, __: Any, send: Any) -> None:
            await send(START)
            await send(piece(more=False))

        task = asyncio.create_task(Client().ask(middleware(app, layer, settle=settle)))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        answered.set()
        spent = "9/hour; name=work", "work"
        await Colour("async").until(lambda: left(layer, *spent) == 5, "the true cost is charged")

    asyncio.run(asyncio.wait_for(scenario(), 60))


@pytest.mark.parametrize("options", [{"routes": ["/x"]}, {"per_route": True}, {"by": "route"}])
def test_where_nobody_knows_routes_a_rule_about_them_is_a_mistake(layer: Layer, options: dict[str, Any]) -> None:
    """It would be about no request at all, and nobody would notice. An app with routes, or `route`, is enough."""

    async def app(_: Any, __: Any, send: Any) -> None:
        await send(START)
        await send(piece(more=False))

    rules = [LimitRule("1/hour", **options)]
    with pytest.raises(ConfigurationError, match="need route= here"):
        asyncio.run(Client().ask(middleware(app, layer, rules=rules)))
    asyncio.run(Client().ask(middleware(app, layer, rules=rules, route=lambda _: None)))
    asyncio.run(Client().ask(middleware(Starlette(routes=[Route("/y", app)]), layer, rules=rules)))


def test_a_file_that_the_server_sends_is_the_end(layer: Layer) -> None:
    """Its size is what the response says."""
    sizes: list[int] = []

    async def app(_: Any, __: Any, send: Any) -> None:
        await send(START | {"headers": [(b"content-length", b"7")]})
        await send({"type": "http.response.pathsend", "path": "/nowhere"})
        assert taken(layer, "work") == 0

    asyncio.run(Client().ask(middleware(app, layer, settle=lambda *given: sizes.append(given[2]))))
    assert sizes == [7]


def test_other_scopes_are_none_of_its_business(layer: Layer) -> None:
    """Lifespan and what is yet unknown reach the app as they are, and nothing is counted."""
    seen: list[Any] = []

    async def app(*given: Any) -> None:
        seen.append(given)

    stage = Stage(layer)
    for kind in ("lifespan", "webtransport"):
        given: Any = ({"type": kind}, object(), object())
        asyncio.run(middleware(app, layer)(*given))  # type: ignore[arg-type]  # a coroutine all the same
        assert all(mine is theirs for mine, theirs in zip(seen.pop(), given, strict=True))
        assert given[0] == {"type": kind}
    assert stage.sent == []
