"""What an attacker sends to change what others get: routing fields, hosts, paths in disguise, bodies, Vary."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import Layer
from holdfast.policy.http.target import ROUTING_FIELDS
from support.colours import Colour
from support.http_shop import HOST, Asked, Made, Pair, Pairs, Shop, shown

FRESH: Pair = ("Cache-Control", "public, max-age=60")


async def echo(asked: Asked) -> Made:
    """Answer with all of the request, fresh for everybody: as careless as an app can be."""
    return Made([FRESH], [shown(asked)])


ROUTING = [
    *[(name, "evil.example") for name in ROUTING_FIELDS],
    ("Forwarded", "host=evil.example"),
    ("Forwarded", 'for=1;HOST="evil.example"'),
    ("Forwarded", "for=1, proto=ftp"),
    ("X-Forwarded-Proto", "https, http"),
    ("X-Forwarded-Host", f"{HOST}, evil.example"),
    ("X-Forwarded-Host", f"evil.example, {HOST}"),
    ("X-Forwarded-Port", "1"),
    ("X-HTTP-Method-Override", "DELETE"),
    ("X-HTTP-Method", "PUT"),
    ("X-Method-Override", "HEAD"),
]


@pytest.mark.parametrize(("name", "value"), ROUTING)
def test_fields_that_apps_build_urls_of(layer: Layer, colour: Colour, name: str, value: str) -> None:
    """What is answered to a request with one is not given to those without, however it is written, nor vice versa."""

    async def scenario() -> None:
        shop = Shop(colour, layer, echo)
        for path in ("/poisoned", "/first"):
            if path == "/first":
                await shop.ask(path)
            for each in (name, name.lower(), name.upper()):
                got = await shop.ask(path, (each, value))
                assert not got.is_hit or value in got.body.decode()
            assert value not in (await shop.ask(path)).body.decode()
            assert value not in (await shop.ask(path, (name, "other.example"))).body.decode()

    colour.run(scenario)


def test_an_overridden_method_invalidates(layer: Layer, colour: Colour) -> None:
    """A POST that asks to be taken for another method is an unsafe request all the same (RFC 9111, 4.4)."""

    async def scenario() -> None:
        shop = Shop(colour, layer, echo)
        for path, field in (("/a", "X-HTTP-Method-Override"), ("/b", "X-HTTP-Method"), ("/c", "X-Method-Override")):
            await shop.ask(path)
            await shop.ask(path, (field, "DELETE"), method="POST")
            assert not (await shop.ask(path)).is_hit, field

    colour.run(scenario)


def test_a_post_that_the_key_leaves_out_invalidates(layer: Layer, colour: Colour) -> None:
    """`key=` chooses which requests are stored; what others change is outdated all the same."""

    async def scenario() -> None:
        shop = Shop(colour, layer, echo, {"key": lambda request: "" if request.method == "GET" else None})
        await shop.ask("/")
        await shop.ask("/", method="POST")
        assert not (await shop.ask("/")).is_hit

    colour.run(scenario)


@pytest.mark.parametrize("field", [("Content-Length", "9"), ("Transfer-Encoding", "chunked")])
def test_a_get_with_a_body(layer: Layer, colour: Colour, field: Pair) -> None:
    """An app may take parameters from it, which the key does not have: its answer is nobody else's."""

    async def scenario() -> None:
        shop = Shop(colour, layer, echo)
        await shop.ask("/", field)
        assert not (await shop.ask("/")).is_hit
        assert not (await shop.ask("/", field)).is_hit

    colour.run(scenario)


HOSTS = [
    f"{HOST}, evil.example",
    f"{HOST}:443:evil.example",
    f"{HOST}:evil",
    f"{HOST}@evil.example",
    f"{HOST}/evil.example",
    f"{HOST}?evil.example",
    f"{HOST}#evil.example",
    f"{HOST}\\evil.example",
    f"{HOST} evil.example",
    f"{HOST}\tevil.example",
    f"{HOST}%00evil.example",
    f"{HOST}.",
    f"{HOST}..",
    f".{HOST}",
    f"{HOST}:1234",
    f"{HOST}:0",
    f"{HOST}:99999",
    "evil.example",
    "shop\x00.example",
    "[::1",
    "\xff",
    "",
]


