"""`holdfast.fastapi`: limits as dependencies, and what OpenAPI tells of them."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any
from uuid import uuid4

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Request, WebSocket
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware import Middleware

from holdfast import ConfigurationError, Layer, LimitDecision, RateLimited
from holdfast.asgi import RateLimitMiddleware
from holdfast.commands import Command
from holdfast.fastapi import Limit, install, limit

PATHS = ("/dict", "/response", "/stream", "/error")


class Client:
    """Asks an app without a server, as whom it is told to be."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def get(self, path: str, peer: str = "192.0.2.7", **fields: str) -> httpx.Response:
        return self.ask("GET", path, peer, **fields)

    def ask(self, method: str, path: str, peer: str = "192.0.2.7", **fields: str) -> httpx.Response:
        async def scenario() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, client=(peer, 50000))
            async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
                headers = {name.replace("_", "-"): value for name, value in fields.items()}
                return await client.request(method, path, headers=headers)

        return asyncio.run(scenario())

    def statuses(self, *paths: str, **fields: str) -> list[int]:
        return [self.get(path, **fields).status_code for path in paths]

    def connect(self, path: str, peer: str = "192.0.2.7") -> list[str]:
        """Open a websocket and return the types of the messages that it got, with the code of a close."""
        sent: list[str] = []

        async def receive() -> Any:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            sent.append(f"{message['type']} {message.get('code', '')}".strip())

        scope = {"type": "websocket", "path": path, "query_string": b"", "headers": [], "subprotocols": []}
        asyncio.run(self.app({**scope, "client": (peer, 50000)}, receive, send))
        return sent


@pytest.fixture
def layer(namespace: str) -> Iterator[Layer]:
    with Layer(namespace=namespace) as layer:
        yield layer


@pytest.fixture
def make(layer: Layer) -> Callable[..., FastAPI]:
    """Make apps that are installed on the layer."""

    def make(**options: Any) -> FastAPI:
        app = FastAPI(**options)
        install(app, layer)
        return app

    return make


def _keys(layer: Layer) -> list[str]:
    found = layer.engine.blocking.call_now(Command(("KEYS", f"{layer.engine.namespace}:*")))
    return sorted(each.decode().removeprefix(f"{layer.engine.namespace}:") for each in found)


def _add_routes(app: FastAPI | APIRouter, **options: Any) -> None:
    @app.get("/dict", **options)
    def get_dict() -> dict[str, int]:
        return {"a": 1}

    @app.get("/response", **options)
    async def get_response() -> JSONResponse:
        return JSONResponse({"a": 1}, 201)

    @app.get("/stream", **options)
    async def get_stream() -> StreamingResponse:
        async def pieces() -> AsyncIterator[str]:
            yield "a"
            yield "b"

        return StreamingResponse(pieces())

    @app.get("/error", **options)
    async def get_error() -> None:
        raise HTTPException(404)


@pytest.mark.parametrize("path", PATHS)
def test_every_response_tells_what_is_left(path: str, make: Callable[..., FastAPI]) -> None:
    """Whatever the function returns or raises; then the next request is refused before the function runs."""
    app = make()
    _add_routes(app, dependencies=[Depends(limit("2/minute"))])
    client = Client(app)
    for left in "10":
        got = client.get(path)
        assert got.status_code < 429
        assert got.headers["ratelimit-policy"] == '"per-minute";q=2;w=60'
        assert got.headers["ratelimit"].startswith(f'"per-minute";r={left};')
        assert "retry-after" not in got.headers
    got = client.get(path)
    assert (got.status_code, got.headers["content-type"]) == (429, "application/problem+json")
    assert got.headers["cache-control"] == "no-store"
    assert 0 < int(got.headers["retry-after"]) <= 30
    assert got.headers["ratelimit"].startswith('"per-minute";r=0;')
    assert len(got.headers.get_list("ratelimit")) == 1
    assert client.get(path, peer="192.0.2.8").status_code < 429


def test_without_install_the_fields_are_where_fastapi_puts_them(layer: Layer) -> None:
    """A refusal is a 429 with Retry-After all the same; only responses that the function makes have no fields."""
    app = FastAPI()
    _add_routes(app, dependencies=[Depends(limit("1/minute", layer=layer))])
    client = Client(app)
    assert client.get("/dict").headers["ratelimit"].startswith('"per-minute";r=0;')
    assert "ratelimit" not in client.get("/response").headers
    got = client.get("/dict")
    assert (got.status_code, got.json()["detail"]["violated-policies"]) == (429, ["per-minute"])
    assert got.headers["cache-control"] == "no-store"
    assert int(got.headers["retry-after"]) > 0


