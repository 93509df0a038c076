"""The fields that tell a client about its limits: sound, consistent with each other, and never more than is known."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.policy.decision import LimitDecision, PolicyDecision
from holdfast.policy.limit_fields import DIALECTS, Dialect, headers, item_names
from support.pages import blocks_of, rows_of
from support.structured import parse_list

unhurried = settings(deadline=None)  # a busy machine is no failure
LARGEST = 999_999_999_999_999
NAMES = st.sampled_from(["per-second", "per-minute", "per-minute-2", "daily"])
SECONDS = st.floats(0, 1e9) | st.integers(0, 10**12).map(lambda microseconds: microseconds / 1e6)


@st.composite
def policies(draw: st.DrawFn) -> PolicyDecision:
    allowed = draw(st.booleans())
    return PolicyDecision(
        name=draw(NAMES),
        allowed=allowed,
        limit=draw(st.integers(1, 10**18)),
        remaining=draw(st.integers(0, 10**18)),
        reset=draw(SECONDS),
        retry_after=0.0 if allowed else draw(SECONDS | st.just(math.inf)),
        per=draw(st.floats(0.001, 1e9)),
    )


@st.composite
def decisions(draw: st.DrawFn, **fixed: Any) -> LimitDecision:
    parts = tuple(draw(st.lists(policies(), min_size=1, max_size=4)))
    return LimitDecision(allowed=all(part.allowed for part in parts), policies=parts, **fixed)


def policy(name: str = "per-minute", **changes: Any) -> PolicyDecision:
    allowed = {"allowed": True, "limit": 100, "remaining": 61, "reset": 23.4, "retry_after": 0.0, "per": 60.0}
    return PolicyDecision(name=name, **(allowed | changes))


def refused(name: str = "per-minute", wait: float = 4.2, **changes: Any) -> PolicyDecision:
    return policy(name, **({"allowed": False, "remaining": 0, "reset": 60.0, "retry_after": wait} | changes))


def decide(*parts: PolicyDecision, **changes: Any) -> LimitDecision:
    return LimitDecision(**({"allowed": all(part.allowed for part in parts), "policies": parts} | changes))


ADMITTED = decide(policy("per-second", limit=10, remaining=9, reset=0.1, per=1.0), policy())
REFUSED = decide(policy("per-second", limit=10, remaining=7, reset=0.3, per=1.0), refused())


@pytest.mark.parametrize(
    ("dialect", "decision", "fields"),
    [
        (
            "draft-11",
            ADMITTED,
            {
                "RateLimit-Policy": '"per-second";q=10;w=1, "per-minute";q=100;w=60',
                "RateLimit": '"per-second";r=9;t=1, "per-minute";r=61;t=24',
            },
        ),
        (
            "draft-11",
            REFUSED,
            {
                "RateLimit-Policy": '"per-second";q=10;w=1, "per-minute";q=100;w=60',
                "RateLimit": '"per-second";r=7;t=1, "per-minute";r=0;t=5',
                "Retry-After": "5",
            },
        ),
        (
            "editor",
            REFUSED,
            {
                "RateLimit-Policy": '"per-second";q=10;w=1, "per-minute";q=100;w=60',
                "RateLimit": '"per-second";a=7;w=1, "per-minute";a=0;w=5',
                "Retry-After": "5",
            },
        ),
        ("legacy", ADMITTED, {"RateLimit-Limit": "10", "RateLimit-Remaining": "9", "RateLimit-Reset": "1"}),
        (
            "legacy",
            REFUSED,
            {"RateLimit-Limit": "100", "RateLimit-Remaining": "0", "RateLimit-Reset": "5", "Retry-After": "5"},
        ),
        (
            "x-ratelimit",
            REFUSED,
            {"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "5", "Retry-After": "5"},
        ),
        ("off", ADMITTED, {}),
        ("off", REFUSED, {"Retry-After": "5"}),
    ],
)
def test_each_dialect_has_its_fields(dialect: Dialect, decision: LimitDecision, fields: dict[str, str]) -> None:
    """The three-field dialects tell of the policy that decides, the others of all."""
    assert dict(headers(decision, dialect)) == fields


def test_the_default_is_the_newest_draft() -> None:
    """Nobody has to choose; and the decision's own method says the same."""
    assert headers(REFUSED) == headers(REFUSED, "draft-11") == REFUSED.headers()


def test_an_unknown_dialect_is_refused_with_those_that_there_are() -> None:
    """A mistyped dialect is no reason to send nothing."""
    with pytest.raises(ConfigurationError) as raised:
        headers(ADMITTED, "draft-7")  # type: ignore[arg-type]
    assert all(dialect in str(raised.value) for dialect in DIALECTS)


