"""The body of a refusal: problem details (RFC 9457) of the types that the RateLimit draft defines in its section 5."""

from __future__ import annotations

from typing import Any, Final

from holdfast.errors import ConfigurationError
from holdfast.policy.limit_fields import item_names, window
from holdfast.policy.outcomes import Decided

MEDIA_TYPE: Final = "application/problem+json"

_TYPES: Final = "https://iana.org/assignments/http-problem-types#"
_EXCEEDED: Final = ("quota-exceeded", "Quota Exceeded", 429)
_REDUCED: Final = ("temporary-reduced-capacity", "Temporary Reduced Capacity", 503)


def problem(decision: Decided) -> dict[str, Any]:
    """Return the problem details of a refusal, to be sent as JSON with its `status`.

    It is 429 when a quota was used up. It is 503 when the decision was made without Redis, by a rule that refuses then
    or admits less than usual: what the client did wrong, if anything, is not known. Nothing in it tells whose quota it
    is, or how much others have used.

    A refusal in shadow mode has the body that it would have had.

    Raises:
        ConfigurationError: the decision admits the call.
    """
    refused = [not policy.allowed for policy in decision.policies]
    if decision.allowed and not any(refused):
        raise ConfigurationError("this call was admitted, so there is no problem to describe: look at allowed first")
    names = item_names(decision.policies)
    violated = [name for name, refuses in zip(names, refused, strict=True) if refuses]
    kind, title, status = _REDUCED if decision.degraded else _EXCEEDED
    return {
        "type": _TYPES + kind,
        "title": title,
        "status": status,
        "detail": f"{_cause(decision, violated)} {_advice(decision)}",
        "violated-policies": violated,
    }


def _cause(decision: Decided, violated: list[str]) -> str:
    if decision.degraded:
        return "The service admits fewer requests than usual for the moment."
    if len(violated) > 1:
        return f"The quotas {', '.join(violated)} have too little left for this request."
    return f"The quota {''.join(violated)} has too little left for this request."


def _advice(decision: Decided) -> str:
    waits = [window(policy) for policy in decision.policies if not policy.allowed] or [window(decision)]
    longest = max((wait for wait in waits if wait is not None), default=0)
    if None in waits:
        return "It asks for more than there ever is at once, so waiting does not help: ask for less."
    return f"Try again in {longest} second{'' if longest == 1 else 's'}."
