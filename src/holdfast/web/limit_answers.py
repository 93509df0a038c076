"""What clients are told of the limits at the edge: fields on what the app answers, and refusals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from holdfast.errors import ConfigurationError
from holdfast.policy.decision import LimitDecision
from holdfast.policy.http.answering import Answer
from holdfast.policy.limit_fields import Dialect
from holdfast.web.problems import plain_problem, problem_answer

STARTS: Final = ("ratelimit", "x-ratelimit")
"""What the names of fields about limits begin with, in lower case."""
_UNKEPT: Final = ("Cache-Control", "no-store")
_NOBODY: Final = "The sender of this request cannot be told from others, so it is not served."


def refusal(decision: LimitDecision, dialect: Dialect, *, bodiless: bool) -> Answer:
    """Return the response to a request that is refused: 429, or 503 where that was decided without Redis."""
    return problem_answer(decision.problem(), tuple(decision.headers(dialect)), bodiless=bodiless)


def refusal_of_nobody(*, bodiless: bool) -> Answer:
    """Return the response to a request from nobody who is known."""
    return plain_problem(400, _NOBODY, bodiless=bodiless)


def users_refusal(given: Any, decision: LimitDecision, dialect: Dialect, *, bodiless: bool) -> Answer:
    """Return the response that a user's function wants sent instead, with the fields that every refusal has.

    Args:
        given: an `Answer`, or status, fields and body.
        decision: what refuses.
        dialect: of the fields.
        bodiless: whether the request was a HEAD.

    Raises:
        ConfigurationError: it is no response.
    """
    try:
        status, fields, body = (given.status, given.fields, given.body) if isinstance(given, Answer) else given
        items: Any = getattr(fields, "items", None)
        pairs = [(str(name), str(value)) for name, value in (fields if items is None else items())]
        content = body.encode() if isinstance(body, str) else bytes(memoryview(body))  # of a number it would be zeros
        code = int(status)
    except (TypeError, ValueError, AttributeError):
        msg = f"on_refused= must return None, or (status, headers, body), and returned {type(given).__name__}"
        raise ConfigurationError(msg) from None
    more = [_UNKEPT, ("Content-Length", str(len(content))), *decision.headers(dialect)]
    return Answer(code, tuple(pairs + missing(pairs, more)), (), b"" if bodiless else content)


def missing(there: Iterable[tuple[str, str]], ours: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return those of our fields that a response does not have; none about limits if it has one of these."""
    names = {name.lower() for name, _ in there}
    tells = tells_of_limits(names)
    return [
        (name, value)
        for name, value in ours
        if name.lower() not in names and not (tells and name.lower().startswith(STARTS))
    ]


def tells_of_limits(names: Iterable[str]) -> bool:
    """Say whether one of some fields, in lower case, is about limits."""
    return any(name.startswith(STARTS) for name in names)
