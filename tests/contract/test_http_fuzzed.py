"""Whole requests and responses of any shape, through both middlewares: what the bare app can do, the cached one can."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast import Layer
from support.colours import Colour
from support.http_shop import Asked, Made, Pair, Shop

_TOKENS: Final = st.text("!#$%&'*+-.^_`|~0123abcXYZ", min_size=1, max_size=8)
_LATIN: Final = st.text(st.characters(max_codepoint=255), max_size=20)
_DIRECTIVES: Final = st.lists(
    st.sampled_from(
        [
            *("public", "private", "no-store", "no-cache", "max-age=60", "max-age=0", "s-maxage=60", "max-age"),
            *("must-revalidate", "stale-while-revalidate=60", "stale-if-error=60", "must-understand", "immutable"),
            *('private="x"', "max-age=-1", "max-age=99999999999999999999", 'x="a, b', "only-if-cached", "max-stale"),
            *("min-fresh=5", "max-stale=60", "=", ",", '"', "\xff", "max-age=1;x"),
        ]
    ),
    max_size=3,
).map(", ".join)
_DATES: Final = st.sampled_from(
    ["Mon, 01 Jan 2024 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT", "Monday, 01-Jan-24 00:00:00 GMT", "0", "", "now"]
)
_TAGS: Final = st.sampled_from(['"1"', 'W/"1"', '"2"', "*", '"', '"1", "2"', "1", 'W/"', '"\xff"'])
_KNOWN: Final = st.one_of(
    st.tuples(st.sampled_from(["Cache-Control", "CDN-Cache-Control", "cache-control", "Pragma"]), _DIRECTIVES),
    st.tuples(
        st.sampled_from(["Date", "Expires", "Last-Modified", "If-Modified-Since", "If-Unmodified-Since", "If-Range"]),
        _DATES,
    ),
    st.tuples(st.sampled_from(["ETag", "If-None-Match", "If-Match", "If-Range"]), _TAGS),
    st.tuples(st.just("Vary"), st.sampled_from(["*", "Accept", "accept, cookie", "", "a b", ",,", "Cookie"])),
    st.tuples(
        st.just("Range"), st.sampled_from(["bytes=0-1", "bytes=-1", "bytes=9-", "bytes=", "x=1", "bytes=0-0,2-3"])
    ),
    st.tuples(
        st.sampled_from(["Content-Length", "Age"]),
        st.sampled_from(["0", "3", "4", "-1", "x", "3, 3", "99999999999999999999"]),
    ),
    st.tuples(
        st.sampled_from(["Set-Cookie", "Cookie", "Authorization", "Accept", "Connection", "Content-Range", "Location"]),
        st.sampled_from(["a=1", "b", "x, Cache-Control", "/other", "http://[", "bytes 0-1/4", "*"]),
    ),
    st.tuples(st.sampled_from(["Cache-Tag", "Content-Location", "X-Forwarded-Host", "Forwarded"]), _LATIN),
)
_FIELDS: Final = st.lists(st.one_of(_KNOWN, _KNOWN, st.tuples(st.one_of(_TOKENS, _LATIN), _LATIN)), max_size=5)
_SOUND: Final = st.lists(_KNOWN, max_size=3)
_STATUSES: Final = st.one_of(st.just(200), st.sampled_from([204, 206, 301, 304, 404, 412, 416, 500, 503, 599]))
_BODIES: Final = st.lists(st.sampled_from([b"", b"a", b"bc", b"\x00\xff"]), max_size=3)
_METHODS: Final = st.one_of(st.just("GET"), st.sampled_from(["HEAD", "POST", "DELETE", "OPTIONS", "QUERY", "get", "X"]))
_OPTIONS: Final = st.sampled_from(
    [
        {},
        {"etag": True, "debug": True, "set_cookie": "strip"},
        {"methods": ["GET", "HEAD", "POST"], "default_ttl": 60, "cookies": ["a"], "set_cookie": "store"},
        {"vary": ["Accept"], "max_body": 2, "honour_clients": False, "name": None},
    ]
)
_ANSWERS: Final = st.lists(st.tuples(_STATUSES, _FIELDS, _BODIES), min_size=1, max_size=3)
_REQUESTS: Final = st.lists(st.tuples(_METHODS, _SOUND), min_size=2, max_size=4)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(requests=_REQUESTS, answers=_ANSWERS, options=_OPTIONS)
def test_any_exchange(requests: Any, answers: Any, options: Any) -> None:
    """Nothing raises; an answer that was passed on is the app's own; one that was stored has no control signs."""
    for name in ("sync", "async"):
        colour = Colour(name)
        with Layer(f"memory://{uuid4().hex}") as layer:
            colour.run(lambda colour=colour, layer=layer: _play(colour, layer, requests, answers, options))


async def _play(colour: Colour, layer: Layer, requests: Any, answers: Any, options: Any) -> None:
    made: list[Made] = []

    async def respond(asked: Asked) -> Made:
        status, fields, body = answers[len(made) % len(answers)]
        made.append(Made([*fields, ("X-Run", str(len(made)))], body, status))
        return made[-1]

    shop = Shop(colour, layer, respond, options)
    for method, fields in requests:
        runs = len(made)
        got = await shop.ask("/", *fields, method=method)
        if colour.is_async:
            await asyncio.sleep(0)
        if len(made) == runs and not got.is_hit and options.get("name", "") is not None:
            assert got.status == 504, "what only-if-cached cannot have"
            continue
        if len(made) == runs or ";hit" in got.told:
            assert all(sign not in name + value for name, value in got.fields for sign in "\r\n\x00")
        _check(got, made, method)


def _check(got: Any, made: list[Made], method: str) -> None:
    """See that what a client got is one answer of the app, whole, with the fields that this had."""
    lines = got.lines("X-Run")
    if not lines:
        return
    origin = made[int(lines[-1])]
    whole = b"".join(piece for piece in origin.body if isinstance(piece, bytes))
    bodies = {whole} if got.status == origin.status else {b"", whole, *_parts(whole)}
    assert got.body in bodies | ({b""} if method == "HEAD" or got.status in {204, 205, 304} else set())
    ours = {"age", "cache-status", "content-length", "content-range", "etag", "date"}
    ours |= {"cache-control"} if got.status == 416 else set()  # which nobody shall keep
    known = {(name.lower(), value) for each in made for name, value in each.fields}
    new: list[Pair] = [pair for pair in got.fields if (pair[0].lower(), pair[1]) not in known]
    assert {name.lower() for name, _ in new} <= ours


def _parts(whole: bytes) -> set[bytes]:
    return {whole[first:last] for first in range(len(whole)) for last in range(first + 1, len(whole) + 1)}
