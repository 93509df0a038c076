"""What is the matter with a request that is to be done once: problem details (RFC 9457).

The draft has no types of its own; these are tag URIs (RFC 4151), which lead nowhere and never change.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

_TYPES: Final = "tag:holdfast,2026:idempotency-"

Problem: TypeAlias = Literal[
    "key-missing", "key-malformed", "key-reused", "in-progress", "result-not-kept", "body-too-large", "unavailable"
]

_PROBLEMS: Final[dict[str, tuple[int, str, str]]] = {
    "key-missing": (
        400,
        "{header} is missing",
        (
            "This request is to be done once: give it a key of its own, in the field {header}, and send the same key "
            "when you send the request again."
        ),
    ),
    "key-malformed": (
        400,
        "{header} is malformed",
        'The field {header} holds one String of 1 to 255 printable ASCII characters, such as "8e03978e-40d5-43e8".',
    ),
    "key-reused": (
        422,
        "{header} stands for another request",
        (
            "A request with this key had another query, content type or body: send the same bytes again, or take a new "
            "key for a new request."
        ),
    ),
    "in-progress": (
        409,
        "The first request is still being worked on",
        "A request with this key has not been answered yet. Send it again in a moment to get its answer.",
    ),
    "result-not-kept": (
        409,
        "The request was done, and its answer is gone",
        (
            "A request with this key was done. Its answer was too long to keep, or cannot be read any more; it will "
            "not be done again. Look up its result in another way, or take a new key for a new request."
        ),
    ),
    "body-too-large": (
        413,
        "The body is too large for a request with {header}",
        "The body of a request with a key may have {most} bytes.",
    ),
    "unavailable": (
        503,
        "It cannot be told whether this was done before",
        "The request was not begun. Send it again, with the same key, in a moment.",
    ),
}


def problem(kind: Problem, header: str, most: int = 0) -> dict[str, Any]:
    """Return the problem details, to be sent as JSON with their `status`.

    Args:
        kind: what is the matter.
        header: what the field with the key is called.
        most: bytes that a body may have.
    """
    status, title, detail = _PROBLEMS[kind]
    return {
        "type": _TYPES + kind,
        "title": title.format(header=header),
        "status": status,
        "detail": detail.format(header=header, most=most),
    }
