"""What is known of a session in memory: what was loaded, what was changed since, and what of it is to be saved.

This is the half of `Session` that the rest of holdfast uses. Nothing here asks Redis.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from holdfast._missing import MISSING
from holdfast.codec import NOT_PLAIN, Codec
from holdfast.errors import BackendError, SessionError
from holdfast.policy.frame import ID_OFFSET, ID_SIZE, Unreadable
from holdfast.policy.merging import merge
from holdfast.policy.roundtrip import difference
from holdfast.scripts.sessions import ABSENT, ANY

_log = logging.getLogger("holdfast")

_SETTLED: Final[frozenset[type]] = frozenset({str, int, float, bool, type(None), bytes})
"""Types of values that nobody can change inside."""


class Known:
    """What Redis knows of a session. Most requests want none of it, so it is worked out when somebody asks."""

    __slots__ = ("_raw", "_times", "handle", "persistent", "secret", "user")

    def __init__(
        self,
        handle: str = "",
        secret: str = "",
        user: str = "",
        times: tuple[float, float, float] | None = None,
        raw: Mapping[bytes, bytes] | None = None,
    ) -> None:
        """Note it.

        Args:
            handle: of the session; empty if it is not stored.
            secret: by which it was loaded; empty for our own code, which knows it by its handle.
            user: whose it is; empty if nobody's.
            times: when it was created and when it ends whatever happens, in Unix seconds, and its idle time.
            raw: the fields that tell these times, instead.
        """
        self.handle = handle
        self.secret = secret
        self.user = user
        self._times = times
        self._raw = raw
        self.persistent: bool | None = None if raw is None or b"@p" not in raw else raw[b"@p"] == b"1"
        """Whether its cookie outlives the browser; None: as usual."""

    def __repr__(self) -> str:
        return f"Known({self.handle!r})"

    @property
    def times(self) -> tuple[float, float, float] | None:
        """When it was created and when it ends, in Unix seconds, and its idle time; None if it is not stored."""
        if self._times is None and self._raw is not None:
            created, ends, idle = (float(self._raw[name]) / 1000 for name in (b"@c", b"@a", b"@i"))
            self._times = created, ends, idle
        return self._times

    @property
    def created(self) -> float | None:
        """When it was created, in Unix seconds."""
        return None if self.times is None else self.times[0]

    @property
    def ends(self) -> float | None:
        """When it ends whatever happens, in Unix seconds."""
        return None if self.times is None else self.times[1]

    @property
    def idle(self) -> float | None:
        """Seconds without use after which it ends."""
        return None if self.times is None else self.times[2]

    def expire(self, idle: float | None, ends: float | None) -> None:
        """Note that it lasts for other times now; None where they stay."""
        if self.times is not None:
            created, last, usual = self.times
            self._times = created, ends or last, idle or usual


@dataclass(slots=True)
class Wanted:
    """What is to become of a session beside its data."""

    rotates: bool = False
    user: str | None = None
    """Whose it is to be; empty: nobody's; None: as it is."""
    idle: float | None = None
    lasts: float | None = None
    persistent: bool | None = None
    """Whether its cookie outlives the browser; None: as it is."""
    ended: list[Known] = field(default_factory=list[Known])
    """Sessions that are to end: this object was theirs before."""

    @property
    def is_nothing(self) -> bool:
        """Whether all stays as it is."""
        times = self.idle is None and self.lasts is None and self.persistent is None
        return times and not self.rotates and self.user is None


