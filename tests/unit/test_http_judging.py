"""What to do with a request, by what is stored for its URL (RFC 9111, section 4; RFC 5861; RFC 8246)."""

from __future__ import annotations

import pytest

from holdfast.policy.http.judging import Decision, Forward, Serve, error_window, judge, raise_window, select
from holdfast.policy.http.request import Request
from holdfast.policy.http.rules import Rules
from holdfast.policy.http.variants import Variant
from support.http_rfc import NOW, RULES, request_of, variant

UNFORGIVING = Rules(stale_if_raises=0)
FRESH, STALE = "Cache-Control: max-age=60", "Cache-Control: max-age=0"
TAG = 'ETag: "a"'


def verdict(decision: Decision) -> str:
    """Return a decision in a word or two."""
    if isinstance(decision, Serve):
        return " ".join(["serve", *(["stale"] if decision.stale else []), *(["refresh"] if decision.refresh else [])])
    return decision.why if isinstance(decision, Forward) else "504"


def judged(request: Request, *lines: str, at: float = 0.0, rules: Rules = UNFORGIVING, softened: bool = False) -> str:
    """Return what is done with a request `at` seconds after the receipt of a single stored response."""
    return verdict(judge(request, [variant(*lines, rules=rules)], NOW + at, rules, softened=softened))


def forwarded(
    request: Request, *variants: Variant, at: float = 0.0, rules: Rules = RULES, passing: float = 0
) -> Forward:
    """Return how a request is sent to the app."""
    decision = judge(request, variants, NOW + at, rules, passing=passing)
    assert isinstance(decision, Forward)
    return decision


@pytest.mark.parametrize(
    ("lines", "at", "expected"),
    [
        ([FRESH], 0, "serve"),
        ([FRESH], -1000, "serve"),
        ([FRESH], 59.9, "serve"),
        ([FRESH], 60, "stale"),
        ([FRESH, "Age: 50"], 9, "serve"),
        ([FRESH, "Age: 50"], 10, "stale"),
        ([FRESH, "Date: @-50"], 9, "serve"),
        ([FRESH, "Date: @-50"], 10, "stale"),
        ([STALE], 0, "stale"),
        (["Cache-Control: max-age=60, must-revalidate"], 59, "serve"),
        (["Cache-Control: no-cache, max-age=60"], 0, "stale"),
        (['Cache-Control: no-cache="x-a", max-age=60'], 0, "stale"),
        (["Cache-Control: no-cache, max-age=60, stale-while-revalidate=60"], 61, "stale"),
        (["Cache-Control: max-age=9, stale-while-revalidate=5"], 8, "serve"),
        (["Cache-Control: max-age=9, stale-while-revalidate=5"], 9, "serve stale refresh"),
        (["Cache-Control: max-age=9, stale-while-revalidate=5"], 13.9, "serve stale refresh"),
        (["Cache-Control: max-age=9, stale-while-revalidate=5"], 14, "stale"),
        (["Cache-Control: max-age=0, stale-while-revalidate=5"], 0, "serve stale refresh"),
        (["Cache-Control: max-age=9, stale-while-revalidate=0"], 9, "stale"),
        *[
            ([f"Cache-Control: max-age=9, stale-while-revalidate=5, {word}"], 10, "stale")
            for word in ("must-revalidate", "proxy-revalidate", "s-maxage=9", "no-cache")
        ],
    ],
)
def test_9111_4_2_fresh_is_served_and_stale_validated(lines: list[str], at: float, expected: str) -> None:
    """But for a stale one within stale-while-revalidate (RFC 5861, 3), if it does not forbid that."""
    assert judged(request_of(), *lines, at=at) == expected
    assert judged(request_of("Authorization: x"), *lines, at=at) == expected
    assert judged(request_of(method="HEAD"), *lines, at=at) == expected


SWR = "Cache-Control: max-age=60, stale-while-revalidate=40"


