"""One limiter in threads, loops and forked children."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from holdfast import Layer, RateLimited
from support.staged import Stage
from support.topologies import Topology

pytestmark = [
    pytest.mark.usefixtures("patient_limits"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


@contextmanager
def forked(child: Callable[[], bool]) -> Iterator[None]:
    """Run `child` in a child process during the block; its exit code says whether it returned true."""
    pid = os.fork()
    if pid == 0:
        code = 1
        signal.alarm(20)  # a lock that nobody will open again ends the child, and not the whole run
        try:
            code = 0 if child() else 2
        finally:
            os._exit(code)
    yield
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_child_counts_with_its_parent(server_topology: Topology, namespace: str) -> None:
    """Over connections of its own: what the parent has consumed counts in the child, and the other way round."""
    with Layer(server_topology.url, namespace=namespace) as layer:
        assert layer.limiter.hit("3/day", "k").allowed

        def child() -> bool:
            hits = [layer.limiter.hit("3/day", "k"), asyncio.run(layer.limiter.ahit("3/day", "k"))]
            return [hit.remaining for hit in hits] == [1, 0] and not any(hit.degraded for hit in hits)

        with forked(child):
            pass
        assert not layer.limiter.hit("3/day", "k").allowed


def test_a_child_starts_with_fresh_locks(layer: Layer) -> None:
    """Whatever another thread of the parent was about when it forked, the child decides and remembers."""
    limiting, slots = layer.engine.limiting, layer.engine.slots
    locks = [limiting.denials._lock, limiting.local._lock, slots._local._lock, slots._leaving._orphans._lock]

    def child() -> bool:
        found = [layer.limiter.hit("1/day", "k").allowed for _ in range(3)]
        layer.limiter.reset("1/day", "k")
        stage = Stage(layer)
        with stage.away():
            found += [layer.limiter.hit("1/day", "k", on_failure="local").allowed for _ in range(2)]
            with layer.limiter.concurrency(1, "k", on_failure="local") as slot:
                found.append(slot.decision.degraded)
        return found == [True, False, False, True, False, True]

    for lock in locks:
        lock.acquire()
    try:
        with forked(child):
            pass
    finally:
        for lock in locks:
            lock.release()


def test_a_child_leaves_the_slot_of_its_parent_alone(server_topology: Topology, namespace: str) -> None:
    """It does not renew it or give it back, even if it leaves the block in which it was forked; its own it does."""
    with Layer(server_topology.url, namespace=namespace) as layer:
        limit = layer.limiter.concurrency(2, "k")

        def child() -> bool:
            limit.__exit__(None, None, None)
            with limit as mine:
                free = mine.decision.remaining
            with limit as again:
                return (free, again.decision.remaining) == (0, 0)

        with limit:
            with forked(child):
                pass
            with limit as second:
                assert second.decision.remaining == 0
        with limit as last:
            assert last.decision.remaining == 1


def test_a_child_has_a_share_of_its_own_without_redis(layer: Layer) -> None:
    """Slots that the parent granted by itself are not the child's."""
    stage, limit = Stage(layer), layer.limiter.concurrency(1, "k", on_failure="local")

    def child() -> bool:
        with limit as slot:
            return slot.decision.degraded

    with stage.away(), limit:
        with pytest.raises(RateLimited):
            limit.__enter__()
        with forked(child):
            pass


def test_two_loops_at_once_share_one_layer(topology: Topology, namespace: str) -> None:
    """Each in a thread of its own, with hits, slots and waits; together they get the quota and no more."""
    with Layer(topology.url, namespace=namespace) as layer:
        admitted: list[bool] = []
        begin = threading.Barrier(2, timeout=30)

        async def use() -> None:
            limit = layer.limiter.concurrency(20, "k")
            for _ in range(10):
                async with limit:
                    admitted.append((await layer.limiter.ahit("15/day", "k")).allowed)
            await layer.limiter.athrottle("2000/second; burst=1", "k", max_wait=30)

        def run() -> None:
            begin.wait()
            asyncio.run(use())

        loops = [threading.Thread(target=run) for _ in range(2)]
        for loop in loops:
            loop.start()
        for loop in loops:
            loop.join()
        assert admitted.count(True) == 15
        assert layer.stats().errors == 0
        with layer.limiter.concurrency(20, "k") as slot:
            assert slot.decision.remaining == 19
