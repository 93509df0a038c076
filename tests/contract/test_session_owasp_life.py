"""The rest of the OWASP Session Management Cheat Sheet: how sessions end, what is logged, and who sees them."""

from __future__ import annotations

import logging
import secrets
import traceback
from typing import Any

import pytest

from holdfast import Layer
from holdfast.errors import SessionError
from holdfast.policy.session_cookie import digest
from support.calls import Sent
from support.colours import Colour
from support.http_world import FRONTS, colour_of
from support.peeking import ask, told
from support.session_ports import Skewed
from support.session_site import Says, Site, flags, put
from support.staged import Stage
from support.topologies import Topology

fronts = pytest.mark.parametrize("front", FRONTS[:2])

# Session expiration.


def test_idle_and_absolute_time_outs(colour: Colour, topology: Topology, namespace: str) -> None:
    """Use keeps a session, never beyond its end; the server's clock decides, whatever that of the process says."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            engine: Any = layer.engine
            for name in ("blocking", "asyncio"):
                setattr(engine, name, Skewed(getattr(engine, name), -86_400))
            sessions = colour.of(layer.sessions)

            async def is_there(cookie: str) -> bool:
                return await sessions.open(cookie) is not None

            _, unused = await sessions.create(idle=0.15, absolute=60)
            session, used = await sessions.create(idle=60, absolute=0.4)
            key = layer.engine.caching.names.session(session.handle)
            await colour.until(lambda: not ask(layer, "EXISTS", names(layer, unused), key=""), "it has run out")
            assert not await is_there(unused)
            while await is_there(used):
                left = ask(layer, "PTTL", key, key=key)
                assert left == -2 or 0 <= left <= 400
                loaded = await sessions.open(used)
                if loaded is not None:
                    loaded["a"] = secrets.token_hex(2)
                    try:
                        await sessions.save(loaded)
                    except SessionError:
                        break
                await colour.sleep(0.04)
            assert not await is_there(used)
            session, kept = await sessions.create(idle=60, absolute=3600)
            key = layer.engine.caching.names.session(session.handle)
            ask(layer, "PEXPIRE", key, 20_000, key=key)
            assert await is_there(kept)
            assert ask(layer, "PTTL", key, key=key) > 59_000, "use has kept it"
            session, kept = await sessions.create(idle=600, absolute=30)
            key = layer.engine.caching.names.session(session.handle)
            ask(layer, "PEXPIRE", key, 10_000, key=key)
            assert await is_there(kept)
            assert 29_000 < ask(layer, "PTTL", key, key=key) <= 30_000, "not beyond its end"

    colour.run(scenario)


def names(layer: Layer, cookie: str) -> str:
    """Return the key of a cookie's session."""
    return layer.engine.caching.names.session(cookie.partition(".")[0])


@fronts
def test_logging_out_ends_the_session_on_the_server(front: str, topology: Topology, namespace: str) -> None:
    """Both: the browser is told to drop its cookie, and the cookie, kept all the same, opens nothing."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            for act in ("log_out", "end", "clear"):
                site, seen = Site(front, layer), list[Any]()
                await site.ask(lambda session: (session.log_in("u"), session.update(a=1)))
                kept = site.cookie
                got = await site.ask(lambda session, act=act: getattr(session, act)())
                assert "max-age=0" in flags(got.fields.get("set-cookie"))
                await site.ask(lambda session, seen=seen: seen.append(dict(session)), cookie=kept)
                assert seen == [{}]
                assert not ask(layer, "EXISTS", names(layer, kept.partition("=")[2]), key="")
                assert await colour.of(layer.sessions).list("u") == []

    colour.run(scenario)


@fronts
def test_answers_with_an_id_are_not_cached(front: str, layer: Layer) -> None:
    """Cache-Control: no-store, whatever the app says; and private where it only depends on a session."""
    colour = colour_of(front)

    async def scenario() -> None:
        site = Site(front, layer)
        public = Says([("Cache-Control", "public, max-age=60"), ("Pragma", "x"), ("Expires", "x")])
        for act in (put(a=1), lambda session: session.rotate(), lambda session: session.end()):
            got = await site.ask(lambda session, act=act: (act(session), public)[1])
            assert got.fields.get("cache-control") == "private, no-store"
            assert (got.fields.get("pragma"), got.fields.get("expires")) == (None, None)
            assert got.fields.get("vary") == "Cookie"

    colour.run(scenario)


# Session attacks detection; logging; simultaneous sessions.


@fronts
def test_no_id_is_logged(front: str, layer: Layer, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in the log nor in errors, their tracebacks, events, or what `repr` shows."""
    caplog.set_level(logging.DEBUG)
    colour, shown, events = colour_of(front), list[str](), told(layer)
    stage = Stage(layer)

    async def scenario() -> None:
        site = Site(front, layer)
        await site.ask(lambda session: (session.log_in("u"), session.update(a=1)))
        ids = [site.value]

        def fails(session: Any) -> None:
            shown.append(repr(session) + repr(session.state.known) + str(session) + f"{session!r}")
            session["b"] = object()

        got = await site.ask(fails) if front == "asgi" else await caught(site, fails)
        shown.append("".join(traceback.format_exception(got)) if isinstance(got, BaseException) else repr(got.error))
        with stage.away():
            await site.ask(dict)

        def dropped(session: Any) -> None:
            session["a"] = 2
            layer.sessions.revoke(session.handle)

        await site.ask(dropped)
        shown.append(repr(layer.sessions.create()[0]) + repr(layer.sessions.list("u")) + repr(layer.stats()))
        text = caplog.text + repr(events) + "".join(shown)
        for value in ids:
            assert value.partition(".")[2] not in text
            assert digest(value.partition(".")[2]) not in text
        assert events, "nothing was told at all"

    async def caught(site: Site, act: Any) -> Any:
        try:
            return await site.ask(act)
        except Exception as error:
            return error

    colour.run(scenario)


@fronts
def test_a_user_sees_and_ends_the_sessions_of_all_devices(front: str, topology: Topology, namespace: str) -> None:
    """The list has names that open nothing; one can be ended, or all but this one."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            sites = [Site(front, layer) for _ in range(3)]
            for site in sites:
                await site.ask(lambda session: (session.log_in("u"), session.update(a=1)))
            infos = await colour.of(layer.sessions).list("u")
            assert {each.handle for each in infos} == {site.handle for site in sites}
            for info in infos:
                assert await colour.of(layer.sessions).open(info.handle) is None
                assert not any(site.value.partition(".")[2] in repr(info) for site in sites)
            this, lost, other = sites
            assert await colour.of(layer.sessions).revoke(lost.handle)
            assert await colour.of(layer.sessions).revoke_all("u", keep=this.handle) == 1
            seen: list[Any] = []
            for site in (this, lost, other):
                await site.ask(lambda session: seen.append(dict(session)))
            assert seen == [{"a": 1}, {}, {}]

    colour.run(scenario)


@fronts
def test_a_visitor_who_does_nothing_has_no_session(front: str, layer: Layer) -> None:
    """Health checks and robots fill no store: nothing is stored, and no cookie set, before something is written."""
    colour = colour_of(front)

    async def scenario() -> None:
        site, sent = Site(front, layer), Sent(layer)
        acts: list[Any] = [None, dict, lambda session: session.get("a"), lambda session: session.mark_modified()]
        for act in acts:
            got = await site.ask(act)
            assert (got.status, got.fields.get("set-cookie")) == (200, None)
        assert sent.trips == []

    colour.run(scenario)
