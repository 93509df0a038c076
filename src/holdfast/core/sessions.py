"""Sessions: loaded, saved, ended, listed and revoked, in the order that lets nothing come back and nothing get lost.

load      one script, which renews the idle time by the server's clock
save      one script, all or nothing; if others have changed the same data meanwhile, merge and try again
create    always under a fresh handle and secret, never under one that a client sent
log in    enter the user's index, save, then look whether all of the user's sessions were revoked meanwhile: whoever
          revokes leaves a mark before it reads the index, so that one of the two sees the other
end       the key is deleted; a request that still runs can only save to a session that is there
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from holdfast._missing import MISSING
from holdfast.codec import Codec
from holdfast.commands import Command
from holdfast.core.records import Recorder
from holdfast.core.session_index import SessionIndex
from holdfast.core.session_known import Known, Wanted
from holdfast.core.session_state import SessionState, frame_key, id_of
from holdfast.errors import BackendError, SessionError
from holdfast.events import SessionDropped, SessionUnreadable
from holdfast.policy.names import Names
from holdfast.policy.session_cookie import HANDLE_SIZE, SECRET_SIZE, digest, write_id
from holdfast.port import Port
from holdfast.scripts import sessions as scripts
from holdfast.scripts.sessions import ANY, Change, Turn

_log = logging.getLogger("holdfast")

_ENDED: Final = 0
_DONE: Final = 1
_CONFLICT: Final = 2
_LOADED: Final = 2
_SUPERSEDED: Final = 1
_REPLACED: Final = 3
_MERGES: Final = 1000
"""Times that others may change the same data first. Each time one of them has got on, so a crowd needs as many."""
_CROWD: Final = 8
"""Rounds after which there is a crowd."""
_PAUSE: Final = 0.01
"""Seconds that each round then waits at most."""
_MOST_KNOWN: Final = 4096
"""Visitors whose commands are remembered."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How long sessions last, in seconds, and what tells whose they are."""

    idle: float
    absolute: float
    grace: float = 10.0
    user_key: str | None = None
    """The name of a datum that tells whose the session is."""


class Saved(NamedTuple):
    """What came of saving a session."""

    kind: Literal["nothing", "created", "saved", "ended", "dropped"]
    cookie: str = ""
    """What the visitor has to be given: the session is new, or has a new secret."""
    lasts: float | None = None
    """Seconds that it lasts whatever happens, if that is new."""


