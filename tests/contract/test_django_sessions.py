"""`holdfast.django.sessions`: Django's sessions, in both colours, wherever Redis is."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from holdfast import BackendError, SerializationError
from holdfast.django import project_layer
from support.colours import Colour
from support.django_site import store
from support.programs import Program
from support.standalone import Standalone
from support.topologies import Topology

from django.contrib.sessions.backends.base import UpdateError  # isort: skip - needs settings
from django.contrib.sessions.exceptions import SessionInterrupted  # isort: skip
from django.test import override_settings  # isort: skip

Check = Callable[[], Coroutine[Any, Any, None]]


@pytest.fixture
def run(colour: Colour, topology: Topology, namespace: str) -> Callable[..., None]:
    """Return what runs a check with sessions of the test's own."""

    def run_check(check: Check, **options: Any) -> None:
        async def scenario() -> None:
            async with colour.using(project_layer()):
                await check()

        with override_settings(HOLDFAST={"url": topology.url, "namespace": namespace, "sessions": options}):
            colour.run(scenario)

    return run_check


def test_a_session_is_stored_under_a_key_of_ours(run: Callable[..., None], colour: Colour) -> None:
    """It comes back by its key, whole; one that holds nothing yet is empty, and costs nothing."""

    async def check() -> None:
        new = store()
        assert (new.session_key, new.is_empty(), new.modified, new.accessed) == (None, True, False, False)
        new["cart"] = ["tea"]
        new["when"] = datetime(2024, 5, 1, tzinfo=UTC)
        await colour.of(new).save()
        assert new.session_key
        again = store(new.session_key)
        assert await colour.of(again).load() == {"cart": ["tea"], "when": datetime(2024, 5, 1, tzinfo=UTC)}
        assert await colour.of(again).exists(new.session_key) is True
        assert again.modified is False
        await colour.of(again).create()
        assert again.session_key != new.session_key
        assert await colour.of(store()).exists(again.session_key) is True

    run(check)


def test_a_key_that_is_not_ours_is_never_taken_over(run: Callable[..., None], colour: Colour) -> None:
    """Whatever a client sends, what is stored gets a fresh key (OWASP: session fixation)."""

    async def check() -> None:
        mine = store()
        mine["a"] = 1
        await colour.of(mine).save()
        handle = mine.session_key.split(".")[0]
        for chosen in ("x" * 32, f"{handle}.{'A' * 43}", f"{'A' * 22}.{'A' * 43}", "short", "\n", "é" * 66, "", None):
            fresh = store(chosen)
            await colour.of(fresh).load_once()
            assert "a" not in fresh
            assert (fresh.session_key, fresh.is_empty()) == (None, True)
            assert await colour.of(fresh).exists(chosen) is False
            fresh = store(chosen)
            fresh["b"] = 2
            await colour.of(fresh).save()
            assert fresh.session_key not in (chosen, mine.session_key, None)
            await colour.of(store(chosen)).delete()
            await colour.of(store()).delete(chosen)
        assert await colour.of(store(mine.session_key)).load() == {"a": 1}

    run(check)


def test_requests_at_the_same_time_keep_each_other_s_changes(run: Callable[..., None], colour: Colour) -> None:
    """Each writes what it has changed, also inside of values; counting together loses nothing."""

    async def check() -> None:
        first = store()
        first["cart"], first["visits"], first["theme"] = {"tea": 1}, 0, "light"
        await colour.of(first).save()
        one, other = store(first.session_key), store(first.session_key)
        for each, good in ((one, "cup"), (other, "pot")):
            await colour.of(each).load_once()
            each["cart"][good] = 1
            await colour.of(each).change("visits", lambda visits: visits + 1)
        other["theme"] = "dark"
        del one["theme"]
        one["theme"] = "light"
        assert (one.modified, other.modified) == (True, True)
        await colour.of(other).save()
        await colour.of(one).save()
        found = await colour.of(store(first.session_key)).load()
        assert dict(found) == {"cart": {"tea": 1, "cup": 1, "pot": 1}, "visits": 2, "theme": "dark"}

    run(check)


