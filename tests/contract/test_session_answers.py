"""Answers with sessions: their fields, caches before them, Redis away, late bodies, and what is said twice."""

from __future__ import annotations

from typing import Any

import pytest

import holdfast.asgi
import holdfast.wsgi
from holdfast import Layer
from holdfast.errors import ConfigurationError
from holdfast.events import SessionDropped
from support.http_clients import AppError
from support.http_world import FRONTS, colour_of
from support.peeking import told
from support.ports import free_port
from support.session_site import Says, Site, put
from support.staged import Stage

fronts = pytest.mark.parametrize("front", FRONTS)

SAVED = "private, no-store"


def says(*lines: str, **values: Any) -> Any:
    """Return an app that assigns, and answers with some fields."""

    def act(session: Any) -> Says:
        session.mark_accessed()
        session.update(values)
        return Says((name, value) for name, _, value in (line.partition(": ") for line in lines))

    return act


@fronts
def test_what_an_answer_says_of_its_session(front: str, namespace: str) -> None:
    """One that looked at it varies with the cookie and is private; one that sets the cookie is stored by nobody."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(f"memory://{namespace}", namespace=namespace)) as layer:
            site = Site(front, layer)

            async def fields(act: Any = None) -> tuple[str | None, str | None]:
                got = await site.ask(act)
                return got.fields.get("vary"), got.fields.get("cache-control")

            assert await fields(None) == (None, None)
            assert await fields(dict) == ("Cookie", "private")
            assert await fields(lambda session: session.get("a") and None) == ("Cookie", "private")
            assert await fields(says("Vary: Accept", "Cache-Control: public, max-age=5")) == (
                "Accept, Cookie",
                "public, max-age=5",
            )
            for vary in ("*", "cookie", "Accept, COOKIE"):
                assert (await fields(says(f"Vary: {vary}")))[0] == vary
            lines = (
                "Cache-Control: public, max-age=60",
                "CDN-Cache-Control: max-age=60",
                "Shop-CDN-Cache-Control: max-age=60",
                "Surrogate-Control: max-age=60",
                "Edge-Control: max-age=60",
                "X-Accel-Expires: 60",
                "Expires: Thu, 01 Jan 2099 00:00:00 GMT",
            )
            for act in (says(*lines, a=1), lambda session: (session.rotate(), says(*lines)(session))[1]):
                got = await site.ask(act)
                assert got.fields.get("cache-control") == SAVED
                assert got.fields.get("vary") == "Cookie"
                kept = {name.lower() for name, _ in got.fields.pairs}
                assert kept == {"cache-control", "vary", "set-cookie"}, kept
            assert await fields(put(a=2)) == ("Cookie", "private")

    colour.run(scenario)


@fronts
def test_our_cache_before_it(front: str, namespace: str) -> None:
    """It stores no page that sets a cookie, whatever the app says, and shows nobody the page of another."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(f"memory://{namespace}", namespace=namespace)) as layer:
            cache = holdfast.asgi.CacheMiddleware if front == "asgi" else holdfast.wsgi.CacheMiddleware
            site = Site(front, layer, around=lambda app: cache(app, layer=layer))
            public = ("Cache-Control: public, max-age=60, s-maxage=60", "CDN-Cache-Control: max-age=60")
            for path in ("/a", "/b"):
                await site.ask(says(*public, a=path), line=f"GET {path}", keep=path == "/a")
            before = site.asked
            for path in ("/a", "/b"):
                got = await site.ask(line=f"GET {path}", cookie="")
                assert got.fields.get("set-cookie") is None
            assert site.asked == before + 2, "neither was stored"
            await site.ask(says("Cache-Control: max-age=60"), line="GET /mine")
            before = site.asked
            for cookie in ("", "session=another"):
                await site.ask(lambda session: Says(), line="GET /mine", cookie=cookie)
            assert site.asked == before + 2, "the page of one was shown to another"
            await site.ask(lambda _: Says([("Cache-Control", "max-age=60")]), line="GET /public", cookie="")
            before = site.asked
            await site.ask(line="GET /public", cookie="")
            assert site.asked == before, "a page that asked for no session is stored"

    colour.run(scenario)


