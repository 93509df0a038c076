"""What is known of a session in memory: what was loaded, what was changed since, and what of it is to be saved.

This is the half of `Session` that the rest of holdfast uses. Nothing here asks Redis.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from holdfast._missing import MISSING
from holdfast.codec import NOT_PLAIN, Codec
from holdfast.errors import SessionError
from holdfast.policy.frame import ID_OFFSET, ID_SIZE, Unreadable
from holdfast.policy.merging import merge
from holdfast.policy.roundtrip import difference
from holdfast.policy.session_cookie import digest
from holdfast.scripts.sessions import ABSENT, ANY

_SETTLED: Final = (str, int, float, bool, type(None), bytes)
"""Types of values that nobody can change inside."""


@dataclass(slots=True)
class Known:
    """What Redis knows of a session."""

    handle: str = ""
    secret: str = field(default="", repr=False)
    """By which it was loaded; empty for our own code, which knows it by its handle."""
    user: str = ""
    created: float | None = None
    """Unix seconds."""
    ends: float | None = None
    """When it ends whatever happens; Unix seconds."""
    idle: float | None = None
    """Seconds without use after which it ends."""

    @property
    def digest(self) -> str:
        """What Redis knows of the secret; empty where there is none."""
        return digest(self.secret) if self.secret else ""


@dataclass(slots=True)
class Wanted:
    """What is to become of a session beside its data."""

    rotates: bool = False
    user: str | None = None
    """Whose it is to be; empty: nobody's; None: as it is."""
    idle: float | None = None
    lasts: float | None = None
    ended: list[Known] = field(default_factory=list[Known])
    """Sessions that are to end: this object was theirs before."""

    @property
    def is_nothing(self) -> bool:
        """Whether all stays as it is."""
        return not self.rotates and self.user is None and self.idle is None and self.lasts is None


class SessionState:
    """The state of a session; every name in it may change without notice."""

    __slots__ = (
        "_accessed",
        "_changers",
        "_closed",
        "_codec",
        "_frames",
        "_load",
        "_names",
        "_touched",
        "_values",
        "_written",
        "known",
        "unkept",
        "unreadable",
        "wanted",
    )

    def __init__(self, codec: Codec, known: Known | None = None, load: Callable[[Any], None] | None = None) -> None:
        self._codec = codec
        self._load = load
        self.known = known or Known()
        self.wanted = Wanted()
        self.unreadable: Callable[[str, str, str], None] | None = None
        """Is told of what cannot be read: the handle, the name and the reason. For holdfast only."""
        self.unkept = ""
        """Why nothing of it will be stored: its secret was replaced, or Redis could not be asked. For holdfast only."""
        self._frames: dict[str, bytes] = {}
        """By name, as they were loaded or saved last."""
        self._values: dict[str, Any] = {}
        """By name, decoded or assigned."""
        self._names: dict[str, None] = {}
        """What there is, in order."""
        self._written: set[str] = set()
        """What was assigned or deleted since."""
        self._touched = False
        """Whether `mark_modified` was called."""
        self._changers: dict[str, list[tuple[Callable[[Any], Any], Any]]] = {}
        self._accessed = False
        self._closed = ""

    def close(self, why: str) -> None:
        """Refuse all further writes; an empty text permits them again."""
        self._closed = why

    def loaded(self, known: Known, frames: dict[str, bytes]) -> None:
        """Take what Redis has."""
        self._load = None
        self.unkept = ""
        self.known = known
        self._frames = frames
        self._names = dict.fromkeys(frames)

    def found_nothing(self) -> None:
        """Note that there was nothing to load."""
        self._load = None

    @property
    def is_loaded(self) -> bool:
        """Whether it is known what Redis has."""
        return self._load is None

    def names(self) -> list[str]:
        """Return what there is, without noting that somebody has looked at it."""
        return list(self._names)

    def changes_inside(self) -> bool:
        """Say whether values were changed in place since they were saved."""
        return any(
            type(value) not in _SETTLED and self._differs(name)
            for name, value in self._values.items()
            if name in self._frames
        )

    def base(self, name: str) -> Any:
        """Return a value as it was loaded or saved last; MISSING if there was none."""
        frame = self._frames.get(name)
        return MISSING if frame is None else self._decoded(name, frame)

    def version(self, name: str) -> str:
        """Return the id of the frame that was loaded or saved last."""
        frame = self._frames.get(name)
        return ABSENT if frame is None else id_of(frame)

    def changed(self) -> dict[str, Any]:
        """Return the data that differ from what was loaded or saved last, by name; MISSING where one was deleted."""
        found: dict[str, Any] = {}
        for name in sorted(self._written):
            if name not in self._names:
                if name in self._frames:
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
        return name in self._written, self._values[name] if name in self._names and name in self._written else MISSING

    def merged(self, name: str, theirs: bytes | None) -> Any:
        """Return what a value has to become that another request has changed meanwhile; MISSING: nothing.

        What `change` did is done again to the other's value. Everything else is merged with it.

        Args:
            name: of the value.
            theirs: the frame that is there now.
        """
        found = MISSING if theirs is None else self._decoded(name, theirs)
        ours = self._values[name] if name in self._names else MISSING
        try:
            base = self.base(name)
        except UnreadableSession:
            return ours
        changers = self._changers.get(name)
        if changers is None:
            return merge(base, ours, found)
        alone = _applied(changers, base)
        if difference(alone, ours) is None:
            return _applied(changers, found)
        return merge(alone, ours, _applied(changers, found))  # it was changed in place as well

    def saved(self, frames: Mapping[str, bytes | None], values: Mapping[str, Any]) -> None:
        """Note what was stored, by name; None where a datum was deleted."""
        for name, frame in frames.items():
            if frame is None:
                self._frames.pop(name, None)
                self._names.pop(name, None)
                self._values.pop(name, None)
            else:
                self._frames[name] = frame
                self._names[name] = None
                self._values[name] = values[name]
        self._written.clear()
        self._changers.clear()
        self._touched = False
        self.wanted = Wanted()

    def written(self) -> dict[str, Any]:
        """Return what this request has assigned or changed, by name."""
        return {name: value for name, value in self.changed().items() if value is not MISSING}

    def start_anew(self, values: dict[str, Any]) -> None:
        """Become a new session with these data: the one before has ended meanwhile."""
        wanted = self.wanted
        self.known = Known()
        self._forget()
        self._values = dict(values)
        self._names = dict.fromkeys(values)
        self._written = set(values)
        self.wanted = Wanted(user=wanted.user, idle=wanted.idle, lasts=wanted.lasts)

    def _forget(self) -> None:
        self._load = None
        self._frames, self._values, self._names = {}, {}, {}
        self._written, self._changers = set(), {}

    def _decoded(self, name: str, frame: bytes) -> Any:
        key = frame_key(self.known.handle, name)
        try:
            value = self._codec.quick(frame)
            if value is NOT_PLAIN:
                value = self._codec.value(self._codec.open(key, frame))
        except Unreadable as error:
            if self.unreadable is not None:
                self.unreadable(self.known.handle, name, str(error))
            raise UnreadableSession(name, str(error)) from None
        return value

    def _differs(self, name: str) -> bool:
        frame, value = self._frames.get(name), self._values[name]
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
    return frame[ID_OFFSET : ID_OFFSET + ID_SIZE].decode("ascii", "replace") or ANY


def _applied(changers: list[tuple[Callable[[Any], Any], Any]], value: Any) -> Any:
    for function, default in changers:
        value = function(default if value is MISSING else value)
    return value
