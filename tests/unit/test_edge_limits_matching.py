"""What lies below the limits at the edge: paths, routes, clients, and the fields written fast."""

from __future__ import annotations

import math
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Host, Mount, Route, Router, WebSocketRoute

from holdfast.asgi.routes import find_route
from holdfast.policy.decision import LimitDecision, PolicyDecision
from holdfast.policy.limit_fields import DIALECTS, Dialect
from holdfast.web.limit_clients import Clients
from holdfast.web.limit_writing import FieldWriter
from holdfast.web.paths import Paths


@pytest.mark.parametrize(
    ("listed", "path", "may_be", "certainly"),
    [
        ("/a", "/a", True, True),
        ("/a", "/a/b", True, True),
        ("/a", "/a/", True, True),
        ("/a/", "/a", True, True),
        ("/a", "/ab", False, False),
        ("/a", "/", False, False),
        ("/", "/", True, True),
        ("/", "/a", True, False),
        ("/a", "/A/b", True, False),
        ("/a", "//a", True, False),
        ("/a", "/a//b", True, False),
        ("/a", "/a/../b", True, False),
        ("/b", "/a/../b", True, False),
        ("/a", "/a;x", True, False),
        ("/a", "/%61", True, False),
        ("/a", "/a\\b", True, False),
        ("/a/*/c", "/a/b/c", True, True),
        ("/a/*/c", "/a/c", False, False),
        ("/a/*/c", "/a/b/c/", True, False),
        ("/a/*/c", "/a/b/c/d", True, False),
        ("/a/*/c", "/A/b/C/", True, False),
        ("/a/*/c", "/a/b/c/.", True, False),
        ("/a/*/c", "/a/b/cd", False, False),
        ("/a/*", "/a/b/", True, True),
        ("*.js", "/x/y.js/", True, False),
        ("*.js", "/x/y.js", True, True),
        ("*.js", "/x/y.JS", True, False),
        ("/\u00e9", "/\u00e9/x", True, True),
        ("/\u00e9", "/\u00c9", True, False),
        ("/a", "/.well-known", False, False),
    ],
)
def test_paths(listed: str, path: str, may_be: bool, certainly: bool) -> None:
    """What is limited is so in any reading and with all below it, what is exempt in the only one, as it is written."""
    paths = Paths.of([listed], "paths")
    assert (paths.may_be(path), paths.are_certainly(path)) == (may_be, certainly)


@pytest.mark.parametrize(
    ("exempt", "paths", "covers"),
    [
        (["/up"], ["/up"], True),
        (["/up"], ["/up/live", "/up/ready"], True),
        (["/u*"], ["/up"], True),
        (["/u?"], ["/up"], False),
        (["/up"], ["/up", "/down"], False),
        (["/up"], ["/up*"], False),
        (["/"], ["/"], False),
        (["/up"], [], False),
        ([], ["/up"], False),
    ],
)
def test_paths_that_leave_nothing_of_others(exempt: list[str], paths: list[str], covers: bool) -> None:
    """Only where that is certain: all of a path and what is below it."""
    assert Paths.of(exempt, "exempt").cover(Paths.of(paths, "paths")) is covers


async def _end(*_: Any) -> None:
    """Be an endpoint."""


def scope_of(path: str, **more: Any) -> dict[str, Any]:
    """Return a scope."""
    host = [(b"host", b"shop.example")]
    return {"type": "http", "method": "GET", "path": path, "root_path": "", "headers": host, "app": APP, **more}


def _api() -> FastAPI:
    app, inner, outer = FastAPI(openapi_url=None), APIRouter(prefix="/inner"), APIRouter()
    inner.add_api_route("/x/{number}", _end)
    outer.include_router(inner, prefix="/outer")
    app.include_router(outer, prefix="/api/{tenant}")
    app.add_api_route("/plain/{name:path}", _end)
    return app


APP = Starlette(
    routes=[
        Route("/", _end),
        Route("/items/{item_id:int}", _end, methods=["POST"]),
        Route("/items/{item_id}", _end),
        WebSocketRoute("/chat/{room}", _end),
        Mount("/v{version}", routes=[Route("/", _end), Mount("/deep", app=Router([Route("/{leaf}", _end)]))]),
        Mount("/opaque", app=_end),
        Mount("/api", app=_api()),
        Host("shop.example", app=Router([Route("/hosted/{name}", _end)])),
    ]
)


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/", "/"),
        ("/items/7", "/items/{item_id}"),
        ("/items/a", "/items/{item_id}"),
        ("/v2/", "/v{version}/"),
        ("/v2/deep/1", "/v{version}/deep/{leaf}"),
        ("/v2/nothing/1", "/v{version}/*"),
        ("/opaque/1/2", "/opaque/{path}"),
        ("/api/api/7/outer/inner/x/1", "/api/api/{tenant}/outer/inner/x/{number}"),
        ("/api/plain/a/b", "/api/plain/{name}"),
        ("/hosted/x", "/hosted/{name}"),
        ("/nothing", "/*"),  # the host takes what nobody else does
    ],
)
def test_a_route_is_found_by_its_template(path: str, template: str) -> None:
    """Mounted, included, by host; never by the path."""
    assert find_route(scope_of(path)) == template


