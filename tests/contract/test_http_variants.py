"""Which stored response a request selects (RFC 9111, 4.1), and under what URL it is kept (2)."""

from __future__ import annotations

from support.http_steps import FRESH, Case, cases, confirmed, hit, later, miss, play

CC = "Cache-Control: "
VARY = "Vary: X-A"
ONE, TWO = "X-A: 1", "X-A: 2"


def alike(name: str, vary: str, first: str, second: str) -> Case:
    """Return a case in which two requests select the same response."""
    return Case(name, miss(FRESH, f"Vary: {vary}", wants=first), hit(wants=second))


def unlike(name: str, vary: str, first: str, second: str) -> Case:
    """Return a case in which two requests do not select the same response; each has its own."""
    says = FRESH, f"Vary: {vary}"
    return Case(name, miss(*says, wants=first), miss(*says, wants=second), hit(1, wants=first), hit(2, wants=second))


@cases(
    alike("9111-4.1 the same", "X-A", ONE, ONE),
    unlike("9111-4.1 another", "X-A", ONE, TWO),
    unlike("9111-4.1 absent is not empty", "X-A", "", "X-A: "),
    unlike("9111-4.1 absent and there", "X-A", "", ONE),
    unlike("9111-4.1 there and absent", "X-A", ONE, ""),
    alike("9111-4.1 absent both times", "X-A", "", "X-B: 1"),
    alike("9111-4.1 fields that are not nominated", "X-A", f"{ONE}\nX-B: 1", f"{ONE}\nX-B: 2"),
    alike("9111-4.1 names in other capitals", "x-A", ONE, "x-a: 1"),
    alike("9111-4.1 two fields, both alike", "X-A, X-B", f"{ONE}\nX-B: 1", f"X-B: 1\n{ONE}"),
    unlike("9111-4.1 two fields, one unlike", "X-A, X-B", f"{ONE}\nX-B: 1", f"{ONE}\nX-B: 2"),
    unlike("9111-4.1 two fields, one absent", "X-A, X-B", f"{ONE}\nX-B: 1", ONE),
    unlike("9111-4.1 values in another order", "X-A", "X-A: 1, 2", "X-A: 2, 1"),
    alike("9111-4.1 space at commas", "X-A", "X-A: 1, 2", "X-A: 1 ,\t2"),
    alike("9111-4.1 lines joined", "X-A", "X-A: 1, 2", "X-A: 1\nX-A: 2"),
    unlike("9111-4.1 case of an unknown field", "X-A", "X-A: a", "X-A: A"),
    alike("9111-4.1 case of a language", "Accept-Language", "Accept-Language: en-GB, de", "Accept-Language: EN-gb,DE"),
    alike("9111-4.1 space at a weight", "Accept-Language", "Accept-Language: en;q=0.5", "Accept-Language: en ; q=0.5"),
    unlike("9111-4.1 another weight", "Accept-Language", "Accept-Language: en;q=0.5", "Accept-Language: en;q=0.6"),
    alike("9111-4.1 case of an encoding", "Accept-Encoding", "Accept-Encoding: gzip, br", "Accept-Encoding: GZIP,br"),
    unlike("9111-4.1 cookies", "Cookie", "Cookie: a=1", "Cookie: a=2"),
    unlike("9111-4.1 origins", "Origin", "Origin: https://a", "Origin: https://b"),
    unlike("9111-4.1 spaces within a value", "X-A", "X-A: a b", "X-A: a  b"),
    Case("9111-4.1 a star never matches", *[miss(FRESH, "Vary: *")] * 2),
    Case("9111-4.1 a star among others", *[miss(FRESH, "Vary: X-A, *", wants=ONE)] * 2),
    Case("9111-4.1 a star in another line", *[miss(FRESH, VARY, "Vary: *", wants=ONE)] * 2),
    Case(
        "9111-4.1 lists in two lines",
        miss(FRESH, VARY, "Vary: X-B", wants=ONE),
        miss(FRESH, VARY, "Vary: X-B", wants="X-B: 1"),
    ),
    Case("9111-4.1 a name that is none", *[miss(FRESH, "Vary: X A")] * 2),
    Case("9111-4.1 an empty vary", miss(FRESH, "Vary: ", wants=ONE), hit(wants=TWO)),
    Case(
        "9111-4.1 several variants",
        *[miss(FRESH, VARY, wants=f"X-A: {at}") for at in range(5)],
        *[hit(at + 1, wants=f"X-A: {at}") for at in range(5)],
    ),
    Case(
        "9111-4.1 one is renewed, the others stay",
        miss(FRESH, VARY, wants=ONE),
        miss(CC + "max-age=1", VARY, wants=TWO),
        later(1),
        miss(FRESH, VARY, wants=TWO),
        hit(1, wants=ONE),
        hit(3, wants=TWO),
    ),
    Case(
        "9111-4.1 vary changes",
        miss(FRESH, VARY, wants=f"{ONE}\nX-B: 1"),
        miss(FRESH, "Vary: X-B", wants=f"{TWO}\nX-B: 2"),
        hit(2, wants=f"{ONE}\nX-B: 2"),
    ),
    Case(
        "9111-4.1 one without vary does not hide the others",
        miss(FRESH, VARY, wants=ONE),
        miss(FRESH, wants=TWO),
        hit(1, wants=ONE),
        miss(FRESH, VARY, wants="X-A: 3"),
    ),
    Case(
        "9111-4.1 the most recent by date",
        miss(FRESH, VARY, "Date: @-10", wants=f"{ONE}\nX-B: 1"),
        miss(FRESH, "Vary: X-B", "Date: @-20", wants=f"{TWO}\nX-B: 2"),
        hit(1, wants=f"{ONE}\nX-B: 2"),
    ),
    Case(
        "9111-4.3.1 the etags of all variants are sent, and the 304 says which",
        miss(FRESH, VARY, 'ETag: "1"', wants=ONE),
        miss(FRESH, VARY, 'ETag: "2"', wants=TWO),
        confirmed(
            'ETag: "1"', FRESH, VARY, wants="X-A: 3", run=1, sees='If-None-Match: "2", "1"', hides="If-Modified-Since"
        ),
        hit(1, wants="X-A: 3"),
        hit(1, wants=ONE),
        hit(2, wants=TWO),
    ),
    Case(
        "9111-4.3.1 a new variant instead",
        miss(FRESH, VARY, 'ETag: "1"', wants=ONE),
        miss(FRESH, VARY, 'ETag: "2"', wants=TWO, told="fwd=vary-miss"),
        miss(FRESH, VARY, 'ETag: "3"', wants="X-A: 3", sees='If-None-Match: "2", "1"', told="fwd=vary-miss"),
        hit(1, wants=ONE),
        hit(2, wants=TWO),
        hit(3, wants="X-A: 3"),
    ),
    Case(
        "9110-8.8.3 an ETag that several variants have",
        miss(FRESH, VARY, 'ETag: "1"', wants=ONE),
        miss(FRESH, VARY, 'ETag: "1"', wants=TWO),
        miss(FRESH, VARY, 'ETag: "1"', wants="X-A: 3"),
    ),
    Case(
        "9111-4.1 vary of a 304",
        miss(CC + "max-age=1", 'ETag: "1"'),
        later(1),
        confirmed(FRESH, VARY, wants=ONE),
        hit(1, wants=ONE),
        miss(FRESH, wants=TWO),
    ),
    Case("9111-4.1 vary by choice", miss(FRESH, wants=ONE), miss(FRESH, wants=TWO), hit(1, wants=ONE), vary=("X-A",)),
    Case(
        "9111-4.1 names taken out",
        miss(FRESH, "Vary: X-A, X-B", wants=ONE),
        hit(wants=TWO),
        miss(FRESH, "Vary: X-A, X-B", wants="X-B: 1"),
        ignore_vary=("x-a",),
    ),
    Case("9111-4.1 a star is not taken out", *[miss(FRESH, "Vary: *, X-A")] * 2, ignore_vary=("X-A",)),
    Case(
        "9111-4.1 the oldest of many gives way",
        *[miss(FRESH, VARY, wants=f"X-A: {at}") for at in range(20)],
        hit(20, wants="X-A: 19"),
        miss(FRESH, VARY, wants="X-A: 0"),
    ),
    Case(
        "9111-4.1 a weight in another form",
        miss(FRESH, "Vary: Accept", wants="Accept: text/html;q=0.9, */*"),
        hit(wants="Accept: TEXT/html; q=0.9,*/*"),
    ),
)
def test_vary(case: Case, front: str, namespace: str) -> None:
    """A stored response is for requests that have the nominated fields alike; each URL may have several."""
    play(case, front, namespace)


