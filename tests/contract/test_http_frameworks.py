"""The HTTP cache in front of apps of each framework, in the way in which each takes middleware."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import flask
import litestar
import pytest
from fastapi import FastAPI
from litestar.middleware import DefineMiddleware
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from faults.programs import begun, ended
from holdfast import Layer, asgi, wsgi
from support.http_shop import HOST, Got, ask_asgi, ask_wsgi, environ_of, scope_of

FRESH = {"Cache-Control": "max-age=60", "ETag": '"1"'}
Pair = tuple[str, str]


class Count:
    """How often an app was asked."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self) -> str:
        self.runs += 1
        return f"run {self.runs}"


def flask_app(layer: Layer, count: Count) -> Any:
    app = flask.Flask("shop")

    def page() -> Any:
        return count(), FRESH

    def stream() -> Any:
        return flask.Response(iter([count(), " and ", "more"]), headers=FRESH)

    def fail() -> Any:
        raise ZeroDivisionError

    app.add_url_rule("/page", view_func=page, methods=["GET", "POST"])
    app.add_url_rule("/stream", view_func=stream)
    app.add_url_rule("/fail", view_func=fail)
    app.wsgi_app = wsgi.CacheMiddleware(app.wsgi_app, layer=layer)  # type: ignore[method-assign]  # as Flask says
    return app


async def _page(request: Request) -> PlainTextResponse:
    return PlainTextResponse(request.app.state.count(), headers=FRESH)


async def _stream(request: Request) -> StreamingResponse:
    return StreamingResponse(iter([request.app.state.count(), " and ", "more"]), headers=FRESH)


async def _fail(request: Request) -> PlainTextResponse:
    raise ZeroDivisionError


def starlette_app(layer: Layer, count: Count) -> Any:
    app = Starlette(
        routes=[Route("/page", _page, methods=["GET", "POST"]), Route("/stream", _stream), Route("/fail", _fail)]
    )
    app.state.count = count
    app.add_middleware(asgi.CacheMiddleware, layer=layer)
    return app


def fastapi_app(layer: Layer, count: Count) -> Any:
    app = FastAPI(openapi_url=None)
    app.state.count = count
    app.add_api_route("/page", _page, methods=["GET", "POST"])
    app.add_api_route("/stream", _stream)
    app.add_api_route("/fail", _fail)
    app.add_middleware(asgi.CacheMiddleware, layer=layer)
    return app


def litestar_app(layer: Layer, count: Count) -> Any:
    @litestar.route("/page", http_method=["GET", "HEAD", "POST"], media_type="text/plain", status_code=200)
    async def page() -> litestar.Response[str]:
        return litestar.Response(count(), headers=FRESH)

    @litestar.get("/stream")
    async def stream() -> Any:
        return litestar.response.Stream(iter([count(), " and ", "more"]), headers=FRESH)

    @litestar.get("/fail", media_type="text/plain")
    async def fail() -> str:
        raise ZeroDivisionError

    return litestar.Litestar(
        [page, stream, fail], middleware=[DefineMiddleware(asgi.CacheMiddleware, layer=layer)], openapi_config=None
    )


APPS: dict[str, Callable[[Layer, Count], Any]] = {
    "flask": flask_app,
    "starlette": starlette_app,
    "fastapi": fastapi_app,
    "litestar": litestar_app,
}


async def _ask(app: Any, target: str, *fields: Pair, method: str = "GET") -> Got:
    pairs = [("Host", HOST), *fields]
    if isinstance(app, flask.Flask):
        return ask_wsgi(app, environ_of(target, pairs, method))
    return await ask_asgi(app, scope_of(target, pairs, method))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def layer(namespace: str) -> Iterator[Layer]:
    """Give an embedded layer of the test's own."""
    with Layer(namespace=namespace) as layer:
        yield layer


@pytest.mark.anyio
@pytest.mark.parametrize("make", APPS.values(), ids=APPS.keys())
async def test_an_app_of_each_framework(layer: Layer, make: Callable[[Layer, Count], Any]) -> None:
    """Pages and streams are stored, conditions and HEAD answered, unsafe methods invalidate, failures pass."""
    count = Count()
    app = make(layer, count)
    for target, text in (("/page", b"run 1"), ("/stream", b"run 2 and more")):
        assert (await _ask(app, target)).body == text
        got = await _ask(app, target)
        assert (got.is_hit, got.body, got.get("Content-Length")) == (True, text, str(len(text)))
    assert (await _ask(app, "/page", ("If-None-Match", '"1"'))).status == 304
    part = await _ask(app, "/stream", ("Range", "bytes=0-2"))
    assert (part.status, part.body) == (206, b"run")
    head = await _ask(app, "/page", method="HEAD")
    assert (head.is_hit, head.body, head.get("Content-Length")) == (True, b"", "5")
    assert count.runs == 2
    assert (await _ask(app, "/page", method="POST")).body == b"run 3"
    assert (await _ask(app, "/page")).body == b"run 4"
    assert (await _ask(app, "/none")).status == 404
    try:
        got = await _ask(app, "/fail")
    except ZeroDivisionError:  # some answer and raise, so that the server tells of it
        return
    assert got.status == 500


DJANGO = """
from django.conf import settings
settings.configure(ROOT_URLCONF="__main__", ALLOWED_HOSTS=["*"], SECRET_KEY="x", MIDDLEWARE=[
    "django.middleware.common.CommonMiddleware", "django.middleware.http.ConditionalGetMiddleware"])
sys.path.insert(0, sys.argv[2])
import django; django.setup()
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
from holdfast import Layer, asgi, wsgi
from support.http_shop import HOST, ask_asgi, ask_wsgi, environ_of, scope_of

runs = 0
def page(request):
    global runs
    runs += 1
    return HttpResponse(f"run {runs}", headers={"Cache-Control": "max-age=60"})
def plain(request):
    return HttpResponse(request.COOKIES.get("session", "nobody"))
urlpatterns = [path("page", page), path("plain", plain)]
FIELDS = [("Host", HOST)]

async def look(ask):
    first, second = await ask("page"), await ask("page")
    assert second.is_hit and first.body == second.body, second
    assert (await ask("page", ("If-None-Match", first.get("ETag")))).status == 304
    assert (await ask("page", method="HEAD")).is_hit
    assert runs % 2 == 1
    await ask("page", method="POST")
    assert not (await ask("page")).is_hit
    await ask("plain", ("Cookie", "session=alice"))
    assert (await ask("plain")).body == b"nobody"
    assert (await ask("plain", ("Cookie", "session=bob"))).body == b"bob"
    print("well")

with Layer(url, namespace="wsgi") as layer:
    sync = wsgi.CacheMiddleware(get_wsgi_application(), layer=layer)
    async def ask(target, *fields, method="GET"):
        return ask_wsgi(sync, environ_of(f"/{target}", [*FIELDS, *fields], method))
    drive(look(ask))

async def main():
    global runs
    runs = 0
    async with Layer(url, namespace="asgi") as layer:
        app = asgi.CacheMiddleware(get_asgi_application(), layer=layer)
        async def ask(target, *fields, method="GET"):
            return await ask_asgi(app, scope_of(f"/{target}", [*FIELDS, *fields], method))
        await look(ask)
asyncio.run(main())
"""


def test_django() -> None:
    """Under WSGI and ASGI, with the middleware of Django that gives everything an ETag."""
    from pathlib import Path

    assert ended(begun(DJANGO, "memory://django", str(Path(__file__).parent.parent))).split() == ["well", "well"]