@pytest.mark.parametrize("host", HOSTS, ids=ascii)
def test_hosts(layer: Layer, colour: Colour, host: str) -> None:
    """What is answered to another Host, or to one that is none, is not given to those who ask for ours."""

    async def scenario() -> None:
        shop = Shop(colour, layer, echo)
        await shop.ask("/", host=host)
        got = await shop.ask("/")
        assert not got.is_hit
        assert f"'{HOST}'" in got.body.decode()

    colour.run(scenario)


def test_two_hosts(layer: Layer, colour: Colour) -> None:
    """A request with two Host lines is answered by the app, and not stored."""

    async def scenario() -> None:
        shop = Shop(colour, layer, echo)
        for lines in ((HOST, "evil.example"), ("evil.example", HOST), (HOST, HOST)):
            await shop.ask("/", *[("Host", line) for line in lines], host="")
        assert not (await shop.ask("/")).is_hit

    colour.run(scenario)


SPELLINGS = [
    "/account",
    "/account/",
    "/account/x.css",
    "/account/..%2fx.css",
    "/account;x.css",
    "/account;/x.css",
    "/account%3Bx.css",
    "/account%2Fx.css",
    "/account%00.css",
    "/account%0A.css",
    "/account%23.css",
    "/account%3F.css",
    "/account.css/../account",
    "/%61ccount",
    "/%61%63%63%6f%75%6e%74/x.css",
    "/ACCOUNT",
    "/Account/x.css",
    "//account",
    "///account//x.css",
    "/./account",
    "/.//account",
    "/x/../account",
    "/x/%2e%2e/account",
    "/x/..;/account",
    "/%2faccount",
    "/static/..%2faccount",
    "/static/%2E%2E%2Faccount",
    "/\\account",
    "/static\\..\\account",
    "/account\\x.css",
    "/account/../account",
    "/account/%2e",
]


@pytest.mark.parametrize("path", SPELLINGS)
def test_private_paths_in_disguise(layer: Layer, colour: Colour, path: str) -> None:
    """A path that some server or app may take for a private one is not stored, however it is written."""

    async def scenario() -> None:
        for pattern in ("/account", "/account*"):
            shop = Shop(colour, layer, echo, {"private": [pattern]})
            await shop.ask(path)
            assert not (await shop.ask(path)).is_hit, pattern

    colour.run(scenario)


def test_paths_that_are_not_private(layer: Layer, colour: Colour) -> None:
    """What only looks a little like a private path is stored."""

    async def scenario() -> None:
        shop = Shop(colour, layer, echo, {"private": ["/account"]})
        for path in ("/accounts", "/x/account", "/accountant/1", "/?/account", "/a/../b"):
            await shop.ask(path)
            assert (await shop.ask(path)).is_hit, path

    colour.run(scenario)


@pytest.mark.parametrize("path", ["/me/x.css", "/me%2Fx.js", "/me;x.png", "/me/x.css?x.css"])
def test_what_looks_like_a_file_is_not_stored_for_that(layer: Layer, colour: Colour, path: str) -> None:
    """The path says nothing about whether a response is for others: only what the app says does."""

    async def scenario() -> None:
        async def respond(asked: Asked) -> Made:
            return Made([("Content-Type", "text/css")], [shown(asked)])

        shop = Shop(colour, layer, respond)
        await shop.ask(path, ("Cookie", "session=alice"))
        assert "alice" not in (await shop.ask(path)).body.decode()

    colour.run(scenario)


PAIRS = [
    ("/?a=b", "/%3fa=b"),
    ("/?a=b", "/?a=b%23"),
    ("/?a=b", "/?a=b&"),
    ("/?a=b", "/?A=b"),
    ("/?a=b", "/?a=B"),
    ("/?a=b&c=d", "/?c=d&a=b"),
    ("/?a=b&c=d", "/?a=b;c=d"),
    ("/?a=b&c=d", "/?a=b%26c=d"),
    ("/?a+b", "/?a%20b"),
    ("/?a+b", "/?a%2Bb"),
    ("/a+b", "/a%20b"),
    ("/a%2Fb", "/a/b"),
    ("/a%2fb", "/a%2Fb"),
    ("/a/b", "/a//b"),
    ("/a", "/a/"),
    ("/a", "/A"),
    ("/a", "/%61"),
    ("/a", "/a%00"),
    ("/a", "/a%0d%0a"),
    ("/a", "/a}"),
    ("/a", "/a%7D"),
    ("/a}", "/a}}"),
    ("/{a}", "/a"),
    ("/a:b", "/a%3Ab"),
    ("/a;b", "/a"),
    ("/a/../b", "/b"),
    ("/\xe9", "/%e9"),
    ("/\xe9", "/\xc3\xa9"),
    ("/%e9", "/%c3%a9"),
    ("/a?" + "x" * 2000 + "1", "/a?" + "x" * 2000 + "2"),
]


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=lambda text: ascii(text)[1:20])
def test_two_urls_are_two(layer: Layer, colour: Colour, one: str, other: str) -> None:
    """URLs that an app can tell apart never share a response."""

    async def scenario() -> None:
        shop = Shop(colour, layer, echo)
        for first, second in ((one, other), (other, one)):
            await shop.ask(first)
            got = await shop.ask(second, ("Cache-Control", "no-cache") if first is other else ("X-Y", "z"))
            assert not got.is_hit
        for each in (one, other):
            path, _, query = each.partition("?")
            assert repr(("GET", path, query))[:-1].encode() in (await shop.ask(each)).body

    colour.run(scenario)


