"""The decorators under the routes of Flask, Starlette and FastAPI, which read signatures and take results apart."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, Response
from fastapi.responses import JSONResponse, StreamingResponse
from flask import Flask
from flask import Response as FlaskResponse
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse as StarletteJSONResponse
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from holdfast import Layer, cache_response
from holdfast import defaults as layers
from holdfast.fastapi import install, limit
from holdfast.flask import Holdfast
from holdfast.starlette import install as install_handlers
from support.asgi_client import AsgiClient

Decorate = Callable[[Layer], Callable[[Any], Any]]

KEEPING: dict[str, Decorate] = {
    "cached": lambda layer: layer.cached("1m", key="item:{item_id}"),
    "stampede_protected": lambda layer: layer.stampede_protected("1m", key="item:{item_id}"),
    "idempotent": lambda layer: layer.idempotent("item:{item_id}"),
}
PASSING: dict[str, Decorate] = {
    "rate_limited": lambda layer: layer.rate_limited("9/minute", key="item:{item_id}"),
    "locked": lambda layer: layer.locked("item:{item_id}"),
    "cache_response": lambda layer: cache_response("1m", tags=["item:{item_id}"]),
}
ALL = KEEPING | PASSING


def stacked(layer: Layer) -> Callable[[Any], Any]:
    """Several at once, the limit outermost."""

    def wrap(function: Any) -> Any:
        for name in ("cached", "cache_response", "locked", "rate_limited"):
            function = ALL[name](layer)(function)
        return function

    return wrap


class Item(BaseModel):
    """What a route returns."""

    item_id: int
    lang: str


class Internal(Item):
    """With more than clients shall see."""

    secret: str = "s"


def language(lang: str = "en") -> str:
    """A dependency with a parameter of its own."""
    return lang


@pytest.fixture
def layer(namespace: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Layer]:
    monkeypatch.setattr(layers, "_default", None)
    with Layer(namespace=namespace) as layer:
        yield layer


@pytest.mark.parametrize("is_async", [False, True], ids=["def", "async def"])
@pytest.mark.parametrize("decorate", [*ALL.values(), stacked], ids=[*ALL, "stacked"])
def test_fastapi_sees_the_function_as_it_is(decorate: Decorate, is_async: bool, layer: Layer) -> None:
    """Path, query and dependencies, the response model, and OpenAPI are what they are without the decorator."""

    def plain(item_id: int, lang: Annotated[str, Depends(language)], number: int = 1) -> Item:
        return Item(item_id=item_id + number, lang=lang)

    async def later(item_id: int, lang: Annotated[str, Depends(language)], number: int = 1) -> Item:
        return Item(item_id=item_id + number, lang=lang)

    function = later if is_async else plain
    schemas = []
    for wrap in (lambda f: f, decorate(layer)):
        app = FastAPI()
        app.get("/items/{item_id}")(wrap(function))
        client = AsgiClient(app)
        got = [client.get("/items/7?lang=fr&number=2") for _ in range(2)]
        assert [each.json() for each in got] == [{"item_id": 9, "lang": "fr"}] * 2
        assert client.get("/items/x").status_code == 422
        schemas.append(app.openapi())
    assert schemas[0] == schemas[1]


@pytest.mark.parametrize("decorate", ALL.values(), ids=ALL)
def test_the_response_model_of_a_route_filters(decorate: Decorate, layer: Layer) -> None:
    """What the function returns is still taken apart by FastAPI."""
    app = FastAPI()

    def read(item_id: int) -> Internal:
        return Internal(item_id=item_id, lang="en")

    app.get("/items/{item_id}", response_model=Item)(decorate(layer)(read))
    got = [AsgiClient(app).get("/items/7").json() for _ in range(2)]
    assert got == [{"item_id": 7, "lang": "en"}] * 2


@pytest.mark.parametrize("decorate", PASSING.values(), ids=PASSING)
def test_background_tasks_run_after_the_response(decorate: Decorate, layer: Layer) -> None:
    """FastAPI's injected ones, and those of a Starlette response."""
    ran: list[str] = []

    async def injected(item_id: int, tasks: BackgroundTasks, response: Response) -> dict[str, int]:
        tasks.add_task(ran.append, "injected")
        response.headers["X-Own"] = "1"
        return {"item": item_id}

    async def own(item_id: int) -> JSONResponse:
        return JSONResponse({"item": item_id}, background=BackgroundTask(ran.append, "own"))

    app = FastAPI()
    app.get("/injected/{item_id}")(decorate(layer)(injected))
    app.get("/own/{item_id}")(decorate(layer)(own))
    got = AsgiClient(app).get("/injected/7")
    assert (got.json(), got.headers["x-own"]) == ({"item": 7}, "1")
    assert AsgiClient(app).get("/own/7").json() == {"item": 7}
    assert ran == ["injected", "own"]


