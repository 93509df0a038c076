"""Waiting for a lock: whoever waits gets it in time, whatever is lost or dies, and holds up nobody when it goes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from holdfast import Layer, LockLost, LockNotAcquired
from holdfast.core import lock_waiting
from support.calls import Sent
from support.colours import Colour
from support.flights import reached
from support.lock_kinds import ALONE, Make, die, is_free, queued, waiting
from support.topologies import Servers, Topology

IN_ORDER: dict[str, tuple[Make, str]] = {
    "fair": (lambda layer, **options: layer.lock("k", fair=True, **options), "lock"),
    "permit": (lambda layer, **options: layer.semaphore("k", 1, **options), "semaphore"),
    "writer": (lambda layer, **options: layer.read_write_lock("k").write(**options), "rwlock"),
}
each_alone = pytest.mark.parametrize("make", ALONE.values(), ids=ALONE)
each_in_order = pytest.mark.parametrize(("make", "kind"), IN_ORDER.values(), ids=IN_ORDER)
ASYNC = Colour("async")


def deafen(layer: Layer) -> None:
    """Let every message be lost from now on, without anybody's noticing."""
    join = layer.engine.locks.lobbies.join

    def join_deaf(*args: Any) -> Any:
        lobby = join(*args)
        lobby.heard = lambda *_: None  # type: ignore[method-assign]
        return lobby

    layer.engine.locks.lobbies.join = join_deaf  # type: ignore[assignment]


def _queue(layer: Layer, length: int) -> bool:
    return queued(layer) == length


def _lobby(layer: Layer, count: int) -> bool:
    return waiting(layer) == count


@each_alone
@pytest.mark.parametrize("what", ["the message is lost", "the holder dies"])
def test_who_waits_gets_it_without_a_word(
    colour: Colour, topology: Topology, namespace: str, make: Make, what: str
) -> None:
    """Given back while the message is lost, or never given back: by the end of the lease that was seen."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            deafen(layer)
            clock = layer.engine.blocking.monotonic
            held = await colour.of(make(other, lease=0.6)).acquire()
            die(other, held)
            began = clock()

            async def wait() -> None:
                async with colour.using(make(layer)):
                    assert clock() - began < 2

            async def let_go() -> None:
                await colour.until(lambda: waiting(layer), "it waits")
                if what == "the message is lost":
                    with suppress(LockLost):  # on a machine under load it comes too late for that
                        await colour.of(held).release()

            assert await colour.together(wait, let_go) == [None, None]

    colour.run(scenario)


def test_giving_back_between_looking_and_listening_is_not_missed(
    colour: Colour, topology: Topology, namespace: str
) -> None:
    """Who has heard nothing yet looks again when it does: a lease of a minute is not waited for."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            clock = layer.engine.blocking.monotonic
            held = await colour.of(other.lock("k", lease=60)).acquire()
            join, gaps = layer.engine.locks.lobbies.join, []

            def join_late(*args: Any) -> Any:
                gaps.append(clock())
                held.release()  # after the first look, and before anything can be heard
                return join(*args)

            layer.engine.locks.lobbies.join = join_late
            async with colour.using(layer.lock("k")):
                assert clock() - gaps[0] < 2

    colour.run(scenario)


@pytest.mark.parametrize("fair", [False, True])
def test_many_wait_over_few_connections(colour: Colour, servers: Servers, namespace: str, fair: bool) -> None:
    """Fifty callers with a pool of two: waiting takes no connection, so all get it, and nobody is refused one."""

    async def scenario() -> None:
        url = f"{servers.standalone().url}?max_connections=2"
        async with colour.using(Layer(url, namespace=namespace)) as layer:
            done: list[int] = []
            held = await colour.of(layer.lock("k", fair=fair)).acquire()

            def one(number: int) -> Callable[[], Any]:
                async def work() -> None:
                    async with colour.using(layer.lock("k", fair=fair, wait=30)):
                        done.append(number)

                return work

            async def let_go() -> None:
                await colour.until(lambda: waiting(layer) == 50, "all wait")
                await colour.of(layer.cache).set("meanwhile", 1, 60)
                await colour.of(held).release()

            assert await colour.together(*map(one, range(50)), let_go) == [None] * 51
            assert sorted(done) == list(range(50))

    colour.run(scenario)


