"""What a response says about rate limits: the RateLimit fields in their dialects, and Retry-After.

Rules that hold in every dialect:

1. Seconds are rounded up, so that whoever waits exactly as long as a field says is admitted; a refusal never says 0.
2. Of a policy that refuses, the window is the time to wait for this request; of any other, the time until all of its
   quota is back, or its period if that is shorter, unless so much was charged that a period would not bring anything
   back. So Retry-After, the longest of those waits, never ends before the window of a policy that refused.
3. Retry-After is there if and only if the call was refused and waiting helps.
4. What is left is never said to be more than the limit, though a burst may be: clients take one as a part of the
   other.
5. Nothing is said that is not known. While Redis is away the rules are known and what is left is not. A rule in shadow
   mode says nothing at all: a client that slows down for it would spoil the trial.
6. A policy without a period limits how much is done at the same time. When something ends nobody knows, so there is no
   window unless it refuses.

The dialects: `draft-11` is draft-ietf-httpapi-ratelimit-headers-11; `editor` has the names that the editors' copy gives
the parameters of RateLimit; `legacy` are the three fields of its revisions up to 06; `x-ratelimit` the same three as
most servers had them before, with seconds from now in Reset (some services put Unix time there, which needs a clock
that the client shares); `off` leaves Retry-After alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypeAlias, get_args

from holdfast.errors import ConfigurationError
from holdfast.policy.outcomes import Decided, Named, Outcome, PolicyOutcome
from holdfast.policy.structured import LARGEST, Bare, write_list

Dialect: TypeAlias = Literal["draft-11", "editor", "legacy", "x-ratelimit", "off"]
DIALECTS: Final[tuple[str, ...]] = get_args(Dialect)

_Fields: TypeAlias = list[tuple[str, str]]
_PARAMETERS: Final = {"draft-11": ("r", "t"), "editor": ("a", "w")}
_PREFIXES: Final = {"legacy": "RateLimit", "x-ratelimit": "X-RateLimit"}
_CONCURRENT: Final = "concurrent-requests"
"""What is counted by a policy without a period, as the draft calls it."""


def headers(
    decision: Decided,
    dialect: Dialect = "draft-11",
    *,
    units: Mapping[str, str] | None = None,
    partition_keys: Mapping[str, bytes] | None = None,
) -> list[tuple[str, str]]:
    """Return the fields that tell a client about a decision; none that a trailer may have.

    Args:
        decision: the decision.
        dialect: one of `DIALECTS`.
        units: what a policy counts, by its name, if not requests: `content-bytes`; `concurrent-requests` is known.
        partition_keys: whose quota it is, by the policy's name. Clients see it, so it must not give anybody away.

    Returns:
        Pairs of name and value, each name at most once.

    Raises:
        ConfigurationError: there is no such dialect, or a name cannot stand in a field.
    """
    if dialect not in DIALECTS:
        msg = f"there is no dialect {dialect!r} of the RateLimit fields: take one of {', '.join(DIALECTS)}"
        raise ConfigurationError(msg)
    if decision.shadow:
        return []
    fields: _Fields = []
    if decision.policies and dialect in _PARAMETERS:
        fields += _lists(decision, dialect, units or {}, partition_keys or {})
    elif decision.policies and dialect in _PREFIXES and not decision.degraded:
        fields += _three(decision, _PREFIXES[dialect])
    wait = None if decision.allowed else window(decision)
    if wait is not None:
        fields.append(("Retry-After", str(wait)))
    return fields


def window(outcome: Outcome) -> int | None:
    """Return for how many whole seconds what is left has to do.

    For a refusal these are the seconds to wait, at least 1; None if no waiting helps.
    """
    wait = outcome.reset if outcome.allowed else outcome.retry_after
    if not math.isfinite(wait):
        return None
    return max(0 if outcome.allowed else 1, _bounded(math.ceil(wait)))


def item_names(policies: Iterable[Named]) -> tuple[str, ...]:
    """Return a name of its own for each policy, as two quotas of a minute on two keys share theirs.

    The first keeps it, the next gets a number behind it, in the order of the decision: the same in every response.
    """
    names = [policy.name for policy in policies]
    taken = set(names)
    if len(taken) == len(names):
        return tuple(names)
    seen: set[str] = set()
    for place, name in enumerate(names):
        if name in seen:
            number = 2
            while f"{name}-{number}" in taken:
                number += 1
            names[place] = f"{name}-{number}"
            taken.add(names[place])
        seen.add(name)
    return tuple(names)


def _lists(decision: Decided, dialect: str, units: Mapping[str, str], keys: Mapping[str, bytes]) -> _Fields:
    named = [*zip(item_names(decision.policies), decision.policies, strict=True)]
    rules = write_list((item, _rule(policy, units, keys)) for item, policy in named)
    if decision.degraded:
        return [("RateLimit-Policy", rules)]
    left, within = _PARAMETERS[dialect]
    states = write_list((item, _state(policy, left, within, keys)) for item, policy in named)
    return [("RateLimit-Policy", rules), ("RateLimit", states)]


def _rule(policy: PolicyOutcome, units: Mapping[str, str], keys: Mapping[str, bytes]) -> dict[str, Bare]:
    parameters: dict[str, Bare] = {"q": _bounded(policy.limit)}
    timeless = _timeless(policy)
    if timeless or policy.name in units:
        parameters["qu"] = units.get(policy.name, _CONCURRENT)
    if not timeless:
        parameters["w"] = _bounded(math.ceil(policy.per))  # rounded up, it never promises more than the quota
    return parameters | _partition(policy, keys)


def _state(policy: PolicyOutcome, left: str, within: str, keys: Mapping[str, bytes]) -> dict[str, Bare]:
    parameters: dict[str, Bare] = {left: _left(policy)}
    wait = _window(policy)
    if wait:  # nothing runs while all of the quota is there, and clients divide by this number
        parameters[within] = wait
    return parameters | _partition(policy, keys)


def _partition(policy: PolicyOutcome, keys: Mapping[str, bytes]) -> dict[str, Bare]:
    return {"pk": keys[policy.name]} if policy.name in keys else {}


def _three(decision: Decided, prefix: str) -> _Fields:
    policy = _decisive(decision)
    left, wait = _left(policy), _window(policy)
    fields = [(f"{prefix}-Limit", str(_bounded(policy.limit))), (f"{prefix}-Remaining", str(left))]
    if wait is None or not (left or wait):  # nothing left and nothing to wait for: a client would come at once
        return fields
    return [*fields, (f"{prefix}-Reset", str(wait))]


def _decisive(decision: Decided) -> PolicyOutcome:
    """Return the policy whose numbers are those of the decision."""
    numbers = decision.limit, decision.remaining, decision.reset
    alike = [policy for policy in decision.policies if (policy.limit, policy.remaining, policy.reset) == numbers]
    return max(alike, key=lambda policy: policy.retry_after)  # a refusing one, if there is one


def _left(policy: Outcome) -> int:
    return _bounded(min(policy.remaining, policy.limit))


def _window(policy: PolicyOutcome) -> int | None:
    """Return what `window` does, no longer than the period of a policy that does not refuse."""
    wait = window(policy)
    if wait is None or not policy.allowed:
        return wait
    if _timeless(policy):
        return 0
    # Far more was charged than is permitted: after a period there would be nothing yet.
    overdrawn = policy.remaining == 0 and policy.reset > 2 * policy.per
    return wait if overdrawn else min(wait, _bounded(math.ceil(policy.per)))


def _timeless(policy: PolicyOutcome) -> bool:
    """Return whether a policy counts what is done at the same time."""
    return not 0 < policy.per < math.inf


def _bounded(number: int) -> int:
    return min(max(number, 0), LARGEST)
