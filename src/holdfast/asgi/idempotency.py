"""Requests to an ASGI app that are done once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias, Unpack

from holdfast.asgi.http_relay import Send, send_answer
from holdfast.asgi.idempotency_messages import ClientLeft, Receive, Receiving, Sending, TooLong, read_body
from holdfast.asgi.requests import ScopeRequest
from holdfast.layer import Layer
from holdfast.policy.http.answering import Answer
from holdfast.web.app_kinds import asgi_app
from holdfast.web.idempotency import WebIdempotency
from holdfast.web.idempotency_identity import name_of_user
from holdfast.web.idempotency_options import IdempotencyOptions

App: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]

_INFO: Final = "holdfast.idempotency"
_UNCOLLECTED: Final = frozenset({"http.response.pathsend", "http.response.trailers", "http.response.zerocopysend"})
"""Extensions by which an app sends what cannot be collected; without them it sends a body."""


class IdempotencyMiddleware:
    """Does each request with an ``Idempotency-Key`` once, in front of any ASGI app; a repetition gets the first answer.

    The field is that of draft-ietf-httpapi-idempotency-key-header. While the first request is worked on, others with
    its key get 409, with Retry-After; with another query, content type or body, 422. A malformed key is 400, and so is
    none where it is required. A key counts for one client, host, method and path: nobody gets the answer of another
    who is known. Who shows nothing of himself is one client with all others who do not: see `identity`.

    A response is collected, stored, and then sent, so that a client that leaves loses nothing; until then the app does
    not hear of it. Set-Cookie, Date and fields about the connection or about limits are not stored, so leave out what
    logs in (`exempt`). An app that raises, or answers with 5xx, 408, 425, 429 or any error that has Retry-After, frees
    the key, and so does a task that is cancelled; the key of a process that died is free when its lease has run out.

    Put it inside of sessions and limits, and around the app.

    Args:
        app: the app.
        layer: where keys and responses are stored; without it, the default layer of the moment.
        options:
            methods: those that it is for (POST and PATCH).
            header: the field with the key.
            required: paths, with all below them, or patterns, where a request without a key is refused; True is
                everywhere.
            exempt: paths, each with all below it (but ``"/"`` is that alone), or patterns, that are left alone: those
                of long streams, say.
            ttl: how long an answer is kept (24 hours).
            lease: how long the key of a process that died stays taken (30 s).
            wait: how long a request waits for the first one before it gets 409 (0).
            identity: a function of a `holdfast.web.WebRequest` that returns text that says whose key it is; it may be
                async. Without one, or where it returns None: all that clients show of themselves, which is
                Authorization, API keys and tokens in their usual fields, the user that a middleware outside has found,
                and the user of the session, or else the session, or else the cookies, but for those that only count
                visitors. Clients that show none of these are one client: give it, or let keys be random.
            max_body: bytes of the longest body of a request with a key, else 413, and of the longest response that is
                kept; longer ones stream through, and their requests are not done again, either (a mebibyte).
            keep_errors: whether responses with 5xx are kept, too.
            strict: whether a key has to be in quotes, as the draft says.
            on_failure: while Redis cannot be asked, ``"closed"`` answers 503, ``"open"`` lets the app answer.
            namespace: keeps the keys of apps apart that answer for the same hosts.

    Raises:
        ConfigurationError: an option cannot work; the message names it.

    Example:
        >>> from holdfast.asgi import IdempotencyMiddleware
        >>> from starlette.applications import Starlette
        >>> app = Starlette()
        >>> app.add_middleware(IdempotencyMiddleware, required=["/payments"])
    """

    def __init__(self, app: App, *, layer: Layer | None = None, **options: Unpack[IdempotencyOptions]) -> None:
        self.app = asgi_app(app, "IdempotencyMiddleware")
        self._idempotency = WebIdempotency(layer, options, _find_user, is_async=True)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer a request as before, or let the app answer."""
        asked = None
        if scope["type"] == "http":
            asked = self._idempotency.examine(ScopeRequest(scope), scope.get(_INFO))
        if asked is None:
            await self.app(scope, receive, send)
            return
        if isinstance(asked, Answer):
            await send_answer(send, asked)
            return
        try:
            body = await read_body(receive, self._idempotency.rules.max_body)
        except TooLong:
            await send_answer(send, self._idempotency.refusal("body-too-large"))
            return
        except ClientLeft:
            return
        run = await self._idempotency.begin(asked, body)
        if isinstance(run, Answer):
            await send_answer(send, run)
            return
        scope[_INFO] = run.info
        receiving = Receiving(body, receive)
        sending = Sending(run, receiving, send)
        try:
            with _collected(scope):
                await self.app(scope, receiving, sending)
        except BaseException as error:
            await sending.give_up(error)
            raise
        await sending.give_up(None)


@contextmanager
def _collected(scope: Any) -> Generator[None, None, None]:
    """Take extensions that cannot be collected out of a scope for a while.

    The scope is not copied: whoever stands outside reads there what the app has found out, such as its route.
    """
    extensions = scope.get("extensions")
    if not extensions or _UNCOLLECTED.isdisjoint(extensions):
        yield
        return
    left = scope["extensions"] = {name: value for name, value in extensions.items() if name not in _UNCOLLECTED}
    try:
        yield
    finally:
        if scope.get("extensions") is left:
            scope["extensions"] = extensions


def _find_user(scope: Any) -> str | None:
    """Return who sends a request, as Starlette's AuthenticationMiddleware, or one like it, has found out."""
    return name_of_user(scope.get("user"))
