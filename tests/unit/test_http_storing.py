"""Whether a response may be stored, and what of it (RFC 9111, section 3)."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.policy.http.ages import freshness_of
from holdfast.policy.http.fields import Fields, Pairs
from holdfast.policy.http.judging import Forward
from holdfast.policy.http.receiving import Head, Relayed, receive
from holdfast.policy.http.request import Request
from holdfast.policy.http.rules import Rules
from holdfast.policy.http.stored import Stored
from holdfast.policy.http.storing import UNDERSTOOD, kept_fields, reason_against, reason_at_sight, without_cookies
from support.http_rfc import (
    GUESSABLE,
    NOW,
    PAIRS,
    RESPONSES,
    RULE_SETS,
    RULES,
    WANTS,
    Response,
    Wants,
    fields_of,
    request_of,
)

FRESH = "Cache-Control: max-age=60"
COOKIE = "Set-Cookie: a=b"
MISSED = Forward("uri-miss")


def reason(*lines: str, status: int = 200, rules: Rules = RULES, authorized: bool = False) -> str | None:
    """Return why a response must not be stored."""
    fields = fields_of(*lines)
    told = freshness_of(status, fields, NOW, NOW, rules, anonymous=COOKIE not in lines)
    return reason_at_sight(status, fields, rules) or reason_against(status, fields, told, rules, authorized=authorized)


def kept(*lines: str, by: Request | None = None, status: int = 200, rules: Rules = RULES) -> Stored | str:
    """Return what is stored of a response to a request that found nothing, or why nothing is."""
    done = receive(by or request_of(), MISSED, Head(status, fields_of(*lines), NOW, NOW), (), rules)
    assert isinstance(done, Relayed)
    assert (done.stored is None) == bool(done.detail)
    return done.stored or done.detail


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["Cache-Control: max-age=60, no-store"], "no-store"),
        (["Cache-Control: max-age=60", "cache-control: NO-STORE"], "no-store"),
        (['Cache-Control: no-store="x", max-age=60'], "no-store"),
        (["Cache-Control: public, s-maxage=60, private"], "private"),
        (['Cache-Control: max-age=60, private="x-a"'], "private"),
        (["Cache-Control: no-store", "CDN-Cache-Control: max-age=60"], None),
        (["Cache-Control: private", "CDN-Cache-Control: max-age=60"], None),
        ([FRESH, "CDN-Cache-Control: no-store"], "no-store"),
        ([FRESH, "CDN-Cache-Control: private"], "private"),
        ([FRESH], None),
        (["Expires: @+9"], None),
        (["Cache-Control: public"], None),
        (["Cache-Control: no-cache"], "no-freshness"),
        (["Cache-Control: no-cache", "ETag: x"], None),
        (["Last-Modified: @-9"], None),
        (["ETag: x"], None),
        (["Content-Type: text/plain"], "no-freshness"),
        ([], "no-freshness"),
    ],
)
def test_9111_3_a_response_says_whether_it_may_be_stored(lines: list[str], why: str | None) -> None:
    """Never no-store or private, qualified or not; else what has freshness, or may be guessed or validated."""
    assert reason(*lines) == why


@pytest.mark.parametrize("status", [200, 201, 204, 299, 301, 302, 404, 418, 500, 503, 599, 999])
def test_9111_3_any_final_status_may_be_stored_with_explicit_freshness(status: int) -> None:
    """What a cache knows of a status does not matter, if the response says for how long it is fresh."""
    assert reason(FRESH, status=status) is None
    assert reason("ETag: x", status=status) == (None if status in GUESSABLE else "no-freshness")
    assert reason("Last-Modified: @-50", status=status) == (None if status in GUESSABLE else "no-freshness")


@pytest.mark.parametrize("status", [-1, 0, 100, 103, 199, 206, 304])
def test_9111_3_what_is_no_whole_answer_is_not_stored(status: int) -> None:
    """Neither an interim response, nor a part, nor a 304, however fresh, and whatever the rules are."""
    assert reason("Cache-Control: public, max-age=60", status=status) == "status"
    assert reason(FRESH, status=status, rules=Rules(statuses={status})) == "status"


def test_the_owner_chooses_statuses() -> None:
    """Others than these are not stored."""
    assert reason(FRESH, status=404, rules=Rules(statuses={200})) == "status"
    assert reason(FRESH, status=404, rules=Rules(statuses=[404])) is None
    assert reason(FRESH, rules=Rules(statuses=())) == "status"


def test_the_owner_gives_a_lifetime_to_what_has_none() -> None:
    """To a 200 alone, which then is stored though it says nothing."""
    assert reason(rules=Rules(default_ttl=5)) is None
    assert reason(rules=Rules(default_ttl=5), status=404) == "no-freshness"
    assert reason(COOKIE, rules=Rules(default_ttl=5)) == "no-freshness"


def test_9111_5_2_2_3_must_understand() -> None:
    """It stands above no-store where the status is understood, and forbids storing where it is not."""
    line = "Cache-Control: must-understand, no-store, max-age=60"
    assert reason(line) is None
    assert reason(line, status=404) is None
    for status in (208, 226, 305, 417, 421, 451, 508, 511):
        assert reason(line, status=status) is None
    for status in (209, 299, 306, 399, 427, 509, 599, 999):
        assert reason(line, status=status) == "status-not-understood"
        assert reason("Cache-Control: must-understand, max-age=60", status=status) == "status-not-understood"
    assert reason("Cache-Control: must-understand, private, max-age=60") == "private"
    assert {*range(200), 206, 304, *UNDERSTOOD} >= {*HTTPStatus} - {HTTPStatus.IM_A_TEAPOT}
    assert {*HTTPStatus} >= UNDERSTOOD


@pytest.mark.parametrize("allowing", ["public", "must-revalidate", "s-maxage=60"])
def test_9111_3_5_what_was_asked_with_authorization_is_stored_only_if_it_says_so(allowing: str) -> None:
    """By public, must-revalidate or s-maxage, in whichever field counts; proxy-revalidate is not enough."""
    assert reason(f"Cache-Control: max-age=60, {allowing}", authorized=True) is None
    assert reason(FRESH, f"CDN-Cache-Control: max-age=60, {allowing}", authorized=True) is None
    assert reason(f"Cache-Control: {allowing}", "CDN-Cache-Control: max-age=60", authorized=True) == "authorization"
    assert reason("Cache-Control: max-age=60, proxy-revalidate", authorized=True) == "authorization"
    assert reason("Expires: @+60", authorized=True) == "authorization"


@pytest.mark.parametrize(
    ("mode", "lines", "why"),
    [
        ("public", [FRESH], "set-cookie"),
        ("public", ["Cache-Control: max-age=60, public"], None),
        ("public", ["Cache-Control: s-maxage=60"], None),
        ("public", ["CDN-Cache-Control: max-age=60"], None),
        ("public", ["Cache-Control: public", "Last-Modified: @-50"], "set-cookie"),
        ("public", ["CDN-Cache-Control: public", "Last-Modified: @-50"], "set-cookie"),
        ("public", ["Last-Modified: @-50"], "set-cookie"),
        ("store", [FRESH], None),
        ("store", ["Expires: @+60"], None),
        ("store", ["Last-Modified: @-50"], "set-cookie"),
        ("strip", [FRESH], None),
        ("strip", ["Last-Modified: @-50"], None),
        ("refuse", ["Cache-Control: public, s-maxage=60"], "set-cookie"),
        ("refuse", ["CDN-Cache-Control: max-age=60"], "set-cookie"),
    ],
)
def test_9111_7_3_a_cookie_is_given_to_all_only_if_that_is_meant(mode: str, lines: list[str], why: str | None) -> None:
    """Never by a guess; by default only if the response says that it is for all."""
    rules = Rules(set_cookie=mode)  # type: ignore[arg-type]
    assert reason(*lines, COOKIE, rules=rules) == why
    assert reason(*lines, rules=rules) is None


def test_9111_3_1_what_is_about_the_connection_is_not_stored() -> None:
    """All else is, with its order, its case and its duplicates; Set-Cookie goes if the owner wants it stripped."""
    fields = fields_of("X-b: 1", "connection: close, X-A", "x-a: 2", "TE: x", "x-B: 2", "Age: 4", COOKIE, "X-b: 1")
    kept = (("X-b", "1"), ("x-B", "2"), ("Age", "4"), ("Set-Cookie", "a=b"), ("X-b", "1"))
    stripped = kept[:3] + kept[4:]
    assert kept_fields(fields, Rules()) == kept
    assert kept_fields(fields, Rules(set_cookie="strip")) == stripped
    assert without_cookies(kept, Rules(set_cookie="refuse")) == kept
    assert without_cookies((*kept, ("SET-COOKIE", "x")), Rules(set_cookie="strip")) == stripped


def test_what_is_stored_of_an_answer() -> None:
    """Its status, its fields, and what its request had in the fields that select it."""
    asked = request_of("Accept-Language: DE , en", "Cookie: a=b", extras=(("key", "x"),))
    stored = kept(FRESH, "Vary: x-A, accept-LANGUAGE", "Connection: close", "Age: 5", by=asked, status=404)
    assert isinstance(stored, Stored)
    assert stored.fields == (("Cache-Control", "max-age=60"), ("Vary", "x-A, accept-LANGUAGE"), ("Age", "5"))
    assert (stored.status, stored.names, stored.values) == (404, ("accept-language", "x-a"), ("de,en", None))
    assert (stored.requested, stored.received, stored.until) == (NOW, NOW, NOW + 55 + RULES.stale_if_raises)
    assert (stored.anonymous, stored.extras) == (False, (("key", "x"),))


@pytest.mark.parametrize(
    ("lines", "rules", "why"),
    [
        ([FRESH, "Vary: *"], Rules(), "vary"),
        ([FRESH, "Vary: a, *"], Rules(ignore_vary=frozenset({"*"})), "vary"),
        ([FRESH, "Vary: a b"], Rules(), "vary"),
        ([FRESH, "Trailer: X-Sum"], Rules(), "trailers"),
        ([FRESH, "Content-Length: 11"], Rules(max_body=10), "too-large"),
        ([FRESH, "Content-Length: 11, 11"], Rules(max_body=10), "too-large"),
        ([FRESH, "Content-Length: " + "9" * 5000], Rules(), "too-large"),
        ([FRESH, "Content-Length: 1", "Content-Length: 2"], Rules(), "content-length"),
        ([FRESH, "Content-Length: 1, x"], Rules(), "content-length"),
        ([FRESH, "Content-Length: x"], Rules(), "content-length"),
        ([FRESH, "Content-Length: "], Rules(), "content-length"),
        ([FRESH, "Content-Length: -11"], Rules(), "content-length"),
        (["Cache-Control: max-age=0"], Rules(), "no-freshness"),
        (["Expires: 0"], Rules(), "no-freshness"),
        (["Cache-Control: public"], Rules(), "no-freshness"),
    ],
)
def test_what_could_not_be_used_is_not_stored(lines: list[str], rules: Rules, why: str) -> None:
    """What no request can select, whose end nobody knows, what is too long, and what is stale for good."""
    assert kept(*lines, rules=rules) == why


def test_a_declared_length_is_not_feared() -> None:
    """A body of just the permitted length is stored, also if the same length is said twice (RFC 9110, 8.6)."""
    rules = Rules(max_body=10)
    for length in ("10", "0010", "10, 10", "0"):
        assert isinstance(kept(FRESH, f"Content-Length: {length}", rules=rules), Stored)


def test_the_owner_adds_and_takes_away_what_selects() -> None:
    """Fields that count though Vary does not name them, and the other way round."""
    rules = Rules(vary=("x-b",), ignore_vary=frozenset({"x-a"}))
    stored = kept(FRESH, "Vary: X-A, X-C", rules=rules, by=request_of("X-A: 1", "X-B: 2"))
    assert isinstance(stored, Stored)
    assert (stored.names, stored.values) == (("x-b", "x-c"), ("2", None))


def test_9111_5_2_1_5_a_request_can_forbid_it() -> None:
    """By no-store, unless the owner does not follow clients."""
    asked = request_of("Cache-Control: no-store")
    assert kept(FRESH, by=asked) == "request-no-store"
    assert isinstance(kept(FRESH, by=asked, rules=Rules(honour_clients=False)), Stored)
    assert isinstance(kept(FRESH, by=request_of("Pragma: no-store")), Stored)


@pytest.mark.parametrize(
    ("lines", "stored"),
    [
        ([FRESH, "Content-Location: /shop/p?x=1"], True),
        ([FRESH, "Content-Location: https://SHOP.example:443/shop/p?x=1"], True),
        ([FRESH, "Content-Location: p?x=1"], True),
        ([FRESH, "Content-Location: /shop/p"], False),
        ([FRESH, "Content-Location: /shop/p?x=1", "Content-Location: /shop/p?x=1"], False),
        ([FRESH, "Content-Location: http://shop.example/shop/p?x=1"], False),
        ([FRESH, "Content-Location: https://other.example/shop/p?x=1"], False),
        ([FRESH], False),
        (["Last-Modified: @-100", "Content-Location: /shop/p?x=1"], False),
        (["ETag: x", "Content-Location: /shop/p?x=1"], False),
    ],
)
def test_9110_9_3_3_an_answer_to_a_post_is_stored_if_it_is_what_a_get_would_bring(
    lines: list[str], stored: bool
) -> None:
    """It says for how long it is fresh, and that it is the response of just this URL."""
    done = receive(request_of(method="POST"), Forward("method"), Head(200, fields_of(*lines), NOW, NOW), (), RULES)
    assert isinstance(done, Relayed)
    assert (done.stored is not None) == stored
    assert done.detail == ("" if stored else "method")


@given(RESPONSES, WANTS, RULE_SETS)
def test_9111_3_nothing_forbidden_is_ever_stored(said: Response, wants: Wants, rules: Rules) -> None:
    """No no-store, no private, nothing for one user: not by any mixture of fields, directives and rules."""
    request = wants.request
    done = receive(request, MISSED, Head(said.status, fields_of(*said.lines), NOW, NOW), (), rules)
    assert isinstance(done, Relayed)
    if done.stored is None:
        return
    told = said.counts(rules)
    assert "no-store" not in told.flags or (said.status != 299 and "must-understand" in told.flags)
    assert "must-understand" not in told.flags or said.status != 299
    assert "private" not in told.flags
    assert said.status not in {206, 304}
    assert "*" not in said.vary
    assert not (rules.honour_clients and "no-store" in wants.told.flags)
    if any(line.startswith("Authorization") for line in wants.others):
        assert told.flags & {"public", "must-revalidate"} or told.time("s-maxage") is not None
    if said.cookie:
        assert_cookie_is_for_all(said, rules, done.stored)
    anonymous = not said.cookie and not any(line[:6] in {"Cookie", "Author"} for line in wants.others)
    assert done.stored.anonymous == anonymous
    assert said.etag or said.modified is not None or said.lifetime(rules, anonymous=anonymous) or told.times


def assert_cookie_is_for_all(said: Response, rules: Rules, stored: Stored) -> None:
    """Fail unless a stored response that set a cookie is meant for all, or has lost the cookie."""
    told = said.counts(rules)
    assert rules.set_cookie != "refuse"
    if rules.set_cookie == "strip":
        assert "set-cookie" not in Fields(stored.fields)
        return
    assert said.explicit(rules) is not None
    if rules.set_cookie == "public":
        assert "public" in told.flags or told.time("s-maxage") is not None or told is said.aimed


@given(PAIRS, st.integers(-1, 1000), RULE_SETS, st.booleans())
def test_any_text_is_stored_or_not(pairs: Pairs, status: int, rules: Rules, authorized: bool) -> None:
    """Nothing raises, and what is refused at sight is refused at a closer look."""
    fields = Fields(pairs)
    told = freshness_of(status, fields, NOW, NOW, rules)
    sight = reason_at_sight(status, fields, rules)
    if sight is not None:
        assert reason_against(status, fields, told, rules, authorized=authorized) is not None
    assert {name for name, _ in kept_fields(fields, rules)} <= {name for name, _ in pairs}