@pytest.mark.parametrize(("count", "fair"), [(1000, False), (1000, True)])
def test_a_crowd_waits_for_one_lock(layer: Layer, count: int, fair: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """All get it, in the order in which they came, with a few commands each."""
    # Under load it may take longer than a place lasts until a thousand have begun, and the first can look again.
    monkeypatch.setattr(lock_waiting, "WAITING", 60.0)

    async def scenario() -> bool:
        done: list[int] = []
        late = 0.0
        held = await layer.lock("k").aacquire()

        async def work(number: int) -> None:
            async with layer.lock("k", fair=fair):
                done.append(number)

        async def watch() -> None:
            nonlocal late
            while True:
                began = time.monotonic()
                await asyncio.sleep(0.05)
                late = max(late, time.monotonic() - began)

        sent = Sent(layer)
        tasks = [asyncio.create_task(work(number)) for number in range(count)]
        await reached(lambda: waiting(layer) == count)
        began, clock = len(sent.names), asyncio.create_task(watch())
        await held.arelease()
        async with asyncio.timeout(60):
            await asyncio.gather(*tasks)
        clock.cancel()
        assert sorted(done) == list(range(count))
        assert not waiting(layer)
        if done != list(range(count)) and late > 0.7:
            return False  # the loop stood still: who is called and does not come for a second loses the turn
        assert done == list(range(count))
        assert len(sent.names) - began <= (8 if fair else 3) * count
        return True

    assert any(asyncio.run(scenario()) for _ in range(5)), "this machine is too busy to tell"


def test_threads_get_a_fair_lock_in_order(topology: Topology, namespace: str) -> None:
    """Of two processes, in the order in which they asked, whoever is quicker."""
    with (
        Layer(topology.url, namespace=namespace) as layer,
        Layer(topology.url, namespace=namespace) as other,
        ThreadPoolExecutor(8) as threads,
    ):
        sync, done, futures = Colour("sync"), [], []
        held = layer.lock("k", fair=True).acquire()

        def work(own: Layer, number: int) -> None:
            with own.lock("k", fair=True):
                done.append(number)

        for number in range(8):
            futures.append(threads.submit(work, (layer, other)[number % 2], number))
            sync.run(partial(sync.until, partial(_queue, layer, number + 1), "it queues"))
        held.release()
        for future in futures:
            future.result()
        assert done == list(range(8))


@each_in_order
@pytest.mark.parametrize("end", ["its time is over", "it is cancelled"])
def test_who_stops_waiting_leaves_the_queue_at_once(
    topology: Topology, namespace: str, make: Make, kind: str, end: str
) -> None:
    """A waiter whose time is over, or that is cancelled, holds up nobody behind it."""

    async def scenario() -> None:
        async with Layer(topology.url, namespace=namespace) as layer:
            held = await make(layer).aacquire()
            wait = 0.6 if end == "its time is over" else None  # long enough for the next one to come, too
            waiter = asyncio.create_task(make(layer, wait=wait).aacquire())
            await reached(lambda: queued(layer, kind) == 1)
            behind = asyncio.create_task(make(layer).aacquire())
            await reached(lambda: queued(layer, kind) == 2)
            if wait is None:
                waiter.cancel()
            await asyncio.wait([waiter])
            assert waiter.cancelled() if wait is None else isinstance(waiter.exception(), LockNotAcquired)
            await reached(lambda: queued(layer, kind) == 1)
            began = layer.engine.blocking.monotonic()
            await held.arelease()
            await (await behind).arelease()
            assert layer.engine.blocking.monotonic() - began < 0.9, "nobody waited for one that is dead"
            assert not waiting(layer)

    asyncio.run(scenario())


@each_in_order
def test_a_thread_whose_time_is_over_leaves_the_queue(layer: Layer, make: Make, kind: str) -> None:
    """As a task does."""
    held = make(layer).acquire()
    with pytest.raises(LockNotAcquired):
        make(layer, wait=0.05).acquire()
    assert queued(layer, kind) == 0
    held.release()


@each_in_order
def test_a_dead_waiter_is_passed_over(colour: Colour, layer: Layer, make: Make, kind: str) -> None:
    """Who died in the queue is called once, and costs those behind it a second, not its whole time of waiting."""

    async def scenario() -> None:
        clock = layer.engine.blocking.monotonic
        held = await colour.of(make(layer)).acquire()
        claim = make(layer)._claim
        layer.engine.backend.blocking.call_now(claim.take(claim.member("dead"), waits=True))
        assert queued(layer, kind) == 1

        async def wait() -> None:
            async with colour.using(make(layer)):
                assert clock() - began[0] < 6

        began: list[float] = []

        async def let_go() -> None:
            await colour.until(lambda: queued(layer, kind) == 2, "it waits behind the dead one")
            began.append(clock())
            await colour.of(held).release()

        assert await colour.together(wait, let_go) == [None, None]

    colour.run(scenario)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:coroutine .* was never awaited")
def test_a_waiter_whose_loop_was_closed_is_passed_over(layer: Layer) -> None:
    """The one in front of those who wait in this process may be gone without a word: the next looks instead."""
    held = layer.lock("k").acquire()

    def abandon() -> None:
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda *_: None)  # it complains of the task that is left behind
        task = loop.create_task(layer.lock("k").aacquire())
        loop.run_until_complete(reached(lambda: waiting(layer) == 1))
        loop.close()
        task._log_destroy_pending = False  # type: ignore[attr-defined]

    thread = threading.Thread(target=abandon)
    thread.start()
    thread.join()

    async def scenario() -> None:
        waiter = asyncio.create_task(layer.lock("k", wait=20).aacquire())
        await reached(lambda: waiting(layer) >= 1)
        await held.arelease()
        await (await waiter).arelease()

    asyncio.run(scenario())


