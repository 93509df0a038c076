"""Validation of what is stored, and what the answer to it does (RFC 9111, 4.3.1, 4.3.3 to 4.3.5, 3.2)."""

from __future__ import annotations

from support.http_steps import FRESH, STALE, Case, cases, confirmed, hit, later, miss, play
from support.http_world import FRONTS

CC = "Cache-Control: "
TAG, WEAK, DATE = 'ETag: "a"', 'ETag: W/"a"', "Last-Modified: @-1000"
BRIEF = CC + "max-age=1"
OWN = "If-Match If-None-Match If-Modified-Since If-Unmodified-Since If-Range Range".replace(" ", "\n")


@cases(
    Case("9111-4.3.1 an etag", miss(STALE, TAG), confirmed(sees='If-None-Match: "a"', hides="If-Modified-Since")),
    Case("9111-4.3.1 a weak etag", miss(STALE, WEAK), confirmed(sees='If-None-Match: W/"a"')),
    Case("9111-4.3.1 a date", miss(STALE, DATE), confirmed(sees="If-Modified-Since: @-1000", hides="If-None-Match")),
    Case(
        "9111-4.3.1 a date as it was written",
        miss(STALE, "Last-Modified: Monday, 21-Sep-20 14:14:20 GMT"),
        confirmed(sees="If-Modified-Since: Monday, 21-Sep-20 14:14:20 GMT"),
    ),
    Case("9111-4.3.1 both", miss(STALE, TAG, DATE), confirmed(sees='If-None-Match: "a"\nIf-Modified-Since: @-1000')),
    Case("9110-8.8.3 an etag with a comma", miss(STALE, 'ETag: "a,b"'), confirmed(sees='If-None-Match: "a,b"')),
    Case("9110-8.8.3 an etag without quotes is none", miss(STALE, "ETag: a"), miss(STALE, hides=OWN)),
    Case("9111-4.3.1 neither", miss(STALE), miss(STALE, hides=OWN)),
    Case("9111-4.3.1 a fresh one is not validated", miss(FRESH, TAG), hit()),
    Case("9111-5.2.2.4 no-cache", miss(CC + "no-cache, max-age=60", TAG), confirmed(sees='If-None-Match: "a"')),
    Case("9111-4.3.1 nothing stored, nothing sent", miss(FRESH, hides=OWN)),
    Case(
        "9111-4.3.1 other fields of the client are sent",
        miss(STALE, TAG, "Vary: X-A", wants="X-A: 1"),
        confirmed(wants="X-A: 1\nX-B: 2\nCookie: c=d", sees="X-A: 1\nX-B: 2\nCookie: c=d"),
    ),
    *[
        Case(
            f"9111-4.3.1 the client's own {line.partition(':')[0]} is not",
            miss(STALE, TAG),
            confirmed(wants=line, sees='If-None-Match: "a"', hides=name),
        )
        for line, name in [
            ("If-Modified-Since: @-9999", "If-Modified-Since"),
            ('If-None-Match: "z"', "Range"),
        ]
    ],
    Case(
        "9111-4.3.1 nor its range",
        miss(STALE, TAG),
        confirmed(wants='Range: bytes=0-0\nIf-Range: "a"', hides="Range\nIf-Range", status=206, body=b"r"),
    ),
    Case(
        "9111-4.3.2 its condition is evaluated afterwards, true",
        miss(STALE, TAG),
        confirmed(wants='If-None-Match: "a"', sees='If-None-Match: "a"', status=304),
    ),
    Case(
        "9111-4.3.2 its condition is evaluated afterwards, false",
        miss(STALE, TAG),
        confirmed(wants='If-None-Match: "b"', sees='If-None-Match: "a"'),
    ),
    Case(
        "9111-4.3.2 its condition on a new response, true",
        miss(STALE, TAG),
        miss(FRESH, 'ETag: "b"', wants='If-None-Match: "b"', sees='If-None-Match: "a"', gets=304, has='ETag: "b"'),
        hit(2),
    ),
    Case(
        "9111-4.3.2 its condition on a new response, false",
        miss(STALE, TAG),
        miss(FRESH, 'ETag: "b"', wants='If-None-Match: "c"'),
        hit(2),
    ),
    Case("9111-4.3.3 a new response takes its place", miss(BRIEF, TAG), later(1), miss(FRESH, 'ETag: "b"'), hit(2)),
    Case(
        "9111-4.3.3 what is not to be stored removes it",
        miss(BRIEF, TAG),
        later(1),
        miss(CC + "no-store"),
        miss(FRESH, hides=OWN),
    ),
    Case("9111-4.3.3 so does a 404", miss(BRIEF, TAG), later(1), miss(status=404), miss(status=404, hides=OWN)),
    Case(
        "9111-4.3.3 an error of the server does not",
        miss(CC + "max-age=1, must-revalidate", TAG),
        later(1),
        miss(status=500),
        confirmed(FRESH, sees='If-None-Match: "a"'),
        hit(),
    ),
    Case(
        "9111-4.3.3 a fresh error is stored",
        miss(BRIEF, TAG),
        later(1),
        miss(FRESH, status=500),
        hit(2, status=500, body=b"run 2"),
    ),
    Case(
        "9111-4.3.1 no validator: its own condition is passed on",
        miss(BRIEF),
        later(1),
        miss(wants='If-None-Match: "x"', status=304, sees='If-None-Match: "x"'),
        miss(FRESH),
        hit(3),
    ),
    Case(
        "9111-4.3.3 a new one for one user is not for others",
        miss(BRIEF, TAG),
        later(1),
        miss(FRESH, wants="Authorization: x"),
        miss(FRESH),
    ),
    Case("9111-4.3.4 a 304 to nobody", miss(status=304), miss(FRESH)),
    Case(
        "9111-3 stored to be validated", miss(CC + "public", TAG), confirmed(CC + "public", sees='If-None-Match: "a"')
    ),
    Case("9110-8.8.2 two dates are none", miss(BRIEF, DATE, "Last-Modified: @-5"), later(1), miss(FRESH, hides=OWN)),
    Case("9110-8.8.3 two etags are none", miss(BRIEF, TAG, 'ETag: "b"'), later(1), miss(FRESH, hides=OWN)),
    Case(
        "9110-9.3.3 what a POST brought",
        miss(BRIEF, "Content-Location: /", TAG, to="POST /"),
        later(1),
        confirmed(FRESH),
        hit(),
        methods=("GET", "HEAD", "POST"),
    ),
    fronts=FRONTS,
)
def test_validation(case: Case, front: str, namespace: str) -> None:
    """What is stale is validated by the validators it has, and no 304 or 206 is for those of the client."""
    play(case, front, namespace)


