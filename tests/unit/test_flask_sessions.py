"""`flask.session` over the sessions of holdfast: what Flask and its extensions expect of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from http.cookies import SimpleCookie
from typing import Any
from uuid import UUID

import pytest
from flask import Flask, flash, get_flashed_messages, request, session, stream_with_context
from flask.testing import FlaskClient
from markupsafe import Markup
from werkzeug.test import TestResponse

from holdfast import ConfigurationError, Layer, SessionError
from holdfast.flask import Holdfast, HoldfastSession, HoldfastSessionInterface
from holdfast.flask import session as typed_session
from support.standalone import Standalone

VALUES: dict[str, Any] = {
    "tuple": (1, "b", (b"c",)),
    "bytes": b"\x00\xff",
    "uuid": UUID("12345678123456781234567812345678"),
    "datetime": datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC),
    "date": date(2025, 1, 2),
    "markup": Markup("<b>bold</b>"),
    "decimal": Decimal("1.10"),
    "set": {1, 2},
    "nested": {"list": [{"tuple": (1, 2)}], 7: "number as a key"},
    "none": None,
}


@pytest.fixture
def layer(namespace: str) -> Iterator[Layer]:
    with Layer(namespace=namespace) as layer:
        yield layer


def _make(layer: Layer, **options: Any) -> Flask:
    app = Flask("sessions")
    app.config["HOLDFAST_SESSIONS"] = options or True
    Holdfast(app, layer=layer)

    @app.route("/set/<name>/<value>", methods=["GET", "POST"])
    def set_one(name: str, value: str) -> str:
        session[name] = value
        return "set"

    @app.get("/get/<name>")
    def get_one(name: str) -> str:
        return f"{session.get(name)}"

    @app.get("/plain")
    def plain() -> str:
        return "plain"

    return app


@pytest.fixture
def app(layer: Layer) -> Flask:
    return _make(layer)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def _cookie(got: TestResponse) -> Any:
    """Return the only cookie that a response sets."""
    (field,) = got.headers.getlist("Set-Cookie")
    ((_, morsel),) = SimpleCookie(field).items()
    return morsel


def _clear() -> None:
    session.clear()


def _visit(app: Flask, function: Any) -> Any:
    """Call a function in a request of its own, and return what it returns."""
    app.view_functions["visit"] = lambda: {"result": repr(function())}
    if "visit" not in {rule.endpoint for rule in app.url_map.iter_rules()}:
        app.url_map.add(app.url_rule_class("/visit", endpoint="visit", methods={"GET"}))
    return "/visit"


def test_values_come_back_with_their_types(app: Flask, client: FlaskClient) -> None:
    """Those that Flask's own session keeps, and more."""
    client.get(_visit(app, lambda: session.update(VALUES)))
    found: dict[str, Any] = {}
    client.get(_visit(app, lambda: found.update(session)))
    assert found == VALUES
    assert {name: type(value) for name, value in found.items()} == {n: type(v) for n, v in VALUES.items()}
    assert type(found["nested"]["list"][0]["tuple"]) is tuple


def test_changes_inside_of_values_are_kept(app: Flask, client: FlaskClient) -> None:
    """Without `session.modified`, which may be set all the same."""
    client.get(_visit(app, lambda: session.update(cart={"items": []})))
    client.get(_visit(app, lambda: session["cart"]["items"].append("teapot")))
    got: list[Any] = []
    client.get(_visit(app, lambda: got.append((session["cart"], session.modified))))
    assert got == [({"items": ["teapot"]}, False)]

    def mark() -> None:
        session["cart"]["items"].append("kettle")
        session.modified = True
        got.append(session.modified)

    client.get(_visit(app, mark))
    client.get(_visit(app, lambda: got.append(session["cart"]["items"])))
    assert got[1:] == [True, ["teapot", "kettle"]]


def test_a_request_that_does_not_touch_the_session_costs_nothing(program: Any) -> None:
    """No command, no Set-Cookie, no Vary; a read costs one command, and a write another one."""
    with Standalone(program) as server, Layer(server.url, namespace="flask") as layer:
        client = _make(layer).test_client()
        for path in ("/set/a/1", "/get/a", "/set/a/0"):  # the server has to learn the scripts
            client.get(path)

        def calls(path: str) -> tuple[TestResponse, int]:
            before = _calls(server)
            got = client.get(path)
            return got, _calls(server) - before

        got, count = calls("/plain")
        assert (count, "Set-Cookie" in got.headers, "Vary" in got.headers) == (0, False, False)
        got, count = calls("/get/a")
        assert (count, "Set-Cookie" in got.headers, got.headers["Vary"]) == (1, False, "Cookie")
        got, count = calls("/set/a/2")
        assert (count, "Set-Cookie" in got.headers, got.headers["Vary"]) == (2, False, "Cookie")


