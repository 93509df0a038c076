"""`layer.sessions`: sessions for plain code, in both colours; the web's middlewares stand on the same.

A visitor has a cookie: ``<handle>.<secret>``. The handle names the session and may be shown; the secret opens it, and
Redis knows no more of it than its digest.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final

from holdfast._calls import drive
from holdfast._durations import seconds
from holdfast.codec import Codec
from holdfast.core.session import Session
from holdfast.core.session_index import SessionInfo
from holdfast.core.session_state import UnreadableSession
from holdfast.core.sessions import Saved, Terms
from holdfast.engine import Engine
from holdfast.errors import ConfigurationError, SessionError
from holdfast.policy.session_cookie import parse_id
from holdfast.port import Port
from holdfast.typing import Duration

__all__ = ["ABSOLUTE", "IDLE", "SERIALIZER", "Editing", "Session", "SessionInfo", "Sessions", "UnreadableSession"]

IDLE: Final = "2h"
ABSOLUTE: Final = "24h"
GRACE: Final = "10s"
SERIALIZER: Final = "tagged"


class Sessions:
    """The sessions of a layer. Every method has an async twin with an ``a`` in front of its name.

    Example:
        >>> from holdfast import Layer
        >>> layer = Layer("memory://sessions-example")
        >>> session, cookie = layer.sessions.create({"theme": "dark"}, user="42")
        >>> layer.sessions.open(cookie)["theme"]
        'dark'
        >>> len(layer.sessions.list("42")), layer.sessions.revoke_all("42")
        (1, 1)
        >>> layer.sessions.open(cookie) is None
        True
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._codecs: dict[str, Codec] = {}

    def codec(self, serializer: str = SERIALIZER) -> Codec:
        """Return what turns data of sessions into frames and back. For holdfast only."""
        found = self._codecs.get(serializer)
        if found is None:
            found = self._codecs[serializer] = self._engine.codec(serializer, None, Any)
        return found

    def create(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        user: str | None = None,
        idle: Duration = IDLE,
        absolute: Duration = ABSOLUTE,
    ) -> tuple[Session, str]:
        """Store a new session; return it and the value of its cookie.

        Args:
            data: what it holds.
            user: whose it is.
            idle: how long it lasts without use.
            absolute: how long it lasts whatever happens.

        Raises:
            BackendError: Redis could not be used.
        """
        return drive(self._create(self._engine.blocking, data, user, idle, absolute))

    async def acreate(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        user: str | None = None,
        idle: Duration = IDLE,
        absolute: Duration = ABSOLUTE,
    ) -> tuple[Session, str]:
        """Do what `create` does, for async callers."""
        return await self._create(self._engine.asyncio, data, user, idle, absolute)

    async def _create(
        self, port: Port, data: Mapping[str, Any] | None, user: str | None, idle: Duration, absolute: Duration
    ) -> tuple[Session, str]:
        session, codec = Session(self.codec()), self.codec()
        session.update(data or {})
        if user is not None:
            session.log_in(user)
        return session, await self._engine.sessions.begin(port, session.state, codec, session_terms(idle, absolute))

    def open(self, cookie: str) -> Session | None:
        """Return the session of a cookie's value, and keep it for another idle time; None if there is none.

        Args:
            cookie: as the visitor sent it; whatever we did not issue finds nothing.

        Raises:
            BackendError: Redis could not be used.
        """
        return drive(self._open(self._engine.blocking, cookie))

    async def aopen(self, cookie: str) -> Session | None:
        """Do what `open` does, for async callers."""
        return await self._open(self._engine.asyncio, cookie)

    async def _open(self, port: Port, cookie: str) -> Session | None:
        found = parse_id(cookie)
        if found is None:
            return None
        session = Session(self.codec())
        return session if await self._engine.sessions.load(port, session.state, found.handle, found.secret) else None

    def save(self, session: Session) -> str | None:
        """Store what has changed of a session.

        Returns:
            The value of the cookie that the visitor has to be given, since the session is new or has a new secret;
            None where the old one stays.

        Raises:
            SessionError: it has ended meanwhile, so that the changes are lost.
            BackendError: Redis could not be used.
        """
        return drive(self._save(self._engine.blocking, session))

    async def asave(self, session: Session) -> str | None:
        """Do what `save` does, for async callers."""
        return await self._save(self._engine.asyncio, session)

    async def _save(self, port: Port, session: Session) -> str | None:
        saved = await self._engine.sessions.save(port, session.state, self.codec(), session_terms(IDLE, ABSOLUTE))
        return _checked(saved).cookie or None

    def edit(self, handle: str) -> Editing:
        """Return a context manager, for ``with`` and ``async with``, that loads a session and saves it on leaving.

        It is for code that has no request: a background task, a websocket, an admin's command. If the block raises,
        nothing is saved.

        Args:
            handle: `Session.handle`.

        Raises:
            SessionError: when entering or leaving: the session has ended.
            BackendError: Redis could not be used.
        """
        return Editing(self._engine, self, handle)

    def list(self, user: str) -> builtins.list[SessionInfo]:
        """Return the sessions of a user that have not ended, the first to end first, 500 at most.

        Args:
            user: as given to `Session.log_in`.
        """
        return drive(self._engine.sessions.index.list(self._engine.blocking, user))

    async def alist(self, user: str) -> builtins.list[SessionInfo]:
        """Do what `list` does, for async callers."""
        return await self._engine.sessions.index.list(self._engine.asyncio, user)

    def revoke(self, handle: str) -> bool:
        """End a session, whoever uses it now; say whether there was one.

        Raises:
            BackendError: Redis could not be used: it may still be there.
        """
        return drive(self._engine.sessions.index.revoke(self._engine.blocking, _handle(handle)))

    async def arevoke(self, handle: str) -> bool:
        """Do what `revoke` does, for async callers."""
        return await self._engine.sessions.index.revoke(self._engine.asyncio, _handle(handle))

    def revoke_all(self, user: str, *, keep: str = "") -> int:
        """End all sessions of a user, after a change of the password say; return how many there were.

        Whoever is about to log in while this runs is not logged in.

        Args:
            user: as given to `Session.log_in`.
            keep: the handle of a session that stays.

        Raises:
            BackendError: Redis could not be used: some may still be there. Repeat it.
        """
        return drive(self._engine.sessions.index.revoke_all(self._engine.blocking, user, keep))

    async def arevoke_all(self, user: str, *, keep: str = "") -> int:
        """Do what `revoke_all` does, for async callers."""
        return await self._engine.sessions.index.revoke_all(self._engine.asyncio, user, keep)


