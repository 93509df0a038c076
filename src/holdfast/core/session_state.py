"""What is known of a session in memory: what was loaded, what was changed since, and what of it is to be saved.

This is what the rest of holdfast uses of a `Session`. Nothing here asks Redis.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from holdfast._missing import MISSING
from holdfast.codec import NOT_PLAIN, Codec
from holdfast.core.session_known import Known, Wanted
from holdfast.errors import SessionError
from holdfast.policy.frame import ID_OFFSET, ID_SIZE, Unreadable
from holdfast.policy.merging import merge
from holdfast.policy.roundtrip import difference
from holdfast.scripts.sessions import ABSENT, ANY

_log = logging.getLogger("holdfast")

_SETTLED: Final[frozenset[type]] = frozenset({str, int, float, bool, type(None), bytes})
"""Types of values that nobody can change inside."""


class SessionState:
    """The state of a session; every name in it may change without notice."""

    __slots__ = (
        "_codec",
        "_wanted",
        "accessed",
        "assigned_names",
        "changers",
        "closed",
        "deleted",
        "frames",
        "is_barred",
        "known",
        "loader",
        "touched",
        "unkept",
        "unreadable",
        "values",
    )

    def __init__(
        self, codec: Codec, known: Known | None = None, load: Callable[[SessionState], None] | None = None
    ) -> None:
        self._codec = codec
        self.loader = load
        """Loads it when somebody looks at it; None once it is known what Redis has."""
        self.known = known or Known()
        self._wanted: Wanted | None = None
        self.unreadable: Callable[[str, str, str], None] | None = None
        """Is told of what cannot be read: the handle, the name and the reason."""
        self.unkept = ""
        """Why nothing of it will be stored: its secret was replaced, or Redis could not be asked."""
        self.frames: dict[bytes, bytes] = {}
        """By field, as they were loaded or saved last; also what we know of it, if it was loaded."""
        self.values: dict[str, Any] = {}
        """By name, decoded or assigned."""
        self.deleted: set[str] = set()
        """Of what was loaded."""
        self.assigned_names: set[str] = set()
        """What was assigned or deleted since."""
        self.touched = False
        """Whether `mark_modified` was called."""
        self.changers: dict[str, list[tuple[Callable[[Any], Any], Any]]] = {}
        self.accessed = False
        self.is_barred = False
        """Whether somebody has asked for what could not be loaded."""
        self.closed = ""

    @property
    def is_closed(self) -> bool:
        """Whether it cannot be changed any more."""
        return bool(self.closed)

    def close(self, why: str) -> None:
        """Refuse all further writes; an empty text permits them again."""
        self.closed = why

    @property
    def user(self) -> str:
        """Whose it is to be; empty: nobody's."""
        wanted = None if self._wanted is None else self._wanted.user
        return self.known.user if wanted is None else wanted

    @property
    def modified(self) -> bool:
        """Whether something was assigned, deleted or asked for."""
        wanted = self._wanted
        return bool(self.assigned_names or self.touched or (wanted and (wanted.ended or not wanted.is_nothing)))

    def end(self) -> None:
        """Be a new session from now on: what it was before ends when it is saved."""
        kept = self.wanted
        if self.known.handle:
            kept.ended.append(self.known)
        self.known = Known()
        self.wanted = Wanted(ended=kept.ended, idle=kept.idle, lasts=kept.lasts, persistent=kept.persistent)
        self.forget()
        self.touched = True

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
        self.loader = None
        self.unkept = ""
        self.known = known
        self.frames = frames

    def look(self) -> None:
        """Note that somebody looks at it for the first time."""
        self.accessed = True
        if self.closed:
            _log.warning("a session was looked at first when its response had begun, which does not say so to caches")

    def fetch(self, load: Callable[[SessionState], None]) -> None:
        """Load it now, for somebody who looks at it."""
        try:
            load(self)
        except Exception:
            self.is_barred = True
            raise

    def found_nothing(self) -> None:
        """Note that there was nothing to load."""
        self.loader = None

    def has(self, name: str) -> bool:
        """Say whether there is such a datum."""
        return name in self.values or (self.frame(name) is not None and name not in self.deleted)

    def names(self) -> list[str]:
        """Return what there is, without noting that somebody has looked at it."""
        stored = [field[1:].decode("utf-8", "replace") for field in self.frames if field[:1] == b"."]
        kept = [name for name in stored if name not in self.deleted]
        return kept + [name for name in self.values if self.frame(name) is None]

    def may_have_changed(self) -> bool:
        """Say, without comparing anything, whether there may be something to save."""
        if self.assigned_names or self.touched or self._wanted is not None:
            return True
        return not _SETTLED.issuperset(map(type, self.values.values()))

    def changes_inside(self) -> bool:
        """Say whether values were changed in place since they were saved, or dropped."""
        return not self.unkept and any(
            type(value) not in _SETTLED and self.frame(name) is not None and self._differs(name)
            for name, value in self.values.items()
        )

    def base(self, name: str) -> Any:
        """Return a value as it was loaded or saved last; MISSING if there was none."""
        frame = self.frame(name)
        return MISSING if frame is None else self.decoded(name, frame)

    def version(self, name: str) -> str:
        """Return the id of the frame that was loaded or saved last."""
        frame = self.frame(name)
        return ABSENT if frame is None else id_of(frame)

    def changed(self) -> dict[str, Any]:
        """Return the data that differ from what was loaded or saved last, by name; MISSING where one was deleted."""
        found: dict[str, Any] = {}
        for name in sorted(self.assigned_names):
            if name not in self.values:
                if self.frame(name) is not None:
                    found[name] = MISSING
            elif self._differs(name):
                found[name] = self.values[name]
        found |= {
            name: value
            for name, value in self.values.items()
            if name not in self.assigned_names and type(value) not in _SETTLED and self._differs(name)
        }
        return found

    def assigned(self, name: str) -> tuple[bool, Any]:
        """Say whether a value was assigned or deleted since, and return it; MISSING where there is none."""
        is_assigned = name in self.assigned_names
        return is_assigned, self.values.get(name, MISSING) if is_assigned else MISSING

    def merged(self, name: str, theirs: bytes | None) -> Any:
        """Return what a value has to become that another request has changed meanwhile; MISSING: nothing.

        What `change` did is done again to the other's value. Everything else is merged with it.

        Args:
            name: of the value.
            theirs: the frame that is there now.
        """
        ours, changers = self.values.get(name, MISSING), self.changers.get(name)
        try:
            found = MISSING if theirs is None else self.decoded(name, theirs)
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
        return name in self.changers or type(self.values.get(name)) is dict

    def saved(self, frames: Mapping[str, bytes | None], values: Mapping[str, Any]) -> None:
        """Note what was stored, by name; None where a datum was deleted."""
        for name, frame in frames.items():
            if frame is None:
                self.frames.pop(_field(name), None)
                self.values.pop(name, None)
            else:
                self.frames[_field(name)] = frame
                self.values[name] = values[name]
        self.deleted.clear()
        self.assigned_names.clear()
        self.changers.clear()
        self.touched = False
        self._wanted = None

    def written(self) -> dict[str, Any]:
        """Return what this request has assigned or changed, by name."""
        return {name: value for name, value in self.changed().items() if value is not MISSING}

    def start_anew(self, values: dict[str, Any]) -> None:
        """Become a new session with these data: the one before has ended meanwhile."""
        wanted = self.wanted
        self.known = Known()
        self.forget()
        self.values = dict(values)
        self.assigned_names = set(values)
        self.wanted = Wanted(user=wanted.user, idle=wanted.idle, lasts=wanted.lasts, persistent=wanted.persistent)

    def forget(self) -> None:
        """Hold nothing any more."""
        self.loader = None
        self.frames, self.values, self.changers = {}, {}, {}
        self.assigned_names, self.deleted = set(), set()

    def frame(self, name: str) -> bytes | None:
        """Return what was loaded or saved last of a datum; None if there was none."""
        return self.frames.get(_field(name))

    def decoded(self, name: str, frame: bytes) -> Any:
        """Return the value in a frame.

        Raises:
            UnreadableSession: it cannot be read.
        """
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
        frame, value = self.frame(name), self.values[name]
        if frame is None:
            return True
        holds = self._codec.holds(frame, value)
        if holds is not None:
            return not holds
        try:
            before = self.decoded(name, frame)
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