@fronts
def test_redis_is_away(front: str, namespace: str) -> None:
    """Who needs a session gets 503, and the app nothing but an error; what cannot be stored is not promised."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(f"memory://{namespace}", namespace=namespace)) as layer:
            stage, site = Stage(layer), Site(front, layer)
            await site.ask(put(a=1))
            beyond: list[Any] = []

            def looks(session: Any) -> None:
                beyond.append(dict(session))

            with stage.away():
                for line in ("GET /", "HEAD /", "POST /"):
                    got = await site.ask(looks, line=line)
                    assert (got.status, got.fields.get("retry-after")) == (503, "1")
                    assert got.fields.get("cache-control") == "no-store"
                    assert got.fields.get("set-cookie") is None
                    assert bool(got.body) == (line != "HEAD /")
                assert beyond == [], "it went on with the session of a stranger"
                for look in (lambda session: session.user, lambda session: session.log_out(), put(a=2), len):
                    assert (await site.ask(look)).status == 503
                assert (await site.ask()).body == b"done"
                assert (await site.ask(looks, cookie="")).body == b"done"
                assert (await site.ask(put(a=1), cookie="")).status == 503

            def leaves(session: Any) -> Says:
                session["a"] = 3
                stage.is_away = True
                return Says([("X-App", "its answer"), ("Content-Type", "text/plain")])

            for line in ("GET /", "HEAD /"):
                got = await site.ask(leaves, line=line)
                stage.is_away = False
                assert (got.status, got.fields.get("x-app")) == (503, None)
                assert got.fields.get("content-length") == str(len(got.body)) or line == "HEAD /"
                assert b"done" not in got.body
                assert bool(got.body) == (line != "HEAD /")
            assert dict(await colour.of(layer.sessions).open(site.value)) == {"a": 1}

    colour.run(scenario)


@fronts
def test_redis_is_away_and_that_is_to_be_borne(front: str, namespace: str) -> None:
    """With "open" the app gets an empty session; nothing is stored, no cookie is set, and hooks hear of it."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(f"memory://{namespace}", namespace=namespace)) as layer:
            stage, site, seen = Stage(layer), Site(front, layer, on_failure="open"), list[Any]()
            dropped = told(layer, SessionDropped)
            await site.ask(put(a=1))

            def act(session: Any) -> None:
                seen.append(dict(session))
                session["b"] = 2

            with stage.away():
                got = await site.ask(act)
            assert (got.status, got.body, got.fields.get("set-cookie"), seen) == (200, b"done", None, [{}])
            assert [(each.reason, each.names) for each in dropped] == [("unavailable", ("b",))]

            def leaves(session: Any) -> None:
                session["a"] = 3
                stage.is_away = True

            got = await site.ask(leaves)
            stage.is_away = False
            assert (got.status, got.fields.get("set-cookie")) == (200, None)
            assert [(each.handle, each.names) for each in dropped[1:]] == [(site.handle, ("a",))]

            def logs_out(session: Any) -> None:
                session.log_out()
                stage.is_away = True

            value = site.value
            got = await site.ask(logs_out)
            stage.is_away = False
            assert "Max-Age=0" in (got.fields.get("set-cookie") or "")
            assert dict(await colour.of(layer.sessions).open(value)) == {"a": 1}

    colour.run(scenario)


@fronts
def test_no_redis_at_all(front: str, namespace: str) -> None:
    """Where nobody listens, requests with a cookie get 503, and those without are served."""
    colour = colour_of(front)

    async def scenario() -> None:
        url = f"redis://127.0.0.1:{free_port()}/0"
        async with colour.using(Layer(url, namespace=namespace)) as layer:
            site = Site(front, layer)
            assert (await site.ask(dict, cookie="session=" + "B" * 22 + "." + "C" * 43)).status == 503
            assert (await site.ask(dict)).status == 200

    colour.run(scenario)


@fronts
def test_an_app_that_fails(front: str, namespace: str) -> None:
    """Nothing of what it had done is stored."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(f"memory://{namespace}", namespace=namespace)) as layer:
            site = Site(front, layer)
            await site.ask(put(a=1))

            def fails(session: Any) -> None:
                session["a"] = 2
                session.rotate()
                raise AppError

            got = await site.ask(fails)
            assert isinstance(got.error, AppError)
            assert dict(await colour.of(layer.sessions).open(site.value)) == {"a": 1}

    colour.run(scenario)


@pytest.mark.parametrize(
    "options",
    [
        {"idle": 0},
        {"absolute": -1},
        {"grace": "soon"},
        {"on_failure": "raise"},
        {"on_unreadable": "no"},
        {"user_key": ""},
        {"idle": "7d"},
        {"user_key": 1},
        {"serializer": ""},
        {"same_site": "none"},
        {"cookie": "__Host-a", "path": "/a"},
        {"cookie": "a b"},
        {"unknown": 1},
        {"secure": "yes"},
        {"layer": "redis://localhost"},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_options_that_cannot_work(kind: str, options: dict[str, Any]) -> None:
    """They show when the middleware is made."""
    middleware: Any = getattr(holdfast, kind).SessionMiddleware
    with pytest.raises(ConfigurationError):
        middleware(lambda *_: None, **options)
