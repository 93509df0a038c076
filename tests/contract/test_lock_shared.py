"""Locks that several hold: readers and writers, permits, and several locks at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from holdfast import Layer, Lock, LockLost, LockNotAcquired, MultiHeld
from holdfast.core import lock_waiting
from holdfast.events import LockBusy
from support.calls import Sent
from support.colours import Colour
from support.flights import reached
from support.lock_kinds import die, is_free, key_of, noted, queued, take_away, waiting
from support.peeking import told
from support.topologies import Topology


def _is_not_locked(lock: Lock) -> bool:
    return not lock.locked()


async def refused(colour: Colour, lock: Any) -> bool:
    """Say whether a lock is not to be had at once."""
    return not await is_free(colour, lock)


def test_many_read_and_one_writes(colour: Colour, topology: Topology, namespace: str) -> None:
    """Readers of all processes hold it together; a writer holds it alone."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            here, there = layer.read_write_lock("k"), other.read_write_lock("k")
            readers = [await colour.of(each.read(wait=0)).acquire() for each in (here, there, here, there)]
            assert await refused(colour, there.write(wait=0))
            tokens = [each.fencing_token for each in readers]
            assert tokens == sorted(set(tokens))
            for reader in readers:
                await colour.of(reader).extend()
                await colour.of(reader).release()
            async with colour.using(here.write(wait=0)) as writer:
                assert writer.fencing_token > tokens[-1]
                assert await refused(colour, there.read(wait=0))
                assert await refused(colour, there.write(wait=0))
                assert await colour.of(there.read()).locked()
            assert await is_free(colour, there.read(wait=0))
            assert await is_free(colour, here.write(wait=0))

    colour.run(scenario)


def test_a_writer_who_waits_holds_back_later_readers(colour: Colour, topology: Topology, namespace: str) -> None:
    """They get it in the order in which they came, so that writers get it at all."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            here, there = layer.read_write_lock("k"), other.read_write_lock("k")
            first, order = await colour.of(here.read()).acquire(), []

            async def write() -> None:
                async with colour.using(there.write()):
                    order.append("writer")

            async def read() -> None:
                await colour.until(lambda: queued(layer, "rwlock") == 1, "the writer waits")
                assert await refused(colour, here.read(wait=0))
                async with colour.using(here.read()):
                    order.append("reader")

            async def let_go() -> None:
                await colour.until(lambda: queued(layer, "rwlock") == 2, "the reader waits")
                first.check()
                await colour.of(first).release()

            assert await colour.together(write, read, let_go) == [None] * 3
            assert order == ["writer", "reader"]

    colour.run(scenario)


@pytest.mark.parametrize("end", ["cancelled", "its time is over"])
def test_a_writer_who_stops_waiting_lets_readers_go_on(topology: Topology, namespace: str, end: str) -> None:
    """Those behind it read beside those who do already, at once."""

    async def scenario() -> None:
        async with Layer(topology.url, namespace=namespace) as layer:
            both = layer.read_write_lock("k")
            clock = layer.engine.blocking.monotonic
            async with both.read():
                wait = None if end == "cancelled" else 0.15
                writer = asyncio.create_task(both.write(wait=wait).aacquire())
                await reached(lambda: queued(layer, "rwlock") == 1)
                readers = [asyncio.create_task(both.read().aacquire()) for _ in range(3)]
                await reached(lambda: queued(layer, "rwlock") == 4)
                if end == "cancelled":
                    writer.cancel()
                await asyncio.gather(writer, return_exceptions=True)
                began = clock()
                handles = await asyncio.gather(*readers)
                assert clock() - began < 0.9
                for each in handles:
                    await each.arelease()

    asyncio.run(scenario())


def test_a_crowd_of_readers_and_writers(colour: Colour, topology: Topology, namespace: str) -> None:
    """No writer beside anybody, all get it, and readers were together at least once."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            both, inside, most = layer.read_write_lock("k"), {"r": 0, "w": 0}, 0

            def one(kind: str) -> Callable[[], Any]:
                async def work() -> None:
                    nonlocal most
                    async with colour.using(both.read() if kind == "r" else both.write()):
                        inside[kind] += 1
                        most = max(most, inside["r"])
                        assert inside["w"] == (kind == "w")
                        assert not (kind == "w" and inside["r"])
                        await colour.sleep(0.002)
                        inside[kind] -= 1

                return work

            assert await colour.together(*map(one, "rrwrrwrrrw")) == [None] * 10
            assert most > 1

    colour.run(scenario)