def _calls(server: Standalone) -> int:
    stats: dict[str, Any] = server.commandstats()
    return sum(count for name, count in stats.items() if name.lower() in {"evalsha", "eval", "fcall"})


def test_a_visitor_without_data_gets_no_cookie(app: Flask, client: FlaskClient, layer: Layer) -> None:
    """Reading an empty session stores nothing, for robots too."""
    got = client.get("/get/a")
    assert (got.text, got.headers["Vary"], "Set-Cookie" in got.headers) == ("None", "Cookie", False)


def test_a_new_session_has_a_cookie_that_no_cache_keeps(client: FlaskClient) -> None:
    """On HTTPS with all protection that browsers know; a cookie that we did not issue is not taken."""
    client.set_cookie("session", "a" * 22 + "." + "b" * 43)
    got = client.get("/set/a/1")
    cookie = _cookie(got)
    assert (cookie.key, cookie["httponly"], cookie["samesite"], cookie["path"]) == ("session", True, "Lax", "/")
    assert (cookie["secure"], cookie["max-age"], cookie["domain"]) == ("", "", "")
    assert not cookie.value.startswith("a" * 22)
    assert "no-store" in got.headers["Cache-Control"]
    cookie = _cookie(client.get("/set/a/1", base_url="https://localhost"))
    assert (cookie.key, cookie["secure"], cookie["httponly"]) == ("__Host-session", True, True)


def test_the_cookie_is_as_the_app_is_configured(app: Flask) -> None:
    """Each of Flask's settings is followed, also if it is set after the extension was."""
    app.config.update(
        SESSION_COOKIE_NAME="sid",
        SESSION_COOKIE_DOMAIN="example.org",
        SESSION_COOKIE_PATH="/set",
        SESSION_COOKIE_SECURE=True,
        SESSION_COOKIE_HTTPONLY=False,
        SESSION_COOKIE_SAMESITE="Strict",
        SESSION_COOKIE_PARTITIONED=True,
    )
    got = app.test_client().get("/set/a/1", base_url="https://www.example.org")
    (field,) = got.headers.getlist("Set-Cookie")
    name, *attributes = field.split("; ")
    assert name.startswith("sid=")
    assert set(attributes) == {"Domain=example.org", "Path=/set", "Secure", "SameSite=Strict", "Partitioned"}


def test_options_go_before_the_settings(layer: Layer) -> None:
    """They are those of the middleware."""
    cookie = _cookie(_make(layer, cookie="mine", same_site="strict").test_client().get("/set/a/1"))
    assert (cookie.key, cookie["samesite"]) == ("mine", "Strict")


def test_a_permanent_session_outlives_the_browser(app: Flask, client: FlaskClient, layer: Layer) -> None:
    """It lasts for PERMANENT_SESSION_LIFETIME without use, and to say so again in each request costs nothing."""
    app.permanent_session_lifetime = timedelta(days=30)

    def mark() -> tuple[bool, bool]:
        session.permanent = True
        return session.permanent, session.modified

    cookie = _cookie(client.get("/set/a/1"))
    assert cookie["max-age"] == ""
    got = client.get(_visit(app, mark))
    assert got.json == {"result": "(True, True)"}
    assert int(_cookie(got)["max-age"]) > 364 * 86400
    (known,) = [layer.sessions.open(str(each.value)) for each in [client.get_cookie("session")] if each]
    assert known is not None
    assert known.state.known.idle == 30 * 86400
    got = client.get(_visit(app, mark))
    assert got.json == {"result": "(True, False)"}
    assert "Set-Cookie" not in got.headers


def test_session_new_is_about_what_is_stored(app: Flask, client: FlaskClient) -> None:
    """As extensions ask for it; there is a handle as soon as there is a cookie."""
    got = [client.get(_visit(app, lambda: (session.new, session.update(a=1))[0])).json for _ in range(2)]
    assert got == [{"result": "True"}, {"result": "False"}]


