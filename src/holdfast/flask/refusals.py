"""What a Flask app answers when an error of holdfast ends a request."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response

from holdfast.web.refusals import REFUSALS, refusal_answer


def refuse(error: Exception) -> Response:
    """Answer a request that ended with `RateLimited` (429 or 503), `LockNotAcquired` (409) or `KeyReused` (422)."""
    answer = refusal_answer(error)  # of a HEAD, Werkzeug itself drops the body
    return Response(answer.body, answer.status, [*answer.fields, *answer.more])


def register_refusals(app: Flask) -> None:
    """Let an app answer them, unless it has handlers of its own for them already.

    One that is registered later, or on a blueprint, takes the place of ours.
    """
    there: dict[Any, Any] = app.error_handler_spec.get(None, {}).get(None, {})
    for kind in REFUSALS:
        if kind not in there:
            app.register_error_handler(kind, refuse)