def test_a_change_inside_is_seen(run: Callable[..., None], colour: Colour) -> None:
    """Nobody has to say ``modified = True``, so Django's middleware saves."""

    async def check() -> None:
        first = store()
        first["list"] = [1]
        await colour.of(first).save()
        again = store(first.session_key)
        await colour.of(again).load_once()
        assert again.modified is False
        again["list"].append(2)
        assert again.modified is True

    run(check)


def test_cycle_key(run: Callable[..., None], colour: Colour) -> None:
    """The data stay, under a new key that is there at once; the old one is dead."""

    async def check() -> None:
        session = store()
        session["a"] = 1
        await colour.of(session).save()
        before = session.session_key
        await colour.of(session).cycle_key()
        assert session.session_key != before
        assert session.modified
        assert await colour.of(store(before)).load() == {}
        assert await colour.of(store(session.session_key)).load() == {"a": 1}
        empty = store()
        await colour.of(empty).cycle_key()
        assert await colour.of(empty).exists(empty.session_key) is True

    run(check)


def test_flush_ends_the_session_for_everybody(run: Callable[..., None], colour: Colour) -> None:
    """A request that was running meanwhile cannot bring it back: it is told, as Django tells it."""

    async def check() -> None:
        session = store()
        session["a"], session["_auth_user_id"] = 1, "7"
        await colour.of(session).save()
        late, cycling = store(session.session_key), store(session.session_key)
        same = store(session.session_key)
        for each in (late, cycling, same):
            await colour.of(each).load_once()
        late["b"] = 2
        same["a"] = 1
        await colour.of(session).flush()
        assert (session.session_key, session.is_empty()) == (None, True)
        for each in (late, same):
            with pytest.raises(UpdateError):
                await colour.of(each).save()
        with pytest.raises(SessionInterrupted):
            await colour.of(cycling).cycle_key()
        assert await colour.of(store(late.session_key)).load() == {}
        session["c"] = 3
        await colour.of(session).save()
        assert await colour.of(store(session.session_key)).load() == {"c": 3}

    run(check)


def test_a_visitor_whose_session_ended_while_logging_in_gets_a_new_one(
    run: Callable[..., None], colour: Colour
) -> None:
    """Before anybody is logged in there is nothing that must not come back."""

    async def check() -> None:
        session = store()
        session["cart"] = ["tea"]
        await colour.of(session).save()
        other = store(session.session_key)
        await colour.of(other).load_once()
        await colour.of(session).delete()
        await colour.of(other).cycle_key()
        assert other.session_key != session.session_key
        assert await colour.of(store(other.session_key)).load() == {"cart": ["tea"]}

    run(check)


def test_a_late_request_does_not_take_the_new_cookie_away(run: Callable[..., None], colour: Colour) -> None:
    """One that comes with the key of a moment ago finds nothing, stores nothing, and its cookie is left alone."""

    async def check() -> None:
        session = store()
        session["a"] = 1
        await colour.of(session).save()
        before = session.session_key
        await colour.of(session).cycle_key()
        late = store(before)
        await colour.of(late).load_once()
        assert late.is_empty() is False
        late["b"] = 1
        with pytest.raises(UpdateError):
            await colour.of(late).save()

    run(check)


def test_users_are_known_and_can_be_thrown_out(run: Callable[..., None], colour: Colour) -> None:
    """`layer.sessions` lists those who are logged in; revoking ends each of their sessions."""

    async def check() -> None:
        sessions = colour.of(project_layer().sessions)
        logged = [store(), store()]
        for each in logged:
            await colour.of(each).cycle_key()
            each["_auth_user_id"] = "7"
            before = each.session_key
            await colour.of(each).save()
            assert each.session_key == before
        assert len(await sessions.list("7")) == 2
        await colour.of(logged[0]).flush()
        assert len(await sessions.list("7")) == 1
        assert await sessions.revoke_all("7") == 1
        assert await colour.of(store(logged[1].session_key)).load() == {}

    run(check)


def test_clear_keeps_the_session(run: Callable[..., None], colour: Colour) -> None:
    """It is empty after, and has its key."""

    async def check() -> None:
        session = store()
        session["a"], session["b"] = 1, 2
        await colour.of(session).save()
        again = store(session.session_key)
        await colour.of(again).load_once()
        again.clear()
        assert not again.keys()
        assert again.modified
        await colour.of(again).save()
        assert again.session_key == session.session_key
        assert await colour.of(again).exists(session.session_key) is True
        assert await colour.of(store(session.session_key)).load() == {}

    run(check)