@cases(
    Case("9111-4.3.4 fresh again", miss(BRIEF, TAG), later(1), confirmed(FRESH, TAG, has="Age: 0"), hit(has=FRESH)),
    Case("9111-4.3.4 for as long as before", miss(BRIEF, TAG), later(1), confirmed(TAG), hit(), later(1), confirmed()),
    Case(
        "9111-4.3.4 as of its date",
        miss(BRIEF, TAG, "Date: @+0"),
        later(5),
        confirmed("Date: @+5"),
        hit(has="Date: @+5\nAge: 0"),
    ),
    Case("9111-4.3.4 a 304 without a date", miss(BRIEF, TAG, "Date: @+0"), later(5), confirmed(), hit(has="Age: 0")),
    Case("9111-4.3.4 a 304 with an age", miss(FRESH, TAG), later(3600), confirmed("Age: 10"), hit(has="Age: 10")),
    Case(
        "9111-4.3.4 an age of before is over", miss(FRESH, TAG, "Age: 3600"), confirmed(has="Age: 0"), hit(has="Age: 0")
    ),
    Case(
        "9111-4.3.4 expires",
        miss("Expires: @+1", TAG, "Date: @+0"),
        later(1),
        confirmed("Expires: @+60", "Date: @+1"),
        hit(),
    ),
    *[
        Case(
            f"9111-3.2 {name} is updated",
            miss(BRIEF, TAG, f"{name}: 1"),
            later(1),
            confirmed(f"{name}: 2", has=f"{name}: 2"),
            confirmed(has=f"{name}: 2") if name == "Cache-Control" else hit(has=f"{name}: 2"),
        )
        for name in [
            "X-Test",
            "Server",
            "Content-Foo",
            "X-Content-Foo",
            "Allow",
            "Content-Disposition",
            "Content-Location",
            "Content-Security-Policy",
            "Content-Type",
            "Content-Language",
            "X-Frame-Options",
            "Set-Cookie2",
            "Link",
            "Warning",
            "Clear-Site-Data",
        ]
    ],
    *[
        Case(
            f"9111-3.2 {line.partition(':')[0]} is not",
            miss(BRIEF, TAG, first),
            later(1),
            confirmed(line, lacks=gone, has=has),
            hit(lacks=gone, has=has),
        )
        for first, line, gone, has in [
            ("Content-Length: 5", "Content-Length: 99", "", "Content-Length: 5"),
            ("X-A: 1", "Connection: close", "Connection", "X-A: 1"),
            ("X-A: 1", "Keep-Alive: 1", "Keep-Alive", ""),
            ("X-A: 1", "Proxy-Authenticate: x", "Proxy-Authenticate", ""),
            ("X-A: 1", "Upgrade: x", "Upgrade", ""),
            ("X-A: 1", "TE: x", "TE", ""),
        ]
    ],
    Case(
        "9111-3.2 several lines give way to several",
        miss(BRIEF, TAG, "X-A: 1", "X-B: 0", "X-A: 2"),
        later(1),
        confirmed("X-A: 3", "x-a: 4", "X-New: 5"),
        hit(has="X-A: 3, 4\nX-B: 0\nX-New: 5"),
    ),
    Case(
        "9111-4.3.4 a 304 says no-store", miss(BRIEF, TAG), later(1), confirmed(CC + "no-store"), miss(FRESH, hides=OWN)
    ),
    Case(
        "9111-4.3.4 a 304 says private", miss(BRIEF, TAG), later(1), confirmed(CC + "private"), miss(FRESH, hides=OWN)
    ),
    Case("9111-4.3.4 another weak etag of the same", miss(BRIEF, TAG), later(1), confirmed(WEAK, FRESH), hit()),
    Case("9111-4.3.4 the same date", miss(BRIEF, DATE), later(1), confirmed(DATE, FRESH), hit()),
    Case(
        "9111-4.3.4 a 304 says that nothing matches any more",
        miss(BRIEF, TAG),
        later(1),
        confirmed(FRESH, "Vary: *"),
        miss(FRESH, hides=OWN),
    ),
    Case("9111-4.3.4 a 304 with an old age", miss(FRESH, TAG), later(3600), confirmed("Age: 99999"), confirmed(FRESH)),
    Case(
        "9111-7.3 a 304 with a cookie, strip",
        miss(BRIEF, TAG),
        later(1),
        confirmed(FRESH, "Set-Cookie: a=1"),
        hit(lacks="Set-Cookie"),
        set_cookie="strip",
    ),
    Case(
        "9111-7.3 a 304 with a cookie, by default",
        miss(BRIEF, TAG),
        later(1),
        confirmed(FRESH, "Set-Cookie: a=1"),
        miss(FRESH, hides=OWN),
    ),
    Case(
        "9111-7.3 a 304 with a cookie, refuse",
        miss(CC + "public, max-age=1", TAG),
        later(1),
        confirmed("Set-Cookie: a=1"),
        miss(FRESH, hides=OWN),
        set_cookie="refuse",
    ),
)
def test_updates(case: Case, front: str, namespace: str) -> None:
    """A 304 brings the fields of the stored response up to date, and its freshness begins anew."""
    play(case, front, namespace)


