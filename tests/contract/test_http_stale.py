"""When a stale response is served (RFC 9111, 4.2.4; RFC 5861)."""

from __future__ import annotations

from dataclasses import replace

from support.http_steps import FRESH, STALE, Case, behind, cases, confirmed, hit, instead, later, miss, play
from support.http_world import FRONTS

CC = "Cache-Control: "
SWR = CC + "max-age=10, stale-while-revalidate=20"
SIE = CC + "max-age=10, stale-if-error=20"
BRIEF = CC + "max-age=10"
TAG = 'ETag: "a"'
FORBIDDEN = ["must-revalidate", "proxy-revalidate", "s-maxage=10", "no-cache"]


@cases(
    Case("5861-3 while revalidating", miss(SWR), later(10), behind(SWR), hit(2)),
    Case("5861-3 to its end", miss(SWR), later(29), behind(SWR), hit(2)),
    Case("5861-3 not beyond", miss(SWR), later(30), miss(SWR), hit(2)),
    Case(
        "5861-3 by a condition",
        miss(SWR, TAG),
        later(10),
        behind(SWR, TAG, status=304, sees='If-None-Match: "a"'),
        hit(1),
    ),
    Case("5861-3 it is told as stale", miss(SWR), later(15), behind(SWR), later(9), hit(2, told="hit;ttl=1")),
    Case(
        "5861-3 with the fields of the client",
        miss(SWR, "Vary: X-A", wants="X-A: 1"),
        later(10),
        behind(SWR, "Vary: X-A", wants="X-A: 1\nX-B: 2", sees="X-A: 1\nX-B: 2"),
        hit(2, wants="X-A: 1"),
    ),
    Case("5861-3 an error behind changes nothing", miss(SWR), later(10), behind(status=500), behind(SWR), hit(3)),
    Case("5861-3 what is not to be stored removes it", miss(SWR), later(10), behind(CC + "no-store"), miss(SWR)),
    Case("5861-3 only-if-cached", miss(SWR), later(10), behind(SWR, wants=CC + "only-if-cached"), hit(2)),
    Case("5861-3 not for max-age=0 of a client", miss(SWR), later(10), miss(SWR, wants=CC + "max-age=0")),
    Case("5861-3 with an invalid argument", miss(CC + "max-age=10, stale-while-revalidate=x"), later(10), miss(SWR)),
    *[
        Case(
            f"9111-4.2.4 never with {each}",
            miss(SWR + f", {each}"),
            *([later(10)] if each != "no-cache" else []),
            miss(FRESH),
        )
        for each in FORBIDDEN
    ],
    Case(
        "9213-2.1 in a targeted field",
        miss("CDN-Cache-Control: max-age=10, stale-while-revalidate=20", STALE),
        later(10),
        behind(FRESH),
        hit(2),
    ),
    Case(
        "5861-3 of a response without freshness", miss(CC + "max-age=0, stale-while-revalidate=20"), behind(SWR), hit(2)
    ),
    Case(
        "9111-4.3.2 a condition on what is stale is answered",
        miss(SWR, TAG),
        later(10),
        behind(SWR, TAG, wants='If-None-Match: "z"', sees='If-None-Match: "a"'),
    ),
    *[
        Case(
            f"5861-3 without the client's {wants.partition(':')[0]}",
            miss(SWR, "Date: @+0"),
            later(15),
            replace(behind(SWR, wants=wants), status=status, body=None, hides=(wants.partition(":")[0],)),
            hit(2),
        )
        for wants, status in [("Range: bytes=0-1", 206), ("If-Modified-Since: @+0", 304), ("If-None-Match: *", 304)]
    ],
    Case(
        "5861-3 for a client that would put up with more",
        miss(SWR),
        later(15),
        behind(SWR, wants=CC + "max-stale=9"),
        hit(2),
    ),
    Case(
        "5861-3 an error behind, then again",
        miss(SWR + ", stale-if-error=100"),
        later(11),
        behind(status=503),
        hit(1),
        later(10),
        behind(SWR),
        hit(3),
    ),
    Case(
        "5861-3 by a HEAD that agrees",
        miss(SWR),
        later(15),
        replace(behind(SWR, "Content-Length: 5", to="HEAD /"), body=b""),
        hit(1, has="Age: 0"),
    ),
    Case("5861-3 a 404 behind", miss(SWR), later(15), behind(status=404), miss(status=404)),
    Case(
        "5861-3 a fresh 404 behind", miss(SWR), later(15), behind(FRESH, status=404), hit(2, status=404, body=b"run 2")
    ),
    fronts=FRONTS,
)
def test_while_revalidating(case: Case, front: str, namespace: str) -> None:
    """Within its window a stale response is served at once, and validated behind."""
    play(case, front, namespace)


@cases(
    *[Case(f"5861-4 a {each}", miss(SIE), later(29), instead(status=each)) for each in (500, 502, 503, 504)],
    *[Case(f"5861-4 not a {each}", miss(SIE), later(10), miss(status=each)) for each in (400, 404, 501, 505)],
    Case("5861-4 not beyond", miss(SIE), later(30), miss(status=503)),
    Case("5861-4 not without the directive", miss(BRIEF), later(10), miss(status=503)),
    Case("5861-4 asked for by the client", miss(BRIEF), later(10), instead(wants=CC + "stale-if-error=20")),
    Case(
        "5861-4 not beyond what the client asks",
        miss(BRIEF),
        later(30),
        miss(wants=CC + "stale-if-error=20", status=503),
    ),
    Case("5861-4 the app raises", miss(SIE, TAG), later(29), instead(fails="first")),
    Case("5861-4 its age is told", miss(SIE), later(15), instead(has="Age: 15")),
    Case("5861-4 good again", miss(SIE), later(10), instead(), later(5), miss(FRESH), hit(3)),
    Case(
        "5861-4 the app is not asked again at once",
        miss(CC + "max-age=10, stale-if-error=2000"),
        later(10),
        instead(),
        hit(1),
    ),
    *[
        Case(
            f"9111-4.2.4 never with {each}",
            miss(SIE + f", {each}"),
            *([later(10)] if each != "no-cache" else []),
            miss(status=503),
        )
        for each in FORBIDDEN
    ],
    Case("9111-4.2.4 an app that raises", miss(BRIEF), later(309), instead(fails="first")),
    Case("9111-4.2.4 for five minutes", miss(BRIEF), later(310), miss(fails="first")),
    Case("9111-4.2.4 by choice for longer", miss(BRIEF), later(3000), instead(fails="first"), stale_if_raises="1h"),
    Case("9111-4.2.4 by choice not at all", miss(BRIEF), later(10), miss(fails="first"), stale_if_raises=0),
    Case("9111-4.2.4 nothing stored", miss(fails="first")),
    Case(
        "9111-4.2.4 not for a client that wants no stored answer",
        miss(BRIEF),
        later(10),
        miss(fails="first", wants=CC + "no-cache"),
    ),
    *[
        Case(
            f"9111-4.2.4 an app that raises never with {each}",
            miss(BRIEF + f", {each}", TAG),
            *([later(10)] if each != "no-cache" else []),
            miss(fails="first"),
        )
        for each in FORBIDDEN
    ],
    Case(
        "9111-4.2.4 a validation that raises",
        miss(BRIEF, TAG),
        later(10),
        instead(fails="first"),
        later(30),
        confirmed(FRESH),
        hit(),
    ),
    fronts=FRONTS,
)
def test_if_error(case: Case, front: str, namespace: str) -> None:
    """A stale response stands in for an error where somebody said so, and for an app that raises unless forbidden."""
    play(case, front, namespace)
