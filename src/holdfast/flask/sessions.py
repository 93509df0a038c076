"""`flask.session` kept in Redis: the session of holdfast, with what Flask and its extensions expect of one."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, Final, NoReturn, cast

from flask import Flask, Request, Response
from flask.sessions import NullSession, SessionInterface, SessionMixin
from werkzeug.datastructures import Headers
from werkzeug.exceptions import ServiceUnavailable

from holdfast._calls import drive
from holdfast.codec import Codec
from holdfast.core.session import Session
from holdfast.core.session_state import SessionState
from holdfast.errors import BackendError, SessionError
from holdfast.layer import Layer
from holdfast.typing import Duration
from holdfast.web.session_fields import told
from holdfast.web.web_sessions import SessionOptions, WebSessions, unavailable

USER_KEY: Final = "_user_id"
"""Under which Flask-Login keeps who is logged in."""

_SAYING: Final = frozenset({"vary", "cache-control"})
_PRIVATE: Final = [("Vary", "Cookie"), ("Cache-Control", "private")]
_LONGEST: Final = timedelta(days=365)
_HTTP_ONLY: Final = re.compile(r"; HttpOnly(?=;|\Z)")


class HoldfastSession(Session, SessionMixin):
    """What `flask.session` stands for. See `holdfast.sessions.Session` for what it can do beyond Flask's own.

    Data are loaded when they are first asked for. Changes inside of values are found, so that ``modified`` need not be
    set. ``clear()`` ends the session, and what is written after it belongs to a new one.
    """

    def __init__(self, codec: Codec, load: Any = None, lifetimes: tuple[Duration, Duration] | None = None) -> None:
        super().__init__(codec, None, load)
        self._lifetimes = lifetimes
        self.opened: tuple[WebSessions, bool] | None = None
        """With what it was opened, and whether the request came by HTTPS."""

    @property
    def new(self) -> bool:  # type: ignore[override]  # Flask has an attribute
        """Whether it is not stored yet."""
        return self.is_new

    @property
    def accessed(self) -> bool:
        """Whether somebody has looked at it: the response then says ``Vary: Cookie``."""
        return self.state.accessed

    @accessed.setter
    def accessed(self, value: bool) -> None:
        self.state.accessed = bool(value)

    @property
    def modified(self) -> bool:
        """Whether something was assigned or deleted; changes inside of values are found when it is saved."""
        return self.state.modified

    @modified.setter
    def modified(self, value: bool) -> None:
        if value:
            self.mark_modified()

    @property
    def permanent(self) -> bool:
        """Whether it outlives the browser, and lasts for PERMANENT_SESSION_LIFETIME without use."""
        return bool(self.get("_permanent", False))

    @permanent.setter
    def permanent(self, value: bool) -> None:
        if bool(value) == self.permanent:
            return  # many apps say so in each request
        self["_permanent"] = bool(value)
        idle, absolute = self._lifetimes if value and self._lifetimes is not None else (None, None)
        self.expire_after(idle=idle, absolute=absolute, persistent=bool(value))


class NoSession(NullSession):
    """What `flask.session` stands for on paths that are exempt: empty, and not to be written."""

    def _fail(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise SessionError("this path has no session: take it out of exempt= of HOLDFAST_SESSIONS to write one")

    __setitem__ = __delitem__ = clear = pop = popitem = update = setdefault = _fail
    del _fail


class HoldfastSessionInterface(SessionInterface):
    """Keeps the sessions of a Flask app in a layer, for ``app.session_interface``; `Holdfast` sets it up.

    The cookie is as the app's SESSION_COOKIE_ settings say. Where these are as Flask has them by default, it is
    ``__Host-session`` and Secure if the request comes by HTTPS, and SameSite=Lax. A session that is ``permanent`` lasts
    for PERMANENT_SESSION_LIFETIME without use and a year in all (or `absolute`), any other for `idle` and `absolute`.

    A request that does not touch the session costs nothing. Reading costs one round trip, and writing another, before
    the response begins. After that the session can be read, in `stream_with_context` say, and not be changed.

    Args:
        layer: where sessions are kept; without it, the default layer of the moment.
        options: those of `holdfast.wsgi.SessionMiddleware`, which explains each; they go before the app's settings.
            `user_key` is ``"_user_id"`` unless given, so that Flask-Login's log-ins change the cookie and are known
            to ``layer.sessions.list``.

    Raises:
        ConfigurationError: an option cannot work; the message names it. What cannot work in the app's settings shows
            when `check` is called, or with the first request.
    """

    def __init__(self, layer: Layer | None = None, **options: Any) -> None:
        self._layer = layer
        self._options: dict[str, Any] = {"user_key": USER_KEY, **options}
        self._made: dict[tuple[Any, ...], WebSessions] = {}
        WebSessions(layer, cast("SessionOptions", self._options))

    null_session_class = NoSession

    def check(self, app: Flask) -> None:
        """Look at the settings that an app has now.

        Raises:
            ConfigurationError: browsers would ignore the cookie that they describe.
        """
        self._sessions(app)

    def open_session(self, app: Flask, request: Request) -> HoldfastSession | None:
        """Return the session of a request, of which nothing is loaded yet; None on paths that are exempt."""
        sessions = self._sessions(app)
        if sessions.is_exempt(request.path):
            return None
        engine, codec = sessions.use()
        header, https = request.headers.get("Cookie"), request.is_secure

        def load(state: SessionState) -> None:
            try:
                drive(sessions.fill(engine.blocking, state, header, https=https))
            except BackendError as error:
                raise ServiceUnavailable("Sessions cannot be read at the moment. Try again soon.") from error

        absolute = self._options.get("absolute", max(_LONGEST, app.permanent_session_lifetime))
        session = HoldfastSession(codec, load, (app.permanent_session_lifetime, absolute))
        session.opened = sessions, https
        return session

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Store what has changed, and give the response its fields. If that fails, the response becomes a 503."""
        if not isinstance(session, HoldfastSession) or session.opened is None:
            return
        sessions, https = session.opened
        try:
            finished = drive(sessions.finish(sessions.use()[0].blocking, session.state, https=https))
        except BackendError:
            app.logger.exception("a session could not be stored, and its response was withheld")
            _withhold(response)
            return
        if finished.touched:
            cookie = finished.cookie
            if cookie is None and _SAYING.isdisjoint([name.lower() for name in response.headers.keys()]):  # noqa: SIM118 - Headers iterate over pairs
                response.headers.extend(_PRIVATE)  # what `told` does in the commonest case
                return
            if cookie is not None and not self.get_cookie_httponly(app):
                cookie = _HTTP_ONLY.sub("", cookie)
            response.headers = Headers(told(response.headers, cookie))

    def _sessions(self, app: Flask) -> WebSessions:
        """Return the sessions of the app's settings, which may change while it is set up."""
        config: Any = app.config
        name, domain, path = self.get_cookie_name(app), self.get_cookie_domain(app), self.get_cookie_path(app)
        secure, same_site = self.get_cookie_secure(app), self.get_cookie_samesite(app)
        partitioned = config.get("SESSION_COOKIE_PARTITIONED", False)  # since Flask 3.1
        said = name, domain, path, secure, same_site, partitioned
        found = self._made.get(said)
        if found is None:
            options: dict[str, Any] = {
                "cookie": None if name == "session" else name,
                "domain": domain or None,
                "path": path or "/",
                "secure": secure or None,
                "same_site": (same_site or "lax").lower(),
                "partitioned": bool(partitioned),
            }
            found = WebSessions(self._layer, cast("SessionOptions", {**options, **self._options}))
            self._made[said] = found
        return found


def _withhold(response: Response) -> None:
    """Turn a response into one that promises nothing: what the view wrote into the session is not there."""
    answer = unavailable()
    close = getattr(response.response, "close", None)
    if close is not None:
        close()
    response.headers = Headers([*answer.fields, *answer.more])
    response.status_code = answer.status
    response.set_data(answer.body)
