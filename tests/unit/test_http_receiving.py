"""What to do with the app's answer to a forwarded request (RFC 9111, sections 3, 4.3.3 to 4.3.5; RFC 5861, 4)."""

from __future__ import annotations

import pytest

from holdfast.policy.http.conditions import request_fields
from holdfast.policy.http.fields import Fields
from holdfast.policy.http.judging import BYPASS, Forward
from holdfast.policy.http.receiving import (
    AGAIN,
    PASSING,
    PASSING_ERROR,
    Confirmed,
    Head,
    Reception,
    Relayed,
    Replaced,
    receive,
)
from holdfast.policy.http.request import Request
from holdfast.policy.http.rules import Rules
from holdfast.policy.http.variants import Variant, variant_of
from support.http_rfc import NOW, RULES, fields_of, request_of, stored_of, variant

FRESH, TAG, OTHER_TAG, MODIFIED = "Cache-Control: max-age=60", 'ETag: "a"', 'ETag: "b"', "Last-Modified: @-500"
LATER = 100.0
"""Seconds after which a stored response is stale, and the app is asked again."""
MISSED = Forward("uri-miss")


def received(
    status: int,
    *lines: str,
    asked: Request | None = None,
    forward: Forward = MISSED,
    among: tuple[Variant, ...] = (),
    rules: Rules = RULES,
    at: float = LATER,
) -> Reception:
    """Return what is done with an answer that comes `at` seconds after `NOW`."""
    head = Head(status, fields_of(*lines), NOW + at, NOW + at)
    return receive(asked or request_of(), forward, head, among, rules)


def relayed(status: int, *lines: str, asked: Request | None = None, forward: Forward = MISSED) -> Relayed:
    """Return how an answer is relayed to a request that found nothing."""
    done = received(status, *lines, asked=asked, forward=forward)
    assert isinstance(done, Relayed)
    return done


def confirmed(
    held: Variant, *lines: str, status: int = 304, asked: Request | None = None, rules: Rules = RULES, at: float = LATER
) -> Confirmed:
    """Return what a 304, or the 200 to a HEAD, makes of a stored response that was sent for validation."""
    forward = Forward("stale", (held,), held)
    done = received(status, *lines, asked=asked, forward=forward, among=(held,), rules=rules, at=at)
    assert isinstance(done, Confirmed)
    assert done.variant is held
    return done


def lines_of(done: Confirmed) -> list[str]:
    """Return the fields of what a 304 leaves stored."""
    assert done.stored is not None
    assert done.stored.fields == done.fields
    return [f"{name}: {value}" for name, value in done.fields]


def test_9111_4_3_4_a_304_brings_a_stored_response_up_to_date() -> None:
    """Its lines replace those of the same names, and its time counts; body, status and what selects it stay."""
    german = request_of("Accept-Language: de", extras=(("key", "x"),))
    lines = FRESH, TAG, "X-A: 1", "x-a: 2", "X-B: 3", "Content-Length: 8", "Age: 40", "Vary: Accept-Language"
    held = variant(*lines, name="one", status=404, by=german, names=("accept-language",))
    told = "Cache-Control: max-age=90", 'etag: "a"', "X-A: 4", "X-C: 5", "Content-Length: 0", "TE: x", "Age: 7"
    done = confirmed(held, *told, asked=german)
    assert lines_of(done) == [
        *["Cache-Control: max-age=90", 'etag: "a"', "X-A: 4", "X-B: 3", "Content-Length: 8"],
        *["Vary: Accept-Language", "X-C: 5", "Age: 7"],
    ]
    new, old = done.stored, held.stored
    assert new is not None
    assert (new.id, new.status, new.body, new.size) == (old.id, old.status, old.body, old.size)
    assert (new.names, new.values, new.extras) == (("accept-language",), ("de",), (("key", "x"),))
    assert (new.requested, new.received) == (NOW + LATER, NOW + LATER)
    assert new.until == NOW + LATER + 90 - 7 + 3600
    assert not done.untouched


def test_9111_4_3_4_a_304_without_age_and_date_begins_the_age_anew() -> None:
    """It was made when it came (RFC 9110, 6.6.1); a Date is written only where there was one."""
    assert lines_of(confirmed(variant(FRESH, TAG, "Date: @-30", "Age: 40"))) == lines_of_fields(
        FRESH, TAG, "Date: @+100"
    )
    assert lines_of(confirmed(variant(FRESH, TAG, "Age: 40"))) == [FRESH, TAG]
    assert lines_of(confirmed(variant(FRESH, TAG, "Date: @-30"), "Date: @+95")) == lines_of_fields(
        FRESH, TAG, "Date: @+95"
    )


def lines_of_fields(*lines: str) -> list[str]:
    """Return lines with their dates written out."""
    return [f"{name}: {value}" for name, value in fields_of(*lines).pairs]


