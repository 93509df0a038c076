"""Promises of locks in hard times: two who give back at once, deaf waiters, extensions that were interrupted."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any, Final

import hiredis
import pytest

from holdfast import BackendTimeout, Held, Layer, LockLost, LockNotAcquired, MultiHeld
from holdfast import events as happenings
from holdfast.backend import connections
from holdfast.commands import Command, Reply
from holdfast.core.lock_waiting import _Waiting
from support.calls import Sent, named, teach
from support.colours import Colour
from support.flights import reached
from support.lock_kinds import ALONE, Make, in_redis, key_of, queued, stage_renewals, take_away, waiting
from support.peeking import told
from support.topologies import Servers

SOON: Final = 8.0
"""Seconds, even on a machine under load, and far less than a lease."""


@pytest.fixture(params=["memory", "server"])
def url(request: pytest.FixtureRequest, servers: Servers, namespace: str) -> str:
    """Give a place whose server knows all scripts."""
    return f"memory://{namespace}" if request.param == "memory" else server_url(servers)


def server_url(servers: Servers) -> str:
    server = servers.standalone()
    teach([server])
    return server.url


class Hooked:
    """A port that tells of each command before and after it is executed, and hears nothing if it is deaf."""

    def __init__(
        self,
        port: Any,
        *,
        before: Callable[[Command], object] = lambda _: None,
        after: Callable[[Command], object] = lambda _: None,
        deaf: bool = False,
    ) -> None:
        self._port = port
        self._before = before
        self._after = after
        self._deaf = deaf

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    async def call(self, command: Command) -> Reply:
        self._before(command)
        reply = await self._port.call(command)
        self._after(command)
        return reply

    def subscribe(self, *args: Any, **options: Any) -> Callable[[], object]:
        if self._deaf:
            return lambda: None
        cancel: Callable[[], object] = self._port.subscribe(*args, **options)
        return cancel


def test_numbers_never_reach_hiredis(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are text before that: a signal while hiredis makes text of a number would end the process."""
    given: list[tuple[object, ...]] = []
    pack: Any = hiredis.pack_command

    def see(words: tuple[object, ...]) -> Any:
        given.append(words)
        return pack(words)

    monkeypatch.setattr(hiredis, "pack_command", see)
    spec = spec_from_file_location("connections_again", connections.__file__)
    assert spec is not None
    assert spec.loader is not None
    again = module_from_spec(spec)
    spec.loader.exec_module(again)
    for words in (("SET", "k", 5), (1, b"k", "v"), ("EVAL", -1, 2**70, b"\xff", 0), ("GET", "k"), (7,)):
        text = tuple(str(word) if isinstance(word, int) else word for word in words)
        assert again.pack(words) == connections.pack(words) == connections.pack(text)
    assert len(given) == 5
    assert not [word for words in given for word in words if isinstance(word, int)]


