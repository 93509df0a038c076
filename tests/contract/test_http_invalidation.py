"""What unsafe requests, purges and tags do to what is stored (RFC 9111, 4.4)."""

from __future__ import annotations

from support.http_steps import FRESH, Case, cases, hit, later, miss, play, purge
from support.http_world import FRONTS

UNSAFE = ["POST", "PUT", "DELETE", "PATCH", "MKCOL", "FOO", "get", "M-SEARCH"]
SAFE = ["OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH"]
A = miss(FRESH, to="GET /a")


@cases(
    *[Case(f"9111-4.4 {each}", A, miss(to=f"{each} /a"), A, hit(3, to="GET /a")) for each in UNSAFE],
    *[Case(f"9111-4.4 not {each}", A, miss(to=f"{each} /a"), hit(1, to="GET /a")) for each in SAFE],
    *[
        Case(f"9111-4.4 answered {each}", A, miss(to="POST /a", status=each), A)
        for each in (200, 201, 204, 299, 301, 303, 307, 399)
    ],
    *[
        Case(f"9111-4.4 not if answered {each}", A, miss(to="POST /a", status=each), hit(1, to="GET /a"))
        for each in (400, 404, 409, 500, 503)
    ],
    Case("9111-4.4 not if it raises", A, miss(to="POST /a", fails="first"), hit(1, to="GET /a")),
    Case("9111-4.4 another path stays", A, miss(to="POST /b"), hit(1, to="GET /a")),
    Case("9111-4.4 another query stays", A, miss(to="POST /a?x"), hit(1, to="GET /a")),
    Case("9111-4.4 another host stays", A, miss(to="POST /a", wants="Host: other.example"), hit(1, to="GET /a")),
    Case(
        "9111-4.4 all variants go",
        miss(FRESH, "Vary: X-A", wants="X-A: 1"),
        miss(FRESH, "Vary: X-A", wants="X-A: 2"),
        miss(to="DELETE /", wants="X-A: 3"),
        miss(FRESH, wants="X-A: 1"),
    ),
    *[
        Case(f"9111-4.4 {name} {at}", A, miss(f"{name}: {value}", to="POST /x/y"), A)
        for name in ("Location", "Content-Location")
        for at, value in enumerate(
            ["/a", "http://shop.example/a", "//shop.example/a", "../a", "http://SHOP.example:80/a#f", "/b/../a"]
        )
    ],
    *[
        Case(
            f"9111-4.4 {name} elsewhere {at}",
            A,
            miss(f"{name}: {value}", to="POST /x", wants=wants),
            hit(1, to="GET /a"),
        )
        for name in ("Location", "Content-Location")
        for at, (value, wants) in enumerate(
            [
                ("http://shop.example/a", "Host: other.example"),
                ("https://shop.example/a", ""),
                ("http://shop.example:8080/a", ""),
                ("http://user@shop.example/a", ""),
                ("ftp://shop.example/a", ""),
                ("http://[/a", ""),
                ("", ""),
            ]
        )
    ],
    Case(
        "9111-4.4 location and the target",
        A,
        miss(FRESH, to="GET /x"),
        miss("Location: /a", to="PUT /x", status=201),
        A,
        miss(to="GET /x"),
    ),
    Case(
        "9111-4.4 location of a GET means nothing",
        A,
        miss(FRESH, "Location: /a", to="GET /x", status=302),
        hit(1, to="GET /a"),
    ),
    Case(
        "9111-4.4 location of an error means nothing",
        A,
        miss("Location: /a", to="POST /x", status=400),
        hit(1, to="GET /a"),
    ),
    Case(
        "9111-4.4 in spite of parameters that do not matter",
        miss(FRESH, to="GET /a?utm_x=1"),
        miss("Location: /a?utm_x=2", to="POST /b"),
        miss(FRESH, to="GET /a"),
        miss(to="POST /a?utm_x=3"),
        miss(FRESH, to="GET /a"),
        ignore_query=("utm_*",),
    ),
    Case(
        "9110-9.3.3 the request is passed on as it is",
        miss(
            to="POST /a",
            wants='If-Match: "a"\nRange: bytes=0-0',
            sees='If-Match: "a"\nRange: bytes=0-0',
            told="fwd=method",
        ),
    ),
)
def test_unsafe_requests(case: Case, front: str, namespace: str) -> None:
    """What may have changed a resource removes what is stored of it, and of what it names on the same origin."""
    play(case, front, namespace)


@cases(
    Case("purge one url", A, miss(FRESH), purge("http://shop.example/a"), miss(FRESH, to="GET /a"), hit(2)),
    Case(
        "purge all variants",
        miss(FRESH, "Vary: X-A", wants="X-A: 1"),
        purge("http://shop.example/"),
        miss(FRESH, wants="X-A: 1"),
    ),
    Case("purge as clients write it", A, purge("HTTP://Shop.Example:80/a#x"), A),
    Case("purge another", A, purge("https://shop.example/a", "http://shop.example/"), hit(1, to="GET /a")),
    Case("purge what is not there", purge("http://shop.example/a"), A, later(1), hit(1, to="GET /a")),
    fronts=FRONTS,
)
def test_purges(case: Case, front: str, namespace: str) -> None:
    """The app's owner removes URLs at once."""
    play(case, front, namespace)