@pytest.mark.parametrize(
    ("asks", "lines", "at", "expected"),
    [
        ("no-cache", [FRESH], 0, "request"),
        ("no-cache", [FRESH], 60, "stale"),
        ("no-cache", [SWR], 60, "stale"),
        ("max-age=10", [FRESH], 10, "serve"),
        ("max-age=10", [FRESH], 10.5, "request"),
        ("max-age=10", [FRESH, "Age: 5"], 6, "request"),
        ("max-age=0", [FRESH], 0.5, "request"),
        ("max-age=x", [FRESH], 0.5, "request"),
        ("max-age=100", [FRESH], 61, "stale"),
        ("max-age=100", [SWR], 61, "stale"),
        ("min-fresh=10", [FRESH], 50, "serve"),
        ("min-fresh=10", [FRESH], 51, "request"),
        ("min-fresh=0", [FRESH], 59, "serve"),
        ("min-fresh=0", [SWR], 61, "stale"),
        ("min-fresh=x", [FRESH], 51, "serve"),
        ("max-stale", [FRESH], 99999, "serve stale"),
        ("max-stale=5", [FRESH], 65, "serve stale"),
        ("max-stale=5", [FRESH], 65.1, "stale"),
        ("max-stale=x", [FRESH], 61, "stale"),
        ("max-stale", ["Cache-Control: max-age=60, must-revalidate"], 61, "stale"),
        ("max-stale", ["Cache-Control: max-age=60, proxy-revalidate"], 61, "stale"),
        ("max-stale", ["Cache-Control: s-maxage=60"], 61, "stale"),
        ("max-stale", ["Cache-Control: no-cache, max-age=60"], 1, "stale"),
        ("max-stale, max-age=10", ["Cache-Control: max-age=5"], 10, "serve stale"),
        ("max-stale, max-age=10", ["Cache-Control: max-age=5"], 11, "stale"),
        ("max-stale", [STALE], 0, "stale"),
        ("max-stale, no-cache", [FRESH], 1, "request"),
        ("only-if-cached", [FRESH], 1, "serve"),
        ("only-if-cached", [FRESH], 61, "504"),
        ("only-if-cached", [SWR], 61, "serve stale refresh"),
        ("only-if-cached, max-stale", [FRESH], 61, "serve stale"),
        ("only-if-cached, no-cache", [FRESH], 1, "504"),
        ("no-store", [FRESH], 1, "bypass"),
        ("no-transform", [FRESH], 1, "serve"),
        ("stale-if-error=60", [FRESH], 61, "stale"),
    ],
)
def test_9111_5_2_1_clients_have_wishes(asks: str, lines: list[str], at: float, expected: str) -> None:
    """Each is followed, unless the owner does not follow clients."""
    request = request_of(f"Cache-Control: {asks}")
    assert judged(request, *lines, at=at) == expected
    plain = judged(request_of(), *lines, at=at)
    assert judged(request, *lines, at=at, rules=Rules(stale_if_raises=0, honour_clients=False)) == plain


def test_9111_5_4_pragma_is_a_wish_where_there_is_no_cache_control() -> None:
    """As browsers of old reload."""
    assert judged(request_of("Pragma: no-cache"), FRESH) == "request"
    assert judged(request_of("Pragma: no-cache", "Cache-Control: x"), FRESH) == "serve"


@pytest.mark.parametrize("asks", ["no-store, only-if-cached", "only-if-cached, no-store"])
def test_9111_5_2_1_7_only_if_cached_never_asks_the_app(asks: str) -> None:
    """Not even with no-store, nor with a condition that only the app could evaluate."""
    request = request_of(f"Cache-Control: {asks}")
    assert verdict(judge(request, [], NOW, RULES)) == "504"
    conditional = request_of("Cache-Control: only-if-cached", 'If-Match: "a"')
    assert verdict(judge(conditional, [], NOW, RULES)) == "504"