class Once:
    """Checks that a lock was given back once, whoever did it, and that nobody heard of a loss."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.lost = told(layer, happenings.LockLost)

    async def check(self, colour: Colour, lock: Any, times: int) -> None:
        assert self.lost == []
        stats = self.layer.stats()
        assert (stats.acquired, stats.lost) == (times, 0)
        async with colour.using(lock):
            pass


@pytest.mark.parametrize("make", ALONE.values(), ids=ALONE)
def test_two_tasks_give_back_at_once(servers: Servers, namespace: str, make: Make) -> None:
    """Neither raises, nothing was lost, and the lock is free."""

    async def scenario() -> None:
        async with Layer(server_url(servers), namespace=namespace) as layer:
            once, lock = Once(layer), make(layer, wait=0)
            await layer.lock("connect").alocked()
            held = await lock.aacquire()
            found = await asyncio.gather(held.arelease(), held.arelease(), return_exceptions=True)
            assert list(found) == [None, None]
            await held.arelease()
            await once.check(Colour("async"), lock, 2 if isinstance(held, MultiHeld) else 1)

    asyncio.run(scenario())


@pytest.mark.parametrize("first", ["the task", "the block"])
def test_a_block_ends_while_another_task_gives_back(servers: Servers, namespace: str, first: str) -> None:
    """Whoever is first: the block ends without an error, and nothing was lost."""

    async def scenario() -> None:
        async with Layer(server_url(servers), namespace=namespace) as layer:
            once, lock = Once(layer), layer.lock("k", wait=0)
            async with lock as held:
                task = asyncio.create_task(held.arelease())
                if first == "the task":
                    await asyncio.sleep(0)
            await task
            await once.check(Colour("async"), lock, 1)

    asyncio.run(scenario())


@pytest.mark.parametrize("is_first", [True, False], ids=["knows it late", "comes late"])
def test_two_threads_give_back_at_once(layer: Layer, is_first: bool) -> None:
    """One has begun, and the other comes before Redis has executed that, or has told so: neither raises."""
    once, lock = Once(layer), layer.lock("k", wait=0)
    is_under_way, is_over = threading.Event(), threading.Event()

    def hook(command: Command) -> None:
        if named(command) == "leave" and not is_under_way.is_set():
            is_under_way.set()
            is_over.wait(0.2)  # the other may also wait for this one

    hooks = {"after" if is_first else "before": hook}
    layer.engine.blocking = Hooked(layer.engine.blocking, **hooks)  # type: ignore[assignment,arg-type]
    held = lock.acquire()
    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(held.release)
        assert is_under_way.wait(SOON)
        try:
            held.release()
        finally:
            is_over.set()
        first.result()
    Colour("sync").run(lambda: once.check(Colour("sync"), lock, 1))


def test_many_busy_takes_were_cancelled(servers: Servers, namespace: str) -> None:
    """More than a thousand were cancelled while asking for a busy lock: one of a free lock then leaves nothing."""

    async def scenario() -> None:
        url = server_url(servers)
        async with Layer(url, namespace=namespace) as layer, Layer(url, namespace=namespace) as other:
            await layer.lock("connect").alocked()
            async with other.lock("busy"):
                for _ in range(8):
                    tasks = [asyncio.create_task(layer.lock("busy", wait=0).aacquire()) for _ in range(130)]
                    await asyncio.sleep(0)
                    await cancelled(tasks)
                key = layer.engine.caching.names.lock("lock", "free").held
                task = asyncio.create_task(layer.lock("free", wait=0).aacquire())
                while not in_redis(other, key):  # noqa: ASYNC110 - the loop stands still while that is asked
                    await asyncio.sleep(0)
                await cancelled([task])
                async with asyncio.timeout(SOON):
                    await reached(lambda: not in_redis(other, key))

    asyncio.run(scenario())


async def cancelled(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)


@pytest.mark.parametrize("fair", [True, False], ids=["fair", "plain"])
def test_cancelling_a_crowd_costs_a_few_commands_each(servers: Servers, namespace: str, fair: bool) -> None:
    """However many wait: not each gives back what all others have left."""
    count = 300

    async def scenario() -> None:
        async with Layer(server_url(servers), namespace=namespace) as layer:
            lock, sent = layer.lock("k", fair=fair), Sent(layer)
            async with lock:
                tasks = [asyncio.create_task(lock.aacquire()) for _ in range(count)]
                await reached(lambda: waiting(layer) == count and (not fair or queued(layer) == count))
                await asyncio.sleep(0.05)
                before = len(sent.names)
                await cancelled(tasks)
                await reached(lambda: queued(layer) == 0)
        assert len(sent.names) - before <= 4 * count  # the layer is closed: nothing more comes

    asyncio.run(scenario())


WAYS: Final[dict[str, Make]] = {
    "permit": lambda layer, **options: layer.semaphore("k", 1, **options),
    "writer": lambda layer, **options: layer.read_write_lock("k").write(**options),
    "writer after reader": lambda layer, **options: layer.read_write_lock("k").read(**options),
    "plain": lambda layer, **options: layer.lock("k", **options),
    "fair": lambda layer, **options: layer.lock("k", fair=True, **options),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_next_holder_comes_after_the_loss(url: str, namespace: str, way: str) -> None:
    """When a lease runs out, the holder knows it before anybody else can have the lock, to the millisecond."""
    with Layer(url, namespace=namespace) as layer, Layer(url, namespace=namespace) as other:
        second = WAYS["writer" if way.startswith("writer") else way]
        for each in (WAYS[way](layer), second(other)):
            each.acquire().release()  # the scripts are known
        for lease in (0.05, 0.0504) * 5:
            terms: Any = {"lease": lease, "max_lifetime": lease, "wait": 0}
            held = taken(WAYS[way](layer, **terms))
            following = taken(second(other, **terms))
            assert held.lost, f"it says that it has {held.remaining * 1000:.2f} ms"
            with suppress(LockLost):
                following.release()


def taken(lock: Any) -> Held:
    """Take a lock as soon as it is free, without waiting for a call; a machine under load may grant it too late."""
    while True:
        with suppress(LockNotAcquired, BackendTimeout):
            held: Held = lock.acquire()
            return held


def test_several_of_which_one_was_lost_while_waiting(colour: Colour, namespace: str) -> None:
    """Whoever gets several locks has all of them, or gets an error: one that was lost meanwhile is no longer held."""

    async def scenario() -> None:
        url = f"memory://{namespace}"
        async with colour.using(Layer(url)) as layer, colour.using(Layer(url)) as other:
            busy = await colour.of(other.lock("b")).acquire()

            async def take() -> Any:
                held = await colour.of(layer.multi_lock(["a", "b"], wait=10)).acquire()
                assert not held.lost
                held.check()
                assert all(in_redis(other, key_of(each)) for each in held.held)
                return held

            async def lose() -> None:
                await colour.until(lambda: waiting(layer) == 1, "it has the one and waits for the other")
                (hold,) = layer.engine.locks.renewing._renewals.of_length(30.0)
                take_away(other, Held(layer.engine, hold))
                layer.engine.locks.renewing.lose(hold, "taken")
                await colour.of(busy).release()

            found, _ = await colour.together(take, lose)
            if isinstance(found, MultiHeld):
                await colour.of(found).release()
            else:
                assert isinstance(found, LockLost | LockNotAcquired), found
            for name in ("a", "b"):
                assert not await colour.of(other.lock(name)).locked()

    colour.run(scenario)


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_each_inner_block_is_cancelled(layer: Layer, blocks: int) -> None:
    """`cancel_on_loss` of a block of a reentrant lock works however many such blocks have ended before."""

    async def scenario() -> None:
        inner = layer.lock("k", reentrant=True, cancel_on_loss=True)
        with suppress(LockLost):
            async with layer.lock("k", reentrant=True) as outer:
                for _ in range(blocks - 1):
                    async with inner:
                        pass
                with pytest.raises(LockLost, match="its block cancelled"):  # noqa: PT012 - the whole block is what raises
                    async with inner:
                        layer.engine.locks.renewing.lose(outer._hold, "taken")
                        await asyncio.wait_for(asyncio.Event().wait(), 1)
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()

    asyncio.run(scenario())


@pytest.mark.parametrize("is_free", [True, False], ids=["free", "free soon"])
def test_a_plain_block_beside_a_task_that_waits(namespace: str, is_free: bool) -> None:
    """In the thread of a loop it does not wait for a task of that loop, which cannot go on meanwhile."""

    async def scenario(thread: ThreadPoolExecutor) -> None:
        url = f"memory://{namespace}"
        with Layer(url) as layer, Layer(url) as other:
            held = other.lock("k").acquire()
            task = asyncio.create_task(layer.lock("k").aacquire())
            await reached(lambda: waiting(layer) == 1)
            if is_free:
                held.release()
            else:
                thread.submit(give_back_later, layer, held)
            with layer.lock("k", wait=3):
                assert not task.done()
            await (await task).arelease()
            await layer.aclose()

    def give_back_later(layer: Layer, held: Held) -> None:
        Colour("sync").run(lambda: Colour("sync").until(lambda: waiting(layer) == 2, "the thread waits"))
        held.release()

    with ThreadPoolExecutor(1) as thread:
        asyncio.run(scenario(thread))


def test_those_who_hear_nothing_keep_their_turn(layer: Layer, monkeypatch: pytest.MonkeyPatch) -> None:
    """No message arrives: a fair lock goes to them in the order in which they came, also if the next looks late."""
    seen: list[object] = []
    spreads = {0: 0.75, 1: 1.25, 2: 0.9}

    def spread(waiter: _Waiting, seconds: float) -> float:
        if waiter not in seen:
            seen.append(waiter)
        return seconds * spreads[seen.index(waiter)]

    monkeypatch.setattr(_Waiting, "_spread", spread)

    async def scenario() -> None:
        order = []

        async def work(number: int) -> None:
            async with layer.lock("k", fair=True):
                order.append(number)

        layer.engine.asyncio = Hooked(layer.engine.asyncio, deaf=True)  # type: ignore[assignment]
        held = await layer.lock("k", fair=True).aacquire()
        tasks = []
        for number in range(3):
            tasks.append(asyncio.create_task(work(number)))
            await reached(lambda: queued(layer) == len(tasks))
        await held.arelease()
        await asyncio.gather(*tasks)
        assert order == [0, 1, 2]

    asyncio.run(scenario())


def test_an_extension_that_was_interrupted(colour: Colour, layer: Layer) -> None:
    """Whether a shorter lease holds is not known: the lock is renewed before that could be over, and is not lost."""

    async def scenario() -> None:
        stage = stage_renewals(layer)
        held = await colour.of(layer.lock("k", lease=30)).acquire()
        error = asyncio.CancelledError() if colour.is_async else KeyboardInterrupt()
        stage.interrupts["keep"] = error
        with pytest.raises(type(error)):
            await colour.of(held).extend(2)
        doubted = held._hold.until
        assert held.remaining <= 2
        assert min(pause for pause, _ in stage.recurring) < 1.5
        stage.ahead += 1.0
        for _, work in tuple(stage.recurring):
            run(work())
        assert held._hold.until > doubted + 10
        held.check()
        await colour.of(held).release()

    colour.run(scenario)


def run(work: Coroutine[Any, Any, object]) -> None:
    """Run blocking work to its end."""
    with suppress(StopIteration):
        work.send(None)
        raise AssertionError
