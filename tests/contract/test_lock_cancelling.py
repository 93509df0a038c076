"""`cancel_on_loss`: the body of an `async with` ends when its lock is lost, and nothing else is cancelled by it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from holdfast import ConfigurationError, Layer, LockLost, current_lock
from support.lock_kinds import KINDS, Make, noted, parts, take_away
from support.topologies import Topology

each_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)


def cancelling() -> int:
    """Return how many cancellations the task has not dealt with."""
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


class Lost:
    """A lock whose loss is told at once when it is taken away."""

    def __init__(self, layer: Layer, make: Make = KINDS["plain"]) -> None:
        self.layer = layer
        self.lock = make(layer, cancel_on_loss=True)

    def lose(self, held: Any) -> None:
        """Have the lock found to be lost, in a thread as renewals do it; the block is cancelled at its next await."""
        renewing = self.layer.engine.locks.renewing
        thread = threading.Thread(target=renewing.lose, args=(parts(held)[0]._hold, "taken"))
        thread.start()
        thread.join()


def test_the_block_is_cancelled(topology: Topology, namespace: str) -> None:
    """When a renewal finds that the lock is lost; the block raises `LockLost`, and the task goes on."""

    async def scenario() -> None:
        async with Layer(topology.url, namespace=namespace) as layer:
            cleaned_up = []
            with pytest.raises(LockLost, match="was lost, and its block cancelled") as caught:  # noqa: PT012 - the whole block is what raises
                async with layer.lock("k", lease=0.4, cancel_on_loss=True) as held:
                    take_away(layer, held)
                    try:
                        await asyncio.sleep(30)
                    finally:
                        cleaned_up.append(held.lost)
            assert cleaned_up == [True]
            assert isinstance(caught.value.__cause__, asyncio.CancelledError)
            assert cancelling() == 0
            await asyncio.sleep(0)  # nothing is left that would cancel this

    asyncio.run(scenario())


@each_kind
def test_every_kind_cancels(layer: Layer, make: Make) -> None:
    """Also several at once, when one of them is lost."""

    async def scenario() -> None:
        lost = Lost(layer, make)
        with pytest.raises(LockLost):  # noqa: PT012 - the whole block is what raises
            async with lost.lock as held:
                lost.lose(held)
                await asyncio.sleep(30)
        assert cancelling() == 0
        assert not noted()

    asyncio.run(scenario())


def test_a_decorated_function_is_cancelled(layer: Layer) -> None:
    """The call raises `LockLost`."""

    async def scenario() -> None:
        lost = Lost(layer)

        @layer.locked("k", cancel_on_loss=True)
        async def work() -> None:
            lost.lose(current_lock())
            await asyncio.sleep(30)

        with pytest.raises(LockLost):
            await work()
        assert cancelling() == 0

    asyncio.run(scenario())


def test_a_real_cancellation_is_not_swallowed(layer: Layer) -> None:
    """Without a loss, and beside one: the task ends cancelled."""

    async def work(lose: bool, inside: asyncio.Event) -> None:
        lost = Lost(layer)
        async with lost.lock as held:
            inside.set()
            try:
                await asyncio.Event().wait()
            finally:
                if lose:  # both have happened before the block ends
                    lost.lose(held)
                    with pytest.raises(asyncio.CancelledError):
                        await asyncio.sleep(30)

    async def scenario() -> None:
        for lose in (False, True):
            inside = asyncio.Event()
            task = asyncio.create_task(work(lose, inside))
            await inside.wait()
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled(), lose

    asyncio.run(scenario())


def test_a_timeout_around_it_goes_on_working(layer: Layer) -> None:
    """One that is over first is a `TimeoutError`, one that is not lets `LockLost` through."""

    async def scenario() -> None:
        lost = Lost(layer)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02), lost.lock:
                await asyncio.sleep(30)
        with pytest.raises(LockLost):  # noqa: PT012 - the whole block is what raises
            async with asyncio.timeout(30), lost.lock as held:
                lost.lose(held)
                await asyncio.sleep(30)
        assert cancelling() == 0
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(self_losing(lost))
        assert isinstance(caught.value.exceptions[0], LockLost)

    async def self_losing(lost: Lost) -> None:
        async with lost.lock as held:
            lost.lose(held)
            await asyncio.sleep(30)

    asyncio.run(scenario())


async def _raises(held: Any, lost: Lost) -> None:
    lost.lose(held)
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        raise LookupError from None


async def _swallows(held: Any, lost: Lost) -> None:
    lost.lose(held)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(30)


async def _ends(held: Any, lost: Lost) -> None:
    """End before the loop has come to cancelling it."""
    lost.lose(held)


@pytest.mark.parametrize(("body", "error"), [(_raises, LookupError), (_swallows, LockLost), (_ends, LockLost)])
def test_whatever_the_body_makes_of_it(
    layer: Layer, body: Callable[[Any, Lost], Awaitable[None]], error: type[Exception]
) -> None:
    """It raises, swallows it or ends meanwhile: its own error comes first, and no cancellation is left over."""

    async def scenario() -> None:
        lost = Lost(layer)
        with pytest.raises(error):
            async with lost.lock as held:
                await body(held, lost)
        assert cancelling() == 0
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert cancelling() == 0

    asyncio.run(scenario())


def test_a_block_that_has_ended_is_cancelled_no_more(layer: Layer) -> None:
    """What is found later is nobody's business."""

    async def scenario() -> None:
        lost = Lost(layer)
        async with lost.lock as held:
            pass
        lost.lose(held)
        await asyncio.sleep(0.01)
        assert cancelling() == 0

    asyncio.run(scenario())