@pytest.mark.parametrize("asks", ["no-cache", "max-age=0"])
def test_8246_2_a_reload_finds_nothing_new_while_a_response_is_immutable(asks: str) -> None:
    """Once it is stale, or made so, it is like others."""
    request = request_of(f"Cache-Control: {asks}")
    immutable = "Cache-Control: max-age=60, immutable"
    assert judged(request, immutable, at=59) == "serve"
    assert judged(request, immutable, at=60) == "stale"
    assert judged(request, immutable, at=1, softened=True) == "stale"
    assert judged(request, "Cache-Control: max-age=60, immutable, no-cache", at=1) == "stale"


@pytest.mark.parametrize("asks", ["", "Cache-Control: max-stale", "Cache-Control: max-age=100", 'If-None-Match: "a"'])
def test_what_was_made_stale_is_validated(asks: str) -> None:
    """Neither a client nor stale-while-revalidate makes up for a tag that was invalidated."""
    request = request_of(*([asks] if asks else []))
    for line in (FRESH, SWR):
        assert judged(request, line, TAG, at=1, softened=True) == "stale"


@pytest.mark.parametrize(
    ("asks", "expected"),
    [
        (['If-Match: "a"'], "bypass"),
        (["If-Unmodified-Since: x"], "bypass"),
        (['If-None-Match: "a"'], "serve"),
        (["If-Modified-Since: @-1"], "serve"),
        (["Range: bytes=0-1", 'If-Range: "a"'], "serve"),
    ],
)
def test_9111_4_3_2_conditions_for_the_app_go_to_the_app(asks: list[str], expected: str) -> None:
    """The others are for the cache to evaluate. What bypasses it is neither stored nor waits."""
    for rules in (RULES, Rules(honour_clients=False)):
        assert judged(request_of(*asks), FRESH, TAG, rules=rules) == expected
    bypass = forwarded(request_of("Cache-Control: no-store"), variant(FRESH, TAG))
    assert bypass == Forward("bypass", (), None, leased=False, waits=False)


def test_9111_4_1_a_request_selects_by_what_vary_names() -> None:
    """What it has in these fields, and in what else selects, must be what the first request had."""
    german, english = request_of("Accept-Language: de"), request_of("Accept-Language: en")
    key = request_of("Accept-Language: de", extras=(("key", "x"),))
    names = ("accept-language",)
    one = variant(FRESH, TAG, name="de", by=german, names=names)
    two = variant(FRESH, 'ETag: "b"', name="en", by=english, names=names)
    assert select(request_of("Accept-Language:  DE"), [one, two]) is one
    assert select(english, [one, two]) is two
    assert select(english, [two]) is two
    for other in (request_of(), request_of("Accept-Language: fr"), key):
        assert select(other, [one, two]) is select(other, [one]) is None
        assert verdict(judge(other, [one], NOW, RULES)) == verdict(judge(other, [two, one], NOW, RULES)) == "vary-miss"


def test_9111_4_1_of_several_the_most_recent_is_selected() -> None:
    """By Date, then by receipt; one without Vary does not stand in the way of those that have it."""
    german = request_of("Accept-Language: de")
    names = ("accept-language",)
    old = variant(FRESH, "Date: @-9", name="old", by=german, names=names)
    new = variant(FRESH, "Date: @-5", name="new", by=german, names=("accept-language", "x-a"), received=NOW - 5)
    later = variant(FRESH, "Date: @-5", name="later", by=german, names=names, received=NOW - 4)
    default = variant(FRESH, name="default")
    for variants in ([old, new, default], [default, new, old]):
        assert select(german, variants) is new
        assert select(request_of(), variants) is None
    assert select(german, [later, new]) is select(german, [new, later]) is later
    assert select(german, [default]) is default
    assert select(german, [default, variant(FRESH, "Date: @+1", name="two")]) is not default


