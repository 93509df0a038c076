"""The session engine of Django: ``SESSION_ENGINE = "holdfast.django.sessions"``.

Django's own middleware reads and sets the cookie, by its own settings; its value is the session's key. What is kept is
a `holdfast.Session`: each datum is stored for itself, so that requests at the same time do not undo each other's
changes, and a session that has ended is never written again.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted

from holdfast._calls import drive
from holdfast._missing import MISSING
from holdfast.core.session import Session
from holdfast.core.session_state import UnreadableSession
from holdfast.core.sessions import Saved
from holdfast.django.session_terms import SessionTerms, session_terms
from holdfast.errors import BackendError, SessionError
from holdfast.policy.session_cookie import parse_id
from holdfast.port import Port

T = TypeVar("T")
_EXPIRY: Final = "_session_expiry"


class SessionStore(SessionBase):
    """A session of Django, which does what Django documents, and more.

    - Changes inside of values are found: ``request.session["cart"].append(1)`` needs no ``modified = True``.
    - ``request.session.change("visits", lambda visits: visits + 1, 0)`` loses no other request's change.
    - A login enters the session in the user's list: `layer.sessions.list` and `revoke_all` take ``str(user.pk)``.
    - A request that runs while its session is ended elsewhere changes nothing, and answers 400 as Django does then.

    SESSION_COOKIE_AGE, or what `set_expiry` says, is how long a session lasts without use. What SESSION_SERIALIZER says
    has no meaning here; see `HOLDFAST["sessions"]`.
    """

    accessed: bool
    _session_key: str | None  # a property of the base, which checks what it is given

    def __init__(self, session_key: str | None = None) -> None:
        self._assigned = False
        self.is_barred = False
        """Whether somebody has looked at it while it could not be loaded."""
        self._terms: SessionTerms = session_terms()
        self._blocking = self._terms.engine.blocking
        self._asyncio = self._terms.engine.asyncio
        super().__init__(session_key)

    # What Django's base asks for

    def _get_session(self, no_load: bool = False) -> Session:
        return drive(self._open(self._blocking, no_load=no_load))

    async def _aget_session(self, no_load: bool = False) -> Session:
        return await self._open(self._asyncio, no_load=no_load)

    _session = property(_get_session)

    @property
    def modified(self) -> bool:
        """Whether something has to be saved: it was said so, or a value was changed inside."""
        held = self._held
        return self._assigned or (held is not None and held.state.changes_inside())

    @modified.setter
    def modified(self, value: bool) -> None:
        self._assigned = value

    def is_empty(self) -> bool:
        """Say whether there is nothing, so that the cookie can go.

        Not if another request gave the session a new key a moment ago: the cookie that would go is the new one.
        """
        held = self._held
        return not (held is not None and held.state.unkept) and bool(super().is_empty())

    @property
    def handle(self) -> str:
        """The name of the session, which never changes and opens nothing; empty until it is stored.

        Keep it, and not the key, where your data belong to a session: the key changes when somebody logs in, and who
        knows it is let in.
        """
        return self._get_session().handle

    @property
    def loaded(self) -> Session | None:
        """The session itself, if somebody has looked at it."""
        return self._held

    def load_once(self) -> None:
        """Load the session unless that is done, without noting that the response depends on it."""
        accessed = self.accessed
        drive(self._open(self._blocking))
        self.accessed = accessed

    async def aload_once(self) -> None:
        """Do what `load_once` does, for async callers."""
        accessed = self.accessed
        await self._open(self._asyncio)
        self.accessed = accessed

    def change(self, name: str, function: Callable[[Any], T], default: Any = MISSING) -> T:
        """Change a value by a function of the old one, as `holdfast.Session.change` does, and return the new one."""
        self._assigned = True
        held: Session = self._session
        return held.change(name, function, default)

    async def achange(self, name: str, function: Callable[[Any], T], default: Any = MISSING) -> T:
        """Do what `change` does, for async callers."""
        held = await self._open(self._asyncio)
        self._assigned = True
        return held.change(name, function, default)

    def clear(self) -> None:
        """Remove all data that there are; the session stays."""
        _empty(drive(self._open(self._blocking)))
        self.accessed = self._assigned = True

    # What there is in both colours

    def load(self) -> Session:
        """Return what is stored; if there is no such session, the key is dropped, so that nobody can choose one."""
        return drive(self._load(self._blocking))

    async def aload(self) -> Session:
        """Do what `load` does, for async callers."""
        return await self._load(self._asyncio)

    async def _load(self, port: Port) -> Session:
        session, found = Session(self._terms.codec), parse_id(self.session_key)
        try:
            is_there = found is not None and await self._terms.keeping.load(port, session.state, *found)
        except BackendError:
            self.is_barred = True
            raise
        if not is_there:
            self._session_key = None
            return session
        try:
            for name in session.state.names():
                session.state.base(name)
        except UnreadableSession:  # as Django does with what another SECRET_KEY has signed
            self._session_key = None
            return Session(self._terms.codec)
        return session

    async def _open(self, port: Port, *, no_load: bool = False) -> Session:
        self.accessed = True
        held = self._held
        if held is None:
            is_new = no_load or self.session_key is None
            held = self._session_cache = Session(self._terms.codec) if is_new else await self._load(port)
        return held

    def exists(self, session_key: str) -> bool:
        """Say whether there is a session with this key."""
        return drive(self._find(self._blocking, session_key)) is not None

    async def aexists(self, session_key: str) -> bool:
        """Do what `exists` does, for async callers."""
        return await self._find(self._asyncio, session_key) is not None

    async def _find(self, port: Port, session_key: str | None) -> Session | None:
        session, found = Session(self._terms.codec), parse_id(session_key)
        if found is None or not await self._terms.keeping.load(port, session.state, found.handle, found.secret):
            return None
        return session

    def create(self) -> None:
        """Store the data under a fresh key, whatever the key was before."""
        drive(self._create(self._blocking))

    async def acreate(self) -> None:
        """Do what `create` does, for async callers."""
        await self._create(self._asyncio)

    async def _create(self, port: Port) -> None:
        before = self._held
        held = Session(self._terms.codec)
        held.update(before or {})
        self._note(held)
        try:
            self._session_key = await self._terms.keeping.begin(port, held.state, self._terms.codec, self._terms.times)
        except SessionError:  # all sessions of this user were revoked meanwhile
            raise UpdateError from None
        self._session_cache = held
        self._assigned = True

    def save(self, must_create: bool = False) -> None:
        """Store what has changed.

        Args:
            must_create: store all of it under a fresh key.

        Raises:
            UpdateError: the session has ended meanwhile, or another request gave it a new key.
            BackendError: Redis could not be used.
            SerializationError: a value is of a type that the serializer does not take.
        """
        drive(self._save(self._blocking, must_create=must_create))

    async def asave(self, must_create: bool = False) -> None:
        """Do what `save` does, for async callers."""
        await self._save(self._asyncio, must_create=must_create)

    async def _save(self, port: Port, *, must_create: bool = False) -> None:
        held = await self._open(port)
        if held.state.unkept and not must_create:
            raise UpdateError
        if must_create or not held.state.known.handle:
            await self._create(port)
            return
        self._note(held)
        if held.state.wanted.is_nothing and not held.state.changed():
            held.state.wanted.idle = held.state.known.idle  # so that it shows whether it has ended
        await self._store(port, held)

    async def _store(self, port: Port, held: Session) -> None:
        saved: Saved = await self._terms.keeping.save(port, held.state, self._terms.codec, self._terms.times)
        if saved.kind == "dropped" or not held.state.known.handle:
            raise UpdateError
        if saved.cookie:
            self._session_key = saved.cookie

    def cycle_key(self) -> None:
        """Give the session a new key, at once; the old one is dead. The data stay."""
        drive(self._cycle(self._blocking))

    async def acycle_key(self) -> None:
        """Do what `cycle_key` does, for async callers."""
        await self._cycle(self._asyncio)

    async def _cycle(self, port: Port) -> None:
        held = await self._open(port)
        if not held.state.known.handle:
            await self._create(port)
            return
        held.rotate()
        self._note(held)
        try:
            await self._store(port, held)
        except UpdateError:
            if SESSION_KEY in held:  # a login that was ended elsewhere must not come back with its data
                raise SessionInterrupted("the session has ended while this request ran") from None
            await self._create(port)
        self._assigned = True

    def flush(self) -> None:
        """End the session: nothing of it is left, and what is written after this begins a new one."""
        drive(self._flush(self._blocking))

    async def aflush(self) -> None:
        """Do what `flush` does, for async callers."""
        await self._flush(self._asyncio)

    async def _flush(self, port: Port) -> None:
        await self._end(port, await self._open(port))
        self._session_cache = Session(self._terms.codec)
        self._session_key = None
        self._assigned = True

    def delete(self, session_key: str | None = None) -> None:
        """End the session with this key, or this one."""
        drive(self._delete(self._blocking, session_key))

    async def adelete(self, session_key: str | None = None) -> None:
        """Do what `delete` does, for async callers."""
        await self._delete(self._asyncio, session_key)

    async def _delete(self, port: Port, session_key: str | None) -> None:
        found = await self._find(port, self.session_key if session_key is None else session_key)
        if found is not None:
            await self._end(port, found)

    async def _end(self, port: Port, session: Session) -> None:
        if session.state.known.handle:
            session.end()
            await self._terms.keeping.save(port, session.state, self._terms.codec, self._terms.times)

    @classmethod
    def clear_expired(cls) -> None:
        """Do nothing: Redis drops sessions that have ended."""

    @classmethod
    async def aclear_expired(cls) -> None:
        """Do nothing: Redis drops sessions that have ended."""

    # What is told along with the data

    @property
    def _held(self) -> Session | None:
        held: Session | None = self.__dict__.get("_session_cache")
        return held

    def _note(self, held: Session) -> None:
        """Say whose the session is, and how long it lasts, where that has changed."""
        is_assigned, user = held.state.assigned(SESSION_KEY)
        if is_assigned:
            text = "" if user is MISSING or user is None else str(user)
            if text != held.state.known.user:
                held.state.wanted.user = text
        if held.state.assigned(_EXPIRY)[0] or not held.state.known.handle:
            held.state.wanted.idle, held.state.wanted.lasts = self._times(held)

    def _times(self, held: Session) -> tuple[float, float]:
        """Return for how many seconds a session lasts without use, and whatever happens."""
        expiry = held.get(_EXPIRY)
        age = max(0.001, float(cast("float", self.get_expiry_age(expiry=expiry))))
        longest = self._terms.times.absolute
        return (age, age) if isinstance(expiry, str) else (age, max(age, longest))


def _empty(session: Session) -> None:
    for name in list(session):
        del session[name]
