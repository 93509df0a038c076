"""What whoever runs an app reads in its log about limits that do not do what was meant."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from holdfast import Layer
from holdfast.asgi import RateLimitMiddleware
from holdfast.web import LimitRule, limit_strangers
from support.colours import Colour
from support.edge_limits import PEER, Site, ask_asgi

SECRET = "t0psecret"


class Log:
    """The warnings of the library so far."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def read(self) -> list[str]:
        records = [record for record in self._caplog.records if record.name == "holdfast"]
        assert {record.levelname for record in records} <= {"WARNING"}
        return [record.getMessage() for record in records]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    """Give the log of the test."""
    return Log(caplog)


@pytest.mark.parametrize(
    ("options", "peer", "fields", "said"),
    [
        ({"quota": "9/hour", "hops": 1}, PEER, (), [PEER, "hops=1", "no field x-forwarded-for or forwarded"]),
        ({"quota": "9/hour", "hops": 2, "header": "X-Real"}, PEER, (), ["hops=2", "no field x-real"]),
        ({"quota": "9/hour", "hops": 2}, PEER, (("X-Forwarded-For", SECRET),), ["x-forwarded-for names no client"]),
        ({"quota": "9/hour", "trusted": PEER}, PEER, (), [PEER, "trusted=", "no field"]),
        ({"quota": "9/hour", "trusted": PEER}, "no one", (), ["no one", "is no address"]),
        ({"quota": "9/hour"}, None, (), ["a socket in the file system", "trusted=['unix']"]),
        (
            {"rules": [LimitRule("9/hour", by="header:x-key", name="keys")]},
            PEER,
            (("X-Other", SECRET),),
            ["LimitRule 'keys'", "x-key, which is not there", "unknown="],
        ),
    ],
)
def test_requests_from_nobody_leave_a_warning(
    colour: Colour,
    layer: Layer,
    log: Log,
    options: dict[str, Any],
    peer: str | None,
    fields: Any,
    said: list[str],
) -> None:
    """It names the peer and the option, or the rule and the field, and nothing that a client has sent."""

    async def scenario() -> None:
        site = Site(colour, layer, **options)
        assert await site.statuses(3, "/", *fields, peer=peer) == [400] * 3

    colour.run(scenario)
    (warning,) = log.read()
    assert [each for each in said if each not in warning] == []
    assert SECRET not in warning


def test_there_is_one_such_warning_a_minute(
    colour: Colour, layer: Layer, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each middleware, however many requests there are."""
    now = 1000.0
    monkeypatch.setattr(limit_strangers, "monotonic", lambda: now)

    async def scenario() -> None:
        nonlocal now
        sites = [Site(colour, layer, quota="9/hour", hops=1) for _ in range(2)]
        for seconds, total in ((0.0, 2), (59.9, 2), (0.2, 4), (1.0, 4)):
            now += seconds
            assert [await site.statuses(2) for site in sites] == [[400] * 2] * 2
            assert len(log.read()) == total

    colour.run(scenario)


def _serve(*_: Any) -> PlainTextResponse:
    return PlainTextResponse("x")


def _ask(app: Any, path: str) -> int:
    return asyncio.run(ask_asgi(app, "GET", path, (), PEER)).status


def test_a_template_that_no_route_has_leaves_a_warning(layer: Layer, log: Log) -> None:
    """Once, at the first request; it shows what the app has. What is there, mounted or included, leaves none."""
    inner = [Route("/{name}", _serve)]
    routes = [Route("/items/{item_id:int}", _serve), Mount("/shop/{town}", routes=inner), Mount("/raw", _serve)]
    right = LimitRule("9/hour", routes=["/items/{item_id}", "/shop/{town}/{name}", "/raw/{path}", "/shop/{town}/*"])
    wrong = LimitRule("9/hour", routes=["/items/<int:item_id>", "/items/{item_id}"], name="wrong")
    app = Starlette(routes=routes)
    app.add_middleware(RateLimitMiddleware, layer=layer, rules=[right, wrong])
    for _ in range(2):
        assert _ask(app, "/items/7") == 200
    (warning,) = log.read()
    assert "LimitRule 'wrong' is about the route /items/<int:item_id>," in warning
    assert "the app has /items/{item_id}" in warning


def test_the_routes_of_routers_that_fastapi_includes_are_known(layer: Layer, log: Log) -> None:
    """With their prefixes; where `route=` is the user's, or nobody can tell, there is nothing to compare with."""
    router = APIRouter(prefix="/shop")
    router.add_api_route("/{name}", lambda name: name)
    app = FastAPI()
    app.include_router(router, prefix="/v1")
    rules = [LimitRule("9/hour", routes=["/v1/shop/{name}", "/docs"])]
    app.add_middleware(RateLimitMiddleware, layer=layer, rules=rules)
    assert _ask(app, "/v1/shop/x") == 200
    told = RateLimitMiddleware(app, layer=layer, rules=[LimitRule("9/hour", routes=["/a"])], route=lambda _: "/b")
    assert _ask(told, "/v1/shop/x") == 200
    assert log.read() == []
