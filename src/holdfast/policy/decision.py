"""What a limiter decided about one hit, policy by policy.

A decision is made for every hit, and in the process alone for those that are denied locally, so it is cheap to make:
what follows from the policies is worked out when somebody asks.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from holdfast.policy import limit_fields, limit_problem
from holdfast.policy.limit_fields import Dialect


class PolicyDecision(msgspec.Struct, frozen=True):
    """What one policy says."""

    name: str
    """The policy's name."""
    allowed: bool
    limit: int
    """Units that the quota permits in its period."""
    remaining: int
    """Units that could be consumed now, after this hit if it was admitted."""
    reset: float
    """Seconds until nothing counts any more, if nothing more is consumed."""
    retry_after: float
    """Seconds after which this hit would be admitted by this policy: exactly, if nobody else consumes anything; 0.0 if
    it is admitted now, `math.inf` if it costs more than can ever pass at once."""
    per: float
    """The quota's period in seconds; `math.inf` where there is none, of concurrency."""

    def __bool__(self) -> bool:
        """Return whether this policy admits the hit."""
        return self.allowed


class LimitDecision(msgspec.Struct, frozen=True):
    """What a limiter decided about one hit.

    Example:
        >>> from holdfast import Layer
        >>> decision = Layer("memory://decision-example").limiter.hit("2/minute", "user:42")
        >>> decision.allowed, decision.remaining, decision.retry_after
        (True, 1, 0.0)
    """

    allowed: bool
    """Whether the hit may go on."""
    policies: tuple[PolicyDecision, ...]
    """One decision for each quota, in the order in which they were given. Of a hit that was denied locally there may
    be only the policies that refuse it."""
    degraded: bool = False
    """Whether it was made without Redis, by the rule's `on_failure`."""
    shadow: bool = False
    """Whether the rule only watches: the hit goes on even if `refused_by` says who would have refused it."""
    cost: int = 1
    """Units that the hit costs."""
    charge: Any = None
    """For `settle` only: where this hit was charged; None if it was not."""

    def __bool__(self) -> bool:
        """Return whether the hit may go on, for ``if layer.limiter.hit(...):``."""
        return self.allowed

    @property
    def refused_by(self) -> tuple[str, ...]:
        """The names of the policies that refuse the hit; empty if none does."""
        return tuple(policy.name for policy in self.policies if not policy.allowed)

    @property
    def limit(self) -> int:
        """The limit of the policy that decides: the one that refuses for longest, or else has least left."""
        return self._decisive.limit

    @property
    def remaining(self) -> int:
        """Units that are left under the policy that decides."""
        return self._decisive.remaining

    @property
    def reset(self) -> float:
        """Seconds until nothing counts any more under the policy that decides."""
        return self._decisive.reset

    @property
    def retry_after(self) -> float:
        """Seconds after which the hit would be admitted if nobody else consumes anything.

        It is exactly sufficient; 0.0 if the hit is admitted now, `math.inf` if it costs more than can ever pass.
        """
        return max((policy.retry_after for policy in self.policies), default=0.0)

    @property
    def advice(self) -> str:
        """What a person who was refused may be told: by what, and when to come again."""
        why = "Redis cannot be asked" if self.degraded else f"over the limit {', '.join(self.refused_by)}"
        if self.retry_after == math.inf:
            return f"{why}; it costs more than can ever pass at once"
        return f"{why}; try again in {self.retry_after:.3f} s"

    @property
    def _decisive(self) -> PolicyDecision:
        refusing = [policy for policy in self.policies if not policy.allowed]
        if refusing:
            return max(refusing, key=lambda policy: policy.retry_after)
        return min(self.policies, key=lambda policy: (policy.remaining, -policy.reset))

    def headers(self, dialect: Dialect = "draft-11") -> list[tuple[str, str]]:
        """Return the header fields of an HTTP response that tell of this decision.

        Args:
            dialect: ``"draft-11"`` (RateLimit-Policy and RateLimit of draft-ietf-httpapi-ratelimit-headers-11),
                ``"editor"`` (the names that are to come), ``"legacy"`` (RateLimit-Limit, -Remaining, -Reset),
                ``"x-ratelimit"`` (X-RateLimit-...), or ``"off"``. A refusal has a Retry-After in each (RFC 9110,
                section 10.2.3).

        Raises:
            ConfigurationError: there is no such dialect.
        """
        return limit_fields.headers(self, dialect)

    def problem(self) -> dict[str, Any]:
        """Return the body of the HTTP response that refuses the hit, as RFC 9457 has it."""
        return limit_problem.problem(self)
