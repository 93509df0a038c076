"""`holdfast.flask.Holdfast`: an app's layer and middleware by its configuration, refusals, routes and commands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Blueprint, Flask, Response, request
from werkzeug.test import TestResponse

from holdfast import ConfigurationError, Layer, cached, entries, locked, rate_limited
from holdfast import defaults as layers
from holdfast.flask import Holdfast
from holdfast.flask.routes import RouteFinder


@pytest.fixture(autouse=True)
def default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test begin without a default layer."""
    monkeypatch.setattr(layers, "_default", None)
    monkeypatch.setattr(layers, "_find_default", None)


@pytest.fixture
def app(namespace: str) -> Iterator[Flask]:
    app = Flask("shop")
    app.config.update(HOLDFAST_URL="memory://", HOLDFAST_NAMESPACE=namespace)
    yield app
    if "holdfast" in app.extensions:
        app.extensions["holdfast"].close()


def _get(app: Flask, path: str, peer: str = "192.0.2.7", **options: Any) -> TestResponse:
    return app.test_client().get(path, environ_base={"REMOTE_ADDR": peer}, **options)


def test_the_configuration_describes_the_layer(app: Flask, namespace: str) -> None:
    """It is that of the extension, the app's, and the default one, which decorators find."""
    app.config.update(HOLDFAST_SECRET="a secret of sixteen bytes", HOLDFAST_OPTIONS={"serializer": "pickle"})
    holdfast = Holdfast(app)
    assert repr(holdfast.layer) == f"<Layer memory://, namespace {namespace!r}>"
    assert holdfast.layer is app.extensions["holdfast"] is layers.default_layer()

    @app.get("/x")
    @cached("1m", key="x")
    def view() -> list[str]:
        return ["x"]

    assert _get(app, "/x").json == ["x"]
    assert entries(view).get() == ["x"]
    assert holdfast.layer.stats().fills == 1


def test_what_the_configuration_does_not_say_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """So one image serves test and production."""
    monkeypatch.setenv("HOLDFAST_URL", "redis://elsewhere:6380/3")
    monkeypatch.setenv("HOLDFAST_NAMESPACE", "theirs")
    assert repr(Holdfast(Flask("x")).layer) == "<Layer elsewhere:6380, namespace 'theirs'>"
    app = Flask("y")
    app.config["HOLDFAST_NAMESPACE"] = "ours"
    assert repr(Holdfast(app).layer) == "<Layer elsewhere:6380, namespace 'ours'>"