def test_clear_ends_the_session(app: Flask, client: FlaskClient) -> None:
    """The cookie goes, and what is written after it is in another session."""
    client.get("/set/a/1")
    before = client.get_cookie("session")
    got = client.get(_visit(app, _clear))
    assert _cookie(got)["max-age"] == "0"
    assert client.get("/get/a").text == "None"
    client.set_cookie("session", str(before and before.value))
    assert client.get("/get/a").text == "None"

    client.get("/set/a/1")
    old = client.get_cookie("session")

    def log_in() -> None:
        session.clear()
        session["b"] = 2

    client.get(_visit(app, log_in))
    new = client.get_cookie("session")
    assert old is not None
    assert new is not None
    assert old.value.partition(".")[0] != new.value.partition(".")[0]
    assert [client.get(f"/get/{name}").text for name in "ab"] == ["None", "2"]


def test_a_log_in_as_flask_login_does_it_changes_the_cookie(app: Flask, client: FlaskClient, layer: Layer) -> None:
    """The old cookie is dead, and the session is found by its user; a log-out takes it out of there."""
    client.get("/set/cart/teapot")
    before = client.get_cookie("session")
    client.get(_visit(app, lambda: session.update(_user_id="42", _fresh=True)))
    after = client.get_cookie("session")
    assert before is not None
    assert after is not None
    assert before.value != after.value
    assert client.get("/get/cart").text == "teapot"
    assert [each.handle for each in layer.sessions.list("42")] == [after.value.partition(".")[0]]
    client.get(_visit(app, lambda: session.pop("_user_id")))
    assert layer.sessions.list("42") == []
    other = app.test_client()
    other.set_cookie("session", before.value)
    assert other.get("/get/cart").text == "None"


def test_all_sessions_of_a_user_can_be_ended(app: Flask, client: FlaskClient, layer: Layer) -> None:
    """After a change of the password say."""
    client.get(_visit(app, lambda: session.update(_user_id="42")))
    assert layer.sessions.revoke_all("42") == 1
    assert client.get("/get/_user_id").text == "None"


def test_messages_are_flashed_once(app: Flask, client: FlaskClient) -> None:
    """They wait in the session for the next page."""
    client.get(_visit(app, lambda: flash("saved", "info")))
    got = [client.get(_visit(app, lambda: get_flashed_messages(with_categories=True))).json for _ in range(2)]
    assert got == [{"result": "[('info', 'saved')]"}, {"result": "[]"}]


def test_a_session_transaction_of_the_test_client(client: FlaskClient) -> None:
    """Tests may prepare a session, and look into it."""
    with client.session_transaction() as prepared:
        prepared["a"] = "prepared"
    assert client.get("/get/a").text == "prepared"
    client.get("/set/b/2")
    with client.session_transaction() as found:
        assert dict(found) == {"a": "prepared", "b": "2"}


def test_a_stream_may_read_the_session_and_not_write_it(app: Flask, client: FlaskClient) -> None:
    """What was written before its first byte is stored by then."""

    @app.get("/stream")
    def stream() -> Any:
        session["a"] = "written"

        def pieces() -> Iterator[str]:
            yield session["a"]
            try:
                session["b"] = "late"
            except SessionError as error:
                yield f" {type(error).__name__}"

        return app.response_class(stream_with_context(pieces()))

    got = client.get("/stream", buffered=False)
    assert _cookie(got).key == "session"
    assert got.text == "written SessionError"
    assert [client.get(f"/get/{name}").text for name in "ab"] == ["written", "None"]


def test_a_view_that_fails_keeps_what_it_has_written(app: Flask, client: FlaskClient) -> None:
    """As with Flask's own sessions: an error page may flash, too."""

    @app.get("/fail")
    def fail() -> None:
        session["a"] = "written"
        raise ZeroDivisionError

    app.logger.disabled = True
    assert client.get("/fail").status_code == 500
    assert client.get("/get/a").text == "written"


