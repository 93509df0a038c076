"""Locks on real servers: the scripts answer, tell and store there what they do on the tiny one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeAlias
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast import commands
from holdfast.backend.backend import Backend
from holdfast.backend.embedded import open_client
from holdfast.commands import Command
from holdfast.policy.names import LockPlaces, Names
from holdfast.scripts import locks as scripts
from support.lock_models import LockServer
from support.topologies import SERVED, Servers

STANDALONE = ["memory", *(name for name in SERVED if name.startswith("redis"))]
Step: TypeAlias = tuple[str, str, tuple[Any, ...]]
TOO_SLOW = 0.9
"""Seconds: those who are called count for one, and what is left of that is not foreseen."""


def _take_share(member: str, capacity: int, more: tuple[float, bool, float]) -> Step:
    lease, waits, waiting = more
    return "take_share", member, (lease, capacity, member.startswith("w:"), waits, waiting)


leases = st.sampled_from([100.0, 1000.0])
members = st.sampled_from(["a", "b", "c", "d"])
queueing = st.tuples(leases, st.booleans() | st.just(True), leases)
lock_steps: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("take"), members, st.tuples(leases)),
    st.tuples(st.just("take_fair"), members, queueing),
    st.tuples(st.sampled_from(["leave", "leave_fair"]), members, st.just(())),
    st.tuples(st.just("keep"), members, st.tuples(leases)),
    st.tuples(st.just("fix_fence"), members, st.just((2**52,))),
    st.tuples(st.just("lose"), st.sampled_from(["held", "fence", "queue", "alive"]), st.just(())),
)
sharers = st.sampled_from(["r:a", "r:b", "r:c", "w:d", "w:e"])
share_steps: st.SearchStrategy[Step] = st.one_of(
    st.builds(_take_share, sharers, st.sampled_from([0, 0, 1, 2]), queueing),
    st.tuples(st.just("leave_share"), sharers, st.just(())),
    st.tuples(st.just("keep_share"), sharers, st.tuples(leases)),
    st.tuples(st.just("lose"), st.sampled_from(["held", "fence", "queue", "alive"]), st.just(())),
)
stories = st.tuples(st.just("lock"), st.lists(lock_steps, max_size=30)) | st.tuples(
    st.just("rwlock"), st.lists(share_steps, max_size=30)
)


@pytest.mark.parametrize("name", STANDALONE)
def test_all_servers_do_the_same(name: str, servers: Servers) -> None:
    """Any sequence of calls has the same replies, order of waiting, times to live and messages everywhere."""
    topology = servers.topology(name)
    backend = Backend(topology.url, lambda event: None)
    client: Any = open_client(topology.url.partition("//")[2]) if topology.is_memory else topology.nodes[0].client

    @settings(max_examples=60, deadline=None)
    @given(stories)
    def check(drawn: tuple[Any, list[Step]]) -> None:
        kind, story = drawn
        places = Names(f"test-{uuid4().hex}").lock(kind, "name")
        mine = LockServer(kind)
        with client.pubsub() as news:
            news.subscribe(places.news)
            assert news.get_message(timeout=10)
            began = time.monotonic()
            real = _tell(backend.blocking.call_now, places, story)
            slow = time.monotonic() - began > TOO_SLOW
            if not slow:
                assert real == _tell(lambda command: _execute(mine, command), mine.places, story)
                told = mine.news()
                messages = [news.get_message(timeout=10) for _ in told]
                assert [message["data"].decode() for message in messages if message] == told
                assert news.get_message() is None
        backend.blocking.call_now(commands.unlink(list(places[:4])))

    try:
        check()
    finally:
        backend.close()


def _execute(server: LockServer, command: Command) -> Any:
    server.now += 1  # on no server do two calls have the same time
    return server.redis.execute(command)


def _tell(call: Callable[[Command], Any], places: LockPlaces, story: list[Step]) -> list[Any]:
    """Execute all steps; return what is the same everywhere: fencing tokens by rank, times roughly."""
    seen: list[Any] = []
    fences: list[int] = []
    fixed = False
    for verb, member, more in story:
        fixed = fixed or verb == "fix_fence"
        if verb == "lose":
            call(commands.unlink([getattr(places, member)]))
            if member == "fence" and fixed:  # it may have been ahead of the clock, which is all that is left
                fences.clear()
        else:
            reply = call(getattr(scripts, verb)(places, member, *more))
            if verb.startswith("take") and reply[0]:
                fences.append(reply[1])
                assert reply[1] == max(fences)
                reply = [1, fences.index(reply[1])]
            seen.append(_rough(reply))
        seen.append(call(Command(("ZRANGE", places.queue, 0, -1), (places.queue,))))
        seen += [_rough(call(commands.pttl(key))) for key in places[:4]]
    return seen


def _rough(reply: Any) -> Any:
    if not isinstance(reply, int):
        return [_rough(each) for each in reply]
    return ("about", round(reply / 1e5)) if reply > 30 else reply