@unhurried
@given(decisions(), st.sampled_from(["draft-11", "editor"]))
def test_the_lists_are_sound_and_in_step(decision: LimitDecision, dialect: Dialect) -> None:
    """Both read as Structured Fields, have the same distinct items, and only the numbers that the draft allows."""
    fields = dict(headers(decision, dialect))
    left, within = ("r", "t") if dialect == "draft-11" else ("a", "w")
    rules, states = parse_list(fields["RateLimit-Policy"]), parse_list(fields["RateLimit"])
    items = [name for name, _ in rules]
    assert items == [name for name, _ in states] == list(item_names(decision.policies))
    assert len(set(items)) == len(decision.policies)
    for part, (_, rule), (_, state) in zip(decision.policies, rules, states, strict=True):
        assert rule == {"q": min(part.limit, LARGEST), "w": math.ceil(part.per)}
        assert state[left] == min(part.remaining, part.limit, LARGEST)
        assert set(state) <= {left, within}
        assert state.get(within, 1) > 0  # type: ignore[operator]
        if part.allowed and part.remaining == 0 and part.reset > 2 * part.per:  # overdrawn: a period is not enough
            assert state[within] == min(math.ceil(part.reset), LARGEST)
        elif part.allowed:
            assert state.get(within, 1) <= math.ceil(part.per)  # type: ignore[operator]


@unhurried
@given(decisions(), st.sampled_from(DIALECTS))
def test_waiting_as_long_as_a_field_says_is_enough(decision: LimitDecision, dialect: Dialect) -> None:
    """Retry-After is there exactly for a refusal that ends; it is no less than the wait, and by less than 1 s more."""
    fields = headers(decision, dialect)
    values = dict(fields)
    assert len(values) == len(fields)
    if decision.allowed or math.isinf(decision.retry_after):
        assert "Retry-After" not in values
    else:
        wait = int(values["Retry-After"])
        assert wait >= 1
        assert decision.retry_after <= wait < max(decision.retry_after + 1, 2)


@unhurried
@given(decisions())
def test_retry_after_is_never_before_the_window_of_a_refusing_policy(decision: LimitDecision) -> None:
    """And the window is long enough for its own policy, or left out where no waiting helps."""
    values = dict(headers(decision))
    for part, (_, state) in zip(decision.policies, parse_list(values["RateLimit"]), strict=True):
        if part.allowed:
            continue
        if math.isinf(part.retry_after):
            assert "t" not in state
        else:
            assert state["t"] >= max(1, part.retry_after)  # type: ignore[operator]
            assert int(values.get("Retry-After", LARGEST)) >= state["t"]  # type: ignore[operator]


@unhurried
@given(decisions(shadow=True), st.sampled_from(DIALECTS))
def test_a_trial_is_not_seen(decision: LimitDecision, dialect: Dialect) -> None:
    """Clients learn nothing of a rule in shadow mode, so that they behave as without it."""
    assert headers(decision, dialect) == []


def test_nobody_waits_for_what_never_comes() -> None:
    """A request that costs more than there ever is gets no time to come back at."""
    never = decide(refused(wait=math.inf, remaining=100, reset=0.0))
    assert dict(headers(never)) == {
        "RateLimit-Policy": '"per-minute";q=100;w=60',
        "RateLimit": '"per-minute";r=100',
    }
    assert dict(headers(never, "legacy")) == {"RateLimit-Limit": "100", "RateLimit-Remaining": "100"}
    assert dict(headers(decide(refused(), refused("daily", math.inf)), "off")) == {}


def test_a_refusal_never_says_0() -> None:
    """Not even one whose wait is over, or not known."""
    assert dict(headers(decide(refused(wait=0.0)))) == {
        "RateLimit-Policy": '"per-minute";q=100;w=60',
        "RateLimit": '"per-minute";r=0;t=1',
        "Retry-After": "1",
    }


def test_a_full_quota_has_no_window() -> None:
    """Nothing runs that could end; the dialects of three fields say 0, since they have no other word."""
    full = decide(policy(remaining=100, reset=0.0))
    assert dict(headers(full))["RateLimit"] == '"per-minute";r=100'
    assert dict(headers(full, "legacy"))["RateLimit-Reset"] == "0"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_without_redis_only_the_rules_are_known(dialect: Dialect) -> None:
    """What was decided in the process says nothing of what is left; a refusal still says when to come back."""
    rules = {"RateLimit-Policy": '"per-minute";q=100;w=60'} if dialect in {"draft-11", "editor"} else {}
    assert dict(headers(decide(policy(), degraded=True), dialect)) == rules
    assert dict(headers(decide(refused(), degraded=True), dialect)) == rules | {"Retry-After": "5"}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_decision_without_policies_has_no_lists(dialect: Dialect) -> None:
    """Where no quota applied there is nothing to tell."""
    assert headers(LimitDecision(True, ()), dialect) == []
    assert headers(LimitDecision(False, (), degraded=True), dialect) == [("Retry-After", "1")]


def test_units_and_partitions_belong_to_policies() -> None:
    """What is counted stands in the rule only, whose it is in both."""
    fields = dict(
        headers(ADMITTED, units={"per-minute": "content-bytes"}, partition_keys={"per-minute": b"alice", "x": b""})
    )
    assert fields == {
        "RateLimit-Policy": '"per-second";q=10;w=1, "per-minute";q=100;qu="content-bytes";w=60;pk=:YWxpY2U=:',
        "RateLimit": '"per-second";r=9;t=1, "per-minute";r=61;t=24;pk=:YWxpY2U=:',
    }


