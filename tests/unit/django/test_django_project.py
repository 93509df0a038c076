"""What Django itself builds upon caches and sessions works, and settings that cannot work are noticed."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from holdfast import Layer, default_layer
from holdfast.django import project_layer
from holdfast.events import EntryUnreadable, Event
from support.django_site import Visitor, make_cache, store, text, views

from django.apps import apps  # isort: skip - needs settings
from django.conf import settings  # isort: skip
from django.contrib import auth  # isort: skip
from django.core.cache import caches  # isort: skip
from django.core.exceptions import ImproperlyConfigured  # isort: skip
from django.core.management import call_command  # isort: skip
from django.template import engines  # isort: skip
from django.test import RequestFactory, override_settings  # isort: skip
from django.views.decorators.cache import cache_page  # isort: skip

BACKEND = "holdfast.django.HoldfastCache"
SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"


@pytest.fixture
def use(namespace: str) -> Iterator[Callable[..., Any]]:
    """Return what changes settings until the test ends; the project has an embedded layer of the test's own."""
    changed = []

    def change(**given: Any) -> None:
        given.setdefault("CACHES", {"default": {"BACKEND": BACKEND}})  # so that Django opens it anew
        override = override_settings(HOLDFAST={"url": "memory://", "namespace": namespace}, **given)
        override.enable()
        changed.append(override)

    yield change
    for override in reversed(changed):
        project_layer().close()
        override.disable()
    views.clear()


def test_fragments_of_templates(use: Callable[..., Any]) -> None:
    """``{% cache %}`` renders once, for each value that it varies on."""
    use()
    seen: list[str] = []
    template = engines["django"].from_string(
        "{% load cache %}{% cache 60 part who %}{{ note }}<b>{{ who }}</b>{% endcache %}"
    )

    def note() -> str:
        seen.append("rendered")
        return "&"

    for who in ("a", "b", "a"):
        assert template.render({"note": note, "who": who}) == f"&amp;<b>{who}</b>"
    assert len(seen) == 2


@pytest.mark.parametrize("is_async", [False, True])
def test_pages_of_a_site(use: Callable[..., Any], is_async: bool) -> None:
    """`cache_page` and the middleware for whole sites serve what they have stored, headers included."""
    use(
        MIDDLEWARE=["django.middleware.cache.UpdateCacheMiddleware", "django.middleware.cache.FetchFromCacheMiddleware"]
    )
    runs: list[str] = []

    def view(request: Any) -> Any:
        runs.append(request.path)
        return text(str(len(runs)), headers={"X-Own": "é".encode().decode("latin-1")})

    views["site"] = view
    visitor = Visitor(is_async=is_async)
    first, again = visitor.ask("get", "/site"), visitor.ask("get", "/site")
    assert (first.text_body, again.text_body, again["X-Own"]) == (b"1", b"1", first["X-Own"])
    with override_settings(MIDDLEWARE=[]):
        views["page"] = cache_page(60)(view)
        bodies = {Visitor(is_async=False).ask("get", "/page").text_body for _ in range(2)}
    assert bodies == {b"2"}


@pytest.mark.parametrize("engine", ["cache", "cached_db"])
def test_django_s_own_session_engines_on_our_cache(use: Callable[..., Any], engine: str) -> None:
    """They store, find and end sessions."""
    installed = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"]
    use(SESSION_ENGINE=f"django.contrib.sessions.backends.{engine}", MIDDLEWARE=[SESSIONS], INSTALLED_APPS=installed)
    if engine == "cached_db":
        call_command("migrate", verbosity=0, run_syncdb=True)
    visitor = Visitor(is_async=False)
    views["set"] = lambda request: (request.session.update({"a": [1]}), text())[1]
    views["get"] = lambda request: text(str(request.session.get("a")))
    views["end"] = lambda request: (request.session.flush(), text())[1]
    assert [visitor.ask("get", f"/{each}").text_body for each in ("set", "get", "end", "get")] == [
        b"body", b"[1]", b"body", b"None"
    ]  # fmt: skip


@pytest.mark.parametrize("is_async", [False, True])
def test_sessions_over_requests(use: Callable[..., Any], is_async: bool) -> None:
    """Django's middleware sets the cookie when something was stored, changed inside too, and deletes it at the end."""
    use(MIDDLEWARE=[SESSIONS])
    visitor = Visitor(is_async=is_async)
    views["set"] = lambda request: (request.session.update({"a": [1]}), text())[1]
    views["add"] = lambda request: (request.session["a"].append(2), text())[1]
    views["get"] = lambda request: text(str(request.session.get("a")))
    views["none"] = lambda request: text()
    views["end"] = lambda request: (request.session.flush(), text())[1]
    assert "sessionid" not in visitor.ask("get", "/none").cookies
    first = visitor.ask("get", "/set").cookies["sessionid"]
    assert (first["httponly"], first["samesite"]) == (True, "Lax")
    visitor.ask("get", "/add")
    got = visitor.ask("get", "/get")
    assert (got.text_body, got["Vary"]) == (b"[1, 2]", "Cookie")
    assert visitor.ask("get", "/end").cookies["sessionid"].value == ""
    assert visitor.ask("get", "/get").text_body == b"None"


