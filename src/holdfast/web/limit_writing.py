"""The fields about limits of an admitted request, written fast: most responses of a limited app have them.

What does not change from one response to the next is worked out once. It says what `LimitDecision.headers` says, and
leaves to that whatever is out of the ordinary.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple, TypeAlias

from holdfast.policy.decision import LimitDecision
from holdfast.policy.http.fields import Pairs
from holdfast.policy.limit_fields import Dialect

RawPairs: TypeAlias = tuple[tuple[bytes, bytes], ...]

_MOST_KNOWN: Final = 1024
_PARAMETERS: Final = {"draft-11": ("r", "t"), "editor": ("a", "w")}


class _Known(NamedTuple):
    """What some policies have in common in all responses."""

    rules: tuple[str, str]
    """The field that tells the policies."""
    raw_rules: tuple[bytes, bytes]
    """The same as ASGI has it."""
    starts: tuple[str, ...]
    """What each of them begins with in the other field."""


class FieldWriter:
    """Writes the fields of one dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect: Dialect = dialect
        self._left, self._within = _PARAMETERS.get(dialect, ("", ""))
        self._known: dict[tuple[object, ...], _Known] = {}

    def write(self, decision: LimitDecision) -> Pairs:
        """Return the fields that tell of a decision."""
        known = self._find(decision)
        states = None if known is None else self._states(decision, known)
        if known is None or states is None:
            return tuple(decision.headers(self._dialect))
        return known.rules, ("RateLimit", states)

    def write_raw(self, decision: LimitDecision) -> RawPairs:
        """Return them as ASGI has them."""
        known = self._find(decision)
        states = None if known is None else self._states(decision, known)
        if known is None or states is None:
            headers = decision.headers(self._dialect)
            return tuple([(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers])
        return known.raw_rules, (b"ratelimit", states.encode("ascii"))

    def _find(self, decision: LimitDecision) -> _Known | None:
        """Return what is known of the policies of a decision; None if it is out of the ordinary."""
        if not self._left or not decision.allowed or decision.degraded or decision.shadow:
            return None
        policies = decision.policies
        if len(policies) == 1:
            policy = policies[0]
            said: tuple[object, ...] = policy.name, policy.limit, policy.per
        else:
            said = tuple([(policy.name, policy.limit, policy.per) for policy in policies])
        known = self._known.get(said)
        return self._learn(said, decision) if known is None else known

    def _states(self, decision: LimitDecision, known: _Known) -> str | None:
        """Return what is left under each policy; None if one of them is out of the ordinary."""
        states: list[str] = []
        for policy, start in zip(decision.policies, known.starts, strict=True):
            left, per = min(policy.remaining, policy.limit), policy.per
            wait = math.ceil(policy.reset)
            if per == math.inf:
                wait = 0
            elif wait > per:
                if not left:  # perhaps overdrawn
                    return None
                wait = math.ceil(per)
            states.append(f"{start}{left};{self._within}={wait}" if wait else f"{start}{left}")
        return states[0] if len(states) == 1 else ", ".join(states)

    def _learn(self, said: tuple[object, ...], decision: LimitDecision) -> _Known:
        rules, states = decision.headers(self._dialect)
        mark = f";{self._left}="
        starts = tuple(state[: state.rindex(mark) + len(mark)] for state in states[1].split(", "))
        known = _Known(rules, (rules[0].lower().encode("ascii"), rules[1].encode("ascii")), starts)
        if len(self._known) < _MOST_KNOWN:
            self._known[said] = known
        return known
