"""Sessions of visitors: from the cookie of a request to that of its response, for every middleware and framework."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypedDict, cast

from holdfast._calls import drive
from holdfast.codec import Codec
from holdfast.core.session import Session
from holdfast.core.session_state import SessionState, UnreadableSession
from holdfast.core.sessions import Saved
from holdfast.defaults import engine_of
from holdfast.engine import Engine
from holdfast.errors import BackendError, BackendUnavailable, ConfigurationError
from holdfast.layer import Layer
from holdfast.options import check_names, refuse_unknown
from holdfast.policy.http.answering import Answer
from holdfast.policy.session_cookie import Cookie, SameSiteOption, SessionId, find_cookies, parse_id, write_id
from holdfast.port import Port
from holdfast.sessions import ABSOLUTE, GRACE, IDLE, SERIALIZER, session_terms
from holdfast.typing import Duration
from holdfast.web.paths import Paths
from holdfast.web.problems import plain_problem

OnSessionFailure: TypeAlias = Literal["closed", "open"]
OnUnreadable: TypeAlias = Literal["raise", "end"]
BEGUN: Final = "the response has begun"
"""Why a session can be changed no more."""
_MOST_KNOWN: Final = 4096
_LONGEST_KNOWN: Final = 1000
"""Characters of a Cookie field that is remembered."""
_RETRY: Final = ("Retry-After", "1")


class SessionOptions(TypedDict, total=False):
    """The options of `SessionMiddleware`, which explains each."""

    idle: Duration
    absolute: Duration
    grace: Duration
    cookie: str | None
    domain: str | None
    path: str
    secure: bool | None
    same_site: SameSiteOption
    persistent: bool
    partitioned: bool
    serializer: str
    user_key: str | None
    on_failure: OnSessionFailure
    on_unreadable: OnUnreadable
    exempt: Iterable[str]


class Finished(NamedTuple):
    """What a response has to say of the session."""

    touched: bool
    """Whether the response depends on it."""
    cookie: str | None = None
    """The value of Set-Cookie; None: none is set."""


UNTOUCHED: Final = Finished(False)
UNCHANGED: Final = Finished(True)


class WebSessions:
    """Opens the session of a request and finishes it when the response begins.

    Raises:
        ConfigurationError: an option cannot work; the message names it.
    """

    def __init__(self, layer: Layer | None, options: SessionOptions) -> None:
        refuse_unknown("SessionMiddleware", options, SessionOptions.__optional_keys__, beside=["layer"])
        self._find_engine = engine_of(layer)
        self.terms = session_terms(
            options.get("idle", IDLE),
            options.get("absolute", ABSOLUTE),
            options.get("grace", GRACE),
            _text(options.get("user_key"), "user_key"),
        )
        self.cookie = Cookie.of(
            cookie=options.get("cookie"),
            domain=options.get("domain"),
            path=options.get("path", "/"),
            secure=options.get("secure"),
            same_site=options.get("same_site", "lax"),
            persistent=options.get("persistent", False),
            partitioned=options.get("partitioned", False),
        )
        self._serializer = options.get("serializer", SERIALIZER)
        check_names(serializer=self._serializer or None)  # no name is none, too
        self.fails_closed = _chosen(options, "on_failure", "closed", "open") == "closed"
        self._ends_unreadable = _chosen(options, "on_unreadable", "raise", "end") == "end"
        self._exempt = Paths.of(options.get("exempt", ()), "exempt")
        self._known_fields: dict[tuple[str, str], tuple[SessionId, ...]] = {}
        self._used: tuple[Engine, Codec] | None = None

    def use(self) -> tuple[Engine, Codec]:
        """Return what sessions are kept with now: in the layer, or in the default one of the moment."""
        engine, used = self._find_engine(), self._used
        if used is None or used[0] is not engine:
            codec = engine.codec(self._serializer, None, Any)
            used = self._used = engine, codec
        return used

    def is_exempt(self, path: str) -> bool:
        """Say whether the requests of a path have no session."""
        return bool(self._exempt) and self._exempt.are_certainly(path)

    async def open(self, port: Port, header: str | None, *, https: bool) -> Session:
        """Return the session of a request: that of its cookie, or a new one that is not stored yet.

        Args:
            port: of the request.
            header: its Cookie field.
            https: whether it came over TLS.

        If Redis cannot be asked, and sessions fail closed, whoever looks at the session gets that error then: a page
        that does not need it is served.
        """
        codec = self.use()[1]
        session = Session(codec)
        if header is None:
            return session
        try:
            await self.fill(port, session.state, header, https=https)
        except BackendError as error:
            return Session(codec, None, partial(_bar, error))
        return session

    def _ids_in(self, header: str, name: str) -> tuple[SessionId, ...]:
        """Return the ids in a Cookie field that may be of ours. The same visitors come again, with the same field."""
        found = self._known_fields.get((header, name))
        if found is None:
            found = tuple([each for each in map(parse_id, find_cookies(header, name)) if each is not None])
            if len(header) <= _LONGEST_KNOWN:
                if len(self._known_fields) >= _MOST_KNOWN:
                    self._known_fields.clear()
                self._known_fields[header, name] = found
        return found

    def lazy(self, header: str | None, *, https: bool) -> Session:
        """Return the session of a request to blocking code, which is loaded when somebody looks at it."""
        engine, codec = self.use()

        def load(state: SessionState) -> None:
            drive(self.fill(engine.blocking, state, header, https=https))

        return Session(codec, None, load)

    async def fill(self, port: Port, session: SessionState, header: str | None, *, https: bool) -> None:
        """Load the session of a request into an object.

        Raises:
            BackendError: Redis could not be asked, and sessions fail closed.
        """
        keeping = self.use()[0].sessions
        superseded = False
        for found in self._ids_in(header or "", self.cookie.name_for(https)):
            try:
                if await keeping.load(port, session, *found):
                    self._look_through(session)
                    return
            except BackendError:
                if self.fails_closed:
                    raise
                session.unkept = "unavailable"
                break
            superseded = superseded or bool(session.unkept)
        session.found_nothing()
        session.unkept = session.unkept or ("superseded" if superseded else "")

    def _look_through(self, session: SessionState) -> None:
        """End a session of which something cannot be read, if that is what the app wants."""
        if self._ends_unreadable:
            try:
                for name in session.names():
                    session.base(name)
            except UnreadableSession:
                session.end()

    def finished(self, session: SessionState) -> Finished | None:
        """Do what `finish` does if there is nothing to store, as for most requests; None if there may be something.

        Raises:
            BackendUnavailable: the app has asked for the session, which could not be loaded.
        """
        if session.is_barred:
            raise BackendUnavailable("the session could not be loaded")
        if session.may_have_changed():
            return None
        session.close(BEGUN)
        return UNCHANGED if session.accessed else UNTOUCHED

    async def finish(self, port: Port, session: SessionState, *, https: bool) -> Finished:
        """Store what has changed, and return what the response has to say; after that the session cannot be changed.

        Raises:
            BackendError: Redis could not be used, and sessions fail closed: the response must not promise anything.
            SerializationError: a value cannot be stored.
        """
        unchanged = self.finished(session)
        if unchanged is not None:
            return unchanged
        engine, codec = self.use()
        keeping = engine.sessions
        had = bool(session.known.handle or session.wanted.ended)
        try:
            saved = await keeping.save(port, session, codec, self.terms)
        except BackendError:
            if self.fails_closed:
                raise
            ends = bool(session.wanted.ended)  # then at least the browser forgets it
            saved = keeping.drop(session, "unavailable")
            saved = saved._replace(kind="ended") if ends else saved
        session.close(BEGUN)
        return Finished(True, self._cookie_of(session, saved, https=https, had=had))

    def _cookie_of(self, session: SessionState, saved: Saved, *, https: bool, had: bool) -> str | None:
        value, lasts, known = saved.cookie, saved.lasts, session.known
        cookie = self.cookie
        if known.persistent is not None and known.persistent is not cookie.persistent:
            cookie = replace(cookie, persistent=known.persistent)
        if not value and lasts is not None and known.secret and (cookie.persistent or known.persistent is False):
            value = write_id(known.handle, known.secret)  # the browser has to keep it for another time, too
        if value:
            return cookie.set_cookie(value, https=https, max_age=math.ceil(lasts or 0.0))
        return self.cookie.delete_cookie(https=https) if saved.kind == "ended" and had else None


def _bar(error: BackendError, session: SessionState) -> None:
    raise error


def unavailable(*, bodiless: bool = False) -> Answer:
    """Return the response to a request whose session cannot be read or stored now: never that of a stranger.

    Args:
        bodiless: whether the request was a HEAD.
    """
    return plain_problem(503, "Sessions cannot be read at the moment. Try again soon.", (_RETRY,), bodiless=bodiless)


def _chosen(options: SessionOptions, name: str, default: str, other: str) -> str:
    found = cast("dict[str, Any]", options).get(name, default)
    if found not in (default, other):
        msg = f"{name}={found!r} must be {default!r} or {other!r}"
        raise ConfigurationError(msg)
    return str(found)


def _text(given: object, name: str) -> str | None:
    if given is not None and (not isinstance(given, str) or not given):
        msg = f"{name}={given!r} must be the name of a datum of the session, such as 'user_id', or None"
        raise ConfigurationError(msg)
    return given
