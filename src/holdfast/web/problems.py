"""Responses that say what is the matter: problem details (RFC 9457), which no cache keeps."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import msgspec

from holdfast.policy.http.answering import Answer
from holdfast.policy.http.fields import Pairs
from holdfast.policy.limit_problem import MEDIA_TYPE

_UNKEPT: Final[Pairs] = (("Content-Type", MEDIA_TYPE), ("Cache-Control", "no-store"))


def problem_answer(details: dict[str, Any], fields: Pairs = (), *, bodiless: bool = False) -> Answer:
    """Return the response that tells of a problem.

    Args:
        details: the members of the body, with its `status`.
        fields: further fields, such as Retry-After.
        bodiless: whether the request was a HEAD.
    """
    body = msgspec.json.encode(details)
    length = ("Content-Length", str(len(body)))
    return Answer(details["status"], (*_UNKEPT, length, *fields), (), b"" if bodiless else body)


def plain_problem(status: int, detail: str, fields: Pairs = (), *, bodiless: bool = False) -> Answer:
    """Return the response for a problem that has no type of its own (RFC 9457, section 4.2.1).

    Args:
        status: of HTTP.
        detail: what happened and what to do, for whoever sent the request.
        fields: further fields.
        bodiless: whether the request was a HEAD.
    """
    details = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return problem_answer(details, fields, bodiless=bodiless)