@pytest.mark.parametrize(
    ("lines", "selects"),
    [
        ([], True),
        ([TAG], True),
        (['ETag: W/"a"'], True),
        ([OTHER_TAG], False),
        ([TAG, MODIFIED], True),
        ([OTHER_TAG, MODIFIED], False),
        ([MODIFIED], True),
        (["Last-Modified: @-501"], False),
    ],
)
def test_9111_4_3_4_a_304_that_names_nothing_stored_updates_nothing(lines: list[str], selects: bool) -> None:
    """The app is asked again, without a condition."""
    held = variant(FRESH, TAG, MODIFIED)
    done = received(304, *lines, forward=Forward("stale", (held,), held), among=(held,))
    assert (done is AGAIN) != selects
    assert isinstance(done, Confirmed) == selects


def test_9111_4_3_4_of_several_the_one_that_is_named_is_confirmed() -> None:
    """The most recent, if two have the same ETag. It is stored for what this request has in the fields that select."""
    names = ("accept-language",)
    old, new = [variant(FRESH, TAG, f"Date: @-{age}", name=str(age), names=names) for age in (9, 5)]
    other = variant(FRESH, OTHER_TAG, name="other", names=names)
    forward = Forward("vary-miss", [old, other, new])
    assert request_fields([each.validators for each in forward.held]) == (("if-none-match", '"a", "b"'),)
    done = received(304, TAG, asked=request_of("Accept-Language: de"), forward=forward, among=(old, other, new))
    assert isinstance(done, Confirmed)
    assert done.stored is not None
    assert (done.variant, done.stored.id, done.stored.names, done.stored.values) == (new, "5", names, ("de",))
    assert received(304, forward=forward) is AGAIN
    assert received(304, 'ETag: "c"', forward=forward) is AGAIN


@pytest.mark.parametrize(
    ("lines", "stays"),
    [
        (["Cache-Control: max-age=60, no-store"], False),
        (["Cache-Control: private"], False),
        (["CDN-Cache-Control: private"], False),
        (["Vary: *"], False),
        (["Set-Cookie: a=b"], False),
        (["Cache-Control: max-age=60, public", "Set-Cookie: a=b"], True),
        (["Cache-Control: max-age=0"], True),
        (["Cache-Control: no-cache"], True),
        (["Vary: Accept-Language"], True),
    ],
)
def test_9111_4_3_4_a_304_may_end_storing(lines: list[str], stays: bool) -> None:
    """Its client is served by it all the same."""
    done = confirmed(variant(FRESH, TAG), *lines)
    assert (done.stored is not None) == stays
    assert not done.untouched
    for name, value in fields_of(*lines).pairs:
        assert (name, value) in done.fields


def test_9111_4_3_4_a_304_for_one_user_leaves_what_is_stored_for_all() -> None:
    """An answer to Authorization may not be used for others (3.5); neither may it take from them what they have."""
    asked = request_of("Authorization: x", "Cache-Control: no-cache")
    done = confirmed(variant(FRESH, TAG), asked=asked)
    assert (done.stored, done.untouched) == (None, True)
    public = confirmed(variant("Cache-Control: max-age=60, public", TAG), asked=asked)
    assert public.stored is not None
    assert not public.untouched


def test_a_304_to_somebody_else_does_not_make_a_response_for_all() -> None:
    """No lifetime is guessed for a body that was made for one user, or that a 304 with a cookie confirms."""
    for one, asked in ((False, request_of()), (True, request_of("Cookie: a=b"))):
        held = variant_of(stored_of(MODIFIED, anonymous=one), RULES)
        done = confirmed(held, asked=asked)
        assert done.stored is not None
        assert not done.stored.anonymous
        assert variant_of(done.stored, RULES).told.lifetime == 0
    done = confirmed(variant_of(stored_of(MODIFIED), RULES))
    assert done.stored is not None
    assert done.stored.anonymous
    assert variant_of(done.stored, RULES).told.lifetime == 60


def test_9111_7_3_a_304_brings_no_cookie_where_they_are_stripped() -> None:
    """Neither to the store nor to the client that gets what is stored."""
    done = confirmed(variant(FRESH, TAG), "Set-Cookie: a=b", rules=Rules(set_cookie="strip"))
    assert lines_of(done) == [FRESH, TAG]