def apart(name: str, first: str, second: str, wants: str = "", other: str = "", **options: object) -> Case:
    """Return a case in which two requests are for two resources."""
    return Case(
        name,
        miss(FRESH, to=first, wants=wants),
        miss(FRESH, to=second, wants=other),
        hit(1, to=first, wants=wants),
        hit(2, to=second, wants=other),
        **options,
    )


def same(name: str, first: str, second: str, wants: str = "", other: str = "", **options: object) -> Case:
    """Return a case in which two requests are for one resource."""
    return Case(name, miss(FRESH, to=first, wants=wants), hit(to=second, wants=other), **options)


def uncached(name: str, wants: str, to: str = "GET /", **options: object) -> Case:
    """Return a case in which the cache stays away from a request."""
    return Case(name, *[miss(FRESH, to=to, wants=wants, told="", lacks="Cache-Status")] * 2, **options)


@cases(
    apart("9111-2 paths", "GET /a", "GET /b"),
    apart("9111-2 queries", "GET /?a=1", "GET /?a=2"),
    apart("9111-2 the order of a query", "GET /?a=1&b=2", "GET /?b=2&a=1"),
    apart("9111-2 with a query and without", "GET /", "GET /?a"),
    same("9111-2 the same query", "GET /?a=1", "GET /?a=1"),
    apart("9111-2 a slash that is encoded", "GET /a%2Fb", "GET /a/b"),
    apart("9111-2 capitals of a path", "GET /A", "GET /a"),
    apart("9111-2 a slash at the end", "GET /a", "GET /a/"),
    apart("9111-2 braces and colons", "GET /{a}:1", "GET /{a}"),
    apart("9111-2 bytes beyond ascii", "GET /caf%C3%A9", "GET /caf%E9"),
    same("9111-2 GET and HEAD", "GET /a", "HEAD /a"),
    apart("9110-4.2.3 hosts", "GET /", "GET /", "Host: a.example", "Host: b.example"),
    same("9110-4.2.3 capitals of a host", "GET /", "GET /", "Host: A.example", "Host: a.EXAMPLE"),
    same("9110-4.2.3 the default port", "GET /", "GET /", "Host: a.example", "Host: a.example:80"),
    apart("9110-4.2.3 another port", "GET /", "GET /", "Host: a.example", "Host: a.example:8080"),
    *[
        uncached(f"9110-7.2 a host that is none {at}", f"Host: {host}")
        for at, host in enumerate(["a b", "a/b", "u@a", "a,b", "", "a:x", "a?b", "a#b", "[::1", "a\\b"])
    ],
    uncached("9110-7.2 two hosts", "Host: a.example\nHost: b.example"),
    Case(
        "9110-9.1 a method by a field",
        *[miss(FRESH, wants="X-HTTP-Method-Override: DELETE", told="", lacks="Cache-Status")] * 2,
    ),
    Case(
        "9111-4.4 anybody can send it",
        miss(FRESH),
        miss(wants="X-Method-Override: DELETE", told="", lacks="Cache-Status"),
        hit(1),
    ),
    apart("9110-7.1 a host by a field", "GET /", "GET /", "", "X-Forwarded-Host: evil.example"),
    apart("9110-7.1 a scheme by a field", "GET /", "GET /", "", "X-Forwarded-Proto: https"),
    apart("9110-7.1 a path by a field", "GET /", "GET /", "", "X-Original-URL: /admin"),
    apart("7239-4 a host by forwarded", "GET /", "GET /", "", "Forwarded: host=evil.example"),
    same("7239-4 forwarded without host or proto", "GET /", "GET /", "", "Forwarded: for=192.0.2.1"),
    same(
        "9111-2 parameters that do not matter",
        "GET /?utm_a=1&x=1&fbclid=2",
        "GET /?x=1&utm_b=3",
        ignore_query=("utm_*", "fbclid"),
    ),
    apart("9111-2 parameters that do", "GET /?utm_a=1&x=1", "GET /?x=2&utm_a=1", ignore_query=("utm_*",)),
    apart("9111-2 cookies by choice", "GET /", "GET /", "Cookie: ab=1; x=1", "Cookie: ab=2; x=1", cookies=("ab",)),
    same("9111-2 other cookies", "GET /", "GET /", "Cookie: ab=1; x=1", "Cookie: x=2; ab=1", cookies=("ab",)),
    apart("9111-2 a key of one's own", "GET /", "GET /", "X-A: 1", "X-A: 2", key=lambda request: request.get("X-A")),
    uncached("9111-2 a key that says no", "", key=lambda request: None),
    uncached("9111-3 private paths", "", "GET /account", private=("/account",)),
    uncached("9111-3 below private paths", "", "GET /account/x", private=("/account",)),
    uncached("9111-3 private patterns", "", "GET /a/x.json?y", private=("/a/*.json",)),
    uncached("9111-3 private paths that are encoded", "", "GET /%61ccount/x", private=("/account",)),
    same("9111-3 paths that begin alike", "GET /accounts", "GET /accounts", private=("/account",)),
)
def test_keys(case: Case, front: str, namespace: str) -> None:
    """A response is kept under scheme, host, path and query as they were sent, and what cannot be told is not kept."""
    play(case, front, namespace)
