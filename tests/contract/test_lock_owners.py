"""Who holds a lock: a task or a thread, that may enter again if the lock is reentrant, and never waits for itself."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from holdfast import Held, Layer, LockLost, LockNotAcquired
from support.calls import Sent
from support.colours import Colour
from support.lock_kinds import Make, is_free, noted, take_away, waiting
from support.topologies import Topology

ONCE: dict[str, Make] = {
    "plain": lambda layer, **options: layer.lock("k", **options),
    "fair": lambda layer, **options: layer.lock("k", fair=True, **options),
    "reader": lambda layer, **options: layer.read_write_lock("k").read(**options),
    "writer": lambda layer, **options: layer.read_write_lock("k").write(**options),
    "several": lambda layer, **options: layer.multi_lock(["j", "k"], **options),
}
"""Those that one who holds them would wait for, for ever."""


@pytest.mark.parametrize("make", ONCE.values(), ids=ONCE)
def test_nobody_waits_for_himself(colour: Colour, layer: Layer, make: Make) -> None:
    """Who enters a block of a lock that he holds in a block is refused at once, with the reason, and asks nobody."""

    async def scenario() -> None:
        async with colour.using(make(layer)) as held:
            sent = Sent(layer)
            for wait in (None, 0, 30):
                with pytest.raises(
                    LockNotAcquired, match=r"'k' is held already by this very task or thread|'j' is held"
                ):
                    async with colour.using(make(layer, wait=wait)):
                        raise AssertionError
                with pytest.raises(LockNotAcquired, match="leave the outer block first"):
                    await colour.of(make(layer, wait=wait)).acquire()
            assert sent.names == []
            held.check()
        async with colour.using(make(layer, wait=0)):
            pass
        assert not noted()

    colour.run(scenario)


def test_readers_and_writers_of_one_task(colour: Colour, layer: Layer) -> None:
    """A reader that wants to write would wait for itself, and so would a writer that wants to read: refused at once."""

    async def scenario() -> None:
        both = layer.read_write_lock("k")
        for outer, inner in ((both.read, both.write), (both.write, both.read)):
            async with colour.using(outer()):
                with pytest.raises(LockNotAcquired, match="very task or thread"):
                    await colour.of(inner()).acquire()

    colour.run(scenario)


def test_names_of_several_overlap(colour: Colour, layer: Layer) -> None:
    """A lock held alone counts for several that have it among them, and the other way round."""

    async def scenario() -> None:
        async with colour.using(layer.lock("b")):
            with pytest.raises(LockNotAcquired, match="'b' is held already"):
                await colour.of(layer.multi_lock(["a", "b", "c"])).acquire()
            assert not await colour.of(layer.lock("a")).locked()
        async with colour.using(layer.multi_lock(["a", "b"])):
            with pytest.raises(LockNotAcquired, match="'a' is held already"):
                await colour.of(layer.lock("a")).acquire()

    colour.run(scenario)


def test_a_semaphore_gives_one_several_permits(colour: Colour, layer: Layer) -> None:
    """It is no lock: one task may hold more than one, and waits for others only."""

    async def scenario() -> None:
        semaphore = layer.semaphore("k", 2, wait=0)
        async with colour.using(semaphore) as one, colour.using(semaphore) as other:
            assert one.token != other.token
            with pytest.raises(LockNotAcquired, match="is held by others"):
                await colour.of(semaphore).acquire()
        assert await is_free(colour, semaphore)

    colour.run(scenario)


def test_one_that_was_lost_is_asked_for_again(colour: Colour, layer: Layer) -> None:
    """Who has lost his lock does not hold it: inside of the block he waits like others, and may get it."""

    async def scenario() -> None:
        with pytest.raises(LockLost):  # noqa: PT012 - the whole block is what raises
            async with colour.using(layer.lock("k")) as held:
                take_away(layer, held)
                with pytest.raises(LockLost):
                    await colour.of(held).extend()
                async with colour.using(layer.lock("k", wait=0)) as again:
                    assert again.token != held.token
        assert not noted()

    colour.run(scenario)


def test_a_reentrant_lock_is_counted(colour: Colour, topology: Topology, namespace: str) -> None:
    """Entered three times it is one lock, asked for once, and given back with the last one that is left."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            sent, lock = Sent(layer), layer.lock("k", reentrant=True, wait=0)
            async with colour.using(lock) as first:
                async with colour.using(layer.lock("k", reentrant=True)) as second, colour.using(lock) as third:
                    assert {each.token for each in (first, second, third)} == {first.token}
                    assert {each.fencing_token for each in (first, second, third)} == {first.fencing_token}
                assert not await is_free(colour, other.lock("k", wait=0))
                first.check()
            assert await is_free(colour, other.lock("k", wait=0))
            assert sent.names == ["take", "leave"]
            assert not noted()

    colour.run(scenario)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_handles_of_a_reentrant_lock_are_given_back_in_any_order(
    colour: Colour, layer: Layer, order: tuple[int, ...]
) -> None:
    """Each counts once, however often it is given back; what was given back says so, the others hold it."""

    async def scenario() -> None:
        lock = layer.lock("k", reentrant=True)
        handles = [await colour.of(lock).acquire() for _ in range(3)]
        for place, number in enumerate(order):
            assert await colour.of(lock).locked(), place
            await colour.of(handles[number]).release()
            await colour.of(handles[number]).release()
            assert handles[number].remaining == 0
        assert not await colour.of(lock).locked()
        assert not noted()

    colour.run(scenario)


