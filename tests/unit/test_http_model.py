"""The HTTP cache's decisions held against a naive model of RFC 9111, over any mixture of messages, clocks and rules."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from holdfast.policy.http.ages import age_at
from holdfast.policy.http.answering import answer_of
from holdfast.policy.http.fields import Fields, Pairs
from holdfast.policy.http.judging import Forward, Serve, Unsatisfied, judge
from holdfast.policy.http.receiving import Again, Confirmed, Head, Relayed, Replaced, receive
from holdfast.policy.http.request import Request
from holdfast.policy.http.rules import Rules
from holdfast.policy.http.stored import Stored
from holdfast.policy.http.variants import Variant, variant_of
from support.http_rfc import (
    NOW,
    PAIRS,
    RESPONSES,
    RULE_SETS,
    TARGET,
    WANTS,
    Response,
    Told,
    Wants,
    fields_of,
    stored_of,
)

BODY = b"the body"
SILENT = Told(frozenset(), ())
AFTER = st.sampled_from([-5, 0, 1, 4, 5, 9, 10, 11, 15, 20, 25, 29, 30, 59, 60, 61, 70, 100, 160, 100_000, 2**31])
KEYS: st.SearchStrategy[Pairs] = st.sampled_from([(), (), (("key", "x"),), (("x-forwarded-host", "evil.example"),)])
METHODS = st.sampled_from(["GET", "GET", "GET", "HEAD"])
STORING = RESPONSES.filter(lambda said: said.status not in {206, 304})


def may_serve(
    said: Response, wants: Wants, age: float, rules: Rules, *, anonymous: bool = True, softened: bool = False
) -> str:
    """Return how RFC 9111 lets a stored response of this age be served without asking the app; empty if not at all."""
    told, lifetime = said.counts(rules), said.lifetime(rules, anonymous=anonymous)
    asked = wants.told if rules.honour_clients else SILENT
    fresh = age < lifetime and not softened
    oldest, margin = asked.time("max-age"), asked.time("min-fresh")
    unwanted = (
        "no-cache" in asked.flags
        or (oldest is not None and age > oldest)
        or (margin is not None and lifetime - age < margin)
    )
    if "no-cache" in told.flags or (unwanted and not (fresh and "immutable" in told.flags)):
        return ""
    if fresh:
        return "fresh"
    if softened or said.forbids_stale(rules):
        return ""
    most = wants.max_stale if rules.honour_clients else None
    if most is None and oldest is not None:
        return ""  # who names an age and not max-stale wants nothing stale (5.2.1.1)
    if age - lifetime < (told.time("stale-while-revalidate") or 0):
        return "refreshed"
    # What was never fresh may be for one user.
    return "stale" if most is not None and lifetime > 0 and age - lifetime <= most else ""


def on_error(said: Response, wants: Wants, rules: Rules) -> float:
    """Return until which age a stored response may stand in for an app that fails (RFC 5861, 4)."""
    asked = wants.told if rules.honour_clients else SILENT
    lifetime = said.lifetime(rules, anonymous=True)
    if said.forbids_stale(rules) or "no-cache" in asked.flags:
        return 0
    others = max(rules.stale_if_raises, asked.time("stale-if-error") or 0) if lifetime else 0
    return lifetime + max(others, said.counts(rules).time("stale-if-error") or 0)


def request_for(wants: Wants, extras: Pairs, method: str = "GET") -> Request:
    """Return the request that has these wishes."""
    return wants.request._replace(extras=extras, method=method)


def kept(said: Response, rules: Rules, by: Request, name: str = "one") -> Stored:
    """Return a stored response, whether it may be stored or not."""
    names = tuple(sorted(name.lower() for name in said.vary if name != "*"))
    return stored_of(*said.lines, name=name, status=said.status, by=by, names=names, body=BODY)


@given(RESPONSES, WANTS, RULE_SETS, AFTER, st.booleans(), METHODS)
def test_9111_4_only_what_may_be_served_is(
    said: Response, wants: Wants, rules: Rules, after: int, softened: bool, method: str
) -> None:
    """Fresh, or stale where nobody forbids it and somebody permits it; else the app is asked, or the answer is 504."""
    request = request_for(wants, (), method)
    variant = variant_of(kept(said, rules, request), rules)
    decision = judge(request, [variant], NOW + after, rules, softened=softened)
    age = said.initial_age(0) + max(0, after)
    flags = wants.told.flags if rules.honour_clients else frozenset[str]()
    if "no-store" in flags:
        assert isinstance(decision, Forward | Unsatisfied)
        return
    if how := may_serve(said, wants, age, rules, softened=softened):
        assert decision == Serve(variant, age, how != "fresh", how == "refreshed")
    elif "only-if-cached" in flags:
        assert isinstance(decision, Unsatisfied)
    else:
        assert isinstance(decision, Forward)
        assert decision.held == (variant,)
        assert decision.why in {"request", "stale"}
        assert (decision.fallback is variant) == (age < on_error(said, wants, rules))


@given(RESPONSES, WANTS, RULE_SETS, AFTER)
def test_9111_4_2_4_while_the_app_is_not_asked_again_nothing_forbidden_is_served(
    said: Response, wants: Wants, rules: Rules, after: int
) -> None:
    """Then, too, a stale response is served only within a time for errors, and only if it may be stale at all."""
    request = wants.request
    variant = variant_of(kept(said, rules, request), rules)
    decision = judge(request, [variant], NOW + after, rules, retry_at=NOW + after + 1)
    age = said.initial_age(0) + max(0, after)
    if isinstance(decision, Serve):
        assert may_serve(said, wants, age, rules) or age < on_error(said, wants, rules)


@given(
    st.lists(st.tuples(RESPONSES, WANTS, KEYS), min_size=1, max_size=3), WANTS, KEYS, RULE_SETS, AFTER, st.booleans()
)
def test_9111_4_1_what_is_served_was_made_for_such_a_request(
    stored: Sequence[tuple[Response, Wants, Pairs]], wants: Wants, extras: Pairs, rules: Rules, after: int, failed: bool
) -> None:
    """Whatever is served, or may be, has the request's values in the fields that it names, and the request's extras."""
    request = request_for(wants, extras)
    variants = [
        variant_of(kept(said, rules, request_for(by, key), str(number)), rules)
        for number, (said, by, key) in enumerate(stored)
    ]
    decision = judge(request, variants, NOW + after, rules, retry_at=NOW + after + failed)
    used = [decision.variant] if isinstance(decision, Serve) else []
    held: Sequence[Variant] = ()
    if isinstance(decision, Forward):
        held = decision.held
        used += [decision.fallback] if decision.fallback else []
        used += held if decision.why != "vary-miss" else []
    for variant in used:
        mine, its = (
            {line.partition(":")[0].lower(): line for line in each.others}
            for each in (wants, stored[int(variant.stored.id)][1])
        )
        assert all(mine.get(name) == its.get(name) for name in variant.stored.names)
        assert variant.stored.extras == extras
    assert all(each.stored.extras == extras for each in held)


@given(RESPONSES, WANTS, RULE_SETS, KEYS, AFTER, METHODS)
def test_9111_4_2_3_age_is_never_less_than_it_was(
    said: Response, wants: Wants, rules: Rules, extras: Pairs, after: int, method: str
) -> None:
    """It is at least what the app's answer told, whatever the clocks, and there is one Age."""
    request = request_for(wants, extras, method)
    variant = variant_of(kept(said, rules, request), rules)
    age = age_at(variant.told.initial_age, NOW, NOW + after)
    answer = answer_of(request, variant, BODY, age, NOW + after)
    (told,) = [value for name, value in (*answer.fields, *answer.more) if name.lower() == "age"]
    assert int(told) >= max(0, said.age or 0, -(said.date or 0))
    assert int(told) == int(said.initial_age(0) + max(0, after))


