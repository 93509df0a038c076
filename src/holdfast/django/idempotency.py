"""Requests that are done once, as a middleware of Django."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured, RequestDataTooBig

from holdfast._calls import drive
from holdfast.django.layers import part_options, project_layer
from holdfast.django.middleware import TwoColoured
from holdfast.django.requests import DjangoRequest
from holdfast.django.responses import AsyncEnding, Ending, hold, pairs_of, response_of
from holdfast.errors import BackendError, ConfigurationError
from holdfast.policy.http.answering import Answer
from holdfast.web.idempotency import WebIdempotency, WebRun
from holdfast.web.idempotency_identity import name_of_user


class IdempotencyMiddleware(TwoColoured):
    """Does each request with an ``Idempotency-Key`` once, by ``settings.HOLDFAST["idempotency"]``.

    The options, and what is done, are those of `holdfast.wsgi.IdempotencyMiddleware`. `identity` gets a `WebRequest`,
    whose `raw` is Django's request. What a view may know of the key is ``request.holdfast_idempotency``.

    Put it behind Django's middleware for sessions and users, and in front of whatever reads the body. Under ASGI,
    Django cancels an async view whose client leaves, and the key is free then: to have it go on, put
    `holdfast.asgi.IdempotencyMiddleware` around the project's application instead.
    """

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        super().__init__(get_response)
        self._layer = project_layer()
        try:
            options = part_options("idempotency")
            find_user = sync_to_async(_find_user) if self.is_async else _find_user
            self._idempotency = WebIdempotency(self._layer, options, find_user, is_async=self.is_async)
        except ConfigurationError as error:
            msg = f"HOLDFAST['idempotency']: {error}"
            raise ImproperlyConfigured(msg) from error

    def respond(self, request: Any) -> Any:
        """Answer a request as before, or let the project answer."""
        run = drive(self._begin(request))
        if not isinstance(run, WebRun):
            return self.get_response(request) if run is None else response_of(run)
        try:
            response = self.get_response(request)
            _keep(run, response)
        except Exception:
            drive(run.free())
            raise
        except BaseException:
            run.free_at_last()
            raise
        return response

    async def arespond(self, request: Any) -> Any:
        """Do what `respond` does, for an event loop."""
        run = await self._begin(request)
        if not isinstance(run, WebRun):
            return await self.get_response(request) if run is None else response_of(run)
        try:
            response = await self.get_response(request)
            await _akeep(run, response)
        except Exception:
            await run.free()
            raise
        except BaseException:
            run.free_at_last()
            raise
        return response

    async def _begin(self, request: Any) -> WebRun | Answer | None:
        """Begin what is to be done once; or return the answer without doing it, or None for any other request."""
        asked = self._idempotency.examine(DjangoRequest(request), _outer_of(request))
        if asked is None or isinstance(asked, Answer):
            return asked
        body = self._body_of(request)
        if isinstance(body, Answer):
            return body
        try:
            await self._load_session(request)
        except BackendError:  # nobody can tell whose request it is
            return self._idempotency.refusal("unavailable")
        run = await self._idempotency.begin(asked, body)
        if isinstance(run, WebRun):
            request.holdfast_idempotency = run.info
        return run

    async def _load_session(self, request: Any) -> None:
        """Load the session, if it is one of ours: then it says whose the request is."""
        session: Any = getattr(request, "session", None)
        if not hasattr(session, "load_once"):
            return
        if self.is_async:
            await session.aload_once()
        else:
            session.load_once()

    def _body_of(self, request: Any) -> bytes | Answer:
        """Return the body of a request, which a view can read again, or the answer to one that is too long."""
        most = self._idempotency.rules.max_body
        declared = request.META.get("CONTENT_LENGTH") or "0"
        if declared.isdecimal() and int(declared) > most:
            return self._idempotency.refusal("body-too-large")
        try:
            body: bytes = request.body
        except RequestDataTooBig:
            return self._idempotency.refusal("body-too-large")
        return body if len(body) <= most else self._idempotency.refusal("body-too-large")


def _find_user(request: Any) -> str | None:
    """Return who sends a request, as the server, or Django's middleware for users, has found out."""
    return name_of_user(getattr(request, "user", None)) or request.META.get("REMOTE_USER") or None


def _outer_of(request: Any) -> Any:
    """Return what a middleware that does requests once has left, outside of the project or in it."""
    around = getattr(request, "scope", None) or request.META
    return getattr(request, "holdfast_idempotency", None) or around.get("holdfast.idempotency")


def _keep(run: WebRun, response: Any) -> None:
    """Store a response. One that is streamed is collected first, unless it is too long."""
    if not response.streaming:
        drive(_keep_whole(run, response))
        return
    status: int = response.status_code
    if response.is_async or run.run is None:  # a server without a loop collects an async one for itself, later
        hold(response, Ending(lambda size: drive(_end(run, status, size))))
        return
    pieces = iter(response.streaming_content)
    collected, is_whole = _collect(pieces, run.max_body)
    if is_whole:
        body = b"".join(collected)
        response.streaming_content = [body]
        drive(run.finish(status, pairs_of(response), body))
    else:
        response.streaming_content = chain(collected, pieces)
        hold(response, Ending(lambda size: drive(_end(run, status, size))))


async def _akeep(run: WebRun, response: Any) -> None:
    """Do what `_keep` does, for an event loop."""
    if not response.streaming:
        await _keep_whole(run, response)
        return
    status: int = response.status_code
    ending = AsyncEnding(lambda size: _end(run, status, size), run.engine.asyncio.afterwards)
    pieces = response.streaming_content
    if response.is_async:
        collected, is_whole = await _acollect(pieces, run.max_body)
        rest: Any = _achain(collected, pieces)
    else:
        pieces = iter(pieces)
        collected, is_whole = await sync_to_async(_collect)(pieces, run.max_body)
        rest = chain(collected, pieces)
    if is_whole and run.run is not None:
        body = b"".join(collected)
        response.streaming_content = _achain([body], None) if response.is_async else [body]
        await run.finish(status, pairs_of(response), body)
    else:
        response.streaming_content = rest
        hold(response, ending)


async def _keep_whole(run: WebRun, response: Any) -> None:
    if len(response.content) > run.max_body:
        await run.finish_unkept(response.status_code, pairs_of(response))
    else:
        await run.finish(response.status_code, pairs_of(response), response.content)


async def _end(run: WebRun, status: int, size: int | None) -> None:
    """End the run of a response that is too long to keep; None: the project has raised while it was sent."""
    await (run.free() if size is None else run.finish_unkept(status, ()))


def _collect(pieces: Iterator[bytes], most: int) -> tuple[list[bytes], bool]:
    """Return the first pieces of a response, and whether that is all of it."""
    collected: list[bytes] = []
    size = 0
    for piece in pieces:
        collected.append(piece)
        size += len(piece)
        if size > most:
            return collected, False
    return collected, True


async def _acollect(pieces: AsyncIterator[bytes], most: int) -> tuple[list[bytes], bool]:
    collected: list[bytes] = []
    size = 0
    async for piece in pieces:
        collected.append(piece)
        size += len(piece)
        if size > most:
            return collected, False
    return collected, True


async def _achain(first: Iterable[bytes], rest: AsyncIterator[bytes] | None) -> AsyncIterator[bytes]:
    for piece in first:
        yield piece
    if rest is not None:
        async for piece in rest:
            yield piece