def test_each_route_has_a_bucket_of_its_own_under_its_template(make: Callable[..., FastAPI], layer: Layer) -> None:
    """Whatever the path says, whichever way the router was included; other methods are another route."""
    router = APIRouter(prefix="/items", dependencies=[Depends(limit("1/minute"))])

    @router.get("/{item_id}")
    def read(item_id: int) -> int:
        return item_id

    @router.put("/{item_id}")
    def write(item_id: int) -> int:
        return item_id

    app = make()
    app.include_router(router, prefix="/v1")
    app.include_router(router, prefix="/v2")
    client = Client(app)
    assert client.statuses("/v1/items/1", "/v1/items/2", "/v1/items/0003") == [200, 429, 429]
    assert client.statuses("/v2/items/1", "/v2/items/1") == [200, 429]
    assert client.ask("PUT", "/v1/items/1").status_code == 200
    names = [key.partition("{")[2].partition("}")[0] for key in _keys(layer)]
    assert names == [
        "route:GET:/v1/items/%7Bitem_id%7D:client:192.0.2.7",
        "route:GET:/v2/items/%7Bitem_id%7D:client:192.0.2.7",
        "route:PUT:/v1/items/%7Bitem_id%7D:client:192.0.2.7",
    ]


def test_mounted_apps_are_told_apart_by_the_template_of_the_mount(layer: Layer) -> None:
    """Two apps with the same routes; and whoever changes the mount's parameter gains nothing."""
    outer = FastAPI()
    for path in ("/shop", "/tenants/{tenant}"):
        inner = FastAPI()
        inner.get("/x", dependencies=[Depends(limit("1/minute", layer=layer))])(lambda: 1)
        outer.mount(path, inner)
    client = Client(outer)
    assert client.statuses("/shop/x", "/shop/x") == [200, 429]
    assert client.statuses("/tenants/1/x", "/tenants/2/x", "/tenants/1/x") == [200, 429, 429]


def test_routes_with_the_same_scope_share_their_quota(make: Callable[..., FastAPI]) -> None:
    """One quota for an app or a part of it has a name."""
    app = make()
    app.get("/a", dependencies=[Depends(limit("2/minute", scope="both"))])(lambda: 1)
    app.get("/b", dependencies=[Depends(limit("2/minute", scope="both"))])(lambda: 1)
    app.get("/c", dependencies=[Depends(limit("2/minute", scope="other"))])(lambda: 1)
    assert Client(app).statuses("/a", "/b", "/a", "/b", "/c") == [200, 200, 429, 429, 200]


def test_limits_of_app_router_and_route_hold_together(make: Callable[..., FastAPI]) -> None:
    """Each counts in a bucket of its own, also where their policies have the same name; fields tell of all."""
    app = make(dependencies=[Depends(limit("9/minute"))])
    router = APIRouter(dependencies=[Depends(limit("5/hour"))])
    router.get("/x", dependencies=[Depends(limit("2/minute"))])(lambda: 1)
    app.include_router(router)
    app.get("/free")(lambda: 1)
    client = Client(app)
    got = client.get("/x")
    assert got.headers["ratelimit-policy"] == ('"per-minute";q=9;w=60, "per-hour";q=5;w=3600, "per-minute-2";q=2;w=60')
    assert [part.split(";")[1] for part in got.headers["ratelimit"].split(", ")] == ["r=8", "r=4", "r=1"]
    assert client.statuses("/x", "/x", "/free") == [200, 429, 200]
    refusal = client.get("/x")
    assert refusal.json()["violated-policies"] == ["per-minute-2"]
    assert '"per-minute-2";r=0' in refusal.headers["ratelimit"]


def _user(x_user: Annotated[str | None, Header()] = None) -> str | None:
    if x_user == "bad":
        raise HTTPException(401)
    return x_user


async def _later(user: Annotated[str | None, Depends(_user)]) -> str | None:
    return user


@pytest.mark.parametrize("by", [_user, _later])
def test_by_is_a_dependency_like_any_other(by: Any, make: Callable[..., FastAPI]) -> None:
    """With parameters that FastAPI solves, plain or async; None is no limit, and what it raises is answered."""
    app = make()
    app.get("/x", dependencies=[Depends(limit("1/minute", by=by))])(lambda: 1)
    client = Client(app)
    assert [client.get("/x", x_user=user).status_code for user in ("a", "a", "b", "bad")] == [200, 429, 200, 401]
    assert client.statuses("/x", "/x") == [200, 200]


