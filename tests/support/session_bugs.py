"""Mistakes that sessions are known for, each planted in a line or two, to show that the model would find them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from holdfast._missing import MISSING
from holdfast.core.session_index import SessionIndex
from holdfast.core.session_state import SessionState
from holdfast.core.sessions import SessionKeeping
from holdfast.policy.merging import merge
from holdfast.scripts import sessions as scripts
from holdfast.scripts.sessions import ANY

Plant = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Bug:
    """One mistake, and the promise that it breaks."""

    name: str
    promise: str
    edits: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """By script: what is replaced in its text, and by what."""
    plant: Plant | None = None
    first: int = 0
    """The seed to begin with: not far before one that shows it, if it is rare."""

    def texts(self) -> dict[str, str]:
        """Return the scripts with the mistake, by the names of their commands."""
        texts: dict[str, str] = {}
        for name, (right, wrong) in self.edits.items():
            script = getattr(scripts, f"_{name.upper()}")
            assert right in script.source, f"{self.name}: {name}.lua has changed, and the mistake does not fit any more"
            texts[script.name] = script.source.replace(right, wrong)
        return texts


def _forgets_to_end(patch: pytest.MonkeyPatch) -> None:
    async def end(_: SessionKeeping, port: Any, session: Any) -> None:
        session.wanted.ended.clear()

    patch.setattr(SessionKeeping, "_end", end)


def _later_one_wins(patch: pytest.MonkeyPatch) -> None:
    def merged(self: SessionState, name: str, _: bytes | None) -> Any:
        return self.values.get(name, MISSING)

    patch.setattr(SessionState, "merged", merged)


def _changes_once(patch: pytest.MonkeyPatch) -> None:
    def merged(self: SessionState, name: str, theirs: bytes | None) -> Any:
        found = MISSING if theirs is None else self.decoded(name, theirs)
        return merge(self.base(name), self.values.get(name, MISSING), found)

    patch.setattr(SessionState, "merged", merged)


def _first_one_wins(patch: pytest.MonkeyPatch) -> None:
    def merged(self: SessionState, name: str, theirs: bytes | None) -> Any:
        return MISSING if theirs is None else self.decoded(name, theirs)

    patch.setattr(SessionState, "merged", merged)


def _compares_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SessionState, "version", lambda *_: ANY)


def _saves_all(patch: pytest.MonkeyPatch) -> None:
    def changed(self: SessionState) -> dict[str, Any]:
        return {name: self.values[name] if name in self.values else self.base(name) for name in self.names()}

    patch.setattr(SessionState, "changed", changed)
    patch.setattr(SessionState, "may_have_changed", lambda _: True)


def _sees_no_depth(patch: pytest.MonkeyPatch) -> None:
    right = SessionState.changed

    def changed(self: SessionState) -> dict[str, Any]:
        return {name: value for name, value in right(self).items() if name in self.assigned_names}

    patch.setattr(SessionState, "changed", changed)


def _superseded_is_new(patch: pytest.MonkeyPatch) -> None:
    right = SessionKeeping._create

    async def create(self: SessionKeeping, port: Any, session: Any, *rest: Any, **more: Any) -> Any:
        session.unkept = ""
        return await right(self, port, session, *rest, **more)

    patch.setattr(SessionKeeping, "_create", create)


def _no_mark(patch: pytest.MonkeyPatch) -> None:
    async def has(*_: Any) -> bool:
        return True

    patch.setattr(SessionIndex, "has", has)


def _no_index(patch: pytest.MonkeyPatch) -> None:
    async def enter(*_: Any) -> None:
        return None

    patch.setattr(SessionIndex, "enter", enter)


def _leaves_the_index(patch: pytest.MonkeyPatch) -> None:
    """Take out of the index whatever was found there, also what is about to become the user's; look at the mark."""

    async def revoke_all(self: SessionIndex, port: Any, user: str, _: str) -> int:
        index, mark = self._places(user)
        await port.call(scripts.make_mark(mark, port.token(), 3600))
        found = await self._entered(port, index)
        await port.pipeline([scripts.finish(self._names.session(handle), user) for handle in found])
        if found:
            await port.call(scripts.leave(index, found))
        return len(found)

    async def has(self: SessionIndex, port: Any, user: str, _: str, mark: Any) -> bool:
        return mark is None or (await port.call(scripts.mark(self._places(user)[1])) or b"") == (mark or b"")

    patch.setattr(SessionIndex, "revoke_all", revoke_all)
    patch.setattr(SessionIndex, "has", has)


_ADOPTS: Final = "if not own then\n  return {0}\nend"
_ADOPTED: Final = """if not own then
  redis.call('HSET', KEYS[1], '@k', ARGV[1])
  redis.call('PEXPIRE', KEYS[1], 9999)
  return {0}
end"""
_COMPARES = ("id ~= wanted and id ~= string.sub(frame, 3, 34)", "false")
_KEEPS: Final = "redis.call('PEXPIRE', KEYS[1], math.max"
BUGS: Final = (
    Bug("saving compares nothing", "lost", {"save": _COMPARES}),
    Bug("no version is asked for", "lost", plant=_compares_nothing),
    Bug("the later one wins", "lost", plant=_later_one_wins),
    Bug("the first one wins", "lost", plant=_first_one_wins),
    Bug("a change is not applied again", "lost", plant=_changes_once),
    Bug("changes inside are not seen", "lost", plant=_sees_no_depth),
    Bug("all is saved that was loaded", "lost", {"save": _COMPARES}, _saves_all),
    Bug("who reads writes, too", "reader", plant=_saves_all),
    Bug("saving makes a session anew", "back",
        {"save": ("local kind =", "own, ends, idle = own or ARGV[1], ends or now + 9999, idle or 9999\nlocal kind =")}),
    Bug("an unknown name is adopted", "adopt",
        {"load": (_ADOPTS, _ADOPTED)}),
    Bug("any secret opens", "secret", {"load": ("own ~= ARGV[1]", "false")}),
    Bug("the secret before opens", "secret", {"load": ("return {worth(", "return {2 * worth(")}),
    Bug("the secret before opens for ever", "secret", {"load": ("now < tonumber(old_until)", "true")}, first=1600),
    Bug("the secret before saves for ever", "back", {"save": ("now < tonumber(old_until)", "true")}),
    Bug("the secret before replaces the new one", "secret", {"save": ("if kind == 1 and", "if false and")}),
    Bug("ending only forgets the cookie", "ended", plant=_forgets_to_end),
    Bug("a session without expiry", "ttl", {"create": ("redis.call('PEXPIRE', KEYS[1]", "math.max(1")}),
    Bug("use goes beyond the end", "expiry", {"load": ("math.min(idle, ends - now)", "idle")}),
    Bug("saving goes beyond the end", "expiry",
        {"save": ("math.min(tonumber(idle), ends - now)", "tonumber(idle)")}),
    Bug("use keeps nothing", "expiry",
        {"load": (">= math.min(1000, idle / 10)", "> 1e15"), "save": (_KEEPS, "math.max(1, math.max")}),
    Bug("a replaced secret gets another session", "second", plant=_superseded_is_new),
    Bug("nobody looks whether all were revoked", "revoked", plant=_no_mark, first=1200),
    Bug("log-ins are not in the index", "index", plant=_no_index),
    Bug("a log-in is taken out of the index", "index", plant=_leaves_the_index, first=580),
)  # fmt: skip
