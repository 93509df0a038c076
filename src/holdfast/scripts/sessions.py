"""The commands of sessions.

Each function returns the call of one script; the headers of the ``.lua`` files have the replies, and the reasons. Here
are no decisions and no names: keys come in whole, times in seconds, secrets as digests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from holdfast.commands import Command, Word, milliseconds
from holdfast.scripts import Script, compose


def _script(name: str, *, repeatable: bool = True) -> Script:
    return compose(f"session_{name}", ("sessions/check", f"sessions/{name}"), repeatable=repeatable)


_LOAD: Final = _script("load")
_CREATE: Final = _script("create")
_SAVE: Final = _script("save")
_FINISH: Final = compose("session_finish", ("sessions/finish",))
_DESCRIBE: Final = _script("describe")
_ENTER: Final = _script("enter")

ABSENT: Final = ""
"""Instead of the id of a frame: there is to be none."""
ANY: Final = "*"
"""Instead of the id of a frame: whatever is there."""


class Change(NamedTuple):
    """One datum of a session that changes."""

    name: str
    """As it stands in Redis."""
    expected: str
    """The id of the frame that is to be there, `ABSENT` or `ANY`."""
    frame: bytes
    """What to store; empty to delete it."""


class Turn(NamedTuple):
    """What changes of a session beside its data."""

    digest: str = ""
    """Of the secret that replaces the one before; empty if none does."""
    grace: float = 0.0
    """Seconds for which the one before may still save."""
    user: str = "="
    """As it is, `-` none, or `+<user>`."""
    idle: float | None = None
    """Seconds; None as it is."""
    lasts: float | None = None
    """Seconds after which it ends whatever happens; None as it is."""
    persistent: bool | None = None
    """Whether its cookie outlives the browser; None as it is."""


def load(key: str, digest: str) -> Command:
    """Read a session, and keep it for another idle time."""
    return _LOAD.command((key,), (digest,))


def create(
    key: str,
    digest: str,
    *,
    idle: float,
    lasts: float,
    user: str,
    data: Mapping[str, bytes],
    persistent: bool | None = None,
) -> Command:
    """Store a new session for `idle` seconds, and `lasts` seconds at most."""
    words: list[Word] = [digest, milliseconds(idle), milliseconds(lasts), user, _flag(persistent)]
    for name, frame in data.items():
        words += (name, frame)
    return _CREATE.command((key,), words)


def save(key: str, digest: str, turn: Turn, changes: Iterable[Change]) -> Command:
    """Change a session: all of it, or nothing."""
    words: list[Word] = [digest, turn.digest, int(turn.grace * 1000), turn.user]
    words += ["" if each is None else milliseconds(each) for each in (turn.idle, turn.lasts)]
    words.append(_flag(turn.persistent))
    for change in changes:
        words += change
    return _SAVE.command((key,), words)


def _flag(said: bool | None) -> str:
    return "" if said is None else str(int(said))


def finish(key: str, user: str = "") -> Command:
    """End a session; if a user is given, only if it is theirs."""
    return _FINISH.command((key,), (user,))


def describe(key: str) -> Command:
    """Say what is known of a session."""
    return _DESCRIBE.command((key,))


def enter(index: str, mark: str, handle: str, lasts: float) -> Command:
    """Enter a session in the index of its user."""
    return _ENTER.command((index, mark), (handle, milliseconds(lasts)))


def leave(index: str, handles: Iterable[str]) -> Command:
    """Take sessions out of the index of their user."""
    return Command(("ZREM", index, *handles), (index,), True)


def entered(index: str) -> Command:
    """Read the handles of a user's sessions, the first to end first."""
    return Command(("ZRANGE", index, 0, -1), (index,), True)


def rank(index: str, handle: str) -> Command:
    """Look whether a session is in the index of a user; nothing if it is not."""
    return Command(("ZSCORE", index, handle), (index,), True)


def mark(key: str) -> Command:
    """Read the mark of the last time that all sessions of a user were revoked."""
    return Command(("GET", key), (key,), True)


def make_mark(key: str, mark: str, seconds: float) -> Command:
    """Note that all sessions of a user are revoked: who is about to log in finds that when he has."""
    return Command(("SET", key, mark, "PX", milliseconds(seconds)), (key,), True)