def test_who_by_returns_cannot_pass_for_another(make: Callable[..., FastAPI], layer: Layer) -> None:
    """A name with signs that have a meaning in keys stays one name."""
    app = make()
    app.get("/x", dependencies=[Depends(limit("1/minute", by=_user))])(lambda: 1)
    client = Client(app)
    names = ["7", "7:client", "client:192.0.2.7", "{7}", "7 "]
    assert [client.get("/x", x_user=name).status_code for name in names[:-1]] == [200] * 4
    assert len(_keys(layer)) == 4


def test_by_returns_what_stands_for_the_client_for_good(make: Callable[..., FastAPI]) -> None:
    """The text of a whole object would change with its data, and with it the bucket."""
    found: list[Any] = ["ada", 7, uuid4(), {"id": 7, "seen": 1}]
    app = make()
    app.get("/x", dependencies=[Depends(limit("1/minute", by=lambda: found[0]))])(lambda: 1)
    client = Client(app)
    for _ in range(3):
        assert client.statuses("/x", "/x") == [200, 429]
        found.pop(0)
    with pytest.raises(ConfigurationError, match=r"such as user\.id"):
        client.get("/x")


def test_by_returns_no_empty_text(make: Callable[..., FastAPI]) -> None:
    """It would be one quota for all who are nobody, in which each could lock out the others."""
    app = make()
    app.add_api_route("/a", lambda: "x", dependencies=[Depends(limit("1/hour", by=lambda: ""))])
    with pytest.raises(ConfigurationError, match="empty: return None"):
        Client(app).get("/a")


def test_credentials_are_the_same_however_their_scheme_is_written(make: Callable[..., FastAPI]) -> None:
    """In any case, with any number of blanks behind it (RFC 9110, 11.1)."""
    app = make()
    app.add_api_route(
        "/a", lambda: "x", dependencies=[Depends(limit("1/hour", by="header:Authorization", budget="30s"))]
    )
    forms = ("Bearer t", "bearer t", "BEARER   t", "Bearer T")
    assert [Client(app).get("/a", authorization=form).status_code for form in forms] == [200, 429, 429, 200]


def test_who_is_nobody_leaves_a_warning(make: Callable[..., FastAPI], caplog: pytest.LogCaptureFixture) -> None:
    """Once a minute for each limit: the peer and the option, or the field."""
    app = make()
    app.add_api_route("/a", lambda: "x", dependencies=[Depends(limit("1/hour", hops=1))])
    app.add_api_route("/b", lambda: "x", dependencies=[Depends(limit("1/hour", by="header:X-Key"))])
    assert Client(app).statuses("/a", "/a", "/b", "/b") == [400] * 4
    behind, key = [record.getMessage() for record in caplog.records if record.name == "holdfast"]
    assert "192.0.2.7, hops=1" in behind
    assert "by='header:X-Key'" in key


def test_by_a_field_stores_a_digest_only(make: Callable[..., FastAPI], layer: Layer) -> None:
    """An API key is a secret; a request without the field is refused, since it would be a way round the limit."""
    app = make()
    app.get("/x", dependencies=[Depends(limit("1/minute", by="header:X-API-Key"))])(lambda: 1)
    client = Client(app)
    assert [client.get("/x", x_api_key=key).status_code for key in ("s3cret", "s3cret", "other")] == [200, 429, 200]
    assert client.get("/x").status_code == 400
    assert not any("s3cret" in key for key in _keys(layer))
    assert any(hashlib.sha256(b"s3cret").hexdigest()[:40] in key for key in _keys(layer))


@pytest.mark.parametrize(
    ("unknown", "statuses"), [("refuse", [400, 400]), ("share", [200, 429]), ("allow", [200, 200])]
)
def test_what_becomes_of_who_is_unknown(unknown: str, statuses: list[int], make: Callable[..., FastAPI]) -> None:
    """Nobody passes without a choice; a client that claims to be another behind no proxy of ours is itself."""
    app = make()
    app.get("/x", dependencies=[Depends(limit("1/minute", trusted=["10.0.0.0/8"], unknown=unknown))])(lambda: 1)
    client = Client(app)
    assert [client.get("/x", peer="10.0.0.1").status_code for _ in range(2)] == statuses
    spoofed = [client.get("/x", x_forwarded_for=f"192.0.2.{each}").status_code for each in (50, 51)]
    assert spoofed == [200, 429]
    behind = [client.get("/x", peer="10.0.0.1", x_forwarded_for=f"{each}, 192.0.2.9").status_code for each in (1, 2)]
    assert behind == [200, 429]