class SessionState:
    """The state of a session; every name in it may change without notice."""

    __slots__ = (
        "_accessed",
        "_barred",
        "_changers",
        "_closed",
        "_codec",
        "_deleted",
        "_frames",
        "_load",
        "_touched",
        "_values",
        "_wanted",
        "_written",
        "known",
        "unkept",
        "unreadable",
    )

    def __init__(self, codec: Codec, known: Known | None = None, load: Callable[[Any], None] | None = None) -> None:
        self._codec = codec
        self._load = load
        self.known = known or Known()
        self._wanted: Wanted | None = None
        self.unreadable: Callable[[str, str, str], None] | None = None
        """Is told of what cannot be read: the handle, the name and the reason. For holdfast only."""
        self.unkept = ""
        """Why nothing of it will be stored: its secret was replaced, or Redis could not be asked. For holdfast only."""
        self._frames: dict[bytes, bytes] = {}
        """By field, as they were loaded or saved last; also what we know of it, if it was loaded."""
        self._values: dict[str, Any] = {}
        """By name, decoded or assigned."""
        self._deleted: set[str] = set()
        """Of what was loaded."""
        self._written: set[str] = set()
        """What was assigned or deleted since."""
        self._touched = False
        """Whether `mark_modified` was called."""
        self._changers: dict[str, list[tuple[Callable[[Any], Any], Any]]] = {}
        self._accessed = False
        self._barred = False
        self._closed = ""

    @property
    def is_closed(self) -> bool:
        """Whether it cannot be changed any more."""
        return bool(self._closed)

    def close(self, why: str) -> None:
        """Refuse all further writes; an empty text permits them again."""
        self._closed = why

    @property
    def wanted(self) -> Wanted:
        """What is to become of it beside its data."""
        if self._wanted is None:
            self._wanted = Wanted()
        return self._wanted

    @wanted.setter
    def wanted(self, wanted: Wanted) -> None:
        self._wanted = wanted

    def loaded(self, known: Known, frames: dict[bytes, bytes]) -> None:
        """Take what Redis has: the fields of the hash."""
        self._load = None
        self.unkept = ""
        self.known = known
        self._frames = frames

    def look(self) -> None:
        """Note that somebody looks at it for the first time."""
        self._accessed = True
        if self._closed:
            _log.warning("a session was looked at first when its response had begun, which does not say so to caches")

    def fetch(self, load: Callable[[Any], None]) -> None:
        """Load it now, for somebody who looks at it."""
        try:
            load(self)
        except BackendError:
            self._barred = True
            raise

    def found_nothing(self) -> None:
        """Note that there was nothing to load."""
        self._load = None

    @property
    def is_loaded(self) -> bool:
        """Whether it is known what Redis has."""
        return self._load is None

    @property
    def is_barred(self) -> bool:
        """Whether somebody has asked for what could not be loaded."""
        return self._barred

    def has(self, name: str) -> bool:
        """Say whether there is such a datum."""
        return name in self._values or (self._frame(name) is not None and name not in self._deleted)

    def names(self) -> list[str]:
        """Return what there is, without noting that somebody has looked at it."""
        stored = [field[1:].decode("utf-8", "replace") for field in self._frames if field[:1] == b"."]
        kept = [name for name in stored if name not in self._deleted]
        return kept + [name for name in self._values if self._frame(name) is None]

    def may_have_changed(self) -> bool:
        """Say, without comparing anything, whether there may be something to save."""
        if self._written or self._touched or self._wanted is not None:
            return True
        return not _SETTLED.issuperset(map(type, self._values.values()))

    def changes_inside(self) -> bool:
        """Say whether values were changed in place since they were saved, or dropped."""
        return not self.unkept and any(
            type(value) not in _SETTLED and self._frame(name) is not None and self._differs(name)
            for name, value in self._values.items()
        )

    def base(self, name: str) -> Any:
        """Return a value as it was loaded or saved last; MISSING if there was none."""
        frame = self._frame(name)
        return MISSING if frame is None else self._decoded(name, frame)

    def version(self, name: str) -> str:
        """Return the id of the frame that was loaded or saved last."""
        frame = self._frame(name)
        return ABSENT if frame is None else id_of(frame)

    def changed(self) -> dict[str, Any]:
        """Return the data that differ from what was loaded or saved last, by name; MISSING where one was deleted."""
        found: dict[str, Any] = {}
        for name in sorted(self._written):
            if name not in self._values:
                if self._frame(name) is not None:
                    found[name] = MISSING
            elif self._differs(name):
                found[name] = self._values[name]
        found |= {
            name: value
            for name, value in self._values.items()
            if name not in self._written and type(value) not in _SETTLED and self._differs(name)
        }
        return found

    def assigned(self, name: str) -> tuple[bool, Any]:
        """Say whether a value was assigned or deleted since, and return it; MISSING where there is none."""
        is_assigned = name in self._written
        return is_assigned, self._values.get(name, MISSING) if is_assigned else MISSING

    def merged(self, name: str, theirs: bytes | None) -> Any:
        """Return what a value has to become that another request has changed meanwhile; MISSING: nothing.

        What `change` did is done again to the other's value. Everything else is merged with it.

        Args:
            name: of the value.
            theirs: the frame that is there now.
        """
        ours, changers = self._values.get(name, MISSING), self._changers.get(name)
        try:
            found = MISSING if theirs is None else self._decoded(name, theirs)
            base = self.base(name)
        except UnreadableSession:
            if changers is not None:
                raise
            return ours
        if changers is None:
            return merge(base, ours, found)
        if found is MISSING and changers[0][1] is MISSING:
            msg = f"the session's {name!r} was deleted meanwhile, and change() has no default for it"
            raise SessionError(msg)
        alone = _applied(changers, base)
        if difference(alone, ours) is None:
            return _applied(changers, found)
        return merge(alone, ours, _applied(changers, found))  # it was changed in place as well

    def merges(self, name: str) -> bool:
        """Say whether what is to be stored depends on what is there."""
        return name in self._changers or type(self._values.get(name)) is dict

    def saved(self, frames: Mapping[str, bytes | None], values: Mapping[str, Any]) -> None:
        """Note what was stored, by name; None where a datum was deleted."""
        for name, frame in frames.items():
            if frame is None:
                self._frames.pop(_field(name), None)
                self._values.pop(name, None)
            else:
                self._frames[_field(name)] = frame
                self._values[name] = values[name]
        self._deleted.clear()
        self._written.clear()
        self._changers.clear()
        self._touched = False
        self._wanted = None

    def written(self) -> dict[str, Any]:
        """Return what this request has assigned or changed, by name."""
        return {name: value for name, value in self.changed().items() if value is not MISSING}

    def start_anew(self, values: dict[str, Any]) -> None:
        """Become a new session with these data: the one before has ended meanwhile."""
        wanted = self.wanted
        self.known = Known()
        self._forget()
        self._values = dict(values)
        self._written = set(values)
        self.wanted = Wanted(user=wanted.user, idle=wanted.idle, lasts=wanted.lasts, persistent=wanted.persistent)

    def _forget(self) -> None:
        self._load = None
        self._frames, self._values, self._changers = {}, {}, {}
        self._written, self._deleted = set(), set()

    def _frame(self, name: str) -> bytes | None:
        return self._frames.get(_field(name))

    def _decoded(self, name: str, frame: bytes) -> Any:
        codec = self._codec
        try:
            value = codec.quick(frame)
            if value is NOT_PLAIN:
                value = codec.value(codec.open(frame_key(self.known.handle, name), frame))
        except Unreadable as error:
            if self.unreadable is not None:
                self.unreadable(self.known.handle, name, str(error))
            raise UnreadableSession(name, str(error)) from None
        return value

    def _differs(self, name: str) -> bool:
        frame, value = self._frame(name), self._values[name]
        if frame is None:
            return True
        holds = self._codec.holds(frame, value)
        if holds is not None:
            return not holds
        try:
            before = self._decoded(name, frame)
        except UnreadableSession:  # whoever assigns need not be able to read what was there
            return True
        return type(before) is not type(value) or difference(before, value) is not None


class UnreadableSession(SessionError):  # noqa: N818 - reads as what was found
    """A datum in a session cannot be read: another serializer or secret wrote it, or it is damaged."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"the session's {name!r} cannot be read ({reason}): was the secret or the serializer changed?")
        self.name = name
        self.reason = reason


def frame_key(handle: str, name: str) -> str:
    """Return what the frame of a datum is signed with beside itself, so that it is good for nothing elsewhere."""
    return f"session:{handle}:{name}"


def id_of(frame: bytes) -> str:
    """Return the id of a frame: the version of its datum."""
    found = frame[ID_OFFSET : ID_OFFSET + ID_SIZE]
    return found.decode() if found.isascii() and len(found) == ID_SIZE else ANY  # else it is no frame of ours


def _field(name: str) -> bytes:
    """Return the field of a datum in the hash."""
    return b"." + name.encode("utf-8", "surrogatepass")


def _applied(changers: list[tuple[Callable[[Any], Any], Any]], value: Any) -> Any:
    for function, default in changers:
        value = function(default if value is MISSING else value)
    return value
