"""`@cache_response` on endpoints of FastAPI, which reads signatures."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Response
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from pydantic import BaseModel

from holdfast import Layer, cache_response
from support.asgi_client import AsgiClient

layer = Layer("memory://cache-response-fastapi")
tasks: list[str] = []
FIELDS = ("cache-control", "vary", "cache-tag", "etag")


class Item(BaseModel):
    """A model with names that a response has, too."""

    status_code: int = 1
    headers: dict[str, str] = {}


class Private(Item):
    """A model with more than clients shall see."""

    secret: str = "s"


def visitor(response: Response, lang: str = "en") -> str:
    """A dependency that sets fields."""
    response.headers["Vary"] = "Accept-Language"
    response.headers["X-Visitor"] = "1"
    return lang


Visitor = Annotated[str, Depends(visitor)]


def result_dict(number: int, who: Visitor) -> dict[str, Any]:
    """A dict."""
    return {"number": number, "who": who}


def model(number: int, who: Visitor) -> Item:
    """A model, of which the response model leaves something out."""
    return Private(status_code=number)


def own_response(number: int, response: Response) -> list[int]:
    """A view that takes the response itself."""
    response.headers["X-Own"] = "1"
    response.status_code = 202
    return [number]


def own_annotated(number: int, answer: Annotated[Response, "for the docs"]) -> list[int]:
    """A view that takes it under another name, annotated."""
    answer.status_code = 200
    return [number]


def background(number: int, later: BackgroundTasks) -> str:
    """A background task."""
    later.add_task(tasks.append, f"task {number}")
    return "ab"


def taken(number: int, response: str = "query") -> str:
    """A query parameter that has the name of ours."""
    return f"{number} {response}"


def whole(number: int, who: Visitor) -> Response:
    """A response of its own."""
    return PlainTextResponse(f"{number}")


def stream(number: int) -> StreamingResponse:
    """A stream."""
    return StreamingResponse(iter([b"a", b"b"]))


VIEWS = (result_dict, model, own_response, own_annotated, background, taken, whole, stream)
always = cache_response("5m", vary=["Origin"], tags=["number:{number}"], etag=True)


def _asynchronous(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def view(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return view


def _app(decorate: Callable[[Any], Any]) -> FastAPI:
    app = FastAPI()
    for view in VIEWS:
        app.get(f"/plain/{view.__name__}/{{number}}")(decorate(view))
        app.get(f"/async/{view.__name__}/{{number}}")(decorate(_asynchronous(view)))
    return app


plain_client, client = AsgiClient(_app(lambda view: view)), AsgiClient(_app(always))
PATHS = [f"/{kind}/{view.__name__}/7" for kind in ("plain", "async") for view in VIEWS]


@pytest.mark.parametrize("path", PATHS)
def test_every_result_gets_the_fields_and_is_what_it_was(path: str) -> None:
    """Status, body, response model, background task and fields of dependencies are as without the decorator."""
    tasks.clear()
    expected, response = plain_client.get(path), client.get(path)
    assert (response.status_code, response.content) == (expected.status_code, expected.content)
    own = {name: value for name, value in response.headers.items() if name not in FIELDS}
    assert own == {name: value for name, value in expected.headers.items() if name not in FIELDS}
    assert response.headers["cache-control"] == "max-age=300"
    assert response.headers["cache-tag"] == "number:7"
    held = expected.headers.get("vary")
    assert response.headers["vary"] == (f"{held}, Origin" if held else "Origin")
    assert ("etag" in response.headers) == ("whole" in path)
    assert tasks == (["task 7"] * 2 if "background" in path else [])


def test_the_description_of_the_api_is_the_same() -> None:
    """The parameter for the response shows nowhere."""
    assert _app(always).openapi() == _app(lambda view: view).openapi()


def test_parameters_are_checked_as_before() -> None:
    """Paths and queries are parsed; what is wrong is a 422 without fields."""
    response = client.get("/plain/result_dict/seven")
    assert response.status_code == 422
    assert not set(FIELDS) & set(response.headers)
    assert client.get("/async/taken/7?response=r").json() == "7 r"
    assert client.get("/async/result_dict/7?lang=de").json() == {"number": 7, "who": "de"}


def _fields_of(view: Callable[..., Any], path: str = "/", **options: Any) -> list[str | None]:
    app = FastAPI()
    app.get(path, **options)(view)
    response = AsgiClient(app).get(path.format(number=7))
    return [response.headers.get(name) for name in FIELDS]


def test_errors_get_no_fields() -> None:
    """Raised, returned, or set as the status of the response."""

    @always
    def raised(number: int) -> None:
        raise HTTPException(404, headers={"X": "1"})

    @always
    async def returned(number: int) -> Response:
        return JSONResponse({}, 500)

    @always
    async def status(number: int, response: Response) -> str:
        response.status_code = 404
        return "no"

    for view in (raised, returned, status):
        assert _fields_of(view, "/{number}") == [None] * 4


def test_the_view_itself_has_the_last_word() -> None:
    """What it sets in a response, its own or FastAPI's, stays."""

    @cache_response("5m")
    def returned() -> Response:
        return Response(headers={"Cache-Control": "no-store"})

    @cache_response("5m")
    def taken_over(response: Response) -> None:
        response.headers["Cache-Control"] = "no-cache"

    assert [_fields_of(returned)[0], _fields_of(taken_over)[0]] == ["no-store", "no-cache"]