def refused(name: str, stored: str, *says: str) -> Case:
    """Return a case in which a 304 is about something that is not stored, so that the app is asked once more."""
    from support.http_steps import Step
    from support.http_world import Says

    again = Step(
        "GET /",
        (),
        (Says((*says, "X-A: 2"), 304), Says((FRESH, 'ETag: "n"'))),
        200,
        b"run 3",
        lacks=("X-A",),
        told="fwd=",
    )
    return Case(name, miss(BRIEF, stored), later(1), again, hit(3, has='ETag: "n"', lacks="X-A"))


@cases(
    refused("9111-4.3.4 another strong etag", TAG, 'ETag: "other"'),
    refused("9111-4.3.4 a strong etag where a weak one is stored", WEAK, 'ETag: "a"'),
    refused("9111-4.3.4 another weak etag", TAG, 'ETag: W/"other"'),
    refused("9111-4.3.4 another date", DATE, "Last-Modified: @-5"),
    refused("9111-4.3.4 an etag where a date is stored", DATE, 'ETag: "a"'),
    fronts=FRONTS,
)
def test_a_304_about_another(case: Case, front: str, namespace: str) -> None:
    """A 304 that is about nothing that is stored updates nothing, and the app is asked without a condition."""
    play(case, front, namespace)


@cases(
    Case(
        "9110-9.3.2 from a GET",
        miss(FRESH, "Content-Length: 5", "X-A: 1"),
        hit(to="HEAD /", has="Content-Length: 5\nX-A: 1\nAge: 0"),
    ),
    Case("9110-9.3.2 with the length that was counted", miss(FRESH), hit(to="HEAD /", has="Content-Length: 5")),
    Case("9110-9.3.2 nothing stored", miss(FRESH, to="HEAD /"), miss(FRESH), hit(2)),
    Case(
        "9111-4.3.5 one that agrees freshens it",
        miss(BRIEF, TAG, "Content-Length: 5"),
        later(1),
        miss(FRESH, TAG, "Content-Length: 5", "X-A: 1", to="HEAD /"),
        hit(has="X-A: 1"),
    ),
    *[
        Case(
            f"9111-4.3.5 one with another {name} outdates it",
            miss(FRESH, TAG, DATE, "Content-Length: 5"),
            miss(FRESH, other, to="HEAD /", wants=CC + "no-cache"),
            miss(FRESH, body=b"x"),
        )
        for name, other in [("etag", 'ETag: "b"'), ("date", "Last-Modified: @-1"), ("length", "Content-Length: 6")]
    ],
    Case(
        "9111-4.3.5 so does a 410", miss(FRESH, TAG), miss(to="HEAD /", wants=CC + "no-cache", status=410), miss(FRESH)
    ),
    Case("9111-4.3.5 not an error", miss(FRESH, TAG), miss(to="HEAD /", wants=CC + "no-cache", status=500), hit()),
    Case("9111-4.3.4 a 304 to a HEAD", miss(BRIEF, TAG), later(1), confirmed(FRESH, TAG, to="HEAD /", body=b""), hit()),
    Case("9110-9.3.2 only-if-cached", miss(FRESH), hit(to="HEAD /", wants=CC + "only-if-cached")),
    fronts=FRONTS,
)
def test_head(case: Case, front: str, namespace: str) -> None:
    """HEAD is answered from a stored GET; what the app answers to one may outdate that, and is not stored."""
    play(case, front, namespace)


@cases(
    Case("9110-8.8.3 made of the body", miss(FRESH, lacks=""), hit(wants="If-None-Match: *", status=304), etag=True),
    Case("9110-8.8.3 the app's is kept", miss(FRESH, TAG, has=TAG), hit(has=TAG), etag=True),
    Case("9110-8.8.3 not if it is not stored", miss(CC + "no-store", lacks="ETag"), etag=True),
    Case("9110-8.8.3 off by default", miss(FRESH, lacks="ETag"), hit(lacks="ETag")),
    Case(
        "9110-13.1.2 an app is not asked about what it did not send",
        miss(BRIEF),
        later(1),
        miss(FRESH, hides=OWN),
        etag=True,
    ),
    fronts=FRONTS,
)
def test_etags_of_ours(case: Case, front: str, namespace: str) -> None:
    """By choice a stored response without an ETag is given a strong one; nothing that is not stored is changed."""
    play(case, front, namespace)