def test_no_more_permits_than_there_are(colour: Colour, topology: Topology, namespace: str) -> None:
    """Of twelve threads or tasks with three permits, three are inside at any time, and all get in."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            inside: list[int] = []
            most = 0

            def one(number: int) -> Callable[[], Any]:
                async def work() -> None:
                    nonlocal most
                    async with colour.using(layer.semaphore("k", 3)):
                        inside.append(number)
                        most = max(most, len(inside))
                        await colour.sleep(0.002)
                        inside.remove(number)

                return work

            assert await colour.together(*map(one, range(12))) == [None] * 12
            assert most <= 3
            handles = [await colour.of(layer.semaphore("k", 3, wait=0)).acquire() for _ in range(3)]
            assert await refused(colour, layer.semaphore("k", 3, wait=0))
            assert await refused(colour, layer.semaphore("k", 3, wait=0.01))
            assert await is_free(colour, layer.semaphore("k", 4, wait=0))
            for each in handles:
                await colour.of(each).release()

    colour.run(scenario)


def test_two_permits_that_are_given_back_wake_two(
    colour: Colour, topology: Topology, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the two is called: the second waits neither for the first to end, nor until it looks by itself."""
    monkeypatch.setattr(lock_waiting, "_NEXT", 60.0)
    monkeypatch.setattr(lock_waiting, "_QUEUED", 60.0)

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            semaphore, gate = layer.semaphore("k", 2), colour.gate()
            handles = [await colour.of(semaphore).acquire() for _ in range(2)]

            async def work() -> None:
                async with colour.using(semaphore):
                    await gate.passed()

            async def let_go() -> None:
                await colour.until(lambda: queued(layer, "semaphore") == 3, "all wait")
                for each in handles:
                    await colour.of(each).release()
                await colour.until(lambda: gate.waiting == 2, "two are inside together", within=6)
                assert queued(layer, "semaphore") == 1
                gate.open()

            assert await colour.together(work, work, work, let_go) == [None] * 4

    colour.run(scenario)


def test_the_permit_of_who_died_comes_back(colour: Colour, topology: Topology, namespace: str) -> None:
    """After its lease; those who are alive keep theirs."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            alive = await colour.of(layer.semaphore("k", 2)).acquire()
            dead = await colour.of(layer.semaphore("k", 2, lease=0.15)).acquire()
            die(layer, dead)
            async with colour.using(layer.semaphore("k", 2)):
                assert dead.lost
                assert await refused(colour, layer.semaphore("k", 2, wait=0))
                alive.check()
                with pytest.raises(LockLost):
                    await colour.of(dead).release()
                assert await refused(colour, layer.semaphore("k", 2, wait=0)), "it gave nobody else's back"
            await colour.of(alive).release()

    colour.run(scenario)


def test_several_are_held_together(colour: Colour, topology: Topology, namespace: str) -> None:
    """In the order of their names, whatever order they were given in, each the lock that `lock` returns."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            several = layer.multi_lock(["b", "c", "a", "b"], wait=0)
            async with colour.using(several) as held:
                assert isinstance(held, MultiHeld)
                assert [each.name for each in held.held] == ["a", "b", "c"]
                assert held.fencing_tokens == {each.name: each.fencing_token for each in held.held}
                assert not held.lost
                assert held.remaining == pytest.approx(30, abs=3)
                held.check()
                await colour.of(held).extend(60)
                assert held.remaining > 50
                for name in "abc":
                    assert await colour.of(layer.lock(name)).locked()
            for name in "abc":
                assert await is_free(colour, layer.lock(name, wait=0))

    colour.run(scenario)