def test_who_waits_behind_another_gets_it_when_that_one_stops(colour: Colour, layer: Layer) -> None:
    """The front of the queue in this process times out; the next looks at once, and gets it when it is given back."""

    async def scenario() -> None:
        held = await colour.of(layer.lock("k")).acquire()
        events: list[str] = []

        async def first() -> None:
            with pytest.raises(LockNotAcquired):
                await colour.of(layer.lock("k", wait=0.1)).acquire()
            events.append("over")

        async def second() -> None:
            await colour.until(lambda: waiting(layer) == 1, "the first waits")
            async with colour.using(layer.lock("k")):
                events.append("taken")

        async def let_go() -> None:
            await colour.until(lambda: events, "the first has stopped")
            await colour.of(held).release()

        assert await colour.together(first, second, let_go) == [None] * 3
        assert events == ["over", "taken"]

    colour.run(scenario)


def test_who_waits_does_not_overtake(layer: Layer) -> None:
    """In one process those who wait get it in the order in which they came, also against one that comes just then."""

    async def scenario() -> None:
        done: list[int] = []
        held = await layer.lock("k").aacquire()

        async def work(number: int) -> None:
            async with layer.lock("k"):
                done.append(number)

        tasks = []
        for number in range(5):
            tasks.append(asyncio.create_task(work(number)))
            await reached(partial(_lobby, layer, number + 1))
        await held.arelease()
        tasks.append(asyncio.create_task(work(5)))
        await asyncio.gather(*tasks)
        assert done == sorted(done)

    asyncio.run(scenario())


@each_alone
def test_nothing_is_left_of_those_who_waited(
    colour: Colour, server_topology: Topology, namespace: str, make: Make
) -> None:
    """No lobby, no subscription, and in Redis nothing but the last fencing tokens."""

    async def scenario() -> None:
        async with colour.using(Layer(server_topology.url, namespace=namespace)) as layer:
            lock = make(layer)

            async def work() -> None:
                async with colour.using(lock):
                    await colour.sleep(0.001)

            assert await colour.together(*[work] * 5) == [None] * 5
            assert await is_free(colour, make(layer, wait=0))
            assert not layer.engine.locks.lobbies._lobbies
            assert all(key.endswith(":fence") for key in server_topology.ttls(namespace))

    colour.run(scenario)


def test_a_crowd_of_tasks_that_are_cancelled_at_random_instants(topology: Topology, namespace: str) -> None:
    """Those who are left get it one after the other, and nothing stays locked."""

    async def scenario() -> None:
        async with Layer(topology.url, namespace=namespace) as layer:
            for fair in (False, True):
                inside: list[int] = []

                async def work(number: int, fair: bool = fair, inside: list[int] = inside) -> None:
                    async with layer.lock("k", fair=fair):
                        inside.append(number)
                        assert len(inside) == 1
                        await asyncio.sleep(0)
                        inside.remove(number)

                tasks = [asyncio.create_task(work(number)) for number in range(30)]
                for number, task in enumerate(tasks):
                    if number % 3:
                        await asyncio.sleep(0)
                        task.cancel()
                await asyncio.wait(tasks, timeout=60)
                assert not [task for task in tasks if not task.done()]
                assert [task.cancelled() or task.exception() for task in tasks[::3]] == [None] * 10
                async with asyncio.timeout(10), layer.lock("k", fair=fair):
                    pass

    asyncio.run(scenario())


def test_fencing_tokens_grow_from_hand_to_hand(colour: Colour, topology: Topology, namespace: str) -> None:
    """Through releases, expiries and evictions of the lock, each holder has a greater one than all before."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            tokens = []
            for lease in (30, 0.02, 30):
                held = await colour.of(layer.lock("k", lease=lease)).acquire()
                tokens.append(held.fencing_token)
                die(layer, held)
                if lease == 30:
                    await colour.of(held).release()
            assert all(one < other for one, other in pairwise(tokens))

    colour.run(scenario)
