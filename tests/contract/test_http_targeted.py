"""Fields that take the place of Cache-Control for caches like this one (RFC 9213)."""

from __future__ import annotations

from support.http_steps import FRESH, STALE, Case, cases, confirmed, hit, later, miss, play

CC, CDN = "Cache-Control: ", "CDN-Cache-Control: "
TAG = 'ETag: "a"'


def obeyed(name: str, *says: str, **options: object) -> Case:
    """Return a case in which the response is stored."""
    return Case(name, miss(*says), hit(), **options)


def refused(name: str, *says: str, **options: object) -> Case:
    """Return a case in which the response is not used again."""
    return Case(name, miss(*says), miss(*says), **options)


@cases(
    obeyed("9213-2.2 alone", CDN + "max-age=60"),
    obeyed("9213-2.2 before max-age", CDN + "max-age=60", STALE),
    obeyed("9213-2.2 before no-store", CDN + "max-age=60", CC + "no-store"),
    obeyed("9213-2.2 before private", CDN + "max-age=60", CC + "private"),
    obeyed("9213-2.2 before no-cache", CDN + "max-age=60", CC + "no-cache"),
    obeyed("9213-2.2 before s-maxage", CDN + "max-age=60", CC + "s-maxage=0"),
    obeyed("9213-2.2 before expires", CDN + "max-age=60", "Expires: @-60"),
    obeyed("9213-2.2 s-maxage", CDN + "s-maxage=60, max-age=0"),
    Case("9213-2.2 a shorter one", miss(CDN + "max-age=10", FRESH), later(9), hit(), later(1), miss()),
    refused("9213-2.2 max-age=0", CDN + "max-age=0", FRESH),
    refused("9213-2.2 no-store", CDN + "no-store", FRESH),
    refused("9213-2.2 private", CDN + "private", FRESH),
    refused("9213-2.2 private with freshness", CDN + "private, max-age=60", FRESH),
    refused("9213-2.2 no-cache", CDN + "no-cache, max-age=60", FRESH),
    refused("9213-2.2 no freshness, though cache-control has", CDN + "must-revalidate", FRESH),
    refused("9213-2.2 nor expires", CDN + "must-revalidate", "Expires: @+60"),
    Case("9213-2.2 no-cache is validated", miss(CDN + "no-cache", TAG, FRESH), confirmed(sees='If-None-Match: "a"')),
    Case("9213-2.2 an age counts", miss(CDN + "max-age=60", "Age: 50"), later(9), hit(has="Age: 59"), later(1), miss()),
    Case("9213-2.2 a date counts", miss(CDN + "max-age=60", "Date: @-50"), later(9), hit(), later(1), miss()),
    obeyed("9213-2.1 an integer with a parameter", CDN + "max-age=60;x=1", STALE),
    obeyed("9213-2.1 unknown members", CDN + 'foo, max-age=60, bar="x";y, baz=(1 2)', STALE),
    obeyed("9213-2.1 of two the last", CDN + "max-age=0, max-age=60", STALE),
    refused("9213-2.1 of two the last, stale", CDN + "max-age=60, max-age=0", FRESH),
    obeyed("9213-2.1 in two lines", CDN + "public", CDN + "max-age=60", STALE),
    refused("9213-2.1 a wrong type is ignored: string", CDN + 'max-age="60"', FRESH),
    refused("9213-2.1 a wrong type is ignored: decimal", CDN + "max-age=60.0", FRESH),
    refused("9213-2.1 a wrong type is ignored: token", CDN + "max-age=a", FRESH),
    refused("9213-2.1 a wrong type is ignored: none", CDN + "max-age", FRESH),
    obeyed("9213-2.1 no-store of a wrong type", CDN + "max-age=60, no-store=1"),
    obeyed("9213-2.1 no-store that is false", CDN + "max-age=60, no-store=?0"),
    refused("9213-2.1 negative", CDN + "max-age=-60", FRESH),
    obeyed("9213-2.1 what does not parse is ignored: capitals", CDN + "No-Store", FRESH),
    obeyed("9213-2.1 what does not parse is ignored: space", CDN + "max-age =0", FRESH),
    obeyed("9213-2.1 what does not parse is ignored: a comma", CDN + "no-store,", FRESH),
    obeyed("9213-2.1 what does not parse is ignored: a quote", CDN + 'no-store, x="', FRESH),
    obeyed("9213-2.1 what does not parse is ignored: digits", CDN + "max-age=9999999999999999", FRESH),
    refused("9213-2.1 and cache-control counts", CDN + "&", CC + "no-store"),
    obeyed("9213-2.2 an empty one is none", CDN, FRESH),
    refused("9213-2.2 an empty one does not hide no-store", CDN, CC + "no-store"),
    Case("9213-3.1 it is passed on", miss(CDN + "max-age=60", FRESH), hit(has=f"{CDN}max-age=60\n{FRESH}")),
    obeyed(
        "9213-2.2 targets by choice, the first",
        "My-Cache-Control: max-age=60",
        CDN + "no-store",
        targets=("My-Cache-Control", "CDN-Cache-Control"),
    ),
    refused(
        "9213-2.2 targets by choice, in their order",
        "My-Cache-Control: max-age=60",
        CDN + "no-store",
        targets=("CDN-Cache-Control", "My-Cache-Control"),
    ),
    obeyed(
        "9213-2.2 targets by choice, the next that parses",
        "My-Cache-Control: &",
        CDN + "max-age=60",
        STALE,
        targets=("My-Cache-Control", "CDN-Cache-Control"),
    ),
    refused("9213-2.2 no targets", CDN + "max-age=60", STALE, targets=()),
    obeyed("9213-2.2 targets of others", "Other-Cache-Control: no-store", FRESH),
    Case(
        "9213-2.2 must-revalidate",
        miss(CDN + "max-age=1, must-revalidate", CC + "stale-if-error=60"),
        later(1),
        miss(status=503),
    ),
    Case(
        "9111-3.5 authorization and public",
        *[miss(CDN + "max-age=60, public", wants="Authorization: x"), hit(wants="Authorization: x")],
    ),
    Case(
        "9111-3.5 authorization and public in cache-control alone",
        *[miss(CDN + "max-age=60", CC + "public", wants="Authorization: x")] * 2,
    ),
)
def test_targeted(case: Case, front: str, namespace: str) -> None:
    """CDN-Cache-Control takes the place of Cache-Control and Expires, if it is a dictionary; others by choice."""
    play(case, front, namespace)
