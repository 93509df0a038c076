"""`@cache_response` on endpoints of Starlette."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

from holdfast import Layer, cache_response
from support.asgi_client import AsgiClient

layer = Layer("memory://cache-response-starlette")
always = cache_response("5m", vary=["Accept"], tags=["all"], etag=True)
done: list[str] = []


async def _chunks() -> AsyncIterator[bytes]:
    yield b"a"
    yield b"b"


@always
async def text(_: Request) -> Response:
    return PlainTextResponse("ab", headers={"Vary": "Origin"}, background=BackgroundTask(done.append, "text"))


@always
def plain(_: Request) -> Response:
    return JSONResponse({"a": 1})


@always
async def stream(_: Request) -> Response:
    return StreamingResponse(_chunks())


@always
async def file(_: Request) -> Response:
    return FileResponse(Path(__file__))


@always
async def redirect(_: Request) -> Response:
    return RedirectResponse("/text")


@always
async def own(_: Request) -> Response:
    return Response("ab", headers={"cache-control": "no-store"})


@always
async def missing(_: Request) -> Response:
    return Response("no", 404)


@always
async def raised(_: Request) -> Response:
    raise HTTPException(404, "no")


@layer.rate_limited("9/minute", key=lambda request: request.url.path)
@cache_response("1m", tags=["path:{request.url.path}"])
async def stacked(request: Request) -> Response:
    return Response(request.url.path)


class Item(HTTPEndpoint):
    """An endpoint that is a class."""

    @cache_response("1m", tags=["item:{request.path_params}"])
    async def post(self, request: Request) -> Response:
        return Response(str(request.path_params))

    @cache_response("1m", tags=["items"])
    def get(self, request: Request) -> Response:
        return Response(request.path_params["number"])


VIEWS = (text, plain, stream, file, redirect, own, missing, raised, stacked)
app = Starlette(routes=[*[Route(f"/{view.__name__}", view) for view in VIEWS], Route("/items/{number}", Item)])
client = AsgiClient(app)


@pytest.mark.parametrize(
    ("path", "status", "vary"),
    [
        ("/text", 200, "Origin, Accept"),
        ("/plain", 200, "Accept"),
        ("/stream", 200, "Accept"),
        ("/file", 200, "Accept"),
        ("/redirect", 307, "Accept"),
    ],
)
def test_every_kind_of_response_gets_the_fields(path: str, status: int, vary: str) -> None:
    """Async and plain endpoints, bodies, streams and files; what the response has of its own is kept."""
    done.clear()
    response = client.get(path)
    assert (response.status_code, response.headers["vary"], response.headers["cache-tag"]) == (status, vary, "all")
    assert response.headers["cache-control"] == "max-age=300"
    assert done == (["text"] if path == "/text" else [])


def test_a_body_that_is_known_has_a_strong_etag() -> None:
    """A stream has none, and a file keeps the one that Starlette gives it, when it is sent."""
    etags = {path: client.get(path).headers.get("etag", "") for path in ("/text", "/plain", "/stream", "/file")}
    assert [len(etag) for etag in etags.values()] == [34, 34, 0, 34]
    assert etags["/text"] != etags["/plain"]
    assert client.ask("HEAD", "/text").headers["etag"] == etags["/text"]


def test_the_endpoint_itself_has_the_last_word() -> None:
    """Its own `no-store` wins; an error gets nothing, whether it is returned or raised."""
    assert client.get("/own").headers["cache-control"] == "no-store"
    for path in ("/missing", "/raised"):
        response = client.get(path)
        assert response.status_code == 404
        assert not {"cache-control", "vary", "cache-tag", "etag"} & set(response.headers)


def test_it_stands_below_other_decorators() -> None:
    """A template reaches attributes of the request."""
    response = client.get("/stacked")
    assert (response.text, response.headers["cache-tag"]) == ("/stacked", "path:/stacked")


def test_methods_of_an_endpoint_are_endpoints() -> None:
    """They are bound as without the decorator; a dict as a tag is refused in the call."""
    response: Any = client.get("/items/7")
    assert (response.text, response.headers["cache-tag"]) == ("7", "items")
    with pytest.raises(ValueError, match="a tag field must be a text"):
        client.ask("POST", "/items/7")
