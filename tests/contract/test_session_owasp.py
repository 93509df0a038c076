"""Each point of the OWASP Session Management Cheat Sheet that a session store and its cookie can keep, one test each."""

from __future__ import annotations

import logging
import math
import secrets
import traceback
from collections import Counter
from typing import Any

import pytest

from holdfast import Layer
from holdfast.errors import SessionError
from holdfast.policy.session_cookie import digest
from support.calls import Sent
from support.colours import Colour
from support.http_world import FRONTS, colour_of
from support.peeking import ask, told
from support.session_site import Says, Site
from support.staged import Stage
from support.topologies import Topology

fronts = pytest.mark.parametrize("front", FRONTS[:2])
SIGNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def put(**values: Any) -> Any:
    """Return an app that assigns."""
    return lambda session: session.update(values)


def flags(cookie: str | None) -> set[str]:
    """Return the attributes of a Set-Cookie, in lower case."""
    assert cookie is not None
    return {part.strip().lower() for part in cookie.split(";")[1:]}


# Session ID name fingerprinting; length; entropy; content.


@fronts
def test_the_name_of_the_cookie_is_generic(front: str, layer: Layer) -> None:
    """It tells neither the product nor the framework."""
    colour = colour_of(front)

    async def scenario() -> None:
        for scheme, name in (("http", "session"), ("https", "__Host-session")):
            site = Site(front, layer)
            got = await site.ask(put(a=1), scheme=scheme)
            assert site.cookie.partition("=")[0] == name
            assert "holdfast" not in repr(got.fields.pairs).lower()

    colour.run(scenario)


def test_the_id_is_long_enough(layer: Layer) -> None:
    """At least 128 bits; here 256 that are secret, and another 128 of the name."""
    handle, _, secret = layer.sessions.create()[1].partition(".")
    assert set(handle + secret) <= set(SIGNS)
    assert (len(handle) * 6 >= 128, len(secret) * 6 >= 256) == (True, True)


def test_the_id_has_enough_entropy(layer: Layer) -> None:
    """Of many, none is there twice, and every place takes every sign about equally often."""
    ids = [layer.sessions.create()[1].replace(".", "") for _ in range(1500)]
    assert len({each[:22] for each in ids}) == len({each[22:] for each in ids}) == len(ids)
    wanted = len(ids) / len(SIGNS)
    for place, column in enumerate(zip(*ids, strict=True)):
        counts = Counter(column)
        squares = sum((counts[sign] - wanted) ** 2 / wanted for sign in SIGNS)
        assert squares < 63 + 7 * math.sqrt(2 * 63), f"the signs at {place} are not equally likely: {squares:.0f}"


