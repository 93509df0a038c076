"""What is stored (RFC 9111, 3), and what is stored of it (3.1)."""

from __future__ import annotations

import pytest

from support.http_steps import FRESH, Case, cases, confirmed, hit, later, miss, play
from support.http_world import FRONTS

CC = "Cache-Control: "
PLAIN = [200, 203, 299, 301, 300, 302, 303, 307, 308, 400, 404, 405, 410, 414, 418, 499, 500, 501, 502, 503, 504]
HEURISTIC = [200, 203, 300, 301, 308, 404, 405, 410, 414, 501]
NOT_HEURISTIC = [201, 202, 299, 302, 303, 307, 400, 403, 418, 499, 500, 502, 503, 504]


def kept(name: str, *says: str, status: int = 200, wants: str = "", **options: object) -> Case:
    """Return a case in which the second request is answered from the store."""
    return Case(
        name, miss(*says, status=status, wants=wants), hit(wants=wants, status=status, body=b"run 1"), **options
    )


def unkept(name: str, *says: str, status: int = 200, wants: str = "", **options: object) -> Case:
    """Return a case in which the app is asked each time."""
    step = miss(*says, status=status, wants=wants)
    return Case(name, step, step, **options)


@cases(
    *[kept(f"9111-3 any final status with freshness {status}", FRESH, status=status) for status in [*PLAIN, 599]],
    *[kept(f"9111-4.2.2 heuristic {each}", "Last-Modified: @-9999", status=each) for each in HEURISTIC],
    *[kept(f"9111-4.2.2 public {each}", CC + "public", "Last-Modified: @-9999", status=each) for each in NOT_HEURISTIC],
    *[unkept(f"9111-4.2.2 no heuristic {each}", "Last-Modified: @-9999", status=each) for each in NOT_HEURISTIC],
    Case("9111-3 204 without a body", miss(FRESH, status=204), hit(status=204, lacks="Content-Length")),
    unkept("9111-3 206 is not stored", FRESH, "Content-Range: bytes 0-4/10", status=206),
    unkept("9111-3 nothing said", "Content-Type: text/plain"),
    kept("9111-3 expires", "Expires: @+60"),
    kept("9111-3 s-maxage", CC + "s-maxage=60"),
    unkept("9111-3 private", CC + "private, max-age=60"),
    unkept("9111-3 private wins over public", CC + "public, max-age=60, private"),
    unkept("9111-3 private with s-maxage", CC + "private, s-maxage=60"),
    unkept("9111-5.2.2.7 private names fields", CC + 'max-age=60, private="set-cookie"'),
    unkept("9111-5.2.2.5 no-store", CC + "no-store"),
    unkept("9111-5.2.2.5 no-store with freshness", CC + "max-age=60, no-store"),
    unkept("9111-5.2.2.5 no-store in another line", FRESH, CC + "no-store"),
    unkept("9111-5.2 no-store in capitals", CC + "max-age=60, No-StOrE"),
    unkept("9111-5.2.2.5 no-store with an argument", CC + "max-age=60, no-store=1"),
    unkept("9111-3 no-store in the request", FRESH, wants="Cache-Control: no-store"),
    Case(
        "9111-5.2.1.5 no-store in the request leaves what is stored",
        miss(FRESH),
        miss(FRESH, wants=CC + "no-store"),
        hit(),
    ),
    kept("9111-5.2.2.3 must-understand overrides no-store", CC + "max-age=60, no-store, must-understand"),
    kept("9111-5.2.2.3 must-understand alone", CC + "max-age=60, must-understand"),
    unkept("9111-5.2.2.3 a status that is not understood", CC + "max-age=60, must-understand", status=499),
    unkept("9111-5.2.2.3 the same with no-store", CC + "max-age=60, no-store, must-understand", status=499),
    unkept("9111-3.5 authorization", FRESH, wants="Authorization: Basic x"),
    kept("9111-3.5 authorization and public", CC + "max-age=60, public", wants="Authorization: Basic x"),
    kept("9111-3.5 authorization and s-maxage", CC + "s-maxage=60", wants="Authorization: Basic x"),
    kept(
        "9111-3.5 authorization and must-revalidate", CC + "max-age=60, must-revalidate", wants="Authorization: Basic x"
    ),
    unkept("9111-3.5 authorization and private", CC + "max-age=60, private", wants="Authorization: Basic x"),
    Case("9111-3.5 what is stored without it is for all", miss(FRESH), hit(wants="Authorization: Basic x")),
    kept("9111-3 a cookie of the request does not matter", FRESH, wants="Cookie: a=b"),
    unkept("9111-4.2.2 but nothing is guessed for its user", "Last-Modified: @-9999", wants="Cookie: a=b"),
    kept("9110-16.3.1 an unknown field of the response", FRESH, "X-Whatever: 1"),
    kept("9111-5.4 pragma of a response has no meaning", FRESH, "Pragma: no-cache"),
    unkept("9111-3 statuses by choice, not chosen", FRESH, status=404, statuses=(200,)),
    kept("9111-3 statuses by choice, chosen", FRESH, status=404, statuses=(404,)),
    unkept("9112-7.1.2 trailers", FRESH, "Trailer: X-Checksum"),
    Case("9111-4.2.2 default_ttl", miss(), later(59), hit(), later(1), miss(), default_ttl="1m"),
    unkept("9111-4.2.2 default_ttl not for a user", wants="Cookie: a=b", default_ttl="1m"),
    unkept("9111-4.2.2 default_ttl not with Set-Cookie", "Set-Cookie: a=b", default_ttl="1m"),
    unkept("9111-4.2.2 default_ttl not for a 404", status=404, default_ttl="1m"),
    unkept("9111-4.2.2 default_ttl not against no-store", CC + "no-store", default_ttl="1m"),
    Case(
        "9111-4.2.2 heuristic off", miss("Last-Modified: @-9999"), confirmed("Last-Modified: @-9999"), heuristic=False
    ),
)
def test_what_is_stored(case: Case, front: str, namespace: str) -> None:
    """A response is stored if its request, its status and its fields permit it, and only then."""
    play(case, front, namespace)


