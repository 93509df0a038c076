"""Slots that nobody holds any more: whatever cuts entering or leaving short, they come back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from holdfast import Layer, RateLimited
from holdfast.core import slot_leaving
from support.calls import teach
from support.colours import Colour
from support.flights import reached
from support.points import Points
from support.proxy import Proxy
from support.staged import Stage
from support.topologies import Servers

pytestmark = pytest.mark.usefixtures("patient_limits")
SYNC, ASYNC = Colour("sync"), Colour("async")
INTERRUPTS = [(SYNC, KeyboardInterrupt), (SYNC, SystemExit), (ASYNC, asyncio.CancelledError)]  # others end the loop


def left(layer: Layer, key: str = "k") -> int:
    """Return how many slots are taken."""
    with layer.limiter.concurrency(100, key) as slot:
        return 99 - slot.decision.remaining


@pytest.fixture
def retried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a slot be given back again soon."""
    monkeypatch.setattr(slot_leaving, "_RETRY", 0.01)


@pytest.fixture
def proxy(servers: Servers) -> Iterator[Proxy]:
    teach([servers.standalone()])
    with Proxy(servers.standalone().address) as proxy:
        yield proxy


@pytest.mark.parametrize("point", ["slot_take", "slot_take!", "slot_leave", "slot_leave!"])
def test_a_task_that_is_cancelled_while_it_enters_or_leaves_keeps_no_slot(layer: Layer, point: str) -> None:
    """At each await: before the command is sent, and before its reply is handled. The cancellation goes on."""

    async def scenario() -> None:
        limit, points, entered = layer.limiter.concurrency(1, "k"), Points(layer), []

        async def work() -> None:
            async with limit:
                entered.append(1)

        points.hold(point)
        task = asyncio.create_task(work())
        await reached(lambda: points.holds(point))
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert entered == ([1] if "leave" in point else [])
        await reached(lambda: left(layer) == 0)
        assert not limit._entered

    asyncio.run(scenario())


def test_a_task_that_is_cancelled_inside_keeps_no_slot(layer: Layer) -> None:
    """In the block itself, by a task group that fails, and by a time-out."""

    async def scenario() -> None:
        limit = layer.limiter.concurrency(2, "k")

        async def stay() -> None:
            async with limit:
                await asyncio.Event().wait()

        async def fail() -> None:
            await reached(lambda: left(layer) == 1)
            raise LookupError

        async def both() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(stay())
                group.create_task(fail())

        with pytest.raises(ExceptionGroup):
            await both()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stay(), 0.01)
        assert left(layer) == 0

    asyncio.run(scenario())


@pytest.mark.parametrize("end", ["the loop goes on", "the loop ends"])
def test_a_reply_that_is_under_way_is_not_lost(proxy: Proxy, namespace: str, end: str, servers: Servers) -> None:
    """A task is cancelled when its slot is taken already, and it does not know: the slot is given back."""

    async def scenario(layer: Layer) -> None:
        await layer.limiter.ahit("1/day", "open the connection")
        proxy.hold_replies()
        task = asyncio.create_task(layer.limiter.concurrency(1, "k").__aenter__())
        await reached(lambda: proxy.held_down)
        task.cancel()
        await asyncio.wait([task])
        proxy.release()
        if end == "the loop goes on":
            await reached(lambda: left(other) == 0)

    with Layer(servers.standalone().url, namespace=namespace) as other, Layer(proxy.url, namespace=namespace) as layer:
        asyncio.run(scenario(layer))
        ASYNC.run(lambda: ASYNC.until(lambda: left(other) == 0, "it is given back"))


@pytest.mark.parametrize("command", ["slot_take", "slot_leave"])
@pytest.mark.parametrize(("colour", "kind"), INTERRUPTS, ids=lambda value: getattr(value, "name", "") or value.__name__)
def test_an_interrupt_while_entering_or_leaving_keeps_no_slot(
    colour: Colour, layer: Layer, kind: type[BaseException], command: str
) -> None:
    """Ctrl-C comes instead of the reply: it goes on, and the slot is given back."""

    async def scenario() -> None:
        stage = Stage(layer)
        stage.interrupts[command] = kind()
        with pytest.raises(kind):
            async with colour.using(layer.limiter.concurrency(1, "k")):
                pass
        await colour.until(lambda: left(layer) == 0, "it is given back")

    colour.run(scenario)


@pytest.mark.usefixtures("retried")
@pytest.mark.parametrize("on_failure", ["open", "closed", "local"])
def test_a_slot_that_redis_kept_to_itself_comes_back_when_redis_does(
    colour: Colour, layer: Layer, on_failure: Any
) -> None:
    """Taken although no answer came: let in or not, the slot is given back soon, and not first after its lease."""

    async def scenario() -> None:
        stage = Stage(layer)
        async with colour.using(layer.limiter.concurrency(1, "k")):
            decisions = []
            for _ in range(3):
                stage.loses.add("slot_take")
                try:
                    async with colour.using(layer.limiter.concurrency(5, "k", on_failure=on_failure)) as slot:
                        decisions.append(slot.decision)
                        stage.is_away = True  # and so it cannot be given back
                except RateLimited as error:
                    decisions.append(error.decision)
                stage.is_away = False
            assert [each.allowed for each in decisions] == [on_failure != "closed"] * 3
            assert all(each.degraded for each in decisions)
            await colour.until(lambda: left(layer) == 1, "those that nobody holds are given back")
        assert left(layer) == 0
        assert not layer.engine.slots._leaving._orphans

    colour.run(scenario)


def test_without_redis_a_process_lets_its_share_in(colour: Colour, namespace: str) -> None:
    """``"local"`` admits limit / replicas blocks at once, ``"open"`` all, ``"closed"`` none."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace, replicas=2)) as layer:
            stage, refusals = Stage(layer), list[Any]()

            async def inside(on_failure: Any, limit: int) -> int:
                count = 0

                async def enter() -> None:
                    nonlocal count
                    async with colour.using(layer.limiter.concurrency(limit, "k", on_failure=on_failure)) as slot:
                        assert slot.decision.degraded
                        count += 1
                        if count < 10:
                            await enter()

                with stage.away():
                    try:
                        await enter()
                    except RateLimited as error:
                        refusals.append(error.decision)
                return count

            for _ in range(2):
                assert [await inside(on_failure, 6) for on_failure in ("open", "local", "closed")] == [10, 3, 0]
            assert await inside("local", 1) == 1
            assert [(each.degraded, each.retry_after) for each in refusals] == [(True, 1.0)] * 5

    colour.run(scenario)