def slots(*, allowed: bool, remaining: int = 0, wait: float = 0.0) -> LimitDecision:
    return decide(PolicyDecision("concurrency", allowed, 5, remaining, wait, wait, math.inf))


@pytest.mark.parametrize(
    ("decision", "fields"),
    [
        (slots(allowed=True, remaining=2), {"RateLimit": '"concurrency";r=2'}),
        (slots(allowed=True), {"RateLimit": '"concurrency";r=0'}),
        (slots(allowed=False, wait=0.7), {"RateLimit": '"concurrency";r=0;t=1', "Retry-After": "1"}),
    ],
    ids=["some", "last", "refused"],
)
def test_what_is_done_at_the_same_time_has_no_window(decision: LimitDecision, fields: dict[str, str]) -> None:
    """It is called by its unit, counts no time, and tells of a time to wait only who was refused."""
    assert dict(headers(decision)) == {"RateLimit-Policy": '"concurrency";q=5;qu="concurrent-requests"'} | fields
    named = dict(headers(decision, units={"concurrency": "exports"}))
    assert named["RateLimit-Policy"] == '"concurrency";q=5;qu="exports"'


@pytest.mark.parametrize("dialect", ["legacy", "x-ratelimit"])
def test_nobody_is_told_to_come_at_once_for_nothing(dialect: Dialect) -> None:
    """A reset of 0 beside a remainder of 0 would say so; a refusal says how long to wait."""

    def reset(decision: LimitDecision) -> str | None:
        return next((value for name, value in headers(decision, dialect) if name.endswith("-Reset")), None)

    assert reset(slots(allowed=True)) is None
    assert reset(slots(allowed=True, remaining=1)) == "0"
    assert reset(slots(allowed=False, wait=0.7)) == "1"


@pytest.mark.parametrize("dialect", ["legacy", "x-ratelimit"])
def test_what_is_left_of_a_burst_is_told_up_to_the_limit(dialect: Dialect) -> None:
    """No client finds more left than the limit that stands beside it, nor a time longer than the period."""
    decision = decide(policy(limit=10, remaining=17, reset=118.5))
    assert [value for _, value in headers(decision, dialect)] == ["10", "10", "60"]
    assert dict(headers(decision))["RateLimit"] == '"per-minute";r=10;t=60'


@pytest.mark.parametrize("dialect", ["legacy", "x-ratelimit"])
def test_the_three_fields_tell_of_the_policy_that_decides(dialect: Dialect) -> None:
    """With its own period, also where another one has the same numbers."""
    alike = {"remaining": 3, "reset": 90.0}
    admitted = decide(policy("per-hour", per=3600.0, **alike), policy(**alike))
    assert [value for _, value in headers(admitted, dialect)] == ["100", "3", "90"]
    both = decide(policy(remaining=0, reset=60.0), refused("per-hour", 7.5, reset=60.0))
    assert dict(headers(both, dialect))["Retry-After"] == "8"
    assert [value for _, value in headers(both, dialect)] == ["100", "0", "8", "8"]


@pytest.mark.parametrize(
    ("names", "items"),
    [
        ("a b", "a b"),
        ("a a a", "a a-2 a-3"),
        ("a a a-2", "a a-3 a-2"),
        ("a-2 a a", "a-2 a a-3"),
        ("a a a-2 a-2", "a a-3 a-2 a-2-2"),
    ],
)
def test_policies_of_one_name_are_told_apart(names: str, items: str) -> None:
    """The first keeps its name, and a number never makes a name that another policy has."""
    assert item_names([policy(name) for name in names.split()]) == tuple(items.split())


def test_the_reference_shows_what_is_sent() -> None:
    """Every dialect is described, and the examples of fields and body are what a refusal gives."""
    page = (Path(__file__).parents[2] / "docs" / "reference" / "http.md").read_text(encoding="utf-8")
    assert set(DIALECTS) <= set(rows_of(page))
    decision = decide(refused(), policy("per-day", limit=1000, remaining=412, reset=30211.4, per=86400.0))
    examples = [block.text for block in blocks_of(page) if block.kind == "http"]
    fields = [headers(decision, dialect) for dialect in ("draft-11", "x-ratelimit")]
    assert examples == ["".join(f"{name}: {value}\n" for name, value in each) for each in fields]
    (body,) = (json.loads(block.text) for block in blocks_of(page) if block.kind == "json")
    assert body == decision.problem()


def test_what_is_overdrawn_is_not_promised_after_a_period() -> None:
    """A bucket that was charged beyond its limit has nothing left for longer than its period."""
    policy = PolicyDecision("per-minute", True, 10, 0, 5940.0, 0.0, 60.0)
    assert dict(headers(LimitDecision(True, (policy,)), "draft-11"))["RateLimit"] == '"per-minute";r=0;t=5940'