@pytest.mark.parametrize("decorate", PASSING.values(), ids=PASSING)
def test_responses_stream(decorate: Decorate, layer: Layer) -> None:
    """In FastAPI, Starlette and Flask."""

    async def pieces() -> AsyncIterator[str]:
        yield "a"
        yield "b"

    async def stream(item_id: int) -> StreamingResponse:
        return StreamingResponse(pieces())

    api = FastAPI()
    api.get("/{item_id}")(decorate(layer)(stream))
    assert AsgiClient(api).get("/7").text == "ab"

    def view(item_id: int) -> FlaskResponse:
        return FlaskResponse(iter(["a", "b"]))

    app = Flask("stream")
    Holdfast(app, layer=layer)
    app.add_url_rule("/<int:item_id>", "view", decorate(layer)(view))
    assert app.test_client().get("/7").text == "ab"


LIMITS: dict[str, Decorate] = {
    "rate_limited": lambda layer: layer.rate_limited("1/hour", key="all"),
    "locked": lambda layer: layer.locked("all", wait=0),
}


@pytest.mark.parametrize(("name", "status"), [("rate_limited", 429), ("locked", 409)])
@pytest.mark.parametrize("framework", ["fastapi", "starlette", "flask"])
def test_refusals_reach_the_handlers(name: str, status: int, framework: str, layer: Layer) -> None:
    """The installed ones answer for the decorators of all routes."""

    async def endpoint(request: Request) -> PlainTextResponse:
        return PlainTextResponse("x")

    def view() -> str:
        return "x"

    def ask() -> int:
        if framework == "flask":
            app = Flask("refusals")
            Holdfast(app, layer=layer)
            app.add_url_rule("/", "view", LIMITS[name](layer)(view))
            return int(app.test_client().get("/").status_code)
        site: Any = FastAPI() if framework == "fastapi" else Starlette()
        install(site, layer) if framework == "fastapi" else install_handlers(site)
        site.router.routes.append(Route("/", LIMITS[name](layer)(endpoint)))
        return int(AsgiClient(site).get("/").status_code)

    if name == "rate_limited":
        assert [ask(), ask()] == [200, status]
    else:
        assert ask() == 200
        with layer.lock("all"):
            assert ask() == status


@pytest.mark.parametrize("decorate", PASSING.values(), ids=PASSING)
def test_starlette_calls_the_endpoint_with_its_request(decorate: Decorate, layer: Layer) -> None:
    """Plain endpoints run in a thread, async ones in the loop."""

    def key(request: Request) -> str:
        return f"item:{request.path_params['item_id']}"

    def plain(request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"{key(request)} {asyncio.get_event_loop_policy() is not None}")

    async def later(request: Request) -> StarletteJSONResponse:
        asyncio.get_running_loop()
        return StarletteJSONResponse(key(request))

    by_request: dict[str, Any] = {
        "rate_limited": layer.rate_limited("9/minute", key=key),
        "locked": layer.locked(key),
        "cache_response": cache_response("1m"),
    }
    wrap = by_request[next(name for name, each in PASSING.items() if each is decorate)]
    site = Starlette(routes=[Route("/plain/{item_id}", wrap(plain)), Route("/later/{item_id}", wrap(later))])
    client = AsgiClient(site)
    assert client.get("/plain/7").text == "item:7 True"
    assert client.get("/later/7").json() == "item:7"


FORMS: dict[str, Any] = {
    "dict": lambda item_id: {"item": item_id},
    "list": lambda item_id: [item_id],
    "text": lambda item_id: f"{item_id}",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("decorate", [*ALL.values(), stacked], ids=[*ALL, "stacked"])
def test_flask_gets_results_of_every_form(decorate: Decorate, form: str, layer: Layer) -> None:
    """On a hit as on a miss, with the name of the view as its endpoint."""

    def view(item_id: int) -> Any:
        return FORMS[form](item_id)

    app = Flask("forms")
    Holdfast(app, layer=layer)
    app.get("/<int:item_id>")(decorate(layer)(view))
    plain = Flask("plain")
    plain.get("/<int:item_id>")(view)
    wanted = plain.test_client().get("/7")
    for _ in range(2):
        got = app.test_client().get("/7")
        assert (got.data, got.content_type) == (wanted.data, wanted.content_type)
    assert "view" in app.view_functions


def test_a_limit_of_fastapi_stands_beside_the_decorators(layer: Layer) -> None:
    """A dependency that limits the client, above a decorator that limits the function."""
    app = FastAPI()
    install(app, layer)

    @app.get("/{item_id}", dependencies=[Depends(limit("9/minute", unknown="share"))])
    @layer.rate_limited("1/hour", key="all")
    async def read(item_id: int) -> int:
        return item_id

    client = AsgiClient(app)
    got = [client.get("/7") for _ in range(2)]
    assert [each.status_code for each in got] == [200, 429]
    assert got[0].headers["ratelimit"].startswith('"per-minute";r=8')
    assert got[1].headers["ratelimit"].startswith('"per-hour";r=0')
    assert len(got[1].headers.get_list("ratelimit")) == 1
