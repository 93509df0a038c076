"""`@cache_response` on views of Flask, and of Django."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, Response, abort, request
from flask.views import MethodView
from werkzeug.exceptions import NotFound

from holdfast import Layer, cache_response, entries

app = Flask("responses")
layer = Layer("memory://cache-response-flask")
always = cache_response("5m", vary=["Accept"], tags=["all"], etag=True)


def _generate() -> Iterator[str]:
    yield "a"
    yield "b"


FORMS: dict[str, Any] = {
    "text": lambda: "ab",
    "bytes": lambda: b"ab",
    "dict": lambda: {"a": 1},
    "list": lambda: [1],
    "status": lambda: ("ab", 201),
    "fields": lambda: ("ab", {"X-Own": "1"}),
    "both": lambda: ("ab", 201, [("Vary", "Origin")]),
    "response": lambda: Response("ab", headers={"Vary": "accept"}),
    "generator": _generate,
    "stream": lambda: Response(_generate()),
    "unread": lambda: Response("ab", direct_passthrough=True),
    "application": lambda: Response.force_type(Response("ab"), {}),
}
for _name, _form in FORMS.items():
    app.add_url_rule(f"/forms/{_name}", _name, always(_form))


@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_a_result_gets_the_fields(name: str) -> None:
    """Status, body and the view's own fields are what they are without the decorator."""
    response = app.test_client().get(f"/forms/{name}")
    with app.test_request_context():
        plain = app.make_response(FORMS[name]())
        plain.direct_passthrough = False
    assert (response.status_code, response.get_data()) == (plain.status_code, plain.get_data())
    assert response.headers["Cache-Control"] == "max-age=300"
    assert response.headers["Cache-Tag"] == "all"
    assert "Accept" in response.vary
    assert set(plain.headers.keys()) <= set(response.headers.keys())


def test_an_etag_is_the_digest_of_a_body_that_is_known() -> None:
    """The same body has the same strong ETag; streams, and what is no 200, have none."""
    client = app.test_client()
    tags = {name: client.get(f"/forms/{name}").headers.get("ETag") for name in FORMS}
    assert tags["text"] == tags["bytes"] == tags["response"]
    assert len({tags["text"], tags["dict"], tags["list"]}) == 3
    assert str(tags["text"]).startswith('"')
    assert tags["generator"] is tags["stream"] is tags["unread"] is tags["status"] is None


def test_an_etag_of_the_view_stays() -> None:
    """The decorator knows less about the resource than the view."""
    with app.test_request_context():
        response = always(lambda: Response("ab", headers={"ETag": '"mine"'}))()
    assert response.headers["ETag"] == '"mine"'


@app.get("/errors/<how>")
@always
def fail(how: str) -> Any:
    if how == "abort":
        abort(404)
    if how == "raise":
        raise NotFound
    return NotFound() if how == "exception" else ("no", 404)


@pytest.mark.parametrize("how", ["abort", "raise", "exception", "status"])
def test_errors_get_no_fields(how: str) -> None:
    """A page that is missing now may be there in a minute."""
    response = app.test_client().get(f"/errors/{how}")
    assert response.status_code == 404
    assert not {"Cache-Control", "Cache-Tag", "Vary", "ETag"} & set(response.headers)


@app.get("/own")
@cache_response("5m")
def own() -> Response:
    response = Response("ab")
    response.cache_control.no_store = True
    return response


@app.get("/async/<int:number>")
@cache_response("1m", tags=["number:{number}"])
async def asynchronous(number: int) -> dict[str, int]:
    return {"number": number}


@app.get("/stacked/<number>")
@layer.rate_limited("2/minute", key="stacked:{number}")
@cache_response("1m", tags=["number:{number}"])
@layer.cached("1h", key="number:{number}")
def stacked(number: str) -> dict[str, str]:
    return {"number": number}


class Item(MethodView):
    """A view that is a class."""

    decorators = (cache_response(tags=["items"]),)

    @cache_response("1m", tags=["got:{number}"])
    def get(self, number: int) -> str:
        return f"{number} {request.path}"


app.add_url_rule("/items/<int:number>", view_func=Item.as_view("item"))


def test_the_view_itself_has_the_last_word() -> None:
    """`no-store` in the view is not weakened."""
    assert app.test_client().get("/own").headers["Cache-Control"] == "no-store"


def test_an_async_view_gets_them() -> None:
    """Flask runs it in a loop of its own, in the context of the request."""
    response = app.test_client().get("/async/7")
    assert (response.json, response.headers["Cache-Tag"]) == ({"number": 7}, "number:7")
    assert response.headers["Cache-Control"] == "max-age=60"


def test_it_stands_among_other_decorators() -> None:
    """Below a limit and above a cache it works on a hit and on a miss; `entries` still finds the function."""
    client = app.test_client()
    for _ in range(2):
        response = client.get("/stacked/7")
        assert (response.json, response.headers["Cache-Tag"]) == ({"number": "7"}, "number:7")
    assert client.get("/stacked/8").headers["Cache-Tag"] == "number:8"
    assert entries(stacked).get("7") == {"number": "7"}


def test_a_view_that_is_a_class_is_decorated_as_views_are() -> None:
    """On the method, whose parameters templates may name, and in `decorators`."""
    response = app.test_client().get("/items/7")
    assert (response.text, response.headers["Cache-Tag"]) == ("7 /items/7", "got:7, items")


DJANGO = """
import asyncio, django
from django.conf import settings
settings.configure(ROOT_URLCONF="__main__", ALLOWED_HOSTS=["*"]); django.setup()
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, Client
from django.urls import path
from django.views.decorators.vary import vary_on_headers
from holdfast import cache_response

always = cache_response("5m", vary=["Accept"], tags=["number:{number}"], etag=True)

@always
@vary_on_headers("Origin")
def plain(request, number): return HttpResponse("ab")

@always
async def later(request, number): return HttpResponse("ab")

@always
def stream(request, number): return StreamingHttpResponse(iter([b"ab"]))

@always
def missing(request, number): raise Http404

urlpatterns = [path(f"{view.__name__}/<int:number>", view) for view in (plain, later, stream, missing)]
NAMES = ("Cache-Control", "Vary", "Cache-Tag", "ETag")
for name in ("plain", "later", "stream", "missing"):
    response = Client().get(f"/{name}/7")
    print([response.headers.get(each, "-")[:30] for each in NAMES])
print(asyncio.run(AsyncClient().get("/later/7")).headers["Cache-Tag"])
"""


def test_views_of_django_get_them() -> None:
    """Plain and async ones; a stream has no ETag, and an error nothing."""
    words = [sys.executable, "-W", "error", "-c", DJANGO]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    lines = done.stdout.splitlines()
    etag = lines[0].rpartition(", ")[2]
    assert etag.startswith("'\"")
    assert lines == [
        f"['max-age=300', 'Origin, Accept', 'number:7', {etag}",
        f"['max-age=300', 'Accept', 'number:7', {etag}",
        "['max-age=300', 'Accept', 'number:7', '-']",
        "['-', '-', '-', '-']",
        "number:7",
    ], done.stderr