class SessionKeeping:
    """Keeps the sessions of one layer."""

    def __init__(self, names: Names, recorder: Recorder) -> None:
        self._names = names
        self._recorder = recorder
        self.index = SessionIndex(names)
        self._loads: dict[tuple[str, str], Command] = {}

    def _failed(self, what: str, error: BackendError) -> None:
        """Count and tell that Redis could not be used for a session."""
        self._recorder.backend_failed(self._recorder.tally("sessions"), what, error)

    async def load(self, port: Port, session: SessionState, handle: str, secret: str) -> bool:
        """Load a session; say whether there is one.

        Args:
            port: where to ask.
            session: to be filled.
            handle: of what is asked for.
            secret: as the visitor sent it; empty for our own code.

        Raises:
            BackendError: Redis could not be asked.
        """
        try:
            kind, *found = await port.call(self._load_command(handle, secret))
        except BackendError as error:
            self._failed("load", error)
            raise
        if kind != _LOADED:
            session.found_nothing()
            session.unkept = "superseded" if kind == _SUPERSEDED else ""
            return False
        fields = iter(found[0])
        frames: dict[bytes, bytes] = dict(zip(fields, fields, strict=True))
        user = frames.get(b"@u")
        session.loaded(Known(handle, secret, user.decode() if user else "", raw=frames), frames)
        session.unreadable = self._tell_unreadable
        return True

    def _load_command(self, handle: str, secret: str) -> Command:
        """Return what loads a session. The same visitors come again, and the same is sent for them: it is made once."""
        command = self._loads.get((handle, secret))
        if command is None:
            command = scripts.load(self._names.session(handle), digest(secret) if secret else "")
            if len(handle) == HANDLE_SIZE:
                if len(self._loads) >= _MOST_KNOWN:
                    self._loads.clear()
                command = self._loads[handle, secret] = command._replace(packed=[])
        return command

    def _tell_unreadable(self, handle: str, name: str, reason: str) -> None:
        _log.warning("the datum %r of a session cannot be read: %s", name, reason)
        if self._recorder.hooks:
            self._recorder.emit(SessionUnreadable(handle, name, reason))

    async def save(self, port: Port, session: SessionState, codec: Codec, terms: Terms) -> Saved:
        """Store what has changed of a session, and nothing else.

        Raises:
            BackendError: Redis could not be asked: perhaps nothing was stored.
            SerializationError: a value cannot be stored; nothing was.
        """
        try:
            return await self._save(port, session, codec, terms)
        except BackendError as error:
            self._failed("save", error)
            raise

    async def _save(self, port: Port, session: SessionState, codec: Codec, terms: Terms) -> Saved:
        ended = bool(session.wanted.ended)
        if ended:
            await self._end(port, session)
        _note_user(session, terms.user_key)
        if not session.known.handle:
            return await self._create(port, session, codec, terms, Saved("ended" if ended else "nothing"))
        values = session.changed()
        if not values and session.wanted.is_nothing:
            return Saved("ended" if ended else "nothing")
        return await self._change(port, session, codec, terms, values)

    async def _end(self, port: Port, session: SessionState) -> None:
        """End the sessions that an object was before."""
        while session.wanted.ended:
            known = session.wanted.ended[0]
            # Whoever has loaded it may end it, even if it has a new secret since: a log-out is never lost.
            gone, *user = await port.call(scripts.finish(self._names.session(known.handle)))
            if gone and user[0]:
                await self.index.leave(port, user[0].decode(), known.handle)
            session.wanted.ended.pop(0)

    async def begin(self, port: Port, session: SessionState, codec: Codec, terms: Terms) -> str:
        """Store a new session, whatever is in it, and return the value of its cookie."""
        saved = await self._create(port, session, codec, terms, Saved("nothing"), always=True)
        if not saved.cookie:
            raise SessionError("all sessions of this user were revoked while this one began")
        return saved.cookie

    async def _create(
        self, port: Port, session: SessionState, codec: Codec, terms: Terms, otherwise: Saved, *, always: bool = False
    ) -> Saved:
        values, wanted = session.written(), session.wanted
        if not values and not wanted.user and not always:
            return otherwise
        if session.unkept and not wanted.user:
            return self._drop(session, session.unkept, otherwise)
        handle, secret = _random(port, HANDLE_SIZE), _random(port, SECRET_SIZE)
        idle, lasts = wanted.idle or terms.idle, wanted.lasts or terms.absolute
        frames = _encoded(port, codec, handle, values)
        user = wanted.user or ""
        mark = await self.index.enter(port, user, handle, lasts)
        data = {f".{name}": frame for name, frame in frames.items() if frame is not None}
        command = scripts.create(
            self._names.session(handle),
            digest(secret),
            idle=idle,
            lasts=lasts,
            user=user,
            data=data,
            persistent=wanted.persistent,
        )
        created, now = await port.call(command)
        if not created:
            raise SessionError("a session of that name is there already: random numbers repeat themselves here")
        known = Known(handle, secret, user, (now / 1000, now / 1000 + lasts, idle))
        if not await self.index.has(port, user, handle, mark):
            await port.call(scripts.finish(self._names.session(handle)))
            return self._drop(session, "revoked", otherwise)
        known.persistent = wanted.persistent
        session.known, session.unkept = known, ""
        session.saved(frames, values)
        return Saved("created", write_id(handle, secret), lasts)

    async def _change(
        self, port: Port, session: SessionState, codec: Codec, terms: Terms, values: dict[str, Any]
    ) -> Saved:
        known, wanted = session.known, session.wanted
        if wanted.rotates and not known.secret:
            msg = "a new secret would reach nobody: rotate, or log in, where the visitor's request is answered"
            raise SessionError(msg)
        secret = _random(port, SECRET_SIZE) if wanted.rotates else ""
        turn = _turn(wanted, secret, terms.grace)
        user = wanted.user if wanted.user is not None else known.user if wanted.lasts else ""
        lasts = max(terms.absolute, wanted.lasts or 0.0, (known.ends or 0.0) - port.now()) if user else 0.0
        mark = await self.index.enter(port, user, known.handle, lasts) if user else None
        kind, told, frames = await self._store(port, session, codec, turn, values)
        if kind == _REPLACED and not wanted.user:
            # Another request has given it a new secret, which the visitor gets from there.
            secret, turn = "", turn._replace(digest="")
            kind, told, frames = await self._store(port, session, codec, turn, values)
        if kind != _DONE:
            return await self._go_on_without(port, session, codec, terms, ended=kind == _ENDED)
        now, ends, owner = told
        if owner and (wanted.user or wanted.lasts) and (ends - now) / 1000 > (lasts if user == owner.decode() else 0.0):
            # Another request has made it last longer, or somebody's, meanwhile.
            user = owner.decode()
            mark = await self.index.enter(port, user, known.handle, (ends - now) / 1000)
        before, is_longer = known.user, bool(wanted.lasts) or wanted.persistent is not None
        _note(known, wanted, secret, now / 1000)
        session.saved(frames, values)
        if before and before != known.user:
            await self.index.leave(port, before, known.handle)
        if mark is not None and not await self.index.has(port, user, known.handle, mark):
            await port.call(scripts.finish(self._names.session(known.handle)))
            session.known = Known()
            return Saved("ended")
        left = (ends - now) / 1000 if secret or is_longer else None
        return Saved("saved", write_id(known.handle, known.secret) if secret else "", left)

    async def _store(
        self, port: Port, session: SessionState, codec: Codec, turn: Turn, values: dict[str, Any]
    ) -> tuple[int, list[Any], dict[str, bytes | None]]:
        """Store data, merged with what others have stored meanwhile; `values` are then those that were.

        Returns:
            What the script says, what it tells besides, and the frames.
        """
        known = session.known
        proof = digest(known.secret) if known.secret else ""
        versions = {name: session.version(name) for name in values}
        frames = _encoded(port, codec, known.handle, values)
        for round_ in range(_MERGES):
            if round_ >= _CROWD:  # who comes late lets the others go first, so that there are fewer
                await port.sleep(port.random() * _PAUSE)
            changes = [Change(f".{name}", versions[name], frames[name] or b"") for name in values]
            kind, *found = await port.call(scripts.save(self._names.session(known.handle), proof, turn, changes))
            if kind != _CONFLICT:
                return kind, found, frames
            for field, theirs in zip(found[::2], found[1::2], strict=True):
                name = field.decode()[1:]
                values[name] = session.merged(name, theirs or None)
                # What does not depend on the other's value may replace whatever comes next as well.
                versions[name] = (id_of(theirs) if theirs else "") if session.merges(name) else ANY
                frames |= _encoded(port, codec, known.handle, {name: values[name]})
        msg = f"others have changed the same data {_MERGES} times in a row: nothing was stored"
        raise SessionError(msg)

    async def _go_on_without(
        self, port: Port, session: SessionState, codec: Codec, terms: Terms, *, ended: bool
    ) -> Saved:
        """Do what is right when a session has ended meanwhile, or its secret was replaced.

        Whoever has just logged in has proved who they are: what this request wrote begins a new session. Nothing that
        was loaded comes with it.
        """
        why = "ended" if ended else "superseded"
        if not session.wanted.user:
            return self._drop(session, why, Saved("dropped"))
        session.start_anew(session.written())
        return await self._create(port, session, codec, terms, Saved("nothing"))

    def drop(self, session: SessionState, why: str) -> Saved:
        """Note that the changes of a session will not be stored."""
        return self._drop(session, why, Saved("nothing"))

    def _drop(self, session: SessionState, why: str, otherwise: Saved) -> Saved:
        names = tuple(session.changed())
        session.unkept = why
        if self._recorder.hooks and names:
            self._recorder.emit(SessionDropped(session.known.handle, why, names))
        return Saved("dropped") if names else otherwise