@given(STORING, WANTS, RULE_SETS, KEYS, METHODS, st.sampled_from([0.0, 0.5]))
def test_9111_3_what_is_stored_is_served_at_once(
    said: Response, wants: Wants, rules: Rules, extras: Pairs, method: str, delay: float
) -> None:
    """To the same request, if it is fresh and not to be validated; and it is stored while it is fresh."""
    request = request_for(wants, extras)
    done = receive(request, Forward("uri-miss"), Head(said.status, fields_of(*said.lines), NOW - delay, NOW), (), rules)
    assert isinstance(done, Relayed)
    if done.stored is None:
        return
    stored = msgspec.structs.replace(done.stored, id="one", size=len(BODY), body=BODY)
    anonymous = stored.anonymous
    variant = variant_of(msgspec.msgpack.decode(msgspec.msgpack.encode(stored), type=Stored), rules)
    left = said.lifetime(rules, anonymous=anonymous) - said.initial_age(delay)
    assert variant.told.lifetime - variant.told.initial_age == left
    if "no-cache" not in said.counts(rules).flags:
        assert stored.until >= NOW + min(left, 365 * 86400)
    assert stored.until > NOW
    decision = judge(request._replace(method=method), [variant], NOW, rules)
    if may_serve(said, wants, said.initial_age(delay), rules, anonymous=anonymous):
        assert isinstance(decision, Serve)
        assert decision.variant is variant
    silent = Wants(SILENT, any_stale=False, others=wants.others)
    may = may_serve(said, silent, said.initial_age(delay), rules, anonymous=anonymous)
    assert isinstance(judge(request_for(silent, extras), [variant], NOW, rules), Serve) == bool(may)


