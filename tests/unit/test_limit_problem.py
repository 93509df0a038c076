"""The body of a refusal: problem details that a program can act on and a person can read."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from holdfast.errors import ConfigurationError
from holdfast.policy.decision import LimitDecision, PolicyDecision
from holdfast.policy.limit_problem import problem

TYPES = "https://iana.org/assignments/http-problem-types#"
HOPELESS = (
    "The quotas a, b have too little left for this request. "
    "It asks for more than there ever is at once, so waiting does not help: ask for less."
)


def policy(name: str = "per-minute", wait: float = 0.0) -> PolicyDecision:
    return PolicyDecision(name, wait == 0, 100, 100 if wait in {0, math.inf} else 0, 60.0, wait, 60.0)


def decide(*parts: PolicyDecision, **changes: Any) -> LimitDecision:
    return LimitDecision(**({"allowed": all(part.allowed for part in parts), "policies": parts} | changes))


def test_a_used_up_quota_is_told_by_name() -> None:
    """Type, title and status are those that are registered; the detail says when to come back."""
    assert problem(decide(policy("per-second"), policy("per-minute", 4.2))) == {
        "type": TYPES + "quota-exceeded",
        "title": "Quota Exceeded",
        "status": 429,
        "detail": "The quota per-minute has too little left for this request. Try again in 5 seconds.",
        "violated-policies": ["per-minute"],
    }


def test_a_refusal_without_redis_is_not_the_client_s_fault() -> None:
    """It is 503 with its own type, and says nothing of a quota that was used up."""
    body = problem(decide(policy("per-minute", 0.3), degraded=True))
    assert body == {
        "type": TYPES + "temporary-reduced-capacity",
        "title": "Temporary Reduced Capacity",
        "status": 503,
        "detail": "The service admits fewer requests than usual for the moment. Try again in 1 second.",
        "violated-policies": ["per-minute"],
    }


@pytest.mark.parametrize(
    ("parts", "detail"),
    [
        ([policy("a", 1.0)], "The quota a has too little left for this request. Try again in 1 second."),
        (
            [policy("a", 1.0), policy("b", 61.0)],
            "The quotas a, b have too little left for this request. Try again in 61 seconds.",
        ),
        (
            [policy("a", 1.0), policy("b", math.inf)],
            HOPELESS,
        ),
    ],
)
def test_the_detail_is_a_sentence(parts: list[PolicyDecision], detail: str) -> None:
    """The wait is the longest of all, and none where none helps."""
    assert problem(decide(*parts))["detail"] == detail


def test_the_names_are_those_of_the_fields() -> None:
    """Where two policies share a name, the body means the same item as the header fields."""
    decision = decide(policy("per-minute"), policy("per-minute", 2.0))
    assert problem(decision)["violated-policies"] == ["per-minute-2"]
    assert '"per-minute-2";r=0;t=2' in dict(decision.headers())["RateLimit"]


def test_the_body_is_json() -> None:
    """It can be sent as it is, and the decision's own method gives the same."""
    decision = decide(policy("per-minute", 4.2))
    assert json.loads(json.dumps(problem(decision))) == decision.problem()


def test_an_admitted_call_has_no_problem() -> None:
    """Whoever asks for it forgot to look; a trial's refusal has the body that it would have had."""
    with pytest.raises(ConfigurationError, match="admitted"):
        problem(decide(policy()))
    refusal = policy("per-minute", 4.2)
    assert problem(decide(refusal, allowed=True, shadow=True)) == problem(decide(refusal))


def test_a_refusal_of_no_policy_can_be_told() -> None:
    """A rule that refuses while Redis is away may not have looked at any quota."""
    assert problem(LimitDecision(False, (), degraded=True))["violated-policies"] == []
