"""What clients ask of a cache (RFC 9111, 5.2.1, 5.4; RFC 8246)."""

from __future__ import annotations

from support.http_steps import FRESH, Case, Step, cases, confirmed, hit, later, miss, play

CC = "Cache-Control: "
TAG = 'ETag: "a"'
HOUR = miss(FRESH, TAG)
UNSATISFIED = "504"


def denied(wants: str = CC + "only-if-cached", to: str = "GET /") -> Step:
    """Return a step in which the client gets a 504, since there is nothing for it."""
    return Step(to, tuple(wants.splitlines()), (), 504, b"")


@cases(
    Case(
        "9111-5.2.1.4 no-cache",
        HOUR,
        confirmed(wants=CC + "no-cache", sees='If-None-Match: "a"', told="fwd=request"),
        hit(),
    ),
    Case("9111-5.2.1.4 no-cache brings a new one", HOUR, miss(FRESH, wants=CC + "no-cache"), hit(2)),
    Case("9111-5.2.1.4 no-cache in capitals", HOUR, confirmed(wants=CC + "No-Cache")),
    Case("9111-5.4 pragma", HOUR, confirmed(wants="Pragma: no-cache")),
    Case("9111-5.4 pragma in capitals, among others", HOUR, confirmed(wants="Pragma: x, NO-CACHE")),
    Case("9111-5.4 pragma beside cache-control", HOUR, hit(wants="Pragma: no-cache\n" + CC + "max-age=60")),
    Case("9111-5.4 another pragma", HOUR, hit(wants="Pragma: foo")),
    Case("9111-5.2.1.1 max-age=0", HOUR, later(1), confirmed(wants=CC + "max-age=0")),
    Case("9111-5.2.1.1 max-age younger", HOUR, later(10), confirmed(wants=CC + "max-age=9")),
    Case("9111-5.2.1.1 max-age old enough", HOUR, later(10), hit(wants=CC + "max-age=10")),
    Case(
        "9111-5.2.1.1 max-age is no licence", miss(CC + "max-age=1", TAG), later(2), confirmed(wants=CC + "max-age=60")
    ),
    Case("9111-5.2.1.1 max-age invalid", HOUR, later(1), confirmed(wants=CC + "max-age=x")),
    Case(
        "9111-5.2.1.1 max-age counts an age of before", miss(FRESH, TAG, "Age: 50"), confirmed(wants=CC + "max-age=49")
    ),
    Case("9111-5.2.1.3 min-fresh enough", HOUR, later(3540), hit(wants=CC + "min-fresh=60")),
    Case("9111-5.2.1.3 min-fresh too little", HOUR, later(3541), confirmed(wants=CC + "min-fresh=60")),
    Case(
        "9111-5.2.1.3 min-fresh counts an age of before",
        miss(FRESH, TAG, "Age: 3000"),
        confirmed(wants=CC + "min-fresh=601"),
    ),
    Case("9111-5.2.1.3 min-fresh invalid", HOUR, hit(wants=CC + "min-fresh=x")),
    Case("9111-5.2.1.2 max-stale within", HOUR, later(3660), hit(wants=CC + "max-stale=60", told="hit;ttl=-60")),
    Case("9111-5.2.1.2 max-stale beyond", HOUR, later(3661), confirmed(wants=CC + "max-stale=60")),
    Case("9111-5.2.1.2 max-stale of any length", HOUR, later(7000), hit(wants=CC + "max-stale")),
    Case("9111-5.2.1.2 max-stale invalid", HOUR, later(3601), confirmed(wants=CC + "max-stale=x")),
    Case("9111-5.2.1.2 max-stale and max-age", HOUR, later(3660), confirmed(wants=CC + "max-stale=60, max-age=60")),
    *[
        Case(
            f"9111-4.2.4 max-stale not with {each}",
            miss(f"{CC}max-age=10, {each}", TAG),
            later(11),
            confirmed(wants=CC + "max-stale"),
        )
        for each in ("must-revalidate", "proxy-revalidate", "s-maxage=10", "no-cache")
    ],
    Case("9111-5.2.1.7 only-if-cached, fresh", HOUR, hit(wants=CC + "only-if-cached")),
    Case("9111-5.2.1.7 only-if-cached, nothing", denied(), HOUR),
    Case("9111-5.2.1.7 only-if-cached, stale", miss(CC + "max-age=1"), later(1), denied()),
    Case(
        "9111-5.2.1.7 only-if-cached, stale but that is good enough",
        miss(CC + "max-age=1"),
        later(1),
        hit(wants=CC + "only-if-cached, max-stale"),
    ),
    Case(
        "9111-5.2.1.7 only-if-cached, another variant", miss(FRESH, "Vary: X-A"), denied(CC + "only-if-cached\nX-A: 1")
    ),
    Case("9111-5.2.1.7 only-if-cached with max-age=0", HOUR, later(1), denied(CC + "only-if-cached, max-age=0")),
    Case("9111-5.2.1.7 only-if-cached of a HEAD", denied(to="HEAD /")),
    Case("9111-5.2.1.5 no-store is passed on", HOUR, miss(FRESH, wants=CC + "no-store", told="fwd=bypass"), hit(1)),
    Case("9111-5.2.1.6 no-transform", HOUR, hit(wants=CC + "no-transform")),
    Case("9111-5.2.3 unknown ones", HOUR, hit(wants=CC + 'foo, bar="no-cache"')),
    Case(
        "9111-5.2.1 what is asked is passed on",
        miss(FRESH, wants=CC + "no-cache\nPragma: no-cache", sees=CC + "no-cache\nPragma: no-cache"),
    ),
    Case(
        "8246-2 immutable",
        miss(CC + "max-age=60, immutable", TAG),
        later(1),
        hit(wants=CC + "no-cache"),
        hit(wants=CC + "max-age=0"),
    ),
    Case("8246-2 immutable is over when stale", miss(CC + "max-age=60, immutable", TAG), later(60), confirmed()),
    Case("8246-2 immutable makes nothing fresh", *[miss(CC + "immutable")] * 2),
    *[
        Case(f"9111-5.2.1 {each} is not honoured by choice", HOUR, later(1), hit(wants=CC + each), honour_clients=False)
        for each in ("no-cache", "max-age=0", "no-store", "min-fresh=9999", "only-if-cached")
    ],
    Case("9111-5.2.1.7 nor only-if-cached", miss(FRESH, wants=CC + "only-if-cached"), honour_clients=False),
    Case("9111-5.4 nor pragma", HOUR, hit(wants="Pragma: no-cache"), honour_clients=False),
    Case(
        "9111-5.2.1.2 nor max-stale",
        miss(CC + "max-age=1", TAG),
        later(1),
        confirmed(wants=CC + "max-stale"),
        honour_clients=False,
    ),
    Case(
        "5861-4 nor stale-if-error",
        miss(CC + "max-age=1", TAG),
        later(1),
        miss(wants=CC + "stale-if-error=60", status=503),
        honour_clients=False,
    ),
)
def test_directives_of_clients(case: Case, front: str, namespace: str) -> None:
    """A client may want something newer than is stored, or put up with something older; the owner may say no."""
    play(case, front, namespace)
