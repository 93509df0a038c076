"""`holdfast.starlette`: the lifespan, and what clients get for the errors of holdfast."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.middleware.sessions import SessionMiddleware as OtherSessions
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from holdfast import (
    AlreadyRunning,
    BackendError,
    ConfigurationError,
    IdempotencyError,
    KeyReused,
    Layer,
    LockNotAcquired,
    RateLimited,
    Session,
    configure,
)
from holdfast import defaults as layers
from holdfast.asgi import SessionMiddleware
from holdfast.starlette import exception_handlers, find_route, install, lifespan, session_of
from support.asgi_client import AsgiClient


async def _is_open(layer: Layer) -> bool:
    try:
        await layer.http_cache.apurge("http://shop/")
    except BackendError:
        return False
    return True


@asynccontextmanager
async def _run(app: Any) -> AsyncIterator[dict[str, Any]]:
    """Start and end an app as a server does; return the state that its requests get."""
    inbox: asyncio.Queue[Any] = asyncio.Queue()
    outbox: asyncio.Queue[Any] = asyncio.Queue()
    state: dict[str, Any] = {}
    running = asyncio.create_task(app({"type": "lifespan", "state": state}, inbox.get, outbox.put))
    for word in ("startup", "shutdown"):
        await inbox.put({"type": f"lifespan.{word}"})
        message = await outbox.get()
        if message["type"] != f"lifespan.{word}.complete":
            await asyncio.gather(running, return_exceptions=True)
            raise RuntimeError(message.get("message", ""))
        if word == "startup":
            yield state
    await running


@pytest.mark.parametrize("framework", [Starlette, FastAPI])
def test_the_layer_is_open_while_the_app_runs_and_closed_after(framework: Any, namespace: str) -> None:
    """Also in the shutdown code of the app's own lifespan, whose state requests see."""
    seen: list[Any] = []

    async def scenario() -> None:
        layer = Layer(namespace=namespace)

        @asynccontextmanager
        async def own(app: Any) -> AsyncGenerator[dict[str, int], None]:
            seen.append(app)
            yield {"answer": 42}
            seen.append(await _is_open(layer))

        app = framework(lifespan=lifespan(layer, own))
        async with _run(app) as state:
            assert state["answer"] == 42
            assert await _is_open(layer)
        assert seen == [app, True]
        assert not await _is_open(layer)

    asyncio.run(scenario())


@pytest.mark.parametrize("when", ["startup", "shutdown"])
def test_the_layer_is_closed_after_an_error(when: str, namespace: str) -> None:
    """An app that fails to start or to end leaves no connections behind."""

    async def scenario() -> None:
        layer = Layer(namespace=namespace)

        @asynccontextmanager
        async def own(app: Any) -> AsyncGenerator[None, None]:
            if when == "startup":
                raise ZeroDivisionError
            yield
            raise ZeroDivisionError

        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            async with _run(Starlette(lifespan=lifespan(layer, own))):
                pass
        assert not await _is_open(layer)

    asyncio.run(scenario())


@pytest.mark.parametrize("is_async", [False, True])
def test_a_function_makes_a_layer_for_each_run(is_async: bool, namespace: str) -> None:
    """So an app can be started twice, as tests do."""
    made: list[Layer] = []

    def make() -> Layer:
        made.append(configure(namespace=namespace))
        return made[-1]

    async def make_later() -> Layer:
        return make()

    async def scenario() -> None:
        app = Starlette(lifespan=lifespan(make_later if is_async else make))
        assert made == []
        for number in (1, 2):
            async with _run(app):
                assert len(made) == number
                assert await _is_open(made[-1])
            assert not await _is_open(made[-1])

    asyncio.run(scenario())


def test_an_app_does_not_start_with_a_layer_that_its_end_has_closed(namespace: str) -> None:
    """It would run as if Redis were away, and nobody would see why."""

    async def scenario() -> None:
        app = Starlette(lifespan=lifespan(Layer(namespace=namespace)))
        async with _run(app):
            pass
        with pytest.raises(RuntimeError, match="give lifespan a function"):
            async with _run(app):
                pass

    asyncio.run(scenario())


