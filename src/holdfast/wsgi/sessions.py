"""Sessions in front of a WSGI app."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, Unpack

from holdfast._calls import drive
from holdfast.core.session_state import SessionState
from holdfast.errors import BackendError
from holdfast.layer import Layer
from holdfast.web.app_kinds import wsgi_app
from holdfast.web.session_fields import told
from holdfast.web.web_sessions import BEGUN, UNTOUCHED, SessionOptions, WebSessions, unavailable
from holdfast.wsgi.http_run import App, StartResponse, close_body, start_answer
from holdfast.wsgi.requests import EnvironRequest


class SessionMiddleware:
    """Server-side sessions for any WSGI app: ``environ["holdfast.session"]``.

    A session is a mapping; see `holdfast.Session`. Each of its keys is stored for itself, so that requests that run at
    the same time do not undo each other's changes. It is read in one round trip when the app looks at it first, and
    written, before the first byte of the response, only if something has changed. The cookie holds a random id, nothing
    else.

    For Flask there is `holdfast.flask`, so that ``flask.session`` is such a session; for Django `holdfast.django`.

    Args:
        app: the app.
        layer: where sessions are stored; without it, the default layer of the moment.
        options: those of `holdfast.asgi.SessionMiddleware`, which explains each.

    Raises:
        ConfigurationError: an option cannot work; the message names it.

    Example:
        >>> from holdfast.wsgi import SessionMiddleware
        >>> def app(environ, start_response):
        ...     environ["holdfast.session"].change("visits", lambda visits: visits + 1, 0)
        ...     start_response("204 No Content", [])
        ...     return []
        >>> app = SessionMiddleware(app, idle="30m")
    """

    def __init__(self, app: App, *, layer: Layer | None = None, **options: Unpack[SessionOptions]) -> None:
        self.app = wsgi_app(app, "SessionMiddleware")
        self._sessions = WebSessions(layer, options)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Give the app the session of a request."""
        sessions = self._sessions
        if sessions.is_exempt(EnvironRequest(environ).path):
            return self.app(environ, start_response)
        https = environ.get("wsgi.url_scheme") == "https"
        session = environ["holdfast.session"] = sessions.lazy(environ.get("HTTP_COOKIE"), https=https)
        head = _Head(sessions, session.state, environ, start_response)
        try:
            body = self.app(environ, head.take)
        except BackendError:
            if not head.is_barred:
                raise
            return head.refuse()
        if not head.is_taken:  # a generator calls start_response when somebody asks for its first piece
            return _LateBody(head, body)
        try:
            refusal = head.begin()
        except BaseException:
            close_body(body)
            raise
        if refusal is not None:
            close_body(body)
            return refusal
        return body


class _Head:
    """The head of the app's answer, which waits until the session is stored."""

    def __init__(
        self, sessions: WebSessions, session: SessionState, environ: dict[str, Any], start_response: StartResponse
    ) -> None:
        self._sessions = sessions
        self._session = session
        self._environ = environ
        self._start_response = start_response
        self._head: tuple[str, list[tuple[str, str]], Any] | None = None
        self._write: Callable[[bytes], object] | None = None
        self._refusal: list[bytes] | None = None
        self._finished = UNTOUCHED

    @property
    def is_barred(self) -> bool:
        """Whether the app has asked for a session that could not be loaded, before it has answered."""
        return self._session.is_barred and not self._session.is_closed

    @property
    def is_taken(self) -> bool:
        """Whether the app has called `start_response`."""
        return self._head is not None

    def take(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        """Take the head, as `start_response` does (PEP 3333)."""
        if self._write is not None and exc_info is not None:
            try:  # the server knows whether the client has got anything; then this raises
                self._write = self._start_response(status, self._told(headers), exc_info)
            finally:
                exc_info = None
            return self.write
        if self._head is not None and exc_info is None:
            raise AssertionError("start_response was called twice without exc_info")
        self._head = status, headers, exc_info
        return self.write

    def write(self, data: bytes) -> None:
        """Take a piece of the body that the app writes instead of returning it (PEP 3333)."""
        self.begin()
        if self._refusal is None and self._write is not None:
            self._write(data)

    def begin(self) -> list[bytes] | None:
        """Store the session and start the response; return the body of another one if that cannot be done."""
        if self._write is not None or self._refusal is not None or self._head is None:
            return self._refusal
        environ, (status, headers, exc_info) = self._environ, self._head
        https = environ.get("wsgi.url_scheme") == "https"
        engine = self._sessions.use()[0]
        try:
            self._finished = drive(self._sessions.finish(engine.blocking, self._session, https=https))
        except BackendError:
            return self.refuse()
        more = () if exc_info is None else (exc_info,)
        self._write = self._start_response(status, self._told(headers), *more)
        return None

    def refuse(self) -> list[bytes]:
        """Start another response, that sessions cannot be read now, and return its body."""
        self._session.close(BEGUN)
        answer = unavailable(bodiless=self._environ["REQUEST_METHOD"] == "HEAD")
        self._refusal = start_answer(self._start_response, answer)
        return self._refusal

    def _told(self, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        return told(headers, self._finished.cookie) if self._finished.touched else headers


class _LateBody:
    """The body of an app that names its status only with the first piece."""

    def __init__(self, head: _Head, produced: Iterable[bytes]) -> None:
        self._head = head
        self._produced = produced
        self._pieces: Iterator[bytes] | None = None
        self._is_begun = False

    def __iter__(self) -> _LateBody:
        return self

    def __next__(self) -> bytes:
        if self._pieces is None:
            self._pieces = iter(self._produced)
        if self._is_begun:
            return next(self._pieces)
        piece = b""
        try:
            for piece in self._pieces:
                if piece:
                    break
        except BackendError:
            if not self._head.is_barred:
                raise
            self._is_begun, self._pieces = True, iter(self._head.refuse())
        else:
            self._pieces = self._begin(piece, self._pieces)
        return next(self._pieces)

    def _begin(self, first: bytes, more: Iterator[bytes]) -> Iterator[bytes]:
        """Begin the response with the first piece that is not empty, and return its body or that of another one."""
        self._is_begun = True
        if not self._head.is_taken:
            raise AssertionError("the app returned without calling start_response")
        refusal = self._head.begin()
        if refusal is None:
            return chain([first] if first else [], more)
        close_body(self._produced)
        return iter(refusal)

    def close(self) -> None:
        """Close the app's body (PEP 3333)."""
        close_body(self._produced)