COOKIE = "Set-Cookie: sid=1"


@cases(
    unkept("9111-7.3 by default not if merely fresh", FRESH, COOKIE),
    kept("9111-7.3 by default if public", CC + "public, max-age=60", COOKIE),
    kept("9111-7.3 by default with s-maxage", CC + "s-maxage=60", COOKIE),
    kept("9213-2.2 by default if aimed at caches", "CDN-Cache-Control: max-age=60", COOKIE),
    unkept("9111-7.3 never by a guess", CC + "public", COOKIE, "Last-Modified: @-9999"),
    kept("9111-7.3 store", FRESH, COOKIE, set_cookie="store"),
    unkept("9111-7.3 store never by a guess", COOKIE, "Last-Modified: @-9999", set_cookie="store"),
    unkept("9111-7.3 refuse", CC + "public, max-age=60", COOKIE, set_cookie="refuse"),
    Case(
        "9111-7.3 strip",
        miss(FRESH, COOKIE, has=COOKIE),
        hit(lacks="Set-Cookie"),
        set_cookie="strip",
    ),
    Case(
        "9111-7.3 several are kept apart",
        miss(CC + "public, max-age=60", COOKIE, "Set-Cookie: b=2; Path=/"),
        hit(has="Set-Cookie: sid=1, b=2; Path=/"),
    ),
    fronts=FRONTS,
)
def test_cookies(case: Case, front: str, namespace: str) -> None:
    """A response that sets a cookie is stored only if it says that it is for all; the owner may say otherwise."""
    play(case, front, namespace)