def test_without_a_layer_the_default_one_is_closed_and_none_is_made(
    namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default layer is that of the end; where there is none, there still is none."""
    monkeypatch.setattr(layers, "_default", None)

    async def scenario() -> None:
        app = Starlette(lifespan=lifespan())
        async with _run(app):
            pass
        assert layers.current_default() is None
        async with _run(app):
            layer = configure(namespace=namespace)
            assert await _is_open(layer)
        assert not await _is_open(layer)

    asyncio.run(scenario())


def test_what_cannot_work_is_refused() -> None:
    """What is no layer and what is no lifespan shows when the app is made, or started."""

    async def generator(app: Any) -> AsyncGenerator[None, None]:
        yield

    wrong: Any = "redis://localhost"
    with pytest.raises(ConfigurationError, match="layer= must be a Layer or a function"):
        lifespan(wrong)
    not_wrapped: Any = generator
    with pytest.raises(ConfigurationError, match="@asynccontextmanager"):
        lifespan(None, not_wrapped)

    async def scenario() -> None:
        make: Any = dict
        with pytest.raises((RuntimeError, TypeError)):
            async with _run(Starlette(lifespan=lifespan(make))):
                pass

    asyncio.run(scenario())


def _refusing(error: Exception) -> list[Any]:
    async def view(request: Request) -> PlainTextResponse:
        raise error

    async def socket(websocket: WebSocket) -> None:
        if "accept" in websocket.query_params:
            await websocket.accept()
        raise error

    return [Route("/", view), WebSocketRoute("/", socket)]


def _refused(namespace: str) -> RateLimited:
    with Layer(namespace=namespace) as layer:
        layer.limiter.hit("1/hour", "k")
        return RateLimited(layer.limiter.hit("1/hour", "k"))


@pytest.mark.parametrize("way", ["given", "installed"])
def test_a_limit_is_a_429_that_says_when_to_come_again(way: str, namespace: str) -> None:
    """With a problem document, the fields of the decision, and nothing that a cache would keep."""
    error = _refused(namespace)
    if way == "given":
        app = Starlette(routes=_refusing(error), exception_handlers=dict(exception_handlers))
    else:
        app = Starlette(routes=_refusing(error))
        install(app)
    got = AsgiClient(app).get("/")
    assert (got.status_code, got.headers["content-type"]) == (429, "application/problem+json")
    assert got.json()["violated-policies"] == ["per-hour"]
    assert got.headers["cache-control"] == "no-store"
    assert 0 < int(got.headers["retry-after"]) <= 3600
    assert got.headers["ratelimit"].startswith('"per-hour";r=0')


def test_a_lock_that_others_hold_is_a_409(namespace: str) -> None:
    """It does not tell the name of the lock; the client may come again soon."""
    app = Starlette(routes=_refusing(LockNotAcquired("the lock 'secret-name' is held")))
    install(app)
    got = AsgiClient(app).get("/")
    assert (got.status_code, got.headers["retry-after"], got.headers["cache-control"]) == (409, "1", "no-store")
    assert "secret-name" not in got.text


@pytest.mark.parametrize(("error", "status"), [(AlreadyRunning, 409), (KeyReused, 422), (IdempotencyError, 409)])
def test_what_is_done_once_is_told_apart(error: type[Exception], status: int) -> None:
    """What still runs may be asked for again soon; the rest is not for another try."""
    app = Starlette(routes=_refusing(error("the key 'secret-name'")))
    install(app)
    got = AsgiClient(app).get("/")
    assert (got.status_code, "retry-after" in got.headers) == (status, error is AlreadyRunning)
    assert "secret-name" not in got.text


def test_a_head_has_no_body(namespace: str) -> None:
    """The length is that of the body that a GET would get."""
    app = Starlette(routes=_refusing(_refused(namespace)))
    install(app)
    sent: list[Any] = []

    async def scenario() -> None:
        async def send(message: Any) -> None:
            sent.append(message)

        await app({"type": "http", "method": "HEAD", "path": "/", "query_string": b"", "headers": []}, None, send)  # type: ignore[arg-type]

    asyncio.run(scenario())
    assert b"".join(message.get("body", b"") for message in sent) == b""
    assert dict(sent[0]["headers"])[b"content-length"] == str(len(AsgiClient(app).get("/").content)).encode()


def test_other_errors_are_not_answered() -> None:
    """A programming mistake stays one."""
    app = Starlette(routes=_refusing(ConfigurationError("wrong")))
    install(app)
    with pytest.raises(ConfigurationError):
        AsgiClient(app).get("/")


def test_a_handler_of_the_app_goes_first(namespace: str) -> None:
    """Installing replaces nothing."""

    async def own(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse("mine", 418)

    app = Starlette(routes=_refusing(_refused(namespace)), exception_handlers={RateLimited: own})
    install(app)
    assert AsgiClient(app).get("/").status_code == 418


@pytest.mark.parametrize("query", [b"", b"accept"])
@pytest.mark.parametrize("kind", ["limit", "lock"])
def test_a_websocket_is_closed(query: bytes, kind: str, namespace: str) -> None:
    """Before and after it was accepted, with a code that tells which of the two it is."""
    error = _refused(namespace) if kind == "limit" else LockNotAcquired("held")
    app = Starlette(routes=_refusing(error))
    install(app)
    sent: list[Any] = []

    async def scenario() -> None:
        async def receive() -> Any:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "websocket", "path": "/", "query_string": query, "headers": [], "subprotocols": []}
        await app(scope, receive, send)

    asyncio.run(scenario())
    assert (sent[-1]["type"], sent[-1]["code"]) == ("websocket.close", 1008 if kind == "limit" else 1013)


def test_the_route_of_a_request_can_be_asked_for() -> None:
    """By its template, for callables of one's own."""
    app = Starlette(routes=[Route("/items/{item_id:int}", lambda request: None)])
    scope = {"type": "http", "method": "GET", "path": "/items/7", "headers": [], "app": app}
    assert find_route(scope) == "/items/{item_id}"


def _visited(namespace: str, seen: list[Any]) -> Any:
    """Return an app with sessions that notes what `session_of` returns, and whether that is what Starlette has."""

    async def view(request: Request) -> PlainTextResponse:
        seen.append((session_of(request), request.session))
        return PlainTextResponse("seen")

    async def socket(websocket: WebSocket) -> None:
        seen.append((session_of(websocket), websocket.session))
        await websocket.close()

    app = Starlette(routes=[Route("/", view), Route("/exempt", view), WebSocketRoute("/", socket)])
    return SessionMiddleware(app, layer=Layer(namespace=namespace), exempt=["/exempt"])


def test_the_session_is_that_of_the_request(namespace: str) -> None:
    """It has its own type, and the response says that it depends on it."""
    seen: list[Any] = []
    got = AsgiClient(_visited(namespace, seen)).get("/")
    (found, same), *_ = seen
    assert isinstance(found, Session)
    assert found is same
    assert (got.headers["vary"], got.headers["cache-control"]) == ("Cookie", "private")


def test_to_ask_for_the_session_is_to_look_at_it(namespace: str) -> None:
    """Before a datum is read, a response is no longer for everybody."""

    async def view(request: Request) -> PlainTextResponse:
        session_of(request)
        return PlainTextResponse("a page for whoever asks")

    app = SessionMiddleware(Starlette(routes=[Route("/", view)]), layer=Layer(namespace=namespace))
    assert AsgiClient(app).get("/").headers["vary"] == "Cookie"


def test_a_websocket_has_its_session(namespace: str) -> None:
    """The one of its handshake."""
    seen: list[Any] = []

    async def scenario() -> None:
        async def receive() -> Any:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            pass

        scope = {"type": "websocket", "path": "/", "query_string": b"", "headers": [], "subprotocols": []}
        await _visited(namespace, seen)(scope, receive, send)

    asyncio.run(scenario())
    ((found, same),) = seen
    assert isinstance(found, Session)
    assert found is same


def test_without_a_session_of_ours_it_says_what_to_do(namespace: str) -> None:
    """Without the middleware, where a path is exempt, and where the middleware is another one."""

    async def view(request: Request) -> PlainTextResponse:
        session_of(request)
        return PlainTextResponse("unreachable")

    bare = Starlette(routes=[Route("/", view)])
    with pytest.raises(ConfigurationError, match=r"^'/' has no session .*: add holdfast\.asgi\.SessionMiddleware to"):
        AsgiClient(bare).get("/")
    with pytest.raises(ConfigurationError, match=r"^'/exempt' has no session .* or take the path out of its exempt=$"):
        AsgiClient(_visited(namespace, [])).get("/exempt")
    with pytest.raises(ConfigurationError, match=r"is that of another middleware, .*: take that out, and add holdfast"):
        AsgiClient(OtherSessions(bare, secret_key="x")).get("/")


def test_in_fastapi_the_session_is_a_dependency(namespace: str) -> None:
    """It is no parameter of the request, and none in OpenAPI."""
    app = FastAPI()
    app.add_middleware(SessionMiddleware, layer=Layer(namespace=namespace))

    @app.post("/cart/{item}")
    async def add(item: str, session: Annotated[Session, Depends(session_of)]) -> list[str]:
        return session.change("cart", lambda cart: [*cart, item], [])  # type: ignore[no-any-return]

    async def scenario() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
            assert (await client.post("/cart/teapot")).json() == ["teapot"]
            assert (await client.post("/cart/kettle")).json() == ["teapot", "kettle"]

    asyncio.run(scenario())
    (described,) = app.openapi()["paths"]["/cart/{item}"]["post"]["parameters"]
    assert described["name"] == "item"
