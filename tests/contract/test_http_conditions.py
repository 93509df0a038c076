"""Conditions of clients, evaluated on what is stored (RFC 9111, 4.3.2; RFC 9110, 13)."""

from __future__ import annotations

from support.http_steps import FRESH, Case, cases, hit, later, miss, play

CC = "Cache-Control: "
TAG, WEAK, DATE = 'ETag: "a"', 'ETag: W/"a"', "Last-Modified: @-1000"
BRIEF = CC + "max-age=1"
OWN = "If-Match If-None-Match If-Modified-Since If-Unmodified-Since If-Range Range".replace(" ", "\n")


@cases(
    Case("9111-4.3.2 an etag", miss(FRESH, TAG), hit(wants='If-None-Match: "a"', status=304, has=TAG)),
    Case("9111-4.3.2 weak for strong", miss(FRESH, TAG), hit(wants='If-None-Match: W/"a"', status=304, has=TAG)),
    Case("9111-4.3.2 strong for weak", miss(FRESH, WEAK), hit(wants='If-None-Match: "a"', status=304)),
    Case("9111-4.3.2 another etag", miss(FRESH, TAG), hit(wants='If-None-Match: "b"')),
    Case("9111-4.3.2 in a list", miss(FRESH, TAG), hit(wants='If-None-Match: "x",W/"a" , "y"', status=304)),
    Case(
        "9111-4.3.2 in a second line", miss(FRESH, TAG), hit(wants='If-None-Match: "x"\nIf-None-Match: "a"', status=304)
    ),
    Case("9111-4.3.2 none in a list", miss(FRESH, TAG), hit(wants='If-None-Match: "x", "y"')),
    Case("9111-4.3.2 any", miss(FRESH, TAG), hit(wants="If-None-Match: *", status=304)),
    Case("9111-4.3.2 any, without an etag", miss(FRESH), hit(wants="If-None-Match: *", status=304)),
    Case("9111-4.3.2 without quotes", miss(FRESH, TAG), hit(wants="If-None-Match: a")),
    Case("9111-4.3.2 other capitals", miss(FRESH, TAG), hit(wants='If-None-Match: "A"')),
    Case("9111-4.3.2 a small w", miss(FRESH, TAG), hit(wants='If-None-Match: w/"b"')),
    Case("9111-4.3.2 an etag of commas", miss(FRESH, 'ETag: "a,b"'), hit(wants='If-None-Match: "a,b"', status=304)),
    Case("9111-4.3.2 an etag where none is stored", miss(FRESH), hit(wants='If-None-Match: "a"')),
    Case("9111-4.3.2 an empty one", miss(FRESH, TAG), hit(wants="If-None-Match: ")),
    Case("9111-4.3.2 the same date", miss(FRESH, DATE), hit(wants="If-Modified-Since: @-1000", status=304)),
    Case("9111-4.3.2 a later date", miss(FRESH, DATE), hit(wants="If-Modified-Since: @-999", status=304)),
    Case("9111-4.3.2 an earlier date", miss(FRESH, DATE), hit(wants="If-Modified-Since: @-1001")),
    Case(
        "9111-4.3.2 a date in another form",
        miss(FRESH, "Last-Modified: Mon, 21 Sep 2026 14:13:20 GMT"),
        hit(wants="If-Modified-Since: Monday, 21-Sep-26 14:13:20 GMT", status=304),
        hit(wants="If-Modified-Since: Mon Sep 21 14:13:19 2026"),
    ),
    Case("9111-4.3.2 a date that is none", miss(FRESH, DATE), hit(wants="If-Modified-Since: yesterday")),
    Case(
        "9111-4.3.2 against the date",
        miss(FRESH, "Date: @-10"),
        hit(wants="If-Modified-Since: @-10", status=304),
        hit(wants="If-Modified-Since: @-11"),
    ),
    Case(
        "9111-4.3.2 against the receipt",
        miss(FRESH),
        later(5),
        hit(wants="If-Modified-Since: @+0", status=304),
        hit(wants="If-Modified-Since: @-1"),
    ),
    Case(
        "9110-13.2.2 if-none-match comes first",
        miss(FRESH, TAG, DATE),
        hit(wants='If-None-Match: "b"\nIf-Modified-Since: @+0'),
    ),
    Case(
        "9110-13.2.2 the other way",
        miss(FRESH, TAG, DATE),
        hit(wants='If-None-Match: "a"\nIf-Modified-Since: @-9999', status=304),
    ),
    Case(
        "9110-13.2.1 not for a 404",
        miss(FRESH, TAG, status=404),
        hit(wants='If-None-Match: "a"', status=404, body=b"run 1"),
    ),
    Case(
        "9110-13.2.1 not for a redirection",
        miss(FRESH, TAG, status=301),
        hit(wants='If-None-Match: "a"', status=301, body=b"run 1"),
    ),
    Case("9111-4.3.2 of a HEAD", miss(FRESH, TAG), hit(to="HEAD /", wants='If-None-Match: "a"', status=304)),
    Case(
        "9110-15.4.5 the fields of a 304",
        miss(
            FRESH,
            TAG,
            DATE,
            "Date: @+0",
            "Vary: X-A",
            "Expires: @+9",
            "Content-Location: /x",
            "Content-Type: text/x",
            "Content-Length: 5",
            "X-B: 1",
        ),
        later(3),
        hit(
            wants='If-None-Match: "a"',
            status=304,
            has=f"{TAG}\nDate: @+0\nVary: X-A\n{FRESH}\nExpires: @+9\nContent-Location: /x\nAge: 3",
            lacks="Content-Length\nContent-Type\nLast-Modified",
        ),
    ),
    Case(
        "9110-15.4.5 a date where there is no etag",
        miss(FRESH, DATE),
        hit(wants="If-Modified-Since: @+0", status=304, has=DATE),
    ),
    Case(
        "9111-4.3.2 if-match is the app's",
        miss(FRESH, TAG),
        miss(wants='If-Match: "b"', sees='If-Match: "b"', status=412),
        hit(),
    ),
    Case(
        "9111-4.3.2 if-unmodified-since is the app's",
        miss(FRESH, DATE),
        miss(wants="If-Unmodified-Since: @-9999", sees="If-Unmodified-Since: @-9999", status=412),
        hit(),
    ),
    Case(
        "9111-4.3.2 nothing stored, a condition is passed on",
        miss(TAG, wants='If-None-Match: "a"', sees='If-None-Match: "a"', status=304),
        miss(FRESH),
    ),
    Case(
        "9111-4.3.2 so is a date",
        miss(wants="If-Modified-Since: @-5", sees="If-Modified-Since: @-5", status=304),
        miss(FRESH),
    ),
    Case("9111-4.3.2 if the app sends it all, it is stored", miss(FRESH, TAG, wants='If-None-Match: "b"'), hit()),
)
def test_conditions_of_clients(case: Case, front: str, namespace: str) -> None:
    """A client's If-None-Match and If-Modified-Since are evaluated on what is stored; the others are the app's."""
    play(case, front, namespace)