def test_two_requests_at_the_same_time_lose_nothing(app: Flask, client: FlaskClient) -> None:
    """Both have loaded the session before either stores it."""
    both = threading.Barrier(2, timeout=20)

    @app.get("/both/<name>")
    def write(name: str) -> str:
        session["cart"] = {**session.get("cart", {}), name: 1}
        session.change("visits", lambda visits: visits + 1, 0)
        session[name] = "mine"
        both.wait()
        return "ok"

    client.get("/set/a/0")
    cookie = client.get_cookie("session")
    assert cookie is not None

    def visit(name: str) -> None:
        visitor = app.test_client()
        visitor.set_cookie("session", cookie.value)
        assert visitor.get(f"/both/{name}").status_code == 200

    threads = [threading.Thread(target=visit, args=(name,)) for name in "xy"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with client.session_transaction() as found:
        assert dict(found) == {"a": "0", "cart": {"x": 1, "y": 1}, "visits": 2, "x": "mine", "y": "mine"}


def test_a_log_out_is_final(app: Flask, client: FlaskClient) -> None:
    """A request that had loaded the session before cannot bring it back."""

    @app.get("/slow")
    def slow() -> str:
        session["a"] = "again"
        other = app.test_client()
        other.set_cookie("session", request.cookies["session"])
        other.get(_visit(app, _clear))
        return "ok"

    client.get("/set/a/1")
    cookie = client.get_cookie("session")
    assert cookie is not None
    assert client.get("/slow").status_code == 200
    other = app.test_client()
    other.set_cookie("session", cookie.value)
    assert other.get("/get/a").text == "None"


def test_while_redis_is_away_nobody_gets_a_session_of_nobody() -> None:
    """Reading and writing answer 503; pages without a session are served."""
    with Layer("redis://localhost:1/0") as away:
        app = _make(away)
        app.logger.disabled = True
        client = app.test_client()
        assert client.get("/plain").status_code == 200
        client.set_cookie("session", "a" * 22 + "." + "b" * 43)
        unread = client.get("/get/a")
        assert (unread.status_code, unread.content_type) == (503, "application/problem+json")
        assert (unread.headers["Retry-After"], unread.headers["Cache-Control"]) == ("1", "no-store")
        assert client.head("/get/a").data == b""
        got = app.test_client().get("/set/a/1")
        assert (got.status_code, got.text == "set", "Set-Cookie" in got.headers) == (503, False, False)
        assert got.headers["Cache-Control"] == "no-store"


def test_sessions_may_fail_open() -> None:
    """By choice: then a visitor is nobody, and what is written is not kept."""
    with Layer("redis://localhost:1/0") as away:
        client = _make(away, on_failure="open").test_client()
        client.set_cookie("session", "a" * 22 + "." + "b" * 43)
        assert client.get("/get/a").text == "None"
        got = client.get("/set/a/1")
        assert (got.status_code, "Set-Cookie" in got.headers) == (200, False)


def test_paths_that_are_exempt_have_no_session(layer: Layer) -> None:
    """Reading finds nothing; writing says what is the matter."""
    app = _make(layer, exempt=["/set", "/health"])
    app.testing = True
    client = app.test_client()
    with pytest.raises(SessionError, match="exempt="):
        client.get("/set/a/1")
    assert client.get("/get/a").text == "None"


def test_what_cannot_be_stored_is_a_mistake_of_the_program(app: Flask, client: FlaskClient) -> None:
    """It does not vanish silently."""
    app.testing = True
    with pytest.raises(Exception, match="object"):
        client.get(_visit(app, lambda: session.update(a=object())))


def test_the_interface_stands_for_itself(layer: Layer) -> None:
    """For apps that want nothing else of holdfast; its options are checked at once."""
    app = Flask("alone")
    app.session_interface = HoldfastSessionInterface(layer, idle="1h")
    app.add_url_rule("/", view_func=lambda: session.setdefault("a", request.path))
    client = app.test_client()
    assert client.get("/").text == "/"
    with client.session_transaction() as found:
        assert isinstance(found, HoldfastSession)
        assert (found.handle != "", found["a"]) == (True, "/")
    with pytest.raises(ConfigurationError, match="no option 'idel'"):
        HoldfastSessionInterface(layer, idel="1h")


def test_the_typed_session_is_flasks_own(app: Flask, client: FlaskClient) -> None:
    """One object under two names: what is written by one is read by the other."""
    assert typed_session is session

    @app.post("/cart/<item>")
    def add(item: str) -> list[str]:
        typed_session.change("cart", lambda cart: [*cart, item], [])
        return session["cart"]  # type: ignore[no-any-return]

    assert client.post("/cart/teapot").json == ["teapot"]
    assert client.post("/cart/kettle").json == ["teapot", "kettle"]
