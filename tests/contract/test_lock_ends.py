"""The end of a block that holds a lock: the body's own error comes first, then that the lock was lost."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from holdfast import BackendUnavailable, Layer, LockLost
from holdfast import events as kinds
from holdfast.core import leaving
from support.colours import Colour
from support.flights import reached
from support.lock_kinds import KINDS, Make, in_redis, is_free, key_of, noted, parts, take_away
from support.peeking import told
from support.points import Points
from support.staged import Stage
from support.topologies import Topology

each_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
ASYNC = Colour("async")


@each_kind
def test_a_quiet_block_whose_lock_was_lost_says_so(
    colour: Colour, topology: Topology, namespace: str, make: Make
) -> None:
    """At its end, since another may have run beside it; so do handles. Hooks hear it, and it is counted, once."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            lost = told(layer, kinds.LockLost)
            with pytest.raises(LockLost, match="'k' was lost before it was given back"):
                async with colour.using(make(layer)) as held:
                    take_away(layer, held)
            handle = await colour.of(make(layer)).acquire()
            with pytest.raises(LockLost):
                async with colour.using(handle):
                    take_away(layer, handle)
            assert [event.reason for event in lost] == ["taken", "taken"]
            assert layer.stats().lost == 2
            assert await is_free(colour, make(layer, wait=0))
            assert not noted()

    colour.run(scenario)


@each_kind
def test_a_loss_never_hides_the_bodys_error(colour: Colour, layer: Layer, make: Make) -> None:
    """In blocks of locks and of handles: what the body raised comes out as it was."""

    async def scenario() -> None:
        error = LookupError("body")
        with pytest.raises(LookupError) as caught:  # noqa: PT012 - the whole block is what raises
            async with colour.using(make(layer)) as held:
                take_away(layer, held)
                raise error
        assert caught.value is error
        handle = await colour.of(make(layer)).acquire()
        with pytest.raises(LookupError) as caught:  # noqa: PT012 - the whole block is what raises
            async with colour.using(handle):
                take_away(layer, handle)
                raise error
        assert caught.value is error
        assert await is_free(colour, make(layer, wait=0))

    colour.run(scenario)


@pytest.fixture
def retried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a lock be given back again soon."""
    monkeypatch.setattr(leaving, "_RETRY", 0.01)


def _is_gone(layer: Layer, key: str) -> bool:
    return not in_redis(layer, key)


@pytest.mark.usefixtures("retried")
@each_kind
def test_a_redis_that_is_away_at_the_end_is_no_error_of_the_block(colour: Colour, layer: Layer, make: Make) -> None:
    """The body's error comes out, or none; a hook hears of it, and the lock is given back when Redis is there again."""

    async def scenario() -> None:
        failed, stage = told(layer, kinds.BackendFailed), Stage(layer)
        for error in (None, LookupError("body")):
            away: Any = stage.away()
            raised = None
            try:
                async with colour.using(make(layer)) as held:
                    away.__enter__()
                    if error is not None:
                        raise error
            except LookupError as caught:
                raised = caught
            assert raised is error
            away.__exit__(None, None, None)
            assert {event.operation for event in failed} == {"leave"}
            key = key_of(parts(held)[0])
            await colour.until(partial(_is_gone, layer, key), "it is given back")
        async with colour.using(make(layer)):
            pass

    colour.run(scenario)


@each_kind
def test_giving_back_while_redis_is_away(colour: Colour, layer: Layer, make: Make) -> None:
    """The error comes out; a second time gives it back, and that is no loss."""

    async def scenario() -> None:
        lost, stage = told(layer, kinds.LockLost), Stage(layer)
        held = await colour.of(make(layer)).acquire()
        with stage.away():
            for _ in range(2):
                with pytest.raises(BackendUnavailable):
                    await colour.of(held).release()
        await colour.of(held).release()
        assert await is_free(colour, make(layer, wait=0))
        assert lost == []
        await colour.of(held).release()

    colour.run(scenario)


def test_what_was_given_back_in_the_background_may_be_another_s_by_then(colour: Colour, layer: Layer) -> None:
    """To give it back again is no error then, and leaves the next holder alone."""

    async def scenario() -> None:
        lost, stage = told(layer, kinds.LockLost), Stage(layer)
        held = await colour.of(layer.lock("k")).acquire()
        with stage.away(), pytest.raises(BackendUnavailable):
            await colour.of(held).release()
        async with colour.using(layer.lock("k")) as next_one:
            await colour.of(held).release()
            await colour.of(next_one).extend()
        assert lost == []

    colour.run(scenario)


@pytest.mark.parametrize("point", ["take", "take!", "leave", "leave!"])
def test_a_task_that_is_cancelled_while_it_enters_or_leaves_keeps_no_lock(layer: Layer, point: str) -> None:
    """At each await: before the command is sent, and before its reply is handled. The cancellation goes on."""

    async def scenario() -> None:
        points, entered = Points(layer), []

        async def work() -> None:
            async with layer.lock("k"):
                entered.append(1)

        points.hold(point)
        task = asyncio.create_task(work())
        await reached(lambda: points.holds(point))
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert entered == ([1] if "leave" in point else [])
        async with asyncio.timeout(5), layer.lock("k"):
            pass
        assert not noted()

    asyncio.run(scenario())


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("command", ["take", "leave"])
def test_an_interrupt_while_it_enters_or_leaves_keeps_no_lock(
    layer: Layer, command: str, error: type[BaseException]
) -> None:
    """Ctrl-C comes out, and the lock is free."""
    stage, lock = Stage(layer), layer.lock("k", wait=0)
    stage.interrupts[command] = error()
    with pytest.raises(error), lock:
        pass
    with lock:
        pass


def test_a_handle_may_be_given_back_by_another_than_took_it(layer: Layer) -> None:
    """By another task, another loop, or a thread, in either colour: the lock is that of the handle."""

    async def take() -> Any:
        return await layer.lock("k", wait=0).aacquire()

    async def leave(held: Any) -> None:
        await asyncio.create_task(held.arelease())

    async def in_thread(held: Any) -> None:
        await asyncio.to_thread(held.release)

    asyncio.run(leave(asyncio.run(take())))
    asyncio.run(in_thread(asyncio.run(take())))
    asyncio.run(take()).release()
    asyncio.run(leave(layer.lock("k", wait=0).acquire()))
    layer.lock("k", wait=0).acquire().release()
