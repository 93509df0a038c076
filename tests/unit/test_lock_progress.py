"""Crowds of callers on the real scripts: the lock goes from hand to hand without delay, and past those who die."""

from __future__ import annotations

import heapq
from typing import Final, Literal, NamedTuple, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.policy.names import LockKind
from holdfast.scripts import locks as scripts
from support.limit_traffic import promise
from support.lock_models import BEGIN, LockServer

Fate: TypeAlias = Literal["", "cancelled", "dies waiting", "dies holding"]
KINDS: tuple[tuple[LockKind, int], ...] = (("lock", 1), ("semaphore", 1), ("semaphore", 3), ("rwlock", 0))
each_kind = pytest.mark.parametrize(("kind", "capacity"), KINDS, ids=str)
LEASE: Final = 5000
LOOKS: Final = 2000
"""Milliseconds after which a caller looks at the latest."""
WAITING: Final = 8000
HEARS: Final = 1
"""Milliseconds from a call until the called one looks."""


class Caller(NamedTuple):
    """One who wants the lock."""

    gap: int
    """Milliseconds after the one before."""
    holds: int
    """Milliseconds for which it holds it."""
    writes: bool
    fate: Fate = ""
    after: int = 0
    """Milliseconds after its arrival when it is cancelled, or dies, waiting."""


def crowds(*fates: Fate) -> st.SearchStrategy[list[Caller]]:
    """Return callers with some of these fates."""
    times = st.integers(0, 300)
    fate = st.sampled_from(("",) * len(fates) + fates)
    return st.lists(st.builds(Caller, times, times, st.booleans(), fate, st.integers(0, 900)), min_size=1, max_size=10)


class Crowd:
    """Callers who look when they are called, when they were told to, and every two seconds."""

    def __init__(self, kind: LockKind, capacity: int, callers: list[Caller]) -> None:
        self.taken: list[str] = []
        self.late = 0
        """The longest time in milliseconds from when something changed until somebody took it for that."""
        self.ended = 0
        self._kind, self._capacity = kind, capacity
        self._server = LockServer(kind)
        self._agenda: list[tuple[int, int, str, str]] = []
        self._waits = dict[str, Caller]()
        self._next = dict[str, int]()
        self._changed = 0
        self.members = {self._member(number, caller): caller for number, caller in enumerate(callers)}
        start = 0
        for member, caller in self.members.items():
            start += caller.gap + 1
            self._plan(start, member, "arrive")
            if caller.fate in {"cancelled", "dies waiting"}:
                self._plan(start + caller.after, member, caller.fate)

    def run(self) -> None:
        """Let all happen, until nobody waits."""
        while self._agenda:
            now, _, member, what = heapq.heappop(self._agenda)
            self._server.now = BEGIN + now * 1000
            if what == "arrive":
                self._waits[member], self._next[member] = self.members[member], now
                self._changed = now
            if what in {"arrive", "look"} and member in self._waits and self._next[member] == now:
                self._look(now, member)
            elif what in {"dies waiting", "cancelled"} and member in self._waits:
                del self._waits[member]
            if what == "leave" or (what == "cancelled" and member not in self.taken):
                self._leave(now, member)
            assert now < 200_000, "somebody waits for ever"

    def _member(self, number: int, caller: Caller) -> str:
        if self._kind == "lock":
            return f"{number}"
        return f"{'w' if self._kind == 'rwlock' and caller.writes else 'r'}:{number}"

    def _plan(self, when: int, member: str, what: str) -> None:
        heapq.heappush(self._agenda, (when, len(self._agenda), member, what))

    def _look(self, now: int, member: str) -> None:
        places, lease, waiting = self._server.places, LEASE / 1000, WAITING / 1000
        if self._kind == "lock":
            command = scripts.take_fair(places, member, lease, True, waiting)
        else:
            writes = member.startswith("w:")
            command = scripts.take_share(places, member, lease, self._capacity, writes, True, waiting)
        taken, found, *_ = self._server.call(command)
        if taken:
            self.late, self._changed, self.ended = max(self.late, now - self._changed), now, now
            self.taken.append(member)
            caller = self._waits.pop(member)
            if caller.fate != "dies holding":
                self._plan(now + caller.holds, member, "leave")
        else:
            self._look_at(now + (min(found, LOOKS) if found >= 0 else LOOKS), member)
        self._tell(now)

    def _leave(self, now: int, member: str) -> None:
        leave = scripts.leave_fair if self._kind == "lock" else scripts.leave_share
        self._server.call(leave(self._server.places, member))
        self._changed = now
        self._tell(now)

    def _look_at(self, when: int, member: str) -> None:
        self._next[member] = when
        self._plan(when, member, "look")

    def _tell(self, now: int) -> None:
        for called in self._server.news():
            for member in self._waits if not called else {called} & self._waits.keys():
                self._look_at(now + HEARS, member)


@each_kind
def test_it_goes_from_hand_to_hand(kind: LockKind, capacity: int) -> None:
    """All who do not give up get it, in the order in which they came, as soon as those called could have looked."""

    @promise(2)
    @given(crowds("cancelled"))
    def check(callers: list[Caller]) -> None:
        crowd = Crowd(kind, capacity, callers)
        crowd.run()
        order = list(crowd.members)
        assert crowd.taken == sorted(crowd.taken, key=order.index)
        assert {member for member, caller in crowd.members.items() if not caller.fate} <= set(crowd.taken)
        assert crowd.late <= HEARS

    check()


@each_kind
def test_it_goes_past_the_dead(kind: LockKind, capacity: int) -> None:
    """Who dies holding it costs the others its lease, who dies waiting a second after the next has looked; no more."""

    @promise(2)
    @given(crowds("cancelled", "dies waiting", "dies holding"))
    def check(callers: list[Caller]) -> None:
        crowd = Crowd(kind, capacity, callers)
        crowd.run()
        order = list(crowd.members)
        assert crowd.taken == sorted(crowd.taken, key=order.index)
        assert {member for member, caller in crowd.members.items() if not caller.fate} <= set(crowd.taken)
        most = sum(caller.gap + 1 + caller.holds + HEARS for caller in callers)
        most += sum(LEASE + LOOKS for caller in callers if caller.fate == "dies holding")
        most += sum(LOOKS + 1000 for caller in callers if caller.fate == "dies waiting")
        assert crowd.ended <= most

    check()