def _turn(wanted: Wanted, secret: str, grace: float) -> Turn:
    """Return what is to change beside the data."""
    user = "=" if wanted.user is None else f"+{wanted.user}" if wanted.user else "-"
    return Turn(digest(secret) if secret else "", grace, user, wanted.idle, wanted.lasts, wanted.persistent)


def _note(known: Known, wanted: Wanted, secret: str, now: float) -> None:
    """Note what has changed beside the data."""
    if secret:
        known.secret = secret
    if wanted.user is not None:
        known.user = wanted.user
    if wanted.idle or wanted.lasts:
        known.expire(wanted.idle, now + wanted.lasts if wanted.lasts else None)
    if wanted.persistent is not None:
        known.persistent = wanted.persistent


def _note_user(session: SessionState, name: str | None) -> None:
    """Let a session become that of whom one of its data names."""
    if name is None or session.wanted.user is not None:
        return
    is_assigned, value = session.assigned(name)
    user = "" if value is MISSING or value is None else str(value)
    if is_assigned and user != session.known.user:
        session.wanted.user, session.wanted.rotates = user, True


def _encoded(port: Port, codec: Codec, handle: str, values: Mapping[str, Any]) -> dict[str, bytes | None]:
    now = port.now()
    frames: dict[str, bytes | None] = {}
    for name, value in values.items():
        frames[name] = None
        if value is not MISSING:
            key, version = frame_key(handle, name), port.token() + port.token()
            frames[name], _ = codec.encode_checked(key, value, id=version, created=now, fresh_until=0.0, load_time=0.0)
    return frames


def _random(port: Port, size: int) -> str:
    """Return random signs of base64url, six bits each."""
    text = ""
    while len(text) < size:
        text += port.token()
    return text[:size]