def test_a_loss_while_it_was_being_entered(layer: Layer) -> None:
    """Somebody takes it away between the grant and the block: the block is cancelled at its first await."""

    async def scenario() -> None:
        lost = Lost(layer)
        renewing = layer.engine.locks.renewing
        add = renewing.add

        def add_and_lose(hold: Any) -> None:
            add(hold)
            renewing.lose(hold, "taken")

        renewing.add = add_and_lose  # type: ignore[method-assign]
        with pytest.raises(LockLost):
            async with lost.lock:
                await asyncio.sleep(30)
        assert cancelling() == 0

    asyncio.run(scenario())


def test_nested_blocks_of_one_task(layer: Layer) -> None:
    """The block whose lock is lost raises `LockLost`, through those inside of it; those outside hear of that."""

    async def scenario() -> None:
        lost = Lost(layer)
        ended = []
        with pytest.raises(LockLost):  # noqa: PT012 - the whole block is what raises
            async with lost.lock as outer:
                try:
                    async with layer.lock("inner", cancel_on_loss=True):
                        lost.lose(outer)
                        await asyncio.sleep(30)
                except BaseException as error:
                    ended.append(type(error))
                    raise
        assert ended == [asyncio.CancelledError]
        assert cancelling() == 0
        assert not await layer.lock("inner").alocked()

    asyncio.run(scenario())


def test_reentered_blocks_are_cancelled_together(layer: Layer) -> None:
    """The outermost raises `LockLost`; no cancellation is left."""

    async def scenario() -> None:
        lost = Lost(layer)
        lock = layer.lock("k", reentrant=True, cancel_on_loss=True)
        with pytest.raises(LockLost):  # noqa: PT012 - the whole block is what raises
            async with lock as held, lock:
                lost.lose(held)
                await asyncio.sleep(30)
        assert cancelling() == 0
        assert not noted()

    asyncio.run(scenario())


def test_only_what_can_be_cancelled_may_ask_for_it(layer: Layer) -> None:
    """A plain `with`, a plain function and a bare handle have nothing to cancel: refused before anything is taken."""

    async def scenario() -> None:
        lock = layer.lock("k", cancel_on_loss=True)
        with pytest.raises(ConfigurationError, match="cancels an `async with` block; a plain `with` has none"), lock:
            raise AssertionError
        with pytest.raises(ConfigurationError, match=r"acquire\(\) has none"):
            lock.acquire()
        with pytest.raises(ConfigurationError, match=r"aacquire\(\) has none"):
            await lock.aacquire()
        with pytest.raises(ConfigurationError, match="a plain function cannot be cancelled"):
            layer.locked("k", cancel_on_loss=True)(lambda: None)
        assert not await lock.alocked()

    asyncio.run(scenario())
