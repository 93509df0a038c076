"""Fields that would smuggle others in, and what lies in Redis: forged, tampered with, or oversized."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from holdfast import Layer, entries
from holdfast.policy.frame import Frame, pack, unpack
from holdfast.policy.http.stored import Page
from support.colours import Colour
from support.http_shop import HOST, Asked, Made, Pair, Pairs, Shop
from support.peeking import ask

SECRET = "a secret of the tests' own, long enough"
FRESH: Pair = ("Cache-Control", "max-age=60")
EVIL = ["a\r\nSet-Cookie: evil=1", "a\nb", "a\rb", "a\x00b", "a\r\n\r\n<script>", "\r\n", "a\n b"]


@pytest.mark.parametrize("name", ["X-A", "ETag", "Vary", "Content-Type", "Cache-Tag", "Last-Modified", "Set-Cookie"])
def test_fields_with_line_breaks_from_the_app(layer: Layer, colour: Colour, name: str) -> None:
    """They are never stored, so they reach nobody but who caused them; nor are they sent to the app as validators."""

    async def scenario() -> None:
        for number, value in enumerate(EVIL):
            await breaks(f"/{number}", value)

    async def breaks(path: str, value: str) -> None:
        async def respond(asked: Asked) -> Made:
            return Made([FRESH, (name, value)], [b"body"])

        shop = Shop(colour, layer, respond, {"set_cookie": "store", "debug": True})
        for _ in range(2):
            got = await shop.ask(path)
            assert not got.is_hit or all(_is_clean(*each) for each in got.fields)
        for fields in shop.asked:
            assert all(_is_clean(*each) for each in fields.fields.items())
        got = await shop.ask(path, ("Cache-Control", "no-cache"), ("If-None-Match", value), ("Range", value))
        assert got.body == b"body"

    colour.run(scenario)


@pytest.mark.parametrize("name", ["X A", "X:A", "X-A\r\nSet-Cookie", "", "X\x00", "(x)", "\xe9"], ids=ascii)
def test_names_that_are_none_from_the_app(layer: Layer, colour: Colour, name: str) -> None:
    """A field whose name is no token is not stored."""

    async def scenario() -> None:
        async def respond(asked: Asked) -> Made:
            return Made([FRESH, (name, "evil")], [b"body"])

        shop = Shop(colour, layer, respond)
        await shop.ask()
        got = await shop.ask()
        assert got.is_hit
        assert "evil" not in dict(got.fields).values()

    colour.run(scenario)


def _is_clean(name: str, value: str) -> bool:
    return not any(sign in name + value for sign in "\r\n\x00")


def page_of(layer: Layer, target: str = "/") -> str:
    """Return the key of a page."""
    return f"{layer.engine.prefix}http:http://{HOST}{target}}}"


def rewrite(layer: Layer, change: Callable[[Any], Any], *, key: str = "") -> None:
    """Change the first variant of the page of `/` as somebody does who can write to Redis and knows no secret."""
    key = key or page_of(layer)
    frame = unpack(ask(layer, "GET", key, key=key), key)
    page = msgspec.msgpack.decode(frame.payload)
    page[0][0] = change(page[0][0])
    values = {name: getattr(frame, name) for name in Frame.__struct_fields__}
    raw = pack(Frame(**values | {"payload": msgspec.msgpack.encode(page)}), key)
    ask(layer, "SET", key, raw, "PX", 60_000, key=key)


def with_field(place: str, value: Any) -> Callable[[Any], Any]:
    """Return a change of one part of a stored response."""
    names = [each.name for each in msgspec.structs.fields(Page)]
    assert names == ["variants", "passing"]
    order = ("id", "status", "fields", "names", "values", "requested", "received", "until", "size", "body")

    def change(stored: Any) -> Any:
        stored[order.index(place)] = value
        return stored

    return change


TAMPERED: dict[str, Callable[[Any], Any]] = {
    "a line break": with_field("fields", [["Cache-Control", "max-age=60"], ["X", "a\r\nSet-Cookie: evil=1"]]),
    "a zero": with_field("fields", [["Cache-Control", "max-age=60"], ["X", "a\x00evil"]]),
    "a break in a name": with_field("fields", [["Cache-Control", "max-age=60"], ["X: 1\r\nSet-Cookie", "evil"]]),
    "a name that is none": with_field("fields", [["Cache-Control", "max-age=60"], ["X Y", "evil"]]),
    "no latin-1": with_field("fields", [["Cache-Control", "max-age=60"], ["X", "evil \u2028 \U0001f600"]]),
    "no latin-1 in a name": with_field("fields", [["Cache-Control", "max-age=60"], ["\u2028", "evil"]]),
    "an ETag with a break": with_field("fields", [["Cache-Control", "no-cache"], ["ETag", '"a"\r\nX: "evil"']]),
    "a status of two digits": with_field("status", 20),
    "a negative status": with_field("status", -200),
    "a huge status": with_field("status", 10**9),
    "an informational status": with_field("status", 101),
    "fields that are none": with_field("fields", [["a", "b", "c"]]),
    "fields of another kind": with_field("fields", {"X": "evil"}),
    "a body of text": with_field("body", "evil"),
    "no body": with_field("body", None),
    "a body elsewhere": lambda stored: with_field("body", None)(with_field("id", "x}:{y")(stored)),
    "a wrong size": with_field("size", 10**9),
    "a negative size": with_field("size", -1),
    "names without values": with_field("names", ["cookie"]),
    "names that are none": lambda stored: with_field("names", ["a\r\nb", ""])(with_field("values", [None, ""])(stored)),
    "times that are none": with_field("received", float("nan")),
    "times without end": with_field("until", float("inf")),
    "a time far ahead": with_field("received", 1e300),
    "a time in the past": with_field("received", -1e300),
    "a time of text": with_field("requested", "evil"),
    "a missing part": lambda stored: stored[:4],
}


@pytest.mark.parametrize("change", TAMPERED.values(), ids=TAMPERED.keys())
def test_pages_that_were_tampered_with(layer: Layer, colour: Colour, change: Callable[[Any], Any]) -> None:
    """Without a secret it is whoever may write to Redis who says what is served; but a response is always one."""

    async def scenario() -> None:
        async def respond(asked: Asked) -> Made:
            return Made([FRESH, ("ETag", '"1"')], [b"body"])

        shop = Shop(colour, layer, respond)
        await shop.ask()
        rewrite(layer, change)
        for fields in ((), (("If-None-Match", '"1"'),), (("Range", "bytes=0-1"),), (("Cache-Control", "no-cache"),)):
            got = await shop.ask("/", *fields)
            assert all(_is_clean(*each) for each in got.fields)
            assert 200 <= got.status < 600
            assert "evil" not in repr(got) or "\r" not in repr(got)
        for asked in shop.asked:
            assert all(_is_clean(*each) for each in asked.fields.items())

    colour.run(scenario)


@contextmanager
def signed(namespace: str) -> Iterator[Layer]:
    with Layer(namespace=namespace, secret=SECRET) as layer:
        yield layer


def test_with_a_secret_nothing_forged_is_served(namespace: str, colour: Colour) -> None:
    """Neither a page that others have signed, nor that of another URL, nor one that was changed."""

    async def scenario() -> None:
        with signed(namespace) as layer, Layer(f"memory://{namespace}", secret="another secret, long enough") as other:
            shop = Shop(colour, layer, _by_path)
            theirs = Shop(colour, other, _by_path)
            for path in ("/", "/other"):
                await shop.ask(path)
                await theirs.ask(path)
            key, another = page_of(layer), page_of(layer, "/other")
            mine = ask(layer, "GET", key, key=key)
            forged = [
                ask(other, "GET", page_of(other), key=page_of(other)),
                ask(layer, "GET", another, key=another),
                mine[:-1] + bytes([mine[-1] ^ 1]),
                mine.replace(b"body of /", b"evil of /"),
                mine.replace(b"max-age=60", b"max-age=61"),
            ]
            for raw in forged:
                assert raw != mine
                ask(layer, "SET", key, raw, key=key)
                got = await shop.ask()
                assert not got.is_hit
                assert got.body == b"body of /"

    colour.run(scenario)


async def _by_path(asked: Asked) -> Made:
    return Made([FRESH], [b"body of " + asked.path.encode()])


@pytest.mark.parametrize("secret", [None, SECRET], ids=["", "signed"])
@pytest.mark.parametrize("forged", ["another body", "another's body", "a shorter one", "none", "another kind"])
def test_long_bodies_that_were_tampered_with(namespace: str, colour: Colour, secret: str | None, forged: str) -> None:
    """One of another length is never served; with a secret, none that is not the one that was stored."""

    async def scenario() -> None:
        with Layer(namespace=namespace, secret=secret) as layer:

            async def respond(asked: Asked) -> Made:
                return Made([FRESH], [b"x" * 100_000])

            shop = Shop(colour, layer, respond)
            await shop.ask()
            key = f"{page_of(layer)}:0"
            mark = ask(layer, "GETRANGE", key, 0, 15, key=key)
            assert ask(layer, "STRLEN", key, key=key) == 16 + 100_000
            ask(layer, "DEL", key, key=key)
            match forged:
                case "another body":
                    ask(layer, "SET", key, mark + b"y" * 100_000, key=key)
                case "another's body":
                    ask(layer, "SET", key, b"0" * 16 + b"x" * 100_000, key=key)
                case "a shorter one":
                    ask(layer, "SET", key, mark + b"x" * 99_999, key=key)
                case "another kind":
                    ask(layer, "RPUSH", key, b"x", key=key)
                case _:
                    pass
            got = await shop.ask()
            if forged == "another body" and secret is None:
                assert got.is_hit
            else:
                assert not got.is_hit
                assert got.body == b"x" * 100_000
            assert (await shop.ask()).body == got.body

    colour.run(scenario)


@pytest.mark.parametrize("kind", ["list", "hash", "text", "page of a function"])
def test_other_things_under_the_key_of_a_page(layer: Layer, colour: Colour, kind: str) -> None:
    """They are no response: the app answers."""

    async def scenario() -> None:
        shop = Shop(colour, layer, _by_path)
        key = page_of(layer)
        if kind == "list":
            ask(layer, "RPUSH", key, "x", key=key)
        elif kind == "hash":
            ask(layer, "HSET", key, "x", "y", key=key)
        elif kind == "text":
            ask(layer, "SET", key, "evil", key=key)
        else:
            function = layer.cached(60, key="http:http:{it}", serializer="msgpack")(lambda it: ["evil"])
            function(f"//{HOST}/")
            assert entries(function).key(f"//{HOST}/") == key
        for _ in range(3):
            assert (await shop.ask()).body == b"body of /"

    colour.run(scenario)


OVERSIZED: dict[str, Pairs] = {
    "many fields": tuple((f"X-{number}", "v") for number in range(5000)),
    "many cookies": tuple(("Set-Cookie", f"a{number}=1") for number in range(5000)),
    "a long value": (("X-A", "v" * 1_000_000),),
    "a long name": (("X" * 100_000, "v"),),
    "a long Vary": (("Vary", ",".join(f"x-{number}" for number in range(5000))),),
    "many Vary": tuple(("Vary", f"x-{number}") for number in range(5000)),
    "a long Cache-Control": (("Cache-Control", ",".join(f"x{number}=1" for number in range(20000))),),
    "a Cache-Control of quotes": (("Cache-Control", '"\\' * 50_000),),
    "a long dictionary": (("CDN-Cache-Control", ",".join(f"x{number}" for number in range(20000))),),
    "a deep dictionary": (("CDN-Cache-Control", "a=" + "(" * 50_000),),
    "a long ETag": (("ETag", '"' + "e" * 200_000 + '"'),),
    "many tags": (("Cache-Tag", ",".join(f"t{number}" for number in range(200))),),
    "long tags": (("Cache-Tag", "t" * 200_000),),
    "a long Connection": (("Connection", ",".join(f"x{number}" for number in range(20000))),),
    "a long Age": (("Age", "9" * 100_000),),
    "a long date": (("Date", "9" * 100_000), ("Expires", "9" * 100_000)),
}


@pytest.mark.parametrize("fields", OVERSIZED.values(), ids=OVERSIZED.keys())
def test_oversized_responses(layer: Layer, colour: Colour, fields: Pairs) -> None:
    """However much an app says: the client gets it as the app made it, and soon."""

    async def scenario() -> None:
        async def respond(asked: Asked) -> Made:
            return Made([FRESH, *fields], [b"body"])

        shop = Shop(colour, layer, respond, {"set_cookie": "store"})
        began = time.process_time()
        first = await shop.ask()
        assert len(first.fields) == len(fields) + 2  # Cache-Control, and what the cache says
        for _ in range(2):
            assert (await shop.ask()).body == b"body"
        assert time.process_time() - began < 2

    colour.run(scenario)


LONG = ["X-A", "Accept", "Accept-Language", "Cookie", "Cache-Control", "If-None-Match", "Range", "Forwarded"]


def test_oversized_requests(layer: Layer, colour: Colour) -> None:
    """However much a client says, as far as servers let it: it gets an answer, and soon."""

    async def scenario() -> None:
        async def respond(asked: Asked) -> Made:
            return Made([FRESH, ("Vary", "X-A, Accept, Accept-Language, Cookie"), ("ETag", '"1"')], [b"body"])

        shop = Shop(colour, layer, respond, {"cookies": ["a"], "private": ["/p*/x"], "ignore_query": ["*a*b*c*"]})
        values = ["x;q=0.1," * 7000, '"\\' * 30_000, "bytes=" + "0-1," * 15_000, "a=" * 30_000, "=,;" * 20_000]
        began = time.process_time()
        for name in LONG:
            for value in values:
                assert (await shop.ask("/", (name, value))).status in {200, 304}
        for path in ("/" + "a" * 60_000, "/?" + "ab&" * 20_000, "/" + "/p" * 30_000, "/" + "../" * 20_000):
            assert (await shop.ask(path)).body == b"body"
        assert time.process_time() - began < 3

    colour.run(scenario)