def test_logging_in_and_out(use: Callable[..., Any]) -> None:
    """The key changes with each step, the user's sessions are known, and a session that was ended answers 400."""
    use(MIDDLEWARE=[SESSIONS, "django.contrib.auth.middleware.AuthenticationMiddleware"])
    call_command("migrate", verbosity=0, run_syncdb=True)
    user = auth.get_user_model().objects.create_user("ada", password="x")
    visitor = Visitor(is_async=False)
    keys: list[Any] = []

    def view(act: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def respond(request: Any) -> Any:
            act(request)
            keys.append(request.session.session_key)
            return text(str(request.user))

        return respond

    views["cart"] = view(lambda request: request.session.update({"cart": ["tea"]}))
    views["in"] = view(lambda request: auth.login(request, user))
    views["look"] = view(lambda request: request.session["cart"])
    views["password"] = view(lambda request: auth.update_session_auth_hash(request, user))
    views["out"] = view(auth.logout)
    assert [visitor.ask("get", f"/{name}").text_body for name in ("cart", "in", "look", "password", "look", "out")] == [
        b"AnonymousUser", b"ada", b"ada", b"ada", b"ada", b"AnonymousUser"
    ]  # fmt: skip
    assert keys[0] is keys[5] is None
    assert keys[1] == keys[2] != keys[3] == keys[4]
    visitor.ask("get", "/in")
    sessions = project_layer().sessions
    assert len(sessions.list(str(user.pk))) == 1

    def ended(request: Any) -> None:
        request.session["late"] = 1
        sessions.revoke_all(str(user.pk))

    views["late"] = view(ended)
    assert visitor.ask("get", "/late").status_code == 400
    assert sessions.list(str(user.pk)) == []

    async def both() -> tuple[Any, Any]:
        request: Any = RequestFactory().get("/")
        request.session = store()
        await auth.alogin(request, user)
        await request.session.asave()
        found = await sessions.alist(str(user.pk))
        await auth.alogout(request)
        return found, await sessions.alist(str(user.pk))

    if hasattr(store(), "aget"):  # Django 5.1
        found, left = asyncio.run(both())
        assert (len(found), left) == (1, [])


def test_the_client_of_django_s_tests(use: Callable[..., Any]) -> None:
    """It can change a session, log a user in without a password, and log out; a handle stays through all of it."""
    use(MIDDLEWARE=[SESSIONS, "django.contrib.auth.middleware.AuthenticationMiddleware"])
    call_command("migrate", verbosity=0, run_syncdb=True)
    user, _ = auth.get_user_model().objects.get_or_create(username="bob")
    client = Visitor(is_async=False).client
    session = client.session
    session["cart"] = ["tea"]
    assert session.handle in ("", session.session_key.split(".")[0])
    session.save()
    views["who"] = lambda request: text(f"{request.user} {request.session.get('cart')}")
    client.force_login(user)
    assert client.get("/who").content == b"bob ['tea']"
    assert client.session.handle == session.handle
    client.logout()
    assert client.get("/who").content == b"AnonymousUser None"


def test_async_methods_use_no_thread(use: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """They are native: nothing is handed to a thread that would serve one at a time."""
    use()

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a thread was asked for")

    monkeypatch.setattr("django.core.cache.backends.base.sync_to_async", refuse)
    monkeypatch.setattr("django.contrib.sessions.backends.base.sync_to_async", refuse, raising=False)
    threads = threading.active_count()

    async def scenario() -> None:
        cache = caches["default"]
        await cache.aset_many({"a": 1})
        assert await cache.aincr("a") == 2
        assert await cache.adecr("a") == 1
        assert await cache.aincr_version("a") == 2
        assert await cache.adecr_version("a", version=2) == 1
        assert await cache.aget_or_set("b", 1) == 1
        await cache.atouch("a")
        await cache.adelete_many(["a"])
        await cache.aclear()
        session = store()
        await session.acreate()
        await session.acycle_key()
        await session.aflush()
        assert threading.active_count() == threads

    asyncio.run(scenario())


def test_what_somebody_else_wrote_is_a_miss(namespace: str) -> None:
    """Neither a value without our signature nor one that was signed for another key is ever unpickled."""
    cache = make_cache("memory://forged", namespace)
    told: list[Event] = []
    with cache.layer as layer:
        layer.add_hook(told.append)
        cache.set("a", [1])
        cache.set("b", [2])
        port, shelf = layer.engine.blocking, cache._shelf
        from holdfast._calls import drive
        from holdfast.commands import get, put

        keys = [shelf._key(f":1:{name}", shelf._known) for name in "ab"]
        theirs = drive(port.call(get(keys[1])))
        for forged in (theirs, pickle.dumps([3]), b"12x", theirs[:-1] + b"!", b""):
            drive(port.call(put(keys[0], forged, 60)))
            assert cache.get("a", "miss") == "miss"
            assert cache.add("a", "new") is False
            assert cache.get_or_set("a", "new") == "new"
            assert cache.get("a") == "new"
    assert [type(each) for each in told].count(EntryUnreadable) == 10


def test_a_new_secret_key_with_the_old_one_to_fall_back_on(namespace: str) -> None:
    """What was stored before stays readable; without the fallback it is a miss."""
    with override_settings(SECRET_KEY="old"), make_cache("memory://keys", namespace).layer:
        make_cache("memory://keys", namespace).set("a", [1])
        with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"]):
            after = make_cache("memory://keys", namespace)
            with after.layer:
                assert after.get("a") == [1]
        with override_settings(SECRET_KEY="new"):
            without = make_cache("memory://keys", namespace)
            with without.layer:
                assert without.get("a") is None


def test_plain_serializers_refuse_what_they_would_change(namespace: str) -> None:
    """With JSON a tuple would come back as a list; that shows when storing."""
    from holdfast import SerializationError

    cache = make_cache("memory://plain", namespace, OPTIONS={"serializer": "json"})
    with cache.layer:
        cache.set("a", {"b": [1]})
        assert cache.get("a") == {"b": [1]}
        with pytest.raises(SerializationError):
            cache.set("a", (1,))
        pickled = make_cache("memory://plain", namespace)
        assert pickled.layer is cache.layer
        assert pickled.get("a") == {"b": [1]}
        with pytest.raises(SerializationError):
            pickled.set("a", lambda: 1)


def test_aliases_share_a_layer_where_they_can(use: Callable[..., Any], namespace: str) -> None:
    """The same URL and options are one set of connections; no LOCATION is the project's own layer."""
    place = {"BACKEND": BACKEND, "LOCATION": "memory://aliases"}
    use(
        CACHES={
            "default": {"BACKEND": BACKEND},
            "a": place,
            "b": {**place, "VERSION": 2, "OPTIONS": {"max_timeout": 60, "MAX_ENTRIES": 5}},
            "c": {**place, "OPTIONS": {"namespace": f"{namespace}-c"}},
            "d": {"BACKEND": BACKEND, "OPTIONS": {"on_failure": "raise"}},
        }
    )
    assert caches["default"].layer is project_layer()
    assert caches["a"].layer is caches["b"].layer
    assert caches["a"].layer is not caches["c"].layer
    assert caches["d"].layer.engine.namespace == project_layer().engine.namespace
    assert caches["d"].layer is not project_layer()
    caches["a"].set("key", 1, version=2)
    assert caches["b"].get("key") == 1
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(caches["a"]))
    thread.start()
    thread.join()
    assert found[0] is not caches["a"]
    assert found[0].layer is caches["a"].layer
    caches.close_all()
    assert caches["a"].get("key", version=2) == 1
    for name in ("a", "c", "d"):
        caches[name].layer.close()


def test_the_app_makes_the_project_s_layer_the_default(
    use: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With it in INSTALLED_APPS, decorators without ``layer=`` use what the settings say."""
    monkeypatch.setattr("holdfast.defaults._default", None)
    use()
    with override_settings(INSTALLED_APPS=["holdfast.django"]):
        assert apps.get_app_config("holdfast").verbose_name == "holdfast"
        assert default_layer() is project_layer()


@pytest.mark.parametrize(
    ("location", "options", "complaint"),
    [
        (["memory://"], {}, "LOCATION must be one URL"),
        ("memory://", {"CLIENT_CLASS": "x"}, "OPTIONS has no 'CLIENT_CLASS'; it has compression"),
        ("memory://", {"max_timeout": None}, "max_timeout"),
        ("memory://", {"serializer": "nonsense"}, "'nonsense' is not known"),
        ("memory://", {"on_failure": "nonsense"}, "on_failure"),
        ("redis:/localhost", {}, "redis"),
    ],
)
def test_caches_that_cannot_work(location: Any, options: dict[str, Any], complaint: str) -> None:
    """They are noticed when Django makes them, with what to write instead."""
    from holdfast.django import HoldfastCache

    with pytest.raises(ImproperlyConfigured, match=complaint):
        HoldfastCache(location, {"OPTIONS": options})


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("memory://", "HOLDFAST must be a dict"),
        ({"uri": "memory://"}, "HOLDFAST has no option 'uri'"),
        ({"sessions": 1}, r"HOLDFAST\['sessions'\] must be a dict"),
        ({"sessions": {"idle": 1}}, "no option"),
        ({"sessions": {"absolute": 0}}, "absolute"),
    ],
)
def test_a_project_that_cannot_work(setting: Any, complaint: str) -> None:
    """It is noticed when the first part of it is needed."""
    with override_settings(HOLDFAST=setting), pytest.raises(ImproperlyConfigured, match=complaint):
        store()


def test_a_project_without_the_setting_uses_the_default_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """As every other part of holdfast does."""
    with Layer("memory://without-setting") as layer, override_settings():
        monkeypatch.setattr("holdfast.defaults._default", layer)
        del settings.HOLDFAST
        assert project_layer() is layer