@pytest.mark.parametrize(
    ("expiry", "age", "closes"),
    [(300, 300, False), (timedelta(seconds=500), 500, False), (0, 1209600, True), (None, 1209600, False)],
)
def test_expiry(colour: Colour, server_topology: Topology, namespace: str, expiry: Any, age: int, closes: bool) -> None:
    """What `set_expiry` says is how long the session lasts, in the cookie and in Redis; nothing lasts for ever."""

    async def scenario() -> None:
        async with colour.using(project_layer()):
            session = store()
            session["a"] = 1
            await colour.of(session).save()
            session.set_expiry(77)
            await colour.of(session).save()
            session.set_expiry(expiry)
            await colour.of(session).save()
            again = store(session.session_key)
            await colour.of(again).load_once()
            assert age - 5 < again.get_expiry_age() <= age
            assert again.get_expire_at_browser_close() is closes
            (left,) = server_topology.ttls(f"{namespace}:session:").values()
            assert age - 5 < left <= age

    with override_settings(HOLDFAST={"url": server_topology.url, "namespace": namespace}):
        colour.run(scenario)


def test_a_session_that_has_expired(run: Callable[..., None], colour: Colour) -> None:
    """It is not found; nobody has to clear anything away."""

    async def check() -> None:
        session = store()
        session["a"] = 1
        session.set_expiry(-1)
        await colour.of(session).save()
        await colour.sleep(0.005)
        assert await colour.of(store(session.session_key)).load() == {}
        await colour.of(type(session)).clear_expired()

    run(check)


def test_values_that_would_come_back_as_something_else(run: Callable[..., None], colour: Colour) -> None:
    """They are refused when saving."""

    async def check() -> None:
        session = store()
        session["a"] = UpdateError
        with pytest.raises(SerializationError):
            await colour.of(session).save()

    run(check)


def test_sessions_may_be_pickled(run: Callable[..., None], colour: Colour) -> None:
    """Then they hold whatever pickle takes, signed with what is derived from SECRET_KEY."""

    async def check() -> None:
        session = store()
        session["a"] = UpdateError
        await colour.of(session).save()
        assert await colour.of(store(session.session_key)).load() == {"a": UpdateError}

    run(check, serializer="pickle")


def test_what_another_secret_has_signed_is_no_session(
    colour: Colour, server_topology: Topology, namespace: str
) -> None:
    """As in Django, it is as if there was none; SECRET_KEY_FALLBACKS keeps it readable."""

    def with_keys(key: str, *fallbacks: str) -> Any:
        return override_settings(
            SECRET_KEY=key,
            SECRET_KEY_FALLBACKS=list(fallbacks),
            HOLDFAST={"url": server_topology.url, "namespace": namespace, "sessions": {"serializer": "pickle"}},
        )

    keys: list[str] = []

    async def begin() -> None:
        async with colour.using(project_layer()):
            session = store()
            session["a"] = {1}
            await colour.of(session).save()
            keys.append(session.session_key)

    async def look() -> Any:
        async with colour.using(project_layer()):
            return dict(await colour.of(store(keys[0])).load())

    with with_keys("the old one"):
        colour.run(begin)
    with with_keys("the new one", "the old one"):
        assert colour.run(look) == {"a": {1}}
    with with_keys("the new one"):
        assert colour.run(look) == {}


def test_without_redis_nobody_becomes_a_stranger(colour: Colour, program: Program) -> None:
    """Reading and saving raise: a visitor who is logged in must not get a new, empty session."""

    async def scenario() -> None:
        async with colour.using(project_layer()):
            session = store()
            session["a"] = 1
            await colour.of(session).save()
            server.stop()
            again = store(session.session_key)
            with pytest.raises(BackendError):
                await colour.of(again).load()
            assert again.session_key == session.session_key
            session["b"] = 1
            with pytest.raises(BackendError):
                await colour.of(session).save()

    with Standalone(program) as server, override_settings(HOLDFAST={"url": server.url}):
        colour.run(scenario)