def test_a_miss_is_fetched_by_one() -> None:
    """The others wait, unless what is fetched is to be stored by nobody, or would seldom be for them."""
    assert forwarded(request_of()) == Forward("uri-miss", [])
    assert forwarded(request_of(), passing=NOW + 1) == Forward("uri-miss", (), None, leased=False, waits=False)
    assert forwarded(request_of(), passing=NOW) == Forward("uri-miss", [])
    assert forwarded(request_of(method="HEAD")) == Forward("uri-miss", (), None, leased=False, waits=False)
    special = ["Authorization: x", "Range: bytes=0-1", 'If-None-Match: "a"', "If-Modified-Since: x", "Pragma: no-cache"]
    for line in special:
        assert forwarded(request_of(line)) == Forward("uri-miss", [], None, leased=True, waits=False)
    assert forwarded(request_of("Cache-Control: max-age=9")) == Forward("uri-miss", [])
    assert verdict(judge(request_of("Cache-Control: only-if-cached"), [], NOW, RULES)) == "504"


def _in_languages(*tags: str, names: tuple[str, ...] = ("accept-language",), more: str = "X-B: 1") -> list[Variant]:
    return [
        variant(FRESH, tag, more, name=str(at), by=request_of(f"Accept-Language: {at}"), names=names)
        for at, tag in enumerate(tags)
    ]


def test_9111_4_3_1_a_miss_among_variants_asks_about_all_of_them() -> None:
    """By their ETags, once these were seen to differ. Nothing is held where nothing may be stored."""
    two = _in_languages('ETag: "a"', 'ETag: "b"')
    forward = forwarded(request_of(), *two)
    assert (forward.why, list(forward.held), forward.leased, forward.validates) == ("vary-miss", two, True, True)
    assert list(forwarded(request_of(method="HEAD"), *two).held) == []


@pytest.mark.parametrize(
    "held",
    [
        _in_languages('ETag: "a"'),
        _in_languages('ETag: "a"', 'ETag: "a"'),
        _in_languages('ETag: "a"', 'ETag: "b"', 'ETag: "a"'),
        _in_languages('ETag: "a"', "Last-Modified: @-9"),
        _in_languages('ETag: "a"', 'ETag: "b"', names=("accept-language", "cookie")),
        _in_languages('ETag: "a"', 'ETag: "b"', more="Content-Encoding: gzip"),
    ],
    ids=["alone", "the same", "two the same", "none", "users", "unreadable"],
)
def test_9110_8_8_3_nobody_is_confirmed_what_is_for_others(held: list[Variant]) -> None:
    """Apps give one ETag to all encodings, languages or users: then a 304 says nothing about a variant."""
    assert list(forwarded(request_of(), *held).held) == []


@pytest.mark.parametrize(
    ("accepts", "reads"),
    [
        ("gzip", True),
        ("GZIP;q=0.5, br", True),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("*", False),
    ],
)
def test_9110_12_5_3_an_encoding_is_confirmed_only_to_who_can_read_it(accepts: str, reads: bool) -> None:
    """It names the coding, and does not refuse it."""
    held = _in_languages('ETag: "a"', 'ETag: "b"', more="Content-Encoding: gzip")
    assert bool(forwarded(request_of(f"Accept-Encoding: {accepts}"), *held).held) is reads


def test_a_miss_asks_about_nothing_that_another_key_selects() -> None:
    """An ETag may be a mere version: a 304 would give what was made for another host or user to this request."""
    evil = request_of(extras=(("x-forwarded-host", "evil.example"),))
    forward = forwarded(request_of(), variant(FRESH, TAG, by=evil))
    assert (forward.why, list(forward.held)) == ("vary-miss", [])