def test_all_or_none(colour: Colour, topology: Topology, namespace: str) -> None:
    """If one is held by others for too long, none is left held, and no harm is done to that one."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            for wait in (0, 0.02):
                async with colour.using(other.lock("c")) as held:
                    with pytest.raises(LockNotAcquired, match="'c' is held by others"):
                        await colour.of(layer.multi_lock(["c", "a", "b"], wait=wait)).acquire()
                    for name in "ab":
                        assert await is_free(colour, other.lock(name, wait=0))
                    await colour.of(held).extend()

    colour.run(scenario)


def test_several_wait_together(colour: Colour, layer: Layer) -> None:
    """`wait` is for all of them, not for each."""

    async def scenario() -> None:
        busy = told(layer, LockBusy)
        dead = await colour.of(layer.lock("a", lease=0.3)).acquire()
        die(layer, dead)
        held = await colour.of(layer.lock("b")).acquire()
        with pytest.raises(LockNotAcquired, match="'b'"):
            await colour.of(layer.multi_lock(["a", "b"], wait=0.4)).acquire()
        assert [event.waited < 0.35 for event in busy] == [True], "a took most of it"
        await colour.of(held).release()

    colour.run(scenario)


def test_opposite_orders_do_not_wait_for_each_other(colour: Colour, topology: Topology, namespace: str) -> None:
    """However the names are given, everybody gets all of them in the end."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            inside: list[int] = []
            dice = random.Random(7)

            def one(number: int) -> Callable[[], Any]:
                names = list("abc")
                dice.shuffle(names)

                async def work() -> None:
                    for _ in range(3):
                        async with colour.using(layer.multi_lock(names, wait=30)):
                            inside.append(number)
                            assert len(inside) == 1
                            await colour.sleep(0)
                            inside.remove(number)

                return work

            assert await colour.together(*map(one, range(6))) == [None] * 6

    colour.run(scenario)


def test_one_of_several_is_lost(colour: Colour, layer: Layer) -> None:
    """Then they are lost together; the others are given back all the same, at the end or by hand."""

    async def scenario() -> None:
        for by_hand in (False, True):
            several = layer.multi_lock(["a", "b", "c"], wait=0)
            with pytest.raises(LockLost, match="'b'"):  # noqa: PT012 - the whole block is what raises
                async with colour.using(several) as held:
                    take_away(layer, held.held[1])
                    with pytest.raises(LockLost):
                        await colour.of(held).extend()
                    assert held.lost
                    assert held.remaining == 0
                    with pytest.raises(LockLost):
                        held.check()
                    if by_hand:
                        await colour.of(held).release()
            for name in "abc":
                assert await is_free(colour, layer.lock(name, wait=0))
            assert not noted()

    colour.run(scenario)


@pytest.mark.parametrize("until", [1, 2])
def test_a_task_that_is_cancelled_between_several_keeps_none(layer: Layer, until: int) -> None:
    """Those that it has are given back."""

    async def scenario() -> None:
        held = await layer.lock("abc"[until]).aacquire()
        sent = Sent(layer)
        task = asyncio.create_task(layer.multi_lock(["a", "b", "c"]).aacquire())
        await reached(lambda: waiting(layer) == 1)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert sent.names.count("take") >= until + 1
        await held.arelease()
        for name in "abc":
            lock = layer.lock(name)
            await reached(partial(_is_not_locked, lock))

    asyncio.run(scenario())


def test_kinds_do_not_meet(colour: Colour, topology: Topology, namespace: str) -> None:
    """A lock, a semaphore and a read-write lock of one name have nothing to do with each other; a fair lock has."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            async with (
                colour.using(layer.lock("k", wait=0)) as plain,
                colour.using(layer.semaphore("k", 1, wait=0)) as permit,
                colour.using(layer.read_write_lock("k").write(wait=0)) as writer,
                colour.using(layer.multi_lock(["k2"], wait=0)),
            ):
                assert len({key_of(each) for each in (plain, permit, writer)}) == 3
                other = layer.lock("k", fair=True, wait=0)
                assert await colour.of(other).locked()
            async with colour.using(layer.lock("k", fair=True)):
                assert await colour.of(layer.lock("k")).locked()

    colour.run(scenario)
