"""Requests to a WSGI app that are done once."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from typing import Any, Final, Unpack

from holdfast._calls import drive
from holdfast.layer import Layer
from holdfast.policy.http.answering import Answer
from holdfast.web.app_kinds import wsgi_app
from holdfast.web.idempotency import WebIdempotency
from holdfast.web.idempotency_options import IdempotencyOptions
from holdfast.web.problems import plain_problem
from holdfast.wsgi.http_environs import Environ
from holdfast.wsgi.http_run import App, StartResponse, start_answer
from holdfast.wsgi.idempotency_run import CollectedRun
from holdfast.wsgi.requests import EnvironRequest

_PIECE: Final = 64 * 1024


class IdempotencyMiddleware:
    """Does each request with an ``Idempotency-Key`` once, in front of any WSGI app; a repetition gets the first answer.

    The field is that of draft-ietf-httpapi-idempotency-key-header. While the first request is worked on, others with
    its key get 409, with Retry-After; with another query, content type or body, 422. A malformed key is 400, and so is
    none where it is required. A key counts for one client, host, method and path: nobody gets the answer of another
    who is known. Who shows nothing of himself is one client with all others who do not: see `identity`.

    A response is collected, stored, and then sent, so that a client that leaves loses nothing. Set-Cookie, Date and
    fields about the connection or about limits are not stored, so leave out what logs in (`exempt`). An app that
    raises, or answers with 5xx, 408, 425, 429 or any error that has Retry-After, frees the key; that of a process that
    died is free when its lease has run out.

    Put it inside of sessions and limits, and around the app.

    Args:
        app: the app.
        layer: where keys and responses are stored; without it, the default layer of the moment.
        options: those of `holdfast.asgi.IdempotencyMiddleware`, which explains each; `identity` may not be async.

    Raises:
        ConfigurationError: an option cannot work; the message names it.

    Example:
        >>> from flask import Flask
        >>> from holdfast.wsgi import IdempotencyMiddleware
        >>> app = Flask(__name__)
        >>> app.wsgi_app = IdempotencyMiddleware(app.wsgi_app, required=["/payments"])
    """

    def __init__(self, app: App, *, layer: Layer | None = None, **options: Unpack[IdempotencyOptions]) -> None:
        self.app = wsgi_app(app, "IdempotencyMiddleware")
        self._idempotency = WebIdempotency(layer, options, _find_user, is_async=False)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request as before, or let the app answer."""
        idempotency = self._idempotency
        asked = idempotency.examine(EnvironRequest(environ), environ.get("holdfast.idempotency"))
        if asked is None:
            return self.app(environ, start_response)
        if isinstance(asked, Answer):
            return start_answer(start_response, asked)
        body = _read_body(environ, idempotency.rules.max_body)
        if body is None:
            return start_answer(start_response, idempotency.refusal("body-too-large"))
        if isinstance(body, Answer):
            return start_answer(start_response, body)
        run = drive(idempotency.begin(asked, body))
        if isinstance(run, Answer):
            return start_answer(start_response, run)
        environ["wsgi.input"] = BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        environ.pop("HTTP_TRANSFER_ENCODING", None)  # it has a length now
        environ["holdfast.idempotency"] = run.info
        return CollectedRun(run, start_response).begin(self.app, environ)


def _find_user(environ: Environ) -> str | None:
    """Return who sends a request, as the server or an outer middleware has found out (RFC 3875, 4.1.11)."""
    return environ.get("REMOTE_USER") or None


def _read_body(environ: Environ, most: int) -> bytes | Answer | None:
    """Return the body of a request, None if it is too long, or the answer to one that is not complete.

    It is as long as its length says (PEP 3333), or ends by itself where the server says so.
    """
    stream, declared = environ["wsgi.input"], environ.get("CONTENT_LENGTH")
    try:
        length = int(declared) if declared else None
    except ValueError:
        return plain_problem(400, "The Content-Length of the request is no number.")
    if length is None:
        if not environ.get("wsgi.input_terminated"):
            return b""
        body = _read(stream, most + 1)
        return body if len(body) <= most else None
    if length > most:
        return None
    body = _read(stream, length)
    if len(body) < length:
        return plain_problem(400, "The body of the request is shorter than its Content-Length says.")
    return body


def _read(stream: Any, most: int) -> bytes:
    """Return so many bytes, or fewer where the stream ends: one read may give less than there is."""
    pieces: list[bytes] = []
    while most > 0 and (piece := stream.read(min(most, _PIECE))):
        pieces.append(piece)
        most -= len(piece)
    return b"".join(pieces)