def test_other_ways_to_a_route() -> None:
    """A method that is not allowed, a websocket, an app behind others, none, and what a router has found before."""
    assert find_route(scope_of("/items/7", method="POST")) == "/items/{item_id}"
    assert find_route(scope_of("/items/7", method="DELETE", app=Router(APP.routes[:3]))) == "/items/{item_id}"
    assert find_route(scope_of("/chat/1", type="websocket")) == "/chat/{room}"

    class Wrapping:
        def __init__(self, app: Any) -> None:
            self.app = app

    bare = {key: value for key, value in scope_of("/items/7").items() if key != "app"}
    assert find_route(bare, Wrapping(Wrapping(APP))) == "/items/{item_id}"
    assert find_route(bare, _end) is None
    assert find_route(bare) is None
    assert find_route(bare | {"route": Route("/found/{x}", _end)}) == "/found/{x}"
    inside = scope_of("/v2/deep/1", root_path="/v2", app_root_path="", app=Router(APP.routes[:6]))
    assert find_route(inside) == "/v{version}/deep/{leaf}"
    assert find_route(scope_of("/mounted/items/7", root_path="/mounted")) == "/items/{item_id}"


def test_looking_for_a_route_leaves_the_scope_alone() -> None:
    """The app finds it by itself."""
    scope = scope_of("/v2/deep/1")
    before = dict(scope)
    find_route(scope)
    assert scope == before


@pytest.mark.parametrize(
    ("peer", "known"),
    [
        (("192.0.2.7", 1), "192.0.2.7"),
        ("192.0.2.7", "192.0.2.7"),
        (["::ffff:192.0.2.7", 1], "192.0.2.7"),
        (("2001:db8::1", 1, 0, 0), "2001:db8::/64"),
        (("testclient", 50000), "testclient"),
        (("unknown", 1), None),
        (("_secret", 1), None),
        (("unix:", 1), None),
        (("/run/app.sock", 0), None),
        ("", None),
        (None, None),
        ((), None),
        ((None, None), None),
    ],
)
def test_clients_by_their_peers(peer: Any, known: str | None) -> None:
    """The same the second time, when it is remembered."""
    clients = Clients(trusted=(), hops=None, ipv6_prefix=64, header=None)
    for _ in range(2):
        assert clients.identity(peer, dict) == known


def test_what_clients_send_does_not_fill_the_memory() -> None:
    """What is remembered of peers is bounded."""
    clients = Clients(trusted=(), hops=0, ipv6_prefix=128, header=None)
    for number in range(1, 5000):
        assert clients.identity((f"2001:db8::{number:x}", 1), dict) == f"2001:db8::{number:x}"
    assert len(clients._known) < 4999


def _policies(names: list[str]) -> Any:
    numbers = st.one_of(st.sampled_from([0, 1]), st.integers(0, 10**13))
    seconds = st.one_of(st.sampled_from([0.0, 0.5, 1.0, 60.0, 61.0, 3600.0]), st.floats(0, 1e7))
    pers = st.one_of(st.sampled_from([0.25, 1.0, 60.0, 90.5, 3600.0, math.inf]), st.floats(0.001, 1e7))
    made = [
        st.builds(PolicyDecision, st.just(name), st.booleans(), st.integers(1, 10**12), numbers, seconds, seconds, pers)
        for name in names
    ]
    return st.tuples(*made)


@example((PolicyDecision("concurrency", True, 1, 0, 0.5, 0.0, math.inf),), True, False, False, "draft-11")
@given(
    st.lists(st.sampled_from(["per-minute", "per-hour", "concurrency"]), min_size=1, max_size=4).flatmap(_policies),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from(DIALECTS),
)
def test_fields_written_fast_say_what_decisions_say(
    policies: Any, allowed: bool, degraded: bool, shadow: bool, dialect: Dialect
) -> None:
    """Whatever the numbers, also the second time."""
    if allowed and not shadow:
        policies = tuple(
            PolicyDecision(each.name, True, each.limit, each.remaining, each.reset, 0.0, each.per) for each in policies
        )
    decision = LimitDecision(allowed, policies, degraded, shadow)
    if not allowed and all(each.allowed for each in policies):
        return
    writer = FieldWriter(dialect)
    for _ in range(2):
        said = decision.headers(dialect)
        assert list(writer.write(decision)) == said
        assert list(writer.write_raw(decision)) == [(name.lower().encode(), value.encode()) for name, value in said]


@pytest.mark.parametrize("dialect", ["draft-11", "editor"])
@pytest.mark.parametrize("remaining", [0, 1, 9, 20])
@pytest.mark.parametrize("reset", [0.0, 0.4, 60.0, 60.1, 90.0, 121.0, 500.0])
def test_fields_of_admitted_requests_written_fast(dialect: Dialect, remaining: int, reset: float) -> None:
    """Also of a bucket that is overdrawn, and beside a policy without a period."""
    policy = PolicyDecision("per-minute", True, 9, remaining, reset, 0.0, 60.0)
    timeless = PolicyDecision("concurrency", True, 9, remaining, 0.0, 0.0, math.inf)
    for policies in ((policy,), (timeless,), (policy, timeless)):
        decision = LimitDecision(True, policies)
        assert list(FieldWriter(dialect).write(decision)) == decision.headers(dialect)