@cases(
    *[
        Case(f"9111-3.1 {name} is not stored", miss(FRESH, f"{name}: {value}"), hit(lacks=name))
        for name, value in [
            ("Connection", "close"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Connection", "close"),
            ("Proxy-Authenticate", "Basic"),
            ("Proxy-Authentication-Info", "x=1"),
            ("Proxy-Authorization", "x"),
            ("TE", "trailers"),
            ("Transfer-Encoding", "identity"),
            ("Upgrade", "h2c"),
        ]
    ],
    *[
        Case(
            f"{line.partition(':')[0]} is of one client", miss(FRESH, line, has=line), hit(lacks=line.partition(":")[0])
        )
        for line in [
            'RateLimit: "per-minute";r=4;t=12',
            'RateLimit-Policy: "per-minute";q=5;w=60',
            "RateLimit-Remaining: 4",
            "X-RateLimit-Remaining: 4",
        ]
    ],
    Case(
        "RateLimit of a 304 is of one client",
        miss("Cache-Control: max-age=1", 'ETag: "v1"'),
        later(1),
        confirmed(FRESH, 'RateLimit: "a";r=4', lacks="RateLimit"),
        hit(lacks="RateLimit"),
    ),
    Case(
        "9111-3.1 what Connection names",
        miss(FRESH, "Connection: X-One", "Connection: close,x-TWO", "X-One: 1", "X-Two: 2", "X-Three: 3"),
        hit(has="X-Three: 3", lacks="X-One\nX-Two\nConnection"),
    ),
    *[
        Case(f"9111-3.1 {line.partition(':')[0]} is stored", miss(FRESH, line), hit(has=line))
        for line in [
            "Content-Type: text/plain; charset=latin-1",
            "Content-Encoding: br",
            "Content-Language: mi, en",
            "Content-Location: /other",
            "Content-Disposition: attachment",
            "Content-Security-Policy: default-src 'self'",
            "Content-Length: 5",
            'ETag: W/"a"',
            "Last-Modified: @-100",
            "Date: @-1",
            "Expires: @+7200",
            "Vary: Accept",
            "Link: </a>; rel=preload",
            "Server: x",
            "Warning: 110 - stale",
            "X-Powered-By: x",
            "Clear-Site-Data: 1",
            "Public-Key-Pins: x",
            "X-Latin: \xe9\xff",
            "CDN-Cache-Control: max-age=7200",
            "Strict-Transport-Security: max-age=1",
        ]
    ],
    Case(
        "9110-5.3 order and duplicates",
        miss(FRESH, "X-A: 2", "X-B: b", "X-A: 1", "x-a: 2"),
        hit(has="X-A: 2, 1, 2"),
    ),
    Case(
        "9111-3.1 a length where the app gave none", miss(FRESH, lacks="Content-Length"), hit(has="Content-Length: 5")
    ),
    Case(
        "9111-5.2.2.4 no-cache names fields, so that all is validated",
        miss(CC + 'max-age=60, no-cache="x-a"', "X-A: 1", 'ETag: "a"'),
        confirmed(sees='If-None-Match: "a"', has="X-A: 1"),
    ),
)
def test_which_fields_are_stored(case: Case, front: str, namespace: str) -> None:
    """A stored response has all fields that it came with, but for those about one connection."""
    play(case, front, namespace)


@cases(
    Case("9111-3.3 shorter than it says", miss(FRESH, "Content-Length: 9"), miss(FRESH)),
    Case("9111-3.3 the app raises midway", miss(FRESH, fails="midway", pieces=2), later(1), miss(FRESH), hit(2)),
    Case("9111-3.3 the app raises first", miss(FRESH, fails="first"), later(1), miss(FRESH), hit(2)),
    Case("9111-3 in many pieces", miss(FRESH, body=b"0123456789" * 50, pieces=100), hit(body=b"0123456789" * 50)),
    Case("9111-3 an empty body", miss(FRESH, body=b""), hit(body=b"", has="Content-Length: 0")),
    Case("9111-3 a body that lies apart", miss(FRESH, body=b"ab" * 30_000), hit(body=b"ab" * 30_000)),
    Case("9111-3 as long as is stored", miss(FRESH, body=b"x" * 100, pieces=7), hit(body=b"x" * 100), max_body=100),
    Case(
        "9111-3 a byte too long",
        miss(FRESH, body=b"x" * 101, pieces=7),
        miss(FRESH, body=b"y" * 101),
        max_body=100,
    ),
    Case("9111-3 said to be too long", miss(FRESH, "Content-Length: 101", body=b"x" * 101), miss(FRESH), max_body=100),
    fronts=FRONTS,
)
def test_bodies(case: Case, front: str, namespace: str) -> None:
    """A body is stored whole or not at all, and reaches the client in either case."""
    play(case, front, namespace)


@cases(
    Case("9110-9.3.3 POST is passed on", miss(FRESH, to="POST /"), miss(FRESH, to="POST /")),
    Case(
        "9110-9.3.3 POST is not stored by default",
        miss(FRESH, "Content-Location: /", to="POST /"),
        miss(FRESH),
    ),
    Case(
        "9110-9.3.3 POST stored for GET and HEAD",
        miss(FRESH, "Content-Location: /", to="POST /"),
        hit(),
        hit(to="HEAD /"),
        miss(FRESH, to="POST /"),
        miss(FRESH),
        methods=("GET", "HEAD", "POST"),
    ),
    *[
        Case(f"9110-9.3.3 POST {name}", miss(*says, to="POST /a"), miss(to="GET /a"), methods=("GET", "HEAD", "POST"))
        for name, says in {
            "without Content-Location": (FRESH,),
            "about another": (FRESH, "Content-Location: /b"),
            "without freshness": ("Content-Location: /a", "Last-Modified: @-999"),
            "with two Content-Locations": (FRESH, "Content-Location: /a", "Content-Location: /a"),
        }.items()
    ],
    *[
        Case(f"9111-3 {each} is passed on", *[miss(FRESH, to=f"{each} /")] * 2)
        for each in ["PUT", "OPTIONS", "TRACE", "FOO"]
    ],
    Case("9110-9.3.2 HEAD is not stored", *[miss(FRESH, to="HEAD /")] * 2),
    fronts=FRONTS,
)
def test_methods(case: Case, front: str, namespace: str) -> None:
    """Only what a GET brings is stored, and by choice what a POST brings that says that a GET would bring the same."""
    play(case, front, namespace)


@pytest.mark.parametrize("front", ["asgi", "wsgi"])
def test_raw_order(front: str, namespace: str) -> None:
    """A stored response has its fields in their order, each line by itself, with its bytes (RFC 9110, 5.3)."""
    from holdfast import Layer
    from support.colours import Colour
    from support.http_world import Says, World

    colour = Colour("async" if front == "asgi" else "sync")

    async def scenario() -> None:
        async with colour.using(Layer(f"memory://{namespace}", namespace=namespace)) as layer:
            world = World(front, layer)
            lines = ("X-B: 1", FRESH, "X-A: \xe9", "X-B:  2", "Content-Length: 5")
            world.origin.script = [Says(lines)]
            await world.ask("GET /")
            stored = (await world.ask("GET /")).fields.pairs
            names = [name.lower() for name, _ in stored]
            assert names == ["x-b", "cache-control", "x-a", "x-b", "content-length", "age", "cache-status"]
            assert [value for _, value in stored][:4] == ["1", "max-age=3600", "\xe9", "2"]

    colour.run(scenario)