@given(RESPONSES, RESPONSES, WANTS, WANTS, RULE_SETS, AFTER)
def test_9111_4_3_4_a_304_changes_neither_body_nor_status(
    said: Response, later: Response, wants: Wants, again: Wants, rules: Rules, after: int
) -> None:
    """Nor size and length; and what it leaves stored obeys what both responses say together, and is for the same."""
    by = wants.request
    variant = variant_of(kept(said, rules, by), rules)
    head = Head(304, fields_of(*later.lines), NOW + after, NOW + after)
    done = receive(again.request, Forward("stale", (variant,)), head, [variant], rules)
    if not isinstance(done, Confirmed):
        assert isinstance(done, Again | Relayed)
        assert later.etag or later.modified is not None or variant.validators == (None, None)
        return
    assert done.variant is variant
    new, old = done.stored, variant.stored
    if new is None:
        return
    assert (new.id, new.status, new.body, new.size) == (old.id, old.status, old.body, old.size)
    assert Fields(new.fields).get("content-length") == Fields(old.fields).get("content-length")
    told = Fields(new.fields).get("cache-control") or ""
    assert told == (later.control.text or said.control.text)
    assert new.received == NOW + after
    assert (Fields(new.fields).get("age") or "0") == str(later.age or 0)
    assert variant_of(new, rules).told.lifetime == 0 or new.until > new.received


@given(PAIRS, PAIRS, st.integers(-1, 999), PAIRS, st.integers(-1, 999), RULE_SETS, METHODS)
def test_no_text_raises_anywhere(
    asks: Pairs, first: Pairs, status: int, second: Pairs, later: int, rules: Rules, method: str
) -> None:
    """A request and two answers of any text go all the way: stored, judged, validated, served."""
    request = Request(method, TARGET, Fields(asks), "key", False)
    variants = [variant_of(stored_of(name="one", status=status, by=request, body=b""), rules)]
    stored = msgspec.structs.replace(variants[0].stored, fields=first, body=BODY, size=len(BODY))
    variants = [variant_of(stored, rules)]
    for received in (NOW, NOW + 100):
        decision = judge(request, variants, received, rules)
        for each in (request, request.unconditional()):
            answer = answer_of(each, variants[0], BODY, 1.5, received)
            assert answer.status in {status, 206, 304, 416}
        for forward in (decision, Forward("stale", variants, variants[0]), Forward("vary-miss", variants)):
            if isinstance(forward, Forward):
                head = Head(later, Fields(second), NOW, received)
                done = receive(request, forward, head, variants, rules)
                assert isinstance(done, Confirmed | Again | Replaced | Relayed)