def test_a_plain_block_inside_of_a_reentrant_one_is_refused(colour: Colour, layer: Layer) -> None:
    """It would wait for itself; the one around it is not harmed."""

    async def scenario() -> None:
        async with colour.using(layer.lock("k", reentrant=True)) as held:
            with pytest.raises(LockNotAcquired, match="very task or thread"):
                await colour.of(layer.lock("k")).acquire()
            await colour.of(held).extend()

    colour.run(scenario)


def test_an_error_inside_of_a_reentrant_block(colour: Colour, layer: Layer) -> None:
    """The inner block gives back what it took; the lock is held until the outer one ends."""

    async def scenario() -> None:
        lock = layer.lock("k", reentrant=True)
        async with colour.using(lock):
            with pytest.raises(LookupError):
                async with colour.using(lock):
                    raise LookupError
            assert await colour.of(lock).locked()
        assert not await colour.of(lock).locked()

    colour.run(scenario)


def test_a_lost_reentrant_lock_is_lost_for_all_who_entered(colour: Colour, layer: Layer) -> None:
    """Each handle says so, and the outermost block raises."""

    async def scenario() -> None:
        lock = layer.lock("k", reentrant=True)
        with pytest.raises(LockLost):  # noqa: PT012 - the whole block is what raises
            async with colour.using(lock) as outer, colour.using(lock) as inner:
                take_away(layer, outer)
                with pytest.raises(LockLost):
                    await colour.of(inner).extend()
                assert outer.lost
        assert not noted()

    colour.run(scenario)


def test_another_thread_or_task_waits(colour: Colour, topology: Topology, namespace: str) -> None:
    """A reentrant lock is reentrant for its owner only."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            lock, events = layer.lock("k", reentrant=True), []
            gate = colour.gate()

            async def hold() -> None:
                async with colour.using(lock), colour.using(lock):
                    gate.open()
                    await colour.until(lambda: waiting(layer), "the other waits")
                    events.append("left")

            async def wait() -> None:
                await gate.passed()
                async with colour.using(lock):
                    events.append("entered")

            assert await colour.together(hold, wait) == [None, None]
            assert events == ["left", "entered"]

    colour.run(scenario)


def test_a_child_task_does_not_inherit(layer: Layer) -> None:
    """Nor does a thread that a task starts, a task group's child, or whoever runs in a copy of its context."""
    lock = layer.lock("k", reentrant=True, wait=0)

    async def enter() -> str:
        try:
            async with lock:
                return "entered"
        except LockNotAcquired:
            return "refused"

    def plain() -> str:
        try:
            with lock:
                return "entered"
        except LockNotAcquired:
            return "refused"

    async def scenario() -> None:
        async with lock:
            assert await enter() == "entered"
            assert plain() == "entered", "a plain call inside of the task is the task"
            assert set(await asyncio.gather(enter(), enter())) == {"refused"}
            assert await asyncio.create_task(enter(), context=contextvars.copy_context()) == "refused"
            assert await asyncio.to_thread(plain) == "refused"
            async with asyncio.TaskGroup() as group:
                child = group.create_task(enter())
            assert child.result() == "refused"
            assert await asyncio.wait_for(enter(), 5) in ("entered", "refused")  # a task of its own before 3.12
        assert await enter() == "entered"

    asyncio.run(scenario())


def test_a_thread_that_ended_is_not_mistaken_for_the_next(layer: Layer) -> None:
    """The number of a thread is used again when it has ended; the lock that it left held is not the next one's."""
    lock, kept = layer.lock("k", reentrant=True, wait=0), list[Held]()
    refused = list[str]()

    def take() -> None:
        kept.append(lock.acquire())

    def try_to_take() -> None:
        with pytest.raises(LockNotAcquired, match="is held by others"):
            lock.acquire()
        refused.append("refused")

    for work in (take, *[try_to_take] * 5):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert refused == ["refused"] * 5
    kept[0].release()
    lock.acquire().release()


def test_a_block_may_be_left_by_another_than_entered(layer: Layer) -> None:
    """By another task or thread: it is given back, and the one that entered may enter again."""
    lock = layer.lock("k", wait=0)

    async def scenario() -> None:
        await asyncio.create_task(lock.__aenter__())
        await asyncio.create_task(lock.__aexit__(None, None, None))
        async with lock:
            pass

    with ThreadPoolExecutor(1) as threads:
        threads.submit(lock.__enter__).result()
        lock.__exit__(None, None, None)
        threads.submit(lock.__enter__).result()
        lock.__exit__(None, None, None)
    asyncio.run(scenario())
    assert not noted()
    assert not lock._entered._known
