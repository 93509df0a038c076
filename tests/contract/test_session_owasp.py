"""Each point of the OWASP Session Management Cheat Sheet that a store and its cookie can keep, one test each."""

from __future__ import annotations

import math
import secrets
from collections import Counter
from typing import Any

import pytest

from holdfast import Layer
from holdfast.policy.session_cookie import digest
from support.calls import Sent
from support.http_world import FRONTS, colour_of
from support.peeking import ask
from support.session_ports import Skewed
from support.session_site import Site, flags, put
from support.topologies import Topology

fronts = pytest.mark.parametrize("front", FRONTS[:2])
SIGNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


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
    """In the URL or under another name they are nothing; in an answer they are in Set-Cookie only."""
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


@fronts
@pytest.mark.parametrize("ahead", [0, 86_400 * 2, -86_400 * 2])
def test_a_cookie_that_is_kept_lasts_as_long_as_its_session(front: str, layer: Layer, ahead: int) -> None:
    """Whatever the clock of the process says, and also if the session is told later to last longer."""
    colour = colour_of(front)
    engine: Any = layer.engine
    for name in ("blocking", "asyncio"):
        setattr(engine, name, Skewed(getattr(engine, name), ahead))

    async def scenario() -> None:
        site = Site(front, layer, persistent=True, absolute="1h")

        async def age(act: Any) -> int:
            found = flags((await site.ask(act)).fields.get("set-cookie"))
            (line,) = [each for each in found if each.startswith("max-age=")]
            return int(line.partition("=")[2])

        assert 3590 <= await age(put(a=1)) <= 3600
        assert 3590 <= await age(lambda session: session.rotate()) <= 3600
        assert 7190 <= await age(lambda session: (session.log_in("u"), session.expire_after(absolute="2h"))) <= 7200
        assert 10_790 <= await age(lambda session: session.expire_after(absolute="3h")) <= 10_800
        assert layer.sessions.open(site.value) is not None

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
    """Fixation: who sends an id that he has made, or one that has ended, gets another; the one sent stays nothing."""
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