def test_the_id_comes_from_the_systems_generator(layer: Layer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever knows the state of `random` knows nothing of it."""
    import random

    found = []
    for _ in range(2):
        random.seed(1)
        found.append(layer.sessions.create()[1])
    assert found[0] != found[1]
    asked: list[int] = []
    for name in ("token_bytes", "token_urlsafe", "token_hex", "randbits"):
        right = getattr(secrets, name)
        monkeypatch.setattr(secrets, name, lambda *sizes, right=right: (asked.append(1), right(*sizes))[1])
    import os

    urandom = os.urandom
    monkeypatch.setattr(os, "urandom", lambda size: (asked.append(size), urandom(size))[1])
    for _ in range(400):
        layer.sessions.create()
    assert asked


@fronts
def test_the_id_means_nothing(front: str, layer: Layer) -> None:
    """Nothing of the session is in the cookie, neither plain nor encoded: the same data give other ids."""
    colour = colour_of(front)

    async def scenario() -> None:
        values = set()
        for _ in range(2):
            site = Site(front, layer)
            await site.ask(lambda session: (session.log_in("alice"), session.update(role="admin")))
            values.add(site.value)
            assert len(site.value) == 66
        assert len(values) == 2

    colour.run(scenario)


# Session management implementation: cookies only, their attributes.


@fronts
def test_ids_come_by_the_cookie_alone(front: str, layer: Layer) -> None:
    """In the URL, in another header or under another name they are nothing; in an answer they are in Set-Cookie only."""
    colour = colour_of(front)

    async def scenario() -> None:
        site, seen = Site(front, layer), list[Any]()
        got = await site.ask(put(a=1))
        assert [name.lower() for name, value in got.fields.pairs if site.value in value] == ["set-cookie"]
        assert site.value.encode() not in got.body
        value, look = site.value, lambda session: seen.append(dict(session))
        for line, cookie in (
            (f"GET /?session={value}", ""),
            (f"GET /;session={value}", ""),
            ("GET /", f"Session={value}"),
            ("GET /", f"xsession={value}"),
            ("GET /", f"__Host-session={value}"),
            ("GET /", f"a=b,session={value}"),
            ("GET /", f'a="; session=x"; b={value}'),
            ("GET /", f"$Version=1; $session={value}"),
        ):
            await site.ask(look, line=line, cookie=cookie)
        assert seen == [{}] * 8
        await site.ask(look, cookie=f"session={value}", scheme="https")
        assert seen[-1] == {}, "a cookie that http could set opens nothing on https"

    colour.run(scenario)


@fronts
def test_the_attributes_of_the_cookie(front: str, layer: Layer) -> None:
    """HttpOnly always; Secure, Path=/, no Domain and __Host- on https; SameSite=Lax; not kept by the browser."""
    colour = colour_of(front)

    async def scenario() -> None:
        for scheme, more in (("https", {"secure"}), ("http", set[str]())):
            site = Site(front, layer)
            new = (await site.ask(put(a=1), scheme=scheme)).fields.get("set-cookie")
            assert flags(new) == {"httponly", "samesite=lax", "path=/"} | more
            rotated = (await site.ask(lambda session: session.rotate(), scheme=scheme)).fields.get("set-cookie")
            assert flags(rotated) == flags(new)
            gone = (await site.ask(lambda session: session.end(), scheme=scheme)).fields.get("set-cookie")
            assert flags(gone) == flags(new) | {"max-age=0", "expires=thu, 01 jan 1970 00:00:00 gmt"}
            assert (gone or "").partition("=")[0] == (new or "").partition("=")[0]

    colour.run(scenario)


@fronts
def test_other_attributes_are_asked_for(front: str, layer: Layer) -> None:
    """Strict, a domain, a path, partitioned; one that is kept has a Max-Age up to its end."""
    colour = colour_of(front)

    async def scenario() -> None:
        site = Site(front, layer, same_site="strict", domain="example.org", path="/app", secure=True)
        got = await site.ask(put(a=1))
        assert site.cookie.startswith("__Secure-session=")
        assert flags(got.fields.get("set-cookie")) == {
            "httponly", "samesite=strict", "path=/app", "domain=example.org", "secure"
        }  # fmt: skip
        site = Site(front, layer, same_site="none", secure=True, partitioned=True, persistent=True, absolute="1h")
        found = flags((await site.ask(put(a=1))).fields.get("set-cookie"))
        assert {"samesite=none", "partitioned", "secure"} <= found
        assert found & {"max-age=3600", "max-age=3599"}

    colour.run(scenario)


# Session ID life cycle: strict, validated, renewed.


ODD = [
    "",
    ".",
    "null",
    "a" * 66,
    "A" * 22,
    "A" * 22 + ".",
    "." + "A" * 43,
    "A" * 22 + "." + "A" * 42,
    "A" * 22 + "." + "A" * 44,
    "A" * 21 + "é." + "A" * 43,
    "A" * 21 + "}." + "A" * 43,
    "A" * 21 + "*." + "A" * 43,
    "../../../../../etc/pass." + "A" * 43,
    "A" * 22 + "." + "A" * 42 + "\x00",
    "A" * 22 + "." + "A" * 42 + "=",
    "%41" * 22 + "." + "A" * 43,
    "A" * 60_000,
    "A" * 22 + "." + "A" * 43 + "." + "A" * 43,
    "' OR 1=1 --",
    "${jndi:ldap://x}",
]


@fronts
def test_odd_ids_reach_no_key(front: str, layer: Layer) -> None:
    """Whatever we did not issue in form is nothing: Redis is not even asked."""
    colour = colour_of(front)

    async def scenario() -> None:
        site, seen = Site(front, layer), list[Any]()
        sent = Sent(layer)
        for odd in ODD:
            got = await site.ask(lambda session: seen.append(dict(session)), cookie=f"session={odd}")
            assert got.status == 200
            assert got.fields.get("set-cookie") is None
        assert (sent.trips, seen) == ([], [{}] * len(ODD))

    colour.run(scenario)


@fronts
def test_many_cookies_cost_few_looks(front: str, layer: Layer) -> None:
    """Of a thousand with our name, four are looked at."""
    colour = colour_of(front)

    async def scenario() -> None:
        site, sent = Site(front, layer), Sent(layer)
        await site.ask(dict, cookie="; ".join(f"session={n:022}.{n:043}" for n in range(1000)))
        assert len(sent.trips) <= 4

    colour.run(scenario)


@fronts
def test_forged_ids_are_not_adopted(front: str, topology: Topology, namespace: str) -> None:
    """Fixation: who sends an id of its own making, or one that has ended, gets another; nothing is under the one sent."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            site, victim = Site(front, layer), Site(front, layer)
            await victim.ask(put(a="victim's"))
            ended = Site(front, layer)
            await ended.ask(put(a=1))
            old = ended.value
            await ended.ask(lambda session: session.end())
            for forged in ("F" * 22 + "." + "F" * 43, victim.handle + "." + "F" * 43, old):
                site.cookie = f"session={forged}"
                await site.ask(put(mine=1))
                assert site.handle != forged.partition(".")[0]
                assert site.value.partition(".")[2] != forged.partition(".")[2]
                assert dict(await colour.of(layer.sessions).open(site.value)) == {"mine": 1}
                assert await colour.of(layer.sessions).open(forged) is None
            assert dict(await colour.of(layer.sessions).open(victim.value)) == {"a": "victim's"}

    colour.run(scenario)


@fronts
def test_the_id_is_renewed_when_privileges_change(front: str, topology: Topology, namespace: str) -> None:
    """Log-in, `rotate` and another user: the id from before opens nothing for who has kept or planted it."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            site, thief = Site(front, layer), Site(front, layer)
            await site.ask(put(a=1))
            acts: list[Any] = [
                lambda session: session.log_in("u"),
                lambda session: session.rotate(),
                lambda session: session.log_in("v"),
            ]
            for act in acts:
                before, seen = site.cookie, list[Any]()
                got = await site.ask(act)
                assert got.fields.get("set-cookie") is not None
                thief.cookie = before
                stolen = await thief.ask(lambda session, seen=seen: (seen.append(dict(session)), session.update(b=1)))
                assert seen == [{}]
                assert stolen.status == 200
                assert thief.value != site.value
                assert "b" not in dict(await colour.of(layer.sessions).open(site.value))

    colour.run(scenario)


@fronts
def test_redis_holds_no_id(front: str, topology: Topology, namespace: str) -> None:
    """Whoever reads the store gets digests, which open nothing."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            site = Site(front, layer)
            await site.ask(lambda session: (session.log_in("u"), session.update(a=1)))
            old = site.value
            await site.ask(lambda session: session.rotate())
            key = layer.engine.caching.names.session(site.handle)
            fields = ask(layer, "HGETALL", key, key=key)
            words = fields if isinstance(fields, list) else [each for pair in fields.items() for each in pair]
            held = b" ".join(words)
            for value in (old, site.value):
                secret = value.partition(".")[2]
                assert secret.encode() not in held
                assert digest(secret).encode() in held
                assert await colour.of(layer.sessions).open(f"{site.handle}.{digest(secret)[:43]}") is None

    colour.run(scenario)


# Session expiration.


def test_idle_and_absolute_time_outs(colour: Colour, topology: Topology, namespace: str) -> None:
    """Use keeps a session, never beyond its end; the server's clock decides, whatever that of the process says."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            engine: Any = layer.engine
            for name in ("blocking", "asyncio"):
                setattr(engine, name, _Skewed(getattr(engine, name)))
            sessions = colour.of(layer.sessions)

            async def is_there(cookie: str) -> bool:
                return await sessions.open(cookie) is not None

            _, unused = await sessions.create(idle=0.15, absolute=60)
            session, used = await sessions.create(idle=60, absolute=0.4)
            key = layer.engine.caching.names.session(session.handle)
            await colour.until(lambda: not ask(layer, "EXISTS", names(layer, unused), key=""), "it has run out")
            assert not await is_there(unused)
            while await is_there(used):
                assert 0 < ask(layer, "PTTL", key, key=key) <= 400
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

    colour.run(scenario)


def names(layer: Layer, cookie: str) -> str:
    """Return the key of a cookie's session."""
    return layer.engine.caching.names.session(cookie.partition(".")[0])


class _Skewed:
    """A port of a process whose clock is a day behind."""

    def __init__(self, port: Any) -> None:
        self._port = port

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    def now(self) -> float:
        return float(self._port.now()) - 86_400


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
            shown.append(repr(session) + repr(session.known) + str(session) + f"{session!r}")
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