def test_cost_may_be_a_dependency(make: Callable[..., FastAPI]) -> None:
    """Of what the request says."""

    def cost(n: int) -> int:
        return n

    app = make()
    app.get("/x", dependencies=[Depends(limit("5/minute", cost=cost))])(lambda: 1)
    app.get("/y", dependencies=[Depends(limit("5/minute", cost=3))])(lambda: 1)
    client = Client(app)
    assert client.statuses("/x?n=4", "/x?n=2", "/x?n=1", "/y", "/y") == [200, 429, 200, 200, 429]


def test_the_function_may_have_the_decision(make: Callable[..., FastAPI], layer: Layer) -> None:
    """To charge what the request has cost in truth."""
    app = make()
    by_tokens = limit("100/minute", cost=10)

    @app.get("/x")
    async def read(decision: Annotated[LimitDecision, Depends(by_tokens)]) -> int:
        return (await layer.limiter.asettle(decision, 60)).remaining

    assert [Client(app).get("/x").json() for _ in range(2)] == [40, 0]


def test_a_dependency_that_is_used_twice_counts_once(make: Callable[..., FastAPI]) -> None:
    """FastAPI solves one object once in a request."""
    once = limit("1/minute")
    app = make(dependencies=[Depends(once)])
    app.get("/x", dependencies=[Depends(once)])(lambda: 1)
    assert Client(app).statuses("/x", "/x") == [200, 429]


def test_a_test_may_switch_a_limit_off(make: Callable[..., FastAPI], layer: Layer) -> None:
    """By overriding the dependency, or with the layer."""
    by_client = limit("1/hour")
    app = make()
    app.get("/x", dependencies=[Depends(by_client)])(lambda: 1)
    with layer.disabled():
        assert Client(app).statuses("/x", "/x") == [200, 200]
    app.dependency_overrides[by_client] = lambda: None
    assert Client(app).statuses("/x", "/x") == [200, 200]


def test_shadow_refuses_nobody_and_tells_nothing(make: Callable[..., FastAPI], layer: Layer) -> None:
    """It is counted and reported only."""
    app = make()
    app.get("/x", dependencies=[Depends(limit("1/minute", shadow=True))])(lambda: 1)
    app.get("/y", dependencies=[Depends(limit("1/minute", shadow=True)), Depends(limit("9/hour"))])(lambda: 1)
    got = [Client(app).get("/x") for _ in range(2)]
    assert [each.status_code for each in got] == [200, 200]
    assert not any("ratelimit" in each.headers for each in got)
    assert layer.stats().limited == 1
    assert Client(app).get("/y").headers["ratelimit-policy"] == '"per-hour";q=9;w=3600'


@pytest.mark.parametrize(("on_failure", "status"), [("open", 200), ("closed", 503)])
def test_while_redis_is_away_on_failure_decides(on_failure: Any, status: int) -> None:
    """A refusal is then no fault of the client."""
    with Layer("redis://localhost:1/0") as away:
        app = FastAPI()
        install(app, away)
        app.get("/x", dependencies=[Depends(limit("1/minute", on_failure=on_failure))])(lambda: 1)
        assert Client(app).statuses("/x", "/x") == [status, status]


def test_a_refusal_is_the_clients_if_the_limit_that_refuses_knows(layer: Layer) -> None:
    """Another limit of the request may have had to admit it without Redis."""
    with Layer("redis://localhost:1/0") as away:
        app = FastAPI(dependencies=[Depends(limit("9/hour", layer=away))])
        install(app, layer)
        app.get("/x", dependencies=[Depends(limit("1/minute"))])(lambda: 1)
        assert Client(app).statuses("/x", "/x") == [200, 429]


def test_a_middleware_outside_leaves_the_fields_of_the_route(layer: Layer) -> None:
    """They are nearer to what the client asks for; its own limit holds all the same."""
    app = FastAPI(middleware=[Middleware(RateLimitMiddleware, layer=layer, quota="3/day")])  # type: ignore[arg-type]
    install(app, layer)
    app.get("/x", dependencies=[Depends(limit("9/minute"))])(lambda: JSONResponse(1))
    app.get("/free")(lambda: 1)
    client = Client(app)
    assert client.get("/x").headers["ratelimit-policy"] == '"per-minute";q=9;w=60'
    assert client.get("/free").headers["ratelimit-policy"] == '"per-day";q=3;w=86400'
    assert client.statuses("/x", "/x") == [200, 429]


def test_a_websocket_is_refused_before_it_is_accepted(make: Callable[..., FastAPI]) -> None:
    """With the code for a policy that was violated; also one from nobody."""
    app = make()

    @app.websocket("/ws", dependencies=[Depends(limit("1/minute"))])
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    client = Client(app)
    assert client.connect("/ws") == ["websocket.accept", "websocket.close 1000"]
    assert client.connect("/ws") == ["websocket.close 1008"]
    assert client.connect("/ws", peer="") == ["websocket.close 1008"]