def test_a_layer_may_be_given(app: Flask, namespace: str) -> None:
    """Then it serves all apps of the extension."""
    with Layer(namespace=namespace) as layer:
        holdfast = Holdfast(layer=layer)
        for each in (app, Flask("other")):
            holdfast.init_app(each)
            assert each.extensions["holdfast"] is holdfast.layer is layer


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"HOLDFAST_LIMIT": "1/minute"}, "there is no HOLDFAST_LIMIT; there are HOLDFAST_HTTP_CACHE, "),
        ({"HOLDFAST_OPTIONS": "pickle"}, "HOLDFAST_OPTIONS must be a dict"),
        ({"HOLDFAST_OPTIONS": {"namspace": "a"}}, "HOLDFAST_OPTIONS has no option 'namspace'; it has .*namespace"),
        ({"HOLDFAST_SESSIONS": "yes"}, "HOLDFAST_SESSIONS must be a dict"),
        ({"HOLDFAST_SESSIONS": {"idel": 1}}, "has no option 'idel'"),
        ({"HOLDFAST_SESSIONS": True, "SESSION_COOKIE_SAMESITE": "None"}, "secure=True"),
        ({"HOLDFAST_HTTP_CACHE": {"etags": True}}, "CacheMiddleware has no option 'etags'"),
        ({"HOLDFAST_LIMITS": "many"}, "many"),
        ({"HOLDFAST_IDEMPOTENCY": {"tttl": 1}}, "IdempotencyMiddleware has no option 'tttl'"),
        ({"HOLDFAST_URL": "mysql://x"}, "mysql"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(app: Flask, config: dict[str, Any], complaint: str) -> None:
    """When the app is set up, not when the first client comes."""
    app.config.update(config)
    with pytest.raises(ConfigurationError, match=complaint):
        Holdfast(app)


def test_an_app_is_set_up_once(app: Flask) -> None:
    """A second time would put all middleware in front of it again."""
    holdfast = Holdfast()
    with pytest.raises(ConfigurationError, match="call init_app"):
        _ = holdfast.layer
    holdfast.init_app(app)
    with pytest.raises(ConfigurationError, match="has a Holdfast already"):
        holdfast.init_app(app)


@cached("1m", key="whose")
def whose() -> str:
    return str(request.args["name"])


def test_decorators_find_the_layer_of_the_current_app(namespace: str) -> None:
    """Two apps of one process do not mix their entries, whichever was set up last."""
    apps = []
    for name in ("a", "b"):
        app = Flask(name)
        app.config.update(HOLDFAST_URL="memory://", HOLDFAST_NAMESPACE=f"{namespace}-{name}")
        app.add_url_rule("/whose", view_func=whose)
        apps.append((Holdfast(app), app))
    for name in ("first", "second"):
        assert [_get(app, f"/whose?name={name}-{app.name}").text for _, app in apps] == ["first-a", "first-b"]
    (first, app), (second, _) = apps
    with app.app_context():
        assert second.layer is first.layer
    assert layers.default_layer() is second.layer is not first.layer


def test_refusals_are_answered(app: Flask) -> None:
    """A limit is a 429, a lock that others hold a 409; both say when to come again, and no cache keeps them."""
    layer = Holdfast(app).layer

    @app.get("/limited")
    @rate_limited("1/hour", key="limited")
    def limited() -> str:
        return "x"

    @app.get("/locked")
    @locked("secret-name", wait=0)
    def lock() -> str:
        return "x"

    assert _get(app, "/limited").status_code == 200
    got = _get(app, "/limited")
    assert (got.status_code, got.content_type) == (429, "application/problem+json")
    assert got.headers["Cache-Control"] == "no-store"
    assert 0 < int(got.headers["Retry-After"]) <= 3600
    assert got.headers["RateLimit"].startswith('"per-hour";r=0')
    head = app.test_client().head("/limited")
    assert (head.status_code, head.data, head.content_length) == (429, b"", got.content_length)
    with layer.lock("secret-name"):
        got = _get(app, "/locked")
    assert (got.status_code, got.headers["Retry-After"], got.headers["Cache-Control"]) == (409, "1", "no-store")
    assert "secret-name" not in got.text


def test_handlers_of_the_app_go_first(app: Flask) -> None:
    """One that was there before stays, and that of a blueprint is nearer."""
    from holdfast import LockNotAcquired, RateLimited

    app.register_error_handler(RateLimited, lambda error: ("before", 418))
    Holdfast(app)
    shop = Blueprint("shop", __name__)
    shop.register_error_handler(LockNotAcquired, lambda error: ("blueprint", 418))

    @shop.get("/in-blueprint")
    def fail() -> str:
        raise LockNotAcquired

    app.register_blueprint(shop)
    app.add_url_rule("/x", view_func=rate_limited("1/hour", key="x")(lambda: "x"))
    assert [_get(app, "/x").text for _ in range(2)] == ["x", "before"]
    assert _get(app, "/in-blueprint").text == "blueprint"


def test_limits_stand_outside_of_the_cache(app: Flask) -> None:
    """What one client may still do is not stored for others, and what comes from the cache is counted."""
    app.config.update(HOLDFAST_LIMITS="3/minute", HOLDFAST_HTTP_CACHE=True)
    Holdfast(app)
    app.add_url_rule("/x", view_func=lambda: Response("x", headers={"Cache-Control": "max-age=60"}))
    assert _get(app, "/x").headers["RateLimit"].startswith('"per-minute";r=2')
    got = _get(app, "/x", "192.0.2.8")
    assert "hit" in got.headers["Cache-Status"]
    assert got.headers["RateLimit"].startswith('"per-minute";r=2')
    assert [_get(app, "/x").status_code for _ in range(3)] == [200, 200, 429]


def test_an_idempotent_request_is_answered_by_its_first_result(app: Flask) -> None:
    """And counted against limits all the same."""
    app.config.update(HOLDFAST_LIMITS="9/minute", HOLDFAST_IDEMPOTENCY={"required": ["/pay"]})
    Holdfast(app)
    runs: list[bytes] = []

    @app.post("/pay")
    def pay() -> list[int]:
        runs.append(request.data)
        return [len(runs)]

    client = app.test_client()
    got = [client.post("/pay", data=b"x", headers={"Idempotency-Key": '"k1"'}) for _ in range(2)]
    assert [each.json for each in got] == [[1], [1]]
    assert got[1].headers["RateLimit"].startswith('"per-minute";r=7')
    assert client.post("/pay", data=b"x").status_code == 400


def test_routes_are_told_by_their_templates(app: Flask) -> None:
    """Also those of blueprints and those that are added later; what no view answers has none."""
    find = RouteFinder(app)
    shop = Blueprint("shop", __name__, url_prefix="/shop/<town>")
    shop.add_url_rule("/items/<int:item_id>", view_func=lambda **_: "x")
    app.register_blueprint(shop)
    app.add_url_rule("/folder/", view_func=lambda: "x")

    def template(path: str, method: str = "GET") -> str | None:
        return find(app.test_request_context(path, method=method).request.environ)

    assert template("/shop/rome/items/7") == "/shop/<town>/items/<int:item_id>"
    assert template("/folder/") == "/folder/"
    assert [template("/shop/rome/items/x"), template("/folder"), template("/none")] == [None] * 3
    assert template("/folder/", "DELETE") is None


def test_a_limit_of_each_route_counts_by_its_template(app: Flask) -> None:
    """So that another path to the same view gains nothing."""
    from holdfast.web import LimitRule

    app.config["HOLDFAST_LIMITS"] = {"rules": [LimitRule("1/minute", routes=["/items/<int:item_id>"], per_route=True)]}
    Holdfast(app)
    app.add_url_rule("/items/<int:item_id>", view_func=lambda item_id: "x")
    app.add_url_rule("/free", "free", lambda: "x")
    paths = ("/items/1", "/items/2", "/items/003", "/free", "/free")
    assert [_get(app, path).status_code for path in paths] == [200, 429, 429, 200, 200]


def test_a_route_that_the_app_does_not_have_leaves_a_warning(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    """Once, at the first request; those that were added before that leave none."""
    from holdfast.web import LimitRule

    rule = LimitRule("9/minute", routes=["/items/<int:item_id>", "/items/{item_id}"], name="items")
    app.config["HOLDFAST_LIMITS"] = {"rules": [rule]}
    Holdfast(app)
    app.add_url_rule("/items/<int:item_id>", view_func=lambda item_id: "x")
    assert [_get(app, "/items/1").status_code for _ in range(2)] == [200, 200]
    (warning,) = [record.getMessage() for record in caplog.records if record.name == "holdfast"]
    assert "LimitRule 'items' is about the route /items/{item_id}," in warning
    assert "the app has /items/<int:item_id>" in warning


def _command(app: Flask, *words: str) -> tuple[int, str]:
    done = app.test_cli_runner().invoke(args=["holdfast", *words])
    return done.exit_code, done.output


def test_the_commands(app: Flask) -> None:
    """Each does what it says to the layer of the app."""
    app.config.update(HOLDFAST_HTTP_CACHE={"namespace": "pages", "ignore_query": ["utm_*"]})
    layer = Holdfast(app).layer
    app.add_url_rule("/x", view_func=lambda: Response("x", headers={"Cache-Control": "max-age=60"}))
    assert _command(app, "ping")[1].endswith("ms\n")

    layer.cache.set("k", 1, ttl=60, tags=["t"])
    assert _command(app, "invalidate", "t") == (0, "invalidated t\n")
    assert layer.cache.get("k") is None

    assert "stored" in _get(app, "/x?utm_a=1").headers["Cache-Status"]
    assert _command(app, "purge", "http://localhost/x?utm_b=2") == (0, "purged 1 of 1\n")
    assert "hit" not in _get(app, "/x").headers["Cache-Status"]

    handles = [layer.sessions.create(user="42")[0].handle for _ in range(2)]
    _, output = _command(app, "sessions", "42")
    assert {line.split()[0] for line in output.splitlines()[:-1]} == set(handles)
    assert output.endswith("2 in all\n")
    assert _command(app, "revoke", "42", "--keep", handles[0]) == (0, "ended 1\n")
    assert [each.handle for each in layer.sessions.list("42")] == handles[:1]


def test_a_command_that_fails_says_why(app: Flask) -> None:
    """Without a traceback: what is wrong is the address, not the program."""
    app.config["HOLDFAST_URL"] = "redis://localhost:1/0"
    Holdfast(app)
    for words in (("ping",), ("invalidate", "t"), ("revoke", "42"), ("purge", "/x")):
        code, output = _command(app, *words)
        assert (code, output.startswith("Error: ")) == (1, True), words