def test_9110_15_4_5_a_304_to_the_clients_own_condition_is_the_clients() -> None:
    """Where no validator of ours was sent, it goes to the client, and changes nothing."""
    asked = request_of('If-None-Match: "a"')
    held = variant(FRESH)
    for forward in (MISSED, Forward("stale", (held,), held)):
        done = received(304, TAG, asked=asked, forward=forward, among=(held,))
        assert done == Relayed(None, "status", (), 0.0, False)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_5861_4_a_stale_response_stands_in_for_an_error(status: int) -> None:
    """For as long as it permits that, or the client: not as long as it does for an app that raises."""
    held = variant("Cache-Control: max-age=60, stale-if-error=100", TAG)
    forward = Forward("stale", (held,), held)
    client = request_of("Cache-Control: stale-if-error=200")
    assert received(status, forward=forward, at=159) == Replaced(held)
    assert isinstance(received(status, forward=forward, at=160), Relayed)
    assert received(status, forward=forward, at=259, asked=client) == Replaced(held)
    unheard = received(status, forward=forward, at=259, asked=client, rules=Rules(honour_clients=False))
    assert isinstance(unheard, Relayed)
    assert isinstance(received(status, forward=Forward("stale", (held,)), at=1), Relayed)
    plain = variant(FRESH, TAG)
    assert isinstance(received(status, forward=Forward("stale", (plain,), plain), at=61), Relayed)
    assert received(status, forward=Forward("request", (plain,), plain), at=59) == Replaced(plain)
    head = request_of(method="HEAD")
    assert received(status, forward=forward, at=159, asked=head) == Replaced(held)


@pytest.mark.parametrize("status", [501, 505, 404, 429, 200])
def test_5861_4_it_stands_in_for_nothing_else(status: int) -> None:
    """What the app means to say is said."""
    held = variant("Cache-Control: max-age=60, stale-if-error=100", TAG)
    assert isinstance(received(status, forward=Forward("stale", (held,), held)), Relayed)


@pytest.mark.parametrize(
    ("status", "outdates"),
    [(200, True), (404, True), (301, True), (500, False), (503, False), *[(s, False) for s in (206, 304, 412, 416)]],
)
def test_9111_4_3_3_a_new_answer_takes_the_place_of_what_its_request_selects(status: int, outdates: bool) -> None:
    """Whether it is stored or not; but an error, or an answer to the client's own condition or range, does not."""
    german = request_of("Accept-Language: de")
    names = ("accept-language",)
    one = variant(FRESH, name="one", by=german, names=names)
    two = variant(FRESH, name="two", names=names)
    three = variant(FRESH, name="three", by=request_of("Accept-Language: de", extras=(("key", "x"),)), names=names)
    four = variant(FRESH, name="four", by=german, names=names)
    for line in (FRESH, "Cache-Control: no-store", "X-A: 1"):
        done = received(status, line, asked=german, among=(one, two, three, four))
        assert isinstance(done, Relayed)
        assert done.gone == (("one", "four") if outdates else ())


def test_9111_4_1_what_has_no_vary_is_selected_like_its_siblings() -> None:
    """A default without Vary must not be given to those whom the variants are for."""
    german = request_of("Accept-Language: de")
    sibling, plain = variant(FRESH, names=("accept-language",)), variant(FRESH, name="plain")
    done = received(200, FRESH, asked=german, among=(plain, sibling))
    assert isinstance(done, Relayed)
    assert done.stored is not None
    assert (done.stored.names, done.stored.values) == (("accept-language",), ("de",))
    done = received(200, FRESH, "Vary: X-A", asked=german, among=(plain, sibling))
    assert isinstance(done, Relayed)
    assert done.stored is not None
    assert done.stored.names == ("x-a",)


@pytest.mark.parametrize(
    ("status", "line", "asks", "passing"),
    [
        (200, FRESH, (), 0),
        (200, "Cache-Control: no-store", (), PASSING),
        (200, "X-A: 1", (), PASSING),
        (404, "Vary: *", (), PASSING),
        (200, "Trailer: x", (), PASSING),
        (500, "X-A: 1", (), PASSING_ERROR),
        (503, "Cache-Control: no-store", (), PASSING_ERROR),
        *[(status, FRESH, (), 0) for status in (206, 304)],
        *[(status, "X-A: 1", (), 0) for status in (412, 416)],
        (200, FRESH, ("Authorization: x",), 0),
        (200, FRESH, ("Cache-Control: no-store",), 0),
        (200, "Cache-Control: private", ("Authorization: x",), PASSING),
    ],
)
def test_nobody_waits_for_what_will_not_be_stored(
    status: int, line: str, asks: tuple[str, ...], passing: float
) -> None:
    """For a while; for a short one after an error, and not at all if it is this request's own doing."""
    assert relayed(status, line, asked=request_of(*asks)).passing == passing


def test_what_bypasses_the_store_is_left_alone() -> None:
    """Nothing is stored of it and nothing goes, for it may be answered to one user."""
    held = variant(FRESH)
    for forward in (BYPASS, Forward("method", leased=False, waits=False)):
        for lines in ((FRESH, "Content-Location: /shop/p?x=1"), ("Cache-Control: no-store",)):
            done = received(200, *lines, asked=request_of(method="POST"), forward=forward, among=(held,))
            assert done == Relayed()


