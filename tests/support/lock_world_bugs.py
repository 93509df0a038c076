"""Mistakes that locks are known for, each planted in one line or a few, to show that the schedules would find them.

A mistake in a script is another text for it, one in the core a changed method.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from holdfast.core import lock_waiting
from holdfast.core.held_lock import Hold
from holdfast.core.leaving import Leaving, Left
from holdfast.core.lock_renewing import LockRenewing
from holdfast.core.lock_waiting import Locks
from holdfast.core.locking import Trial
from holdfast.scripts import locks as scripts

Plant = Callable[[pytest.MonkeyPatch], None]

PROMISES: Final = frozenset(
    {
        "again",
        "cancel",
        "error",
        "expiry",
        "fence",
        "handle",
        "keep",
        "kept",
        "left",
        "live",
        "one",
        "order",
        "stale",
    }
)


@dataclass(frozen=True)
class Bug:
    """One mistake, and where it shows."""

    name: str
    promise: str
    """The promise that it breaks."""
    scenario: str
    edits: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """By script: what is replaced in its text, and by what."""
    plant: Plant | None = None

    def texts(self) -> dict[str, str]:
        """Return the scripts with the mistake."""
        texts: dict[str, str] = {}
        for name, (right, wrong) in self.edits.items():
            source: str = getattr(scripts, f"_{name.upper()}").source
            assert right in source, f"{self.name}: {name}.lua has changed, and the mistake does not fit any more"
            texts[name] = source.replace(right, wrong)
        return texts


def _lease_from_reply(patch: pytest.MonkeyPatch) -> None:
    right = Hold.leased
    patch.setattr(Hold, "leased", lambda self, _, seconds: right(self, self._clock(), seconds))


def _lease_without_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Hold, "lost", property(lambda self: self.reason is not None))


def _cancelled_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Trial, "give_up_at_last", lambda _: None)


def _refused_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    async def give_up(_: Trial) -> None:
        return

    patch.setattr(Trial, "give_up", give_up)


def _doubts_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    right = Trial._left
    patch.setattr(Trial, "_left", lambda self: right(self)._replace(doubted_until=0.0))


def _failures_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    def renounce(self: Leaving, port: Any, left: Left) -> None:
        """Remember nothing."""

    patch.setattr(Leaving, "renounce", renounce)


def _no_looks_without_reason(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lock_waiting._Waiting, "_plan", lambda *_: float("inf"))


def _no_renewals(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LockRenewing, "add", lambda *_: None)


def _cancellation_is_swallowed(patch: pytest.MonkeyPatch) -> None:
    right = Locks.acquire

    async def acquire(self: Locks, port: Any, claim: Any, token: str) -> Hold:
        try:
            return await right(self, port, claim, token)
        except asyncio.CancelledError:
            return await right(self, port, claim, token)

    patch.setattr(Locks, "acquire", acquire)


_COMPARES: Final = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then\n  return 0\nend"
_ANEW: Final = (
    "if not redis.call('GET', KEYS[1]) then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return 1 end\n"
)
_STORES: Final = "redis.call('SET', key, string.format('%.0f', fence), 'PX', 3600000)"

BUGS: Final = (
    Bug("giving back compares nothing", "one", "plain: stopped", {"leave": (_COMPARES, "")}),
    Bug("giving back compares nothing, and the holder is deceived", "handle", "plain: stopped",
        {"leave": (_COMPARES, "")}),
    Bug("giving back in order compares nothing", "one", "fair: stopped",
        {"leave_fair": ("local held = holder == ARGV[1]", "local held = holder")}),
    Bug("a renewal makes a lock anew", "keep", "plain: cancelled", {"keep": (_COMPARES, _ANEW + _COMPARES)}),
    Bug("what a renewal makes anew stays", "left", "plain: cancelled", {"keep": (_COMPARES, _ANEW + _COMPARES)}),
    Bug("a renewal compares nothing", "keep", "plain: stopped", {"keep": (_COMPARES, "")}),
    Bug("a renewal makes a permit anew", "keep", "permits: slow",
        {"keep_share": ("if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then", "if false then")}),
    Bug("taking ignores who holds it", "one", "plain: calm", {"take": ("if not holder then", "if true then")}),
    Bug("taking again is refused", "again", "plain: slow", {"take": ("if holder ~= ARGV[1] then", "if true then")}),
    Bug("taking again is refused in order", "again", "fair: slow",
        {"take_fair": ("if holder == ARGV[1] then", "if false then")}),
    Bug("a lock without expiry", "expiry", "plain: calm",
        {"take": ("redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])", "redis.call('SET', KEYS[1], ARGV[1])")}),
    Bug("the number is not stored", "fence", "plain: numbers", {"take": (_STORES, "")}),
    Bug("numbers fall, and an old write passes", "stale", "plain: writers",
        {"take": ("math.max(last + 1, instant)", "8e15 - instant")}),
    Bug("the number is a count", "fence", "plain: numbers",
        {"take": ("math.max(last + 1, instant)", "last + 1")}),
    Bug("the lease counts from the reply", "handle", "plain: slow, stopped", plant=_lease_from_reply),
    Bug("the lease has no end here", "handle", "plain: stopped", plant=_lease_without_end),
    Bug("a cancelled caller gives nothing back", "left", "plain: cancelled", plant=_cancelled_is_forgotten),
    Bug("a cancelled caller stays in the queue", "left", "fair: cancelled", plant=_cancelled_is_forgotten),
    Bug("a refused caller stays in the queue", "left", "fair: calm", plant=_refused_is_forgotten),
    Bug("a late take is not given back", "left", "plain: slow", plant=_doubts_are_forgotten),
    Bug("giving back is not tried again", "left", "plain: bad", plant=_failures_are_forgotten),
    Bug("the dead are not dropped", "live", "fair: stopped",
        {"take_fair": ("drop_dead()\nlocal holder", "local holder"),
         "leave_fair": ("drop_dead()\nlocal holder", "local holder")}),
    Bug("dead readers and writers are not dropped", "live", "readers: stopped",
        {"take_share": ("drop_dead()\nlocal member", "local member"),
         "leave_share": ("drop_dead()\nlocal held", "local held")}),
    Bug("the queue is jumped", "order", "fair: calm",
        {"take_fair": ("(not head or head == ARGV[1])", "true")}),
    Bug("readers overtake writers", "order", "readers: bad",
        {"take_share": ("head and head ~= member and -1 or room_in", "room_in")}),
    Bug("there is a permit too many", "one", "permits: bad",
        {"take_share": ("count < capacity then", "count <= capacity then")}),
    Bug("a writer shares", "one", "readers: bad",
        {"take_share": ("if is_writer(redis.call('ZRANGE', KEYS[1], 0, 0)[1]) then", "if false then")}),
    Bug("nobody looks unless called", "live", "plain: stopped", plant=_no_looks_without_reason),
    Bug("nothing is renewed", "kept", "plain: calm", plant=_no_renewals),
    Bug("a cancellation is swallowed", "cancel", "plain: cancelled", plant=_cancellation_is_swallowed),
)  # fmt: skip
