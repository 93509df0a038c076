"""What Cache-Status tells (RFC 9211)."""

from __future__ import annotations

from support.http_steps import FRESH, STALE, Case, Step, behind, cases, confirmed, hit, instead, later, miss, play
from support.http_world import FRONTS, Says

CC = "Cache-Control: "
TAG = 'ETag: "a"'


def told(text: str) -> str:
    """Return the line of the answer that tells so."""
    return f"Cache-Status: holdfast;{text}"


@cases(
    Case("9211-2.1 hit", miss(FRESH), later(10), hit(has=told("hit;ttl=3590"))),
    Case("9211-2.4 ttl counts from the age", miss(FRESH, "Age: 100"), hit(has=told("hit;ttl=3500"))),
    Case("9211-2.2 uri-miss, stored", miss(FRESH, has=told("fwd=uri-miss;stored"))),
    Case("9211-2.2 uri-miss, not stored", miss(CC + "no-store", has=told("fwd=uri-miss"))),
    Case(
        "9211-2.2 vary-miss",
        miss(FRESH, "Vary: X-A"),
        miss(FRESH, "Vary: X-A", wants="X-A: 1", has=told("fwd=vary-miss;stored")),
    ),
    Case("9211-2.2 stale", miss(STALE, TAG), miss(FRESH, has=told("fwd=stale;stored"))),
    Case("9211-2.2 request", miss(FRESH), miss(FRESH, wants=CC + "no-cache", has=told("fwd=request;stored"))),
    Case("9211-2.2 method", miss(to="POST /", has=told("fwd=method"))),
    Case("9211-2.2 bypass", miss(FRESH, wants=CC + "no-store", has=told("fwd=bypass"))),
    Case(
        "9211-2.3 fwd-status of a validation",
        miss(STALE, TAG),
        confirmed(FRESH, has=told("fwd=stale;fwd-status=304;stored;ttl=3600")),
    ),
    Case(
        "9211-2.3 fwd-status of an error",
        miss(CC + "max-age=1, stale-if-error=60"),
        later(11),
        instead(status=502, has=told("fwd=stale;fwd-status=502;ttl=-10;detail=stale")),
    ),
    Case(
        "9211-2.3 no status of one that raises",
        miss(CC + "max-age=1"),
        later(11),
        instead(fails="first", has=told("fwd=stale;ttl=-10;detail=stale")),
    ),
    Case(
        "9211-2.4 negative where it is stale",
        miss(CC + "max-age=10, stale-while-revalidate=60"),
        later(15),
        behind(FRESH),
        hit(2),
    ),
    Case(
        "9211-2 members of others stay first",
        miss(FRESH, "Cache-Status: Origin; hit", has="Cache-Status: Origin; hit, holdfast;fwd=uri-miss;stored"),
        hit(told="hit;"),
    ),
    Case("9211-2 ours is not stored", miss(FRESH), hit(has=told("hit;ttl=3600")), hit(has=told("hit;ttl=3600"))),
    Case("9211-2 of a 304", miss(FRESH, TAG), hit(wants='If-None-Match: "a"', status=304, has=told("hit;ttl=3600"))),
    Case(
        "9111-5.2.1.7 of a 504", Step("GET /", (CC + "only-if-cached",), (), 504, has=(told("detail=only-if-cached"),))
    ),
    Case("9211-2 another name", miss(FRESH), hit(has='Cache-Status: "my cache";hit;ttl=3600'), name="my cache"),
    Case("9211-2 none", miss(FRESH, lacks="Cache-Status", told=""), hit(lacks="Cache-Status", told=""), name=None),
    Case(
        "9211-2.6 the key where it is debugged",
        miss(FRESH, to="GET /a?b"),
        Step("GET /a?b", told='hit;ttl=3600;key="test-'),
        debug=True,
    ),
    Case(
        "9211-2.8 why not, where it is debugged",
        Step("GET /", (), (Says((CC + "private",)),), told="fwd=uri-miss;key="),
        debug=True,
    ),
    fronts=FRONTS,
)
def test_cache_status(case: Case, front: str, namespace: str) -> None:
    """Each answer says what the cache did, behind what other caches said."""
    play(case, front, namespace)