def test_the_app_may_answer_refusals_itself(layer: Layer) -> None:
    """Its handler for `RateLimited` goes before ours; so does one for 429."""

    async def own(request: Request, error: Any) -> JSONResponse:
        assert isinstance(error, RateLimited | StarletteHTTPException)
        return JSONResponse("mine", 418)

    for kind in (RateLimited, 429):
        app = FastAPI(exception_handlers={kind: own})
        install(app, layer)
        app.get(f"/{kind}", dependencies=[Depends(limit("1/minute"))])(lambda: 1)
        assert Client(app).statuses(f"/{kind}", f"/{kind}") == [200, 418]


def test_openapi_shows_the_refusals_of_limited_routes_only(make: Callable[..., FastAPI]) -> None:
    """Wherever in the tree of dependencies the limit is; what the app says of 429 itself stays."""

    def deep(decision: Annotated[Any, Depends(limit("1/minute"))]) -> None:
        return None

    app = make()
    app.get("/free")(lambda: 1)
    app.get("/route", dependencies=[Depends(limit("1/minute"))])(lambda: 1)
    app.post("/route")(lambda: 1)
    app.get("/deep", dependencies=[Depends(deep)])(lambda: 1)
    app.get("/closed", dependencies=[Depends(limit("1/minute", on_failure="closed"))])(lambda: 1)
    app.get("/own", dependencies=[Depends(limit("1/minute"))], responses={429: {"description": "mine"}})(lambda: 1)
    inner = APIRouter()
    inner.get("/inner/{x}")(lambda x: 1)
    router = APIRouter(prefix="/router", dependencies=[Depends(limit("1/minute"))])
    router.include_router(inner)
    app.include_router(router)
    schema = Client(app).get("/openapi.json").json()
    refusals = {
        (path, method): sorted({"429", "503"} & operation["responses"].keys())
        for path, operations in schema["paths"].items()
        for method, operation in operations.items()
    }
    assert refusals == {
        ("/free", "get"): [],
        ("/route", "get"): ["429"],
        ("/route", "post"): [],
        ("/deep", "get"): ["429"],
        ("/closed", "get"): ["429", "503"],
        ("/own", "get"): ["429"],
        ("/router/inner/{x}", "get"): ["429"],
    }
    shown = schema["paths"]["/route"]["get"]["responses"]["429"]
    assert shown["content"] == {
        "application/problem+json": {"schema": {"$ref": "#/components/schemas/RateLimitProblem"}}
    }
    assert set(shown["headers"]) == {"Retry-After", "RateLimit", "RateLimit-Policy"}
    assert "RateLimitProblem" in schema["components"]["schemas"]
    assert schema["paths"]["/own"]["get"]["responses"]["429"] == {"description": "mine"}


def test_a_limit_shows_no_parameters_of_its_own(make: Callable[..., FastAPI]) -> None:
    """Only those of the dependencies that it was given."""
    app = make()
    app.get("/x", dependencies=[Depends(limit("1/minute"))])(lambda: 1)
    app.get("/y", dependencies=[Depends(limit("1/minute", by=_user))])(lambda: 1)
    paths = app.openapi()["paths"]
    assert "parameters" not in paths["/x"]["get"]
    assert [each["name"] for each in paths["/y"]["get"]["parameters"]] == ["x-user"]


def test_an_app_without_limits_describes_nothing_of_them(make: Callable[..., FastAPI]) -> None:
    """Installing twice changes nothing either."""
    app = make()
    install(app)
    app.get("/x")(lambda: 1)
    assert "components" not in app.openapi()
    assert len(app.user_middleware) == 1


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"by": "client"}, "by='client' must be a dependency"),
        ({"by": "header:"}, "by='header:' must be"),
        ({"by": 7}, "by=7 must be"),
        ({"scope": ""}, "scope='' must be a name"),
        ({"cost": -1}, "cost=-1 must be"),
        ({"unknown": "pass"}, "unknown='pass' must be"),
        ({"on_failure": "shut"}, "on_failure='shut' must be"),
        ({"trusted": ["everybody"]}, "trusted='everybody' is no network"),
        ({"layer": "memory://"}, "layer= must be a Layer"),
    ],
)
def test_what_cannot_work_is_refused_at_once(options: dict[str, Any], complaint: str) -> None:
    """The message names the option."""
    with pytest.raises(ConfigurationError, match=complaint):
        limit("1/minute", **options)
    assert isinstance(limit("1/minute"), Limit)
