"""Ways to write a request in another form, so that a limit is not about it, or counts it for somebody else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI

from holdfast import Layer
from holdfast.asgi import RateLimitMiddleware
from holdfast.web import LimitRule
from support.colours import Colour
from support.edge_limits import PEER, Site, ask_asgi

pytestmark = pytest.mark.usefixtures("patient_limits")

ASYNC = Colour("async")


@pytest.mark.parametrize(
    ("unknown", "statuses"), [("refuse", [400, 400]), ("share", [200, 429]), ("allow", [200, 200])]
)
def test_a_field_in_several_lines_names_nobody(layer: Layer, unknown: Any, statuses: list[int]) -> None:
    """Apps read the first line, or the last: none of them must be a bucket of its own with each other line.

    A WSGI server joins them, for the app as well.
    """

    async def scenario() -> None:
        site = Site(ASYNC, layer, rules=[LimitRule("1/hour", by="header:x-api-key", unknown=unknown)])
        found = [(await site.ask("/", ("X-Api-Key", "good"), ("X-API-Key", str(n)))).status for n in range(2)]
        assert found == statuses
        assert await site.statuses(2, "/", ("X-API-Key", "good")) == [200, 429]

    ASYNC.run(scenario)


def test_a_cookie_may_come_in_pieces(layer: Layer) -> None:
    """HTTP/2 sends it so (RFC 9113, 8.2.3): it is one field."""

    async def scenario() -> None:
        site = Site(ASYNC, layer, rules=[LimitRule("1/hour", by="header:cookie")])
        assert await site.statuses(1, "/", ("Cookie", "a=1"), ("Cookie", "b=2")) == [200]
        assert await site.statuses(1, "/", ("Cookie", "a=1; b=2")) == [429]

    ASYNC.run(scenario)


def test_credentials_are_the_same_however_their_scheme_is_written(colour: Colour, layer: Layer) -> None:
    """In any case, with any number of blanks (RFC 9110, 11.1); what stands behind it is compared sign by sign."""

    async def scenario() -> None:
        site = Site(colour, layer, rules=[LimitRule("1/hour", by="header:Authorization")])
        forms = ("Bearer t", "bearer t", "BEARER   t", " Bearer \t t ")
        found = [(await site.ask("/", ("Authorization", form))).status for form in forms]
        assert found == [200, 429, 429, 429]
        assert await site.statuses(1, "/", ("Authorization", "Bearer T")) == [200]

    colour.run(scenario)


def test_head_is_no_way_around_a_rule_for_get(colour: Colour, layer: Layer) -> None:
    """Both count in one bucket; a rule for POST is about neither."""

    async def scenario() -> None:
        rules = [LimitRule("2/hour", methods=["GET"], name="get"), LimitRule("1/hour", methods=["POST"], name="post")]
        site = Site(colour, layer, rules=rules)
        found = [(await site.ask(method=method)).status for method in ("GET", "HEAD", "HEAD", "GET", "POST")]
        assert found == [200, 200, 429, 429, 200]

    colour.run(scenario)


@pytest.mark.parametrize("path", ["/shop/1/pay/", "/shop/1/pay//", "/SHOP/1/pay/", "/shop/1/pay/.", "/shop/1/pay/x"])
def test_a_slash_behind_a_pattern_evades_no_rule(colour: Colour, layer: Layer, path: str) -> None:
    """Many apps answer both by one function."""

    async def scenario() -> None:
        site = Site(colour, layer, rules=[LimitRule("1/hour", paths=["/shop/*/pay"])])
        assert await site.statuses(1, "/shop/1/pay") == [200]
        assert await site.statuses(1, path) == [429]

    colour.run(scenario)


@pytest.mark.parametrize("path", ["/shop/1/pay/", "/shop/1/pay/x"])
def test_a_slash_behind_a_pattern_exempts_nothing(colour: Colour, layer: Layer, path: str) -> None:
    """An exemption is as narrow as it is written; that of the home page is about nothing else."""

    async def scenario() -> None:
        site = Site(colour, layer, quota="1/hour", exempt=["/shop/*/pay", "/"])
        assert await site.statuses(2, "/shop/1/pay") == [200, 200]
        assert await site.statuses(2, "/") == [200, 200]
        assert await site.statuses(2, path) == [200, 429]

    colour.run(scenario)


@pytest.mark.parametrize("options", [{"routes": ["/items/{item_id}"]}, {"paths": ["/v1/items"]}])
def test_where_an_app_says_itself_that_it_is_mounted(layer: Layer, options: Any) -> None:
    """FastAPI takes a path with its `root_path` and one without it alike: so does a middleware around it."""
    app = FastAPI()
    app.root_path = "/v1"  # as its option does, which newer versions warn of
    app.add_api_route("/items/{item_id}", lambda item_id: item_id)
    limited = RateLimitMiddleware(app, layer=layer, rules=[LimitRule("2/hour", **options)])

    async def scenario() -> None:
        paths = ("/items/1", "/v1/items/2", "/items/3", "/v1/items/4")
        found = [(await ask_asgi(limited, "GET", path, (), PEER)).status for path in paths]
        assert found == [200, 200, 429, 429]

    asyncio.run(scenario())
