"""Promises of locks, told from what callers see alone: who holds, who comes first, and what a stranger can change."""

from __future__ import annotations

from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.commands import Command
from holdfast.policy.names import LockKind
from holdfast.scripts import locks as scripts
from support.limit_traffic import promise
from support.lock_models import PATIENCE, LockServer

Step: TypeAlias = tuple[int, str, str, int, bool, int]
"""Milliseconds since the step before, a verb, a token, a lease in milliseconds, whether to wait and for how long."""
KINDS: tuple[tuple[LockKind, int], ...] = (("lock", 1), ("semaphore", 1), ("semaphore", 3), ("rwlock", 0))
each_kind = pytest.mark.parametrize(("kind", "capacity"), KINDS, ids=str)
steps: st.SearchStrategy[list[Step]] = st.lists(
    st.tuples(
        st.integers(0, 600) | st.sampled_from([0, 0, 1, 999, 1000, 1001]),
        st.sampled_from(["take", "take", "take", "keep", "leave"]),
        st.sampled_from("abcde"),
        st.sampled_from([1, 400, 2000]),
        st.booleans() | st.just(True),
        st.sampled_from([1, 700, 3000]),
    ),
    max_size=40,
)


class Ledger:
    """What callers believe: who holds until when, and who waits in which order until when."""

    def __init__(self, kind: LockKind, capacity: int) -> None:
        self.server = LockServer(kind)
        self.held: dict[str, int] = {}
        self.line: dict[str, int] = {}
        self._kind = kind
        self._capacity = capacity

    def member(self, token: str) -> str:
        """Return what stands for a token: of readers and writers, two of five write."""
        return {"lock": "", "semaphore": "r:", "rwlock": "w:" if token in "ab" else "r:"}[self._kind] + token

    def command(self, step: Step) -> Command:
        """Return what a step sends."""
        _, verb, token, lease, waits, waiting = step
        places, member = self.server.places, self.member(token)
        seconds, last = lease / 1000, (waits, waiting / 1000)
        if self._kind == "lock":
            take = scripts.take_fair(places, member, seconds, *last)
            keep, leave = scripts.keep(places, member, seconds), scripts.leave_fair(places, member)
        else:
            take = scripts.take_share(places, member, seconds, self._capacity, member.startswith("w:"), *last)
            keep, leave = scripts.keep_share(places, member, seconds), scripts.leave_share(places, member)
        return {"take": take, "keep": keep, "leave": leave}[verb]

    def pass_by(self, gap: int) -> int:
        """Let time go by; return the time in milliseconds."""
        self.server.now += gap * 1000
        now = self.server.now // 1000
        last = 1 if self._kind == "lock" else 0  # Redis removes a key after its last millisecond
        self.held = {member: until for member, until in self.held.items() if until > now - last}
        self.line = {member: until for member, until in self.line.items() if until > now}
        return now

    def note(self, step: Step, reply: Any) -> None:
        """Note what a caller was told, and who was called."""
        _, verb, token, lease, waits, waiting = step
        member, now = self.member(token), self.server.now // 1000
        granted = reply[0] if verb == "take" else reply
        if verb == "leave":
            self.held.pop(member, None)
            self.line.pop(member, None)
        elif granted:
            self.held[member] = now + lease
            self.line.pop(member, None)
        elif verb == "take" and waits:
            self.line[member] = now + waiting
        for called in self.server.news():
            if called in self.line:
                self.line[called] = min(self.line[called], now + PATIENCE)

    def check(self) -> None:
        """See that not too many hold."""
        writers = [member for member in self.held if member.startswith("w:")]
        assert not writers or len(self.held) == 1
        assert not self._capacity or len(self.held) <= self._capacity


@each_kind
def test_never_too_many_hold(kind: LockKind, capacity: int) -> None:
    """Never more than may believe that they hold it, whoever leaves, renews, comes too late or lets a lease end."""

    @promise(2)
    @given(steps)
    def check(story: list[Step]) -> None:
        ledger = Ledger(kind, capacity)
        for step in story:
            ledger.pass_by(step[0])
            ledger.note(step, ledger.server.call(ledger.command(step)))
            ledger.check()
            assert ledger.held.keys() <= ledger.server.holders().keys()

    check()


@each_kind
def test_nobody_overtakes_those_who_wait(kind: LockKind, capacity: int) -> None:
    """Whoever gets it was the first of those who count as waiting, or came when none of them was there."""

    @promise(2)
    @given(steps)
    def check(story: list[Step]) -> None:
        ledger = Ledger(kind, capacity)
        for step in story:
            ledger.pass_by(step[0])
            member, first = ledger.member(step[2]), next(iter(ledger.line), None)
            place, had = [*ledger.line, member].index(member) + 1, member in ledger.held
            reply = ledger.server.call(ledger.command(step))
            if step[1] == "take" and reply[0]:
                assert had or first in {None, member}
            elif step[1] == "take":
                assert reply[2] == (place if member in ledger.line or step[4] else 0)
            ledger.note(step, reply)

    check()


@each_kind
def test_who_holds_nothing_changes_nothing(kind: LockKind, capacity: int) -> None:
    """Who is refused, or keeps or leaves what it does not hold, changes neither the holders nor the fencing token."""

    @promise(2)
    @given(steps)
    def check(story: list[Step]) -> None:
        ledger = Ledger(kind, capacity)
        for step in story:
            ledger.pass_by(step[0])
            server, member = ledger.server, ledger.member(step[2])
            before = server.holders(), server.redis.content().get(server.places.fence), member in ledger.held
            reply = server.call(ledger.command(step))
            if (reply[0] if step[1] == "take" else reply) == 0:
                assert before == (server.holders(), server.redis.content().get(server.places.fence), False)
            ledger.note(step, reply)

    check()
