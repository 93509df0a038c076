"""One session, as web apps see it: a mapping.

What was loaded is decoded when somebody asks for it. Values may be changed by assignment, and inside: a list in a
session that grew is found by encoding it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, Self, TypeVar

from holdfast._durations import seconds
from holdfast._missing import MISSING
from holdfast.codec import Codec
from holdfast.core.session_known import Known
from holdfast.core.session_state import SessionState
from holdfast.errors import SessionError
from holdfast.typing import Duration

T = TypeVar("T")


class Session(MutableMapping[str, Any]):
    """What a web app remembers of one visitor: a mapping with texts as keys, stored on the server.

    Every key is stored for itself, and only those that have changed are written, so that two requests at the same time
    do not undo each other's changes. Where both change one key, dicts are merged, and of anything else the later one
    stays; `change` loses nothing even then. Values inside may be changed in place.

    Example:
        >>> from holdfast import Layer
        >>> layer = Layer("memory://session-example")
        >>> session, cookie = layer.sessions.create({"cart": ["teapot"]})
        >>> session["cart"].append("kettle")
        >>> layer.sessions.save(session)
        >>> layer.sessions.open(cookie)["cart"]
        ['teapot', 'kettle']
    """

    __slots__ = ("__weakref__", "state")

    def __init__(
        self, codec: Codec, known: Known | None = None, load: Callable[[SessionState], None] | None = None
    ) -> None:
        """Make a session. Apps get theirs from the request, or from `layer.sessions`."""
        self.state = SessionState(codec, known, load)
        """For holdfast only; what is in it may change without notice."""

    # What it is.

    @property
    def handle(self) -> str:
        """Its name, which never changes and may be shown: it opens nothing. Empty until it is stored."""
        return self._state().known.handle

    @property
    def user(self) -> str | None:
        """Whose it is, by `log_in`; None if nobody is logged in."""
        return self._state().user or None

    @property
    def is_new(self) -> bool:
        """Whether it is not stored yet."""
        return not self.handle

    @property
    def created(self) -> float | None:
        """When it was stored first, in Unix seconds of the server; None if it is new."""
        return self._state().known.created

    @property
    def accessed(self) -> bool:
        """Whether somebody has looked at it: the response then depends on the cookie."""
        return self.state.accessed

    @property
    def modified(self) -> bool:
        """Whether something was assigned, deleted or asked for; changes inside of values are found when it is saved."""
        return self.state.modified

    def mark_accessed(self) -> None:
        """Note that the response depends on the session."""
        self.state.accessed = True

    def mark_modified(self) -> None:
        """Note that something has changed. It is never needed: changes are found."""
        self.state.accessed = self.state.touched = True

    # What it holds.

    def __getitem__(self, name: str) -> Any:
        state = self._state()
        if name in state.values:
            return state.values[name]
        frame = state.frame(name) if isinstance(name, str) and name not in state.deleted else None  # pyright: ignore[reportUnnecessaryIsInstance]
        if frame is None:
            raise KeyError(name)
        value = state.values[name] = state.decoded(name, frame)
        return value

    def get(self, name: str, default: Any = None) -> Any:
        """Return a value, or another one where there is none."""
        try:
            return self[name]
        except KeyError:
            return default

    def __setitem__(self, name: str, value: Any) -> None:
        state = self._open()
        if not isinstance(name, str) or not name:  # pyright: ignore[reportUnnecessaryIsInstance] - callers are often untyped
            msg = f"the keys of a session are texts, not {name!r}"
            raise SessionError(msg)
        if not name.isascii() and not _is_text(name):
            raise SessionError("the keys of a session are texts that UTF-8 can write: this one has half a sign")
        state.values[name] = value
        state.assigned_names.add(name)
        state.changers.pop(name, None)

    def __delitem__(self, name: str) -> None:
        state = self._open()
        if not state.has(name):
            raise KeyError(name)
        state.values.pop(name, None)
        state.deleted.add(name)
        state.changers.pop(name, None)
        state.assigned_names.add(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._state().names())

    def __len__(self) -> int:
        return len(self._state().names())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._state().has(name)

    def __eq__(self, other: object) -> bool:
        return dict(self) == (dict(other) if isinstance(other, Mapping) else other)  # pyright: ignore[reportUnknownArgumentType]

    __hash__ = None  # type: ignore[assignment]  # as other mappings that can change

    def __or__(self, other: Any) -> dict[str, Any]:
        return {**self, **other}

    def __ror__(self, other: Any) -> dict[str, Any]:
        return {**other, **self}

    def __ior__(self, other: Any) -> Self:
        self.update(other)
        return self

    def popitem(self) -> tuple[str, Any]:
        """Remove the last key, and return it with its value."""
        for name in reversed(list(self)):
            return name, self.pop(name)
        raise KeyError("the session is empty")

    def __repr__(self) -> str:
        """Return what may stand in a log: no secret, and no value."""
        return f"<Session {self.state.known.handle or 'that is new'}>"

    def copy(self) -> dict[str, Any]:
        """Return the data as a plain dict; the values are the same."""
        return dict(self)

    def change(self, name: str, function: Callable[[Any], T], default: Any = MISSING) -> T:
        """Change one value by a function of the old one, so that no other request's change is lost; return the new one.

        The function is called at once. It is called again, with what another request has stored meanwhile, if there is
        such a thing when the session is saved; so it must return the new value and do nothing else.

        Args:
            name: of the value.
            function: from the old value to the new one.
            default: the old value where there is none. Without it, saving fails if another request has deleted the
                value meanwhile.

        Raises:
            KeyError: there is no value, and no default.

        Example:
            >>> from holdfast import Layer
            >>> session, _ = Layer("memory://session-change-example").sessions.create()
            >>> session.change("visits", lambda visits: visits + 1, 0)
            1
        """
        state = self._open()
        before = state.changers.get(name, [])
        is_plain = name not in state.assigned_names or bool(before)
        value = function(self.get(name, default) if default is not MISSING else self[name])
        self[name] = value
        if is_plain:  # otherwise it builds upon what this request has assigned
            state.changers[name] = [*before, (function, default)]
        return value

    # What becomes of it.

    def rotate(self) -> None:
        """Give it a new secret when it is saved: after each change of what its visitor may do.

        The old one is dead for every request that comes then. Requests that had loaded it before may still save for
        the time of `grace`. Nothing else changes.
        """
        self._open().wanted.rotates = True

    def log_in(self, user: str) -> None:
        """Make it the session of a user, with a new secret.

        `layer.sessions.list` and `revoke_all` know it from then on. What it held for another user is dropped.

        Args:
            user: the id of an account, as text. It is stored as it is.
        """
        self._open()
        if not isinstance(user, str) or not user:  # pyright: ignore[reportUnnecessaryIsInstance] - callers are often untyped
            msg = f"log_in takes the id of an account as text, such as '42', not {type(user).__name__}"
            raise SessionError(msg)
        if self.user not in (None, user):
            self.end()
        wanted = self.state.wanted
        wanted.user, wanted.rotates = user, True

    def end(self) -> None:
        """End it: nothing of it is left, and no request that is still running can bring it back.

        What is written after that belongs to a new session.
        """
        self._open().end()

    log_out = end

    def clear(self) -> None:
        """Do what `end` does: whoever empties a session means to log out."""
        self.end()

    def expire_after(
        self, *, idle: Duration | None = None, absolute: Duration | None = None, persistent: bool | None = None
    ) -> None:
        """Let this session last for other times than usual, for "remember me" say.

        Args:
            idle: how long it lasts without use.
            absolute: how long it lasts from now, whatever happens.
            persistent: whether the browser keeps its cookie when it is closed, whatever the middleware says.
        """
        wanted = self._open().wanted
        if idle is not None:
            wanted.idle = seconds(idle, "idle")
        if absolute is not None:
            wanted.lasts = seconds(absolute, "absolute")
        if persistent is not None:
            if not isinstance(persistent, bool):  # pyright: ignore[reportUnnecessaryIsInstance] - callers are often untyped
                msg = f"persistent={persistent!r} must be True or False"
                raise SessionError(msg)
            wanted.persistent = persistent

    def _state(self) -> SessionState:
        """Return what is known of it, once that is loaded, for somebody who looks at it."""
        state = self.state
        if not state.accessed:
            state.look()
        if state.loader is not None:
            state.fetch(state.loader)
        return state

    def _open(self) -> SessionState:
        """Return what is known of it to somebody who changes it."""
        state = self._state()
        if state.closed:
            msg = (
                f"the session cannot be changed: {state.closed}; write before, or use layer.sessions.edit(handle), "
                "which saves for itself"
            )
            raise SessionError(msg)
        return state


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
