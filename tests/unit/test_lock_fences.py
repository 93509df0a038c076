"""Promises of fencing tokens: whoever takes a lock later has the greater one, whatever happens to clocks and keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.commands import Command
from holdfast.policy.names import LockKind, LockPlaces
from holdfast.scripts import locks as scripts
from support.limit_traffic import promise
from support.lock_models import LockServer

Take: TypeAlias = Callable[[LockPlaces, str], Command]
TAKES: dict[str, Take] = {
    "take": lambda places, member: scripts.take(places, member, 1),
    "take_fair": lambda places, member: scripts.take_fair(places, member, 1, False, 8),
    "take_share": lambda places, member: scripts.take_share(places, f"r:{member}", 1, 2, False, False, 8),
    "take_all": lambda places, member: scripts.take_share(places, f"w:{member}", 1, 0, True, False, 8),
}
each_take = pytest.mark.parametrize("name", TAKES)
jumps = st.sampled_from([-7_200_000_000, -1_000_000, -1, 0, 0, 1, 1_000_000, 1_001_000]) | st.integers(0, 2_000_000)
"""Microseconds; short enough for the last fencing token to stay stored."""


@each_take
def test_tokens_grow_whatever_the_clock_does(name: str) -> None:
    """After an expiry, a release, or a step back of hours: of two that took a lock, the later has the greater token."""

    @promise(2)
    @given(st.lists(st.tuples(jumps, st.sampled_from(["m1", "m2", "m3"]), st.booleans()), max_size=40))
    def check(story: list[tuple[int, str, bool]]) -> None:
        server, last, holder = LockServer(_kind(name)), 0, ""
        for jump, member, leaves in story:
            server.now += jump
            if leaves:
                server.call(_leave(name, server.places, member))
            taken, fence, *_ = server.call(TAKES[name](server.places, member))
            if taken:
                assert fence > last or (fence == last and member == holder)
                last, holder = fence, member

    check()


@each_take
def test_tokens_grow_when_the_last_one_is_lost(name: str) -> None:
    """Where the key was evicted, or its hour is over, the clock has gone on."""

    @promise()
    @given(st.lists(st.integers(1, 3_000_000), max_size=30))
    def check(gaps: list[int]) -> None:
        server, last = LockServer(_kind(name)), 0
        for number, gap in enumerate(gaps):
            server.now += gap
            server.redis.expire_now(server.places.fence)
            taken, fence, *_ = server.call(TAKES[name](server.places, f"m{number}"))
            if taken:
                assert fence > last
                last = fence

    check()


def test_a_token_is_the_time_of_the_server() -> None:
    """The first token is the server's time in microseconds: locks of different servers have none in common."""
    server = LockServer()
    assert server.call(scripts.take(server.places, "m", 1)) == [1, server.now]


@pytest.mark.parametrize("name", ["take", "take_fair"])
def test_a_holder_whose_token_is_lost_gets_a_new_one(name: str) -> None:
    """A holder that takes again has its own token as long as that is stored, and then a greater one."""
    server = LockServer()
    first = server.call(TAKES[name](server.places, "m"))[1]
    server.now += 1000
    assert server.call(TAKES[name](server.places, "m")) == [1, first]
    server.redis.expire_now(server.places.fence)
    assert server.call(TAKES[name](server.places, "m")) == [1, server.now]


def test_a_token_that_several_servers_agree_on() -> None:
    """The holder may raise the last token, never lower it, and nobody else may; the next is greater still."""
    server = LockServer()
    _, minted = server.call(scripts.take(server.places, "m", 1))
    for fence, stored in ((minted + 10, minted + 10), (minted + 5, minted + 10), (minted, minted + 10)):
        assert server.call(scripts.fix_fence(server.places, "m", fence)) == 1
        assert server.redis.content()[server.places.fence] == b"%d" % stored
    assert server.call(scripts.fix_fence(server.places, "other", minted + 99)) == 0
    server.redis.expire_now(server.places.fence)
    assert server.call(scripts.fix_fence(server.places, "m", minted + 10)) == 1
    server.call(scripts.leave(server.places, "m"))
    assert server.call(scripts.fix_fence(server.places, "m", minted + 99)) == 0
    assert server.call(scripts.take(server.places, "next", 1)) == [1, minted + 11]


def _leave(name: str, places: LockPlaces, member: str) -> Command:
    if name == "take":
        return scripts.leave(places, member)
    if name == "take_fair":
        return scripts.leave_fair(places, member)
    return scripts.leave_share(places, f"{'r' if name == 'take_share' else 'w'}:{member}")


def _kind(name: str) -> LockKind:
    return "rwlock" if name in {"take_share", "take_all"} else "lock"