def test_endpoints_that_yield_get_them() -> None:
    """Plain and async generators, whose fields are sent before they begin."""

    @cache_response("5m")
    async def lines() -> AsyncIterator[Item]:
        yield Item()

    @cache_response("5m")
    def chunks() -> Iterator[str]:
        yield "a"

    assert _fields_of(lines)[0] == "max-age=300"
    assert _fields_of(chunks, response_class=StreamingResponse)[0] == "max-age=300"


def test_it_stands_among_other_decorators_and_twice() -> None:
    """Above a cache, below a limit, below a wrapper of somebody else; the inner one has the word on freshness."""

    @layer.rate_limited("9/minute", key="stacked:{number}")
    @cache_response("1h", tags=["outer"])
    @cache_response("1m", tags=["inner:{number}"])
    @layer.cached("1h", key="stacked:{number}")
    async def stacked(number: int) -> dict[str, int]:
        return {"number": number}

    view = _asynchronous(stacked)

    async def awaiting(*args: Any, **kwargs: Any) -> Any:
        return await stacked(*args, **kwargs)

    for each in (stacked, functools.wraps(view)(awaiting)):
        assert _fields_of(each, "/{number}") == ["max-age=60", None, "inner:7, outer", None]


class Shop:
    """Endpoints that are methods of an object."""

    @cache_response("1m")
    async def method(self, number: int) -> int:
        return number

    @cache_response("1m")
    @classmethod
    def of_class(cls, number: int) -> int:
        return number

    @staticmethod
    @cache_response("1m")
    def inside_static(number: int) -> int:
        return number

    @cache_response("1m")
    @staticmethod
    def outside_static(number: int) -> int:
        return number


@pytest.mark.parametrize("name", ["method", "of_class", "inside_static", "outside_static"])
def test_methods_are_endpoints(name: str) -> None:
    """Of an object that was made before, as some write their routes."""
    assert _fields_of(getattr(Shop(), name), "/{number}")[0] == "max-age=60"
    assert list(inspect.signature(getattr(Shop(), name)).parameters) == ["number", "response"]


def test_called_by_hand_it_needs_no_response() -> None:
    """A unit test calls an endpoint as if it were not decorated, also after FastAPI has seen it."""
    view = always(result_dict)
    FastAPI().get("/{number}")(view)
    assert view(7, "en") == view(number=7, who="en") == {"number": 7, "who": "en"}
    assert inspect.signature(view).parameters["response"].kind is inspect.Parameter.KEYWORD_ONLY