def test_what_is_stale_is_validated_by_one() -> None:
    """With the selected response alone. What is fresh, and only this client wants validated, makes nobody wait."""
    one, other = variant(FRESH, TAG), variant(FRESH, by=request_of("X-A: 1"), names=("x-a",))
    assert forwarded(request_of(), one, at=61) == Forward("stale", (one,), one)
    reload = request_of("Cache-Control: no-cache")
    assert forwarded(reload, one) == Forward("request", (one,), None, leased=True, waits=False)
    assert forwarded(request_of("Cache-Control: max-age=0"), one, at=1) == Forward("request", (one,), one, waits=False)
    assert forwarded(request_of("X-A: 1"), other, at=61).held == (other,)
    assert not forwarded(request_of("X-A: 1"), other, at=61).validates
    assert forwarded(request_of(), one, at=61).validates
    assert Forward("vary-miss", (one, other)).validates
    assert not Forward("vary-miss", (other, other)).validates


@pytest.mark.parametrize(
    "lines",
    [
        ["Cache-Control: no-cache", TAG],
        ["Cache-Control: no-cache, max-age=60"],
        ["Cache-Control: max-age=0, must-revalidate", TAG],
        ["Cache-Control: s-maxage=0", TAG],
        ["Cache-Control: max-age=60", "Age: 60", TAG],
    ],
)
def test_nobody_waits_for_what_another_gets_for_itself(lines: list[str]) -> None:
    """What each request has validated for itself is not fetched by one after another."""
    assert not forwarded(request_of(), variant(*lines), at=1).waits


@pytest.mark.parametrize(
    ("lines", "asks", "at", "falls_back"),
    [
        ([FRESH], [], 61, True),
        ([FRESH], [], 359.9, True),
        ([FRESH], [], 360, False),
        ([STALE], [], 0, False),
        (["Cache-Control: max-age=0, stale-if-error=9"], [], 8.9, True),
        (["Cache-Control: max-age=0, stale-if-error=9"], [], 9, False),
        (["Cache-Control: max-age=60, stale-if-error=900"], [], 959, True),
        ([FRESH], ["Cache-Control: stale-if-error=900"], 959, True),
        ([FRESH], ["Cache-Control: stale-if-error=900"], 960, False),
        ([FRESH], ["Cache-Control: no-cache"], 1, False),
        ([FRESH], ["Pragma: no-cache"], 61, False),
        *[
            ([f"Cache-Control: max-age=60, stale-if-error=900, {word}"], [], 61, False)
            for word in ("must-revalidate", "proxy-revalidate", "s-maxage=60", "no-cache")
        ],
    ],
)
def test_5861_4_a_stale_response_may_stand_in(lines: list[str], asks: list[str], at: float, falls_back: bool) -> None:
    """For an app that fails: within its own time, the client's or the owner's, if it does not forbid it."""
    one = variant(*lines)
    assert forwarded(request_of(*asks), one, at=at).fallback is (one if falls_back else None)
    waiting = judge(request_of(*asks), [one], NOW + at, RULES, retry_at=NOW + at + 1)
    assert isinstance(waiting, Serve) == falls_back
    assert isinstance(judge(request_of(*asks), [one], NOW + at, RULES, retry_at=NOW + at), Forward)


def test_nothing_is_refreshed_behind_while_the_app_is_not_to_be_asked() -> None:
    """It is served stale all the same."""
    decision = judge(request_of(), [variant(SWR)], NOW + 61, UNFORGIVING, retry_at=NOW + 62)
    assert verdict(decision) == "serve stale"


def test_the_times_for_errors_and_for_exceptions_are_different() -> None:
    """What was never fresh stands in only if it says so itself, for it may be for one user."""
    client = request_of("Cache-Control: stale-if-error=70").directives(honoured=True)
    nobody = request_of().directives(honoured=True)
    told = variant("Cache-Control: max-age=1, stale-if-error=60").told
    assert (error_window(told, nobody), error_window(told, client)) == (60, 70)
    assert error_window(variant(FRESH).told, nobody) == error_window(variant(STALE).told, client) == 0
    assert (raise_window(told, RULES), raise_window(variant(STALE).told, RULES)) == (300, 0)
