"""What an OpenAPI description tells of limits: the 429 of RFC 9457 and the fields that say when to come again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from holdfast.policy.limit_problem import MEDIA_TYPE

Operation = tuple[str, str]
"""A path as the description has it, and a method."""

_NAME: Final = "RateLimitProblem"
_PROBLEM: Final[dict[str, Any]] = {
    "title": "Refusal by a rate limit",
    "type": "object",
    "required": ["type", "title", "status", "detail", "violated-policies"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "violated-policies": {"type": "array", "items": {"type": "string"}},
    },
}
_FIELDS: Final[dict[str, Any]] = {
    "Retry-After": {"description": "Seconds after which the request may be sent again.", "schema": {"type": "integer"}},
    "RateLimit-Policy": {"description": "The quotas that hold.", "schema": {"type": "string"}},
    "RateLimit": {"description": "What is left of them.", "schema": {"type": "string"}},
}
_REFUSALS: Final = {"429": "Too many requests", "503": "Too many requests for the moment"}


def describe_limits(schema: dict[str, Any], operations: Iterable[tuple[Operation, Iterable[str]]]) -> None:
    """Add to a description, in place, how operations refuse. What it has already for a status stays.

    Args:
        schema: the description.
        operations: each with the statuses of its refusals, ``"429"`` or ``"503"``.
    """
    for (path, method), statuses in operations:
        described = schema.get("paths", {}).get(path, {}).get(method.lower())
        if described is None:
            continue
        schema.setdefault("components", {}).setdefault("schemas", {}).setdefault(_NAME, _PROBLEM)
        for status in statuses:
            described.setdefault("responses", {}).setdefault(status, _refusal(_REFUSALS[status]))


def _refusal(description: str) -> dict[str, Any]:
    body = {"schema": {"$ref": f"#/components/schemas/{_NAME}"}}
    return {"description": description, "headers": _FIELDS, "content": {MEDIA_TYPE: body}}