class Editing:
    """A session that is saved when a block ends."""

    def __init__(self, engine: Engine, sessions: Sessions, handle: str) -> None:
        self._engine = engine
        self._sessions = sessions
        self._handle = _handle(handle)
        self._session: Session | None = None

    def __enter__(self) -> Session:
        return drive(self._load(self._engine.blocking))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            drive(self._save(self._engine.blocking))

    async def __aenter__(self) -> Session:
        return await self._load(self._engine.asyncio)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await self._save(self._engine.asyncio)

    async def _load(self, port: Port) -> Session:
        session = Session(self._sessions.codec())
        if not await self._engine.sessions.load(port, session.state, self._handle, ""):
            raise SessionError("there is no such session any more: it has ended")
        self._session = session
        return session

    async def _save(self, port: Port) -> None:
        session, self._session = self._session, None
        if session is not None:
            terms = session_terms(IDLE, ABSOLUTE)
            _checked(await self._engine.sessions.save(port, session.state, self._sessions.codec(), terms))


def session_terms(idle: Duration, absolute: Duration, grace: Duration = GRACE, user_key: str | None = None) -> Terms:
    """Return how long sessions last.

    Raises:
        ConfigurationError: they cannot last so long.
    """
    terms = Terms(seconds(idle, "idle"), seconds(absolute, "absolute"), seconds(grace, "grace", zero=True), user_key)
    if terms.idle > terms.absolute and absolute == ABSOLUTE:  # who says both knows that the shorter one counts
        msg = f"idle={idle!r} is longer than absolute={absolute!r}, which ends every session: give absolute=, too"
        raise ConfigurationError(msg)
    return terms


def _checked(saved: Saved) -> Saved:
    if saved.kind == "dropped":
        raise SessionError("the session has ended meanwhile, or has a new secret: nothing was stored")
    return saved


def _handle(text: str) -> str:
    # Callers are often untyped.
    if not isinstance(text, str) or not text:  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = "a session is known by its handle, a text such as session.handle"
        raise ConfigurationError(msg)
    return text