@pytest.mark.parametrize("url", [f"http://{HOST}/a", f"//{HOST}/a", "*", "a", "?a", "/a#b", "/a b", "/a\tb", "/a?b#c"])
def test_odd_targets_are_not_mistaken(layer: Layer, colour: Colour, url: str) -> None:
    """A target in another form gets an answer of its own, and those who ask for the plain path theirs."""

    async def scenario() -> None:
        shop = Shop(colour, layer, echo)
        await shop.ask(url)
        for plain in ("/a", "/", "/a?b"):
            got = await shop.ask(plain)
            path, _, query = plain.partition("?")
            assert repr(("GET", path, query))[:-1].encode() in got.body

    colour.run(scenario)


@pytest.mark.parametrize("one", ["utm_x=1;q=evil", "utm_x;q=evil", "utm_x=1%26q=evil", "UTM_x=evil", "%2575tm_x=evil"])
def test_parameters_hidden_in_ignored_ones(layer: Layer, colour: Colour, one: str) -> None:
    """A parameter that does not matter cannot carry in one that does, for an app that separates them otherwise."""

    async def scenario() -> None:
        shop = Shop(colour, layer, echo, {"ignore_query": ["utm_*"]})
        await shop.ask(f"/?{one}")
        got = await shop.ask("/")
        assert ("%26" in one) is got.is_hit  # to every app that is the value of utm_x

    colour.run(scenario)


EXTRAS: list[tuple[dict[str, Any], Pairs, Pairs]] = [
    ({"cookies": ["key"]}, (("Cookie", "key=evil"),), ()),
    ({"cookies": ["a", "b"]}, (("Cookie", "a=1; b=2"),), (("Cookie", "a=1;b=2, b=2"),)),
    ({"cookies": ["a", "b"]}, (("Cookie", "a=x"),), (("Cookie", "b=x"),)),
    ({"key": lambda request: request.get("x-a")}, (("X-A", "1"),), (("X-A", "2"),)),
    ({"vary": ["X-A", "X-B"]}, (("X-A", "1"),), (("X-B", "1"),)),
    ({"vary": ["X-A"]}, (("X-A", ""),), ()),
    ({"vary": ["X-A"]}, (("X-A", "a,b"),), (("X-A", '"a,b"'),)),
    ({"vary": ["X-A"]}, (("X-A", "a"),), (("X-A", "A"),)),
]


@pytest.mark.parametrize(("options", "one", "other"), EXTRAS)
def test_what_else_is_in_the_key_is_not_confused(
    layer: Layer, colour: Colour, options: dict[str, Any], one: Pairs, other: Pairs
) -> None:
    """Each name keeps to its own value, and an absent one is not an empty one."""

    async def scenario() -> None:
        shop = Shop(colour, layer, echo, options)
        await shop.ask("/", *one)
        assert not (await shop.ask("/", *other)).is_hit
        assert (await shop.ask("/", *one)).is_hit

    colour.run(scenario)


def test_schemes_are_apart(layer: Layer, colour: Colour) -> None:
    """What is answered over http is not given over https."""

    async def scenario() -> None:
        shop = Shop(colour, layer, echo)
        await shop.ask("/")
        assert not (await shop.ask("/", scheme="https")).is_hit
        assert not (await shop.ask("/", scheme="https", host=f"{HOST}:80")).is_hit
        assert (await shop.ask("/", scheme="HTTPS", host=f"{HOST.upper()}:443")).is_hit

    colour.run(scenario)
