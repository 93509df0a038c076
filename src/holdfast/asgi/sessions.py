"""Sessions in front of an ASGI app."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Iterable
from typing import Any, Final, Unpack

from holdfast.asgi.http_relay import Message, Send, send_answer
from holdfast.asgi.http_scopes import RawFields
from holdfast.core.session_state import SessionState
from holdfast.engine import Engine
from holdfast.errors import BackendError
from holdfast.layer import Layer
from holdfast.web.app_kinds import asgi_app
from holdfast.web.session_fields import told
from holdfast.web.web_sessions import BEGUN, SessionOptions, WebSessions, unavailable

_log = logging.getLogger("holdfast")
_SECURE: Final = frozenset({"https", "wss"})
_SAYING: Final = frozenset({b"vary", b"cache-control"})
_PRIVATE: Final[RawFields] = [(b"vary", b"Cookie"), (b"cache-control", b"private")]
"""What `told` adds where the app says neither."""
_HEADS: Final = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})
"""Messages that may have fields, and that begin an answer."""


class SessionMiddleware:
    """Server-side sessions for any ASGI app: ``scope["session"]``, which is Starlette's ``request.session``.

    A session is a mapping; see `holdfast.Session`. Each of its keys is stored for itself, so that requests that run at
    the same time do not undo each other's changes. It is read in one round trip, and written, before the first byte of
    the response, only if something has changed. The cookie holds a random id, nothing else.

    While Redis cannot be asked, requests whose app looks at the session are answered with 503.

    Args:
        app: the app.
        layer: where sessions are stored; without it, the default layer of the moment.
        options:
            idle: how long a session lasts without use (2 hours), by the clock of Redis.
            absolute: how long it lasts whatever happens (24 hours).
            grace: how long requests that had begun before a new secret was given may still save (10 seconds).
            cookie: its name; without it ``__Host-session`` on https and ``session`` on http.
            domain: hosts that get the cookie; without it the one host alone.
            path: paths that get it (``"/"``).
            secure: whether it travels over TLS only; without it, as the request did that it answers.
            same_site: ``"lax"``, ``"strict"`` or ``"none"``, which needs ``secure=True``.
            persistent: whether browsers keep it when they are closed.
            partitioned: whether it belongs to the site in whose frame it was set (CHIPS).
            serializer: of the values: ``"tagged"`` (JSON that also keeps tuples, bytes, dates ...), or another name
                that the layer knows.
            user_key: the key whose value tells whose the session is: when it changes, the session gets a new secret
                and `layer.sessions.list` knows it. Without it `Session.log_in` does both.
            on_failure: while Redis cannot be asked, answer 503 (``"closed"``), or go on with an empty session that is
                not stored (``"open"``).
            on_unreadable: if a value cannot be read, raise `SessionError` to whoever reads it (``"raise"``), or end
                the session (``"end"``).
            exempt: paths, each with all below it (but ``"/"`` is that alone), or patterns with ``*``, that have no
                session.

    Raises:
        ConfigurationError: an option cannot work; the message names it.

    Example:
        >>> from holdfast.asgi import SessionMiddleware
        >>> from starlette.applications import Starlette
        >>> app = Starlette()
        >>> app.add_middleware(SessionMiddleware, idle="30m")
    """

    def __init__(self, app: Any, *, layer: Layer | None = None, **options: Unpack[SessionOptions]) -> None:
        self.app = asgi_app(app, "SessionMiddleware")
        self._sessions = WebSessions(layer, options)

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        """Give the app the session of a request."""
        sessions = self._sessions
        if scope["type"] not in ("http", "websocket") or sessions.is_exempt(scope["path"]):
            await self.app(scope, receive, send)
            return
        engine, https = sessions.use()[0], scope.get("scheme") in _SECURE
        session = await sessions.open(engine.asyncio, _cookies(scope["headers"]), https=https)
        scope["session"], state = session, session.state
        try:
            await self.app(scope, receive, self._relay(engine, state, scope, send))
        except BackendError:
            if state.is_closed or not state.is_barred:
                raise
            await _refuse(scope, send)
            return
        if state.changes_inside():
            _log.warning("a session was changed after its response had begun: that is not stored")

    def _relay(self, engine: Engine, session: SessionState, scope: Any, send: Send) -> Send:
        """Return the `send` that the app gets: the session is stored before its answer begins.

        A function and no object, since it is called for each message of each response.
        """
        sessions, is_refused = self._sessions, False

        async def finish(message: Message) -> None:
            nonlocal is_refused
            try:
                https = scope.get("scheme") in _SECURE
                finished = await sessions.finish(engine.asyncio, session, https=https)
            except BackendError:
                is_refused = True
                session.close(BEGUN)
                await _refuse(scope, send)
                return
            if finished.touched:
                message = {**message, "headers": _told(message.get("headers") or (), finished.cookie)}
            await send(message)

        def relay(message: Message) -> Awaitable[None]:
            if is_refused:
                return _nothing()
            if message["type"] not in _HEADS:
                return send(message)
            try:
                finished = sessions.finished(session)
            except BackendError:
                return finish(message)  # which is told the same
            if finished is None:
                return finish(message)
            if finished.touched:
                message = {**message, "headers": _told(message.get("headers") or (), None)}
            return send(message)

        return relay


async def _nothing() -> None:
    """Send nothing: the answer that the app goes on with has been replaced."""


def _told(headers: Iterable[tuple[bytes, bytes]], cookie: str | None) -> RawFields:
    """Return the fields of a response that depends on a session; see `told`, whose commonest case is done here."""
    found = list(headers)  # any iterable is permitted, and may be one that can be read once
    if cookie is None and _SAYING.isdisjoint([name.lower() for name, _ in found]):
        return found + _PRIVATE
    fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in found]
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in told(fields, cookie)]


async def _refuse(scope: Any, send: Send) -> None:
    """Answer that there are no sessions now."""
    answer = unavailable(bodiless=scope.get("method") == "HEAD")
    if scope["type"] == "http":
        await send_answer(send, answer)
        return
    await send({"type": "websocket.close", "code": 1013, "reason": "sessions cannot be read"})


def _cookies(headers: Any) -> str | None:
    lines = [value for name, value in headers if name == b"cookie"]
    return b"; ".join(lines).decode("latin-1") if lines else None