@pytest.mark.parametrize(
    "lines",
    [
        ["Cache-Control: no-cache, max-age=60", MODIFIED, "Connection: cache-control"],
        ["Expires: 0", MODIFIED, "Connection: x, Expires"],
        [FRESH, "Vary: X-A", "Connection: vary"],
        [FRESH, "Age: 50", "Connection: AGE"],
        [FRESH, "Date: @-50", "Connection: date"],
        [FRESH, "CDN-Cache-Control: no-cache, max-age=1", "Connection: CDN-Cache-Control"],
        *[[FRESH, MODIFIED, TAG, f"Connection: {name}"] for name in ("etag", "last-modified")],
        ["Cache-Control: public, max-age=60", "Set-Cookie: a=b", "Connection: set-cookie"],
        [FRESH, "Cache-Control: no-cache\x00"],
    ],
)
def test_what_would_be_another_response_when_it_is_stored_is_not(lines: list[str]) -> None:
    """Where Connection names a field that decides, or where such a field may not stand in a message."""
    assert relayed(200, *lines).stored is None


@pytest.mark.parametrize(
    ("asks", "lines", "sent", "has_it"),
    [
        (['If-None-Match: "b"'], [OTHER_TAG], True, True),
        (['If-None-Match: "b"'], [TAG], True, False),
        (["If-Modified-Since: @-400"], [MODIFIED], True, True),
        (["If-Modified-Since: @-600"], [MODIFIED], True, False),
        (["Range: bytes=0-1"], [TAG], True, False),
        ([], [TAG], True, False),
        (['If-None-Match: "b"'], [OTHER_TAG], False, False),
    ],
)
def test_9111_4_3_2_the_clients_condition_is_evaluated_if_it_was_not_sent(
    asks: list[str], lines: list[str], sent: bool, has_it: bool
) -> None:
    """Who has what the app now sends gets a 304, where our validator, or none, was sent in place of its own."""
    asked, held = request_of(*asks), variant(FRESH, 'ETag: "old"')
    for forward in [Forward("stale", (held,)), Forward("uri-miss", stripped=True)] if sent else [MISSED]:
        for cached in (FRESH, "Cache-Control: no-store"):
            done = received(200, cached, *lines, asked=asked, forward=forward, among=(held,))
            assert isinstance(done, Relayed)
            assert done.not_modified == has_it
        done = received(404, FRESH, *lines, asked=asked, forward=forward, among=(held,))
        assert isinstance(done, Relayed)
        assert not done.not_modified


def headed(held: Variant, status: int, *lines: str, asks: tuple[str, ...] = ()) -> Reception:
    """Return what is done with an answer to a HEAD that selects a stored response."""
    asked = request_of(*asks, method="HEAD")
    return received(status, *lines, asked=asked, forward=Forward("stale", (held,)), among=(held,))


@pytest.mark.parametrize(
    ("status", "lines", "agrees"),
    [
        (200, [TAG, FRESH], True),
        (200, [TAG, FRESH, "Content-Length: 8"], True),
        (200, [FRESH], True),
        (200, [OTHER_TAG, FRESH], False),
        (200, [TAG, FRESH, "Content-Length: 9"], False),
        (200, [TAG, MODIFIED], False),
        (404, [TAG], False),
        (410, [], False),
    ],
)
def test_9111_4_3_5_a_head_confirms_the_stored_get_or_outdates_it(status: int, lines: list[str], agrees: bool) -> None:
    """It confirms what has the same validators, length and status; also where the length was not told when stored."""
    done = headed(variant(FRESH, TAG), status, *lines)
    if agrees:
        assert isinstance(done, Confirmed)
        assert done.stored is not None
        assert (done.stored.received, done.stored.body) == (NOW + LATER, b"the body")
    else:
        assert done == Relayed(detail="head", gone=("one",))


@pytest.mark.parametrize("status", [500, 503, 206, 304, 412, 416])
def test_9111_4_3_5_a_head_that_fails_or_has_conditions_says_nothing(status: int) -> None:
    """What is stored stays; and of a HEAD alone nothing is ever stored."""
    assert headed(variant(FRESH), status, asks=('If-None-Match: "x"',)) == Relayed(detail="head")
    missed = received(200, FRESH, TAG, asked=request_of(method="HEAD"), forward=Forward("uri-miss", leased=False))
    assert missed == Relayed(detail="head")


def test_what_a_304_says_is_in_force_at_once() -> None:
    """The response that it leaves is served like one that was stored now."""
    done = confirmed(variant(FRESH, TAG), "Cache-Control: s-maxage=5", "Date: @+98")
    assert done.stored is not None
    told = variant_of(done.stored, RULES).told
    assert (told.lifetime, told.initial_age, told.may_be_stale) == (5, 2, False)
    assert Fields(done.fields).get("cache-control") == "s-maxage=5"
