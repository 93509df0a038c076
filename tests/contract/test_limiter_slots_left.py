"""Slots that nobody holds any more: whatever cuts entering or leaving short, they come back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest

from holdfast import BackendTimeout, Layer, RateLimited
from holdfast.commands import Command, Reply
from holdfast.core import leaving
from support.calls import named, teach
from support.colours import Colour
from support.flights import reached
from support.peeking import ask
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


class Late:
    """Lets the next attempt to take a slot of a layer be late: its caller is told something else, or interrupted."""

    def __init__(self, layer: Layer, error: BaseException) -> None:
        self.error: BaseException | None = error
        self.commands: list[Command] = []
        """What is still under way."""
        layer.engine.blocking = _Overtaken(layer.engine.blocking, self)  # type: ignore[assignment]
        layer.engine.asyncio = _Overtaken(layer.engine.asyncio, self)  # type: ignore[assignment]


class _Overtaken:
    def __init__(self, port: Any, late: Late) -> None:
        self._port = port
        self._late = late

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    async def call(self, command: Command) -> Reply:
        error = self._late.error
        if error is None or named(command) != "slot_take":
            return await self._port.call(command)
        self._late.error = None
        self._late.commands.append(command)
        raise error


@pytest.fixture
def retried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a slot be given back again soon."""
    monkeypatch.setattr(leaving, "_RETRY", 0.01)


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


@pytest.mark.parametrize("on_failure", ["open", "closed", "local", "interrupted"])
def test_a_slot_that_is_taken_after_it_was_given_back_is_given_back_again(
    colour: Colour, layer: Layer, on_failure: Any
) -> None:
    """Who has not heard of it overtakes himself on another connection: being told that he has none proves nothing."""

    async def scenario() -> None:
        late = Late(layer, KeyboardInterrupt() if on_failure == "interrupted" else BackendTimeout("late"))
        stage = Stage(layer, timeless=True)
        policy = "open" if on_failure == "interrupted" else on_failure
        with suppress(RateLimited, KeyboardInterrupt):
            async with colour.using(layer.limiter.concurrency(1, "k", on_failure=policy)):
                pass
        await colour.until(lambda: stage.recurring, "it will be given back")
        ((_, retry),) = stage.recurring
        stage.ahead += 0.25
        assert await retry(), "it may still be taken"
        assert stage.sent.count("slot_leave") == (1 if on_failure == "closed" else 2)
        ask(layer, *late.commands[0].fallback, key=late.commands[0].keys[0])
        stage.ahead += 1
        assert not await retry()
        assert left(layer) == 0

    colour.run(scenario)


def test_a_slot_that_was_never_taken_is_asked_for_less_and_less(colour: Colour, layer: Layer) -> None:
    """After pauses as long as it was asked for so far, until its lease would be over: a handful of commands in all."""

    async def scenario() -> None:
        Late(layer, BackendTimeout("late"))
        stage = Stage(layer, timeless=True)
        async with colour.using(layer.limiter.concurrency(1, "k", lease=30)):
            pass
        began, tries = stage.ahead, list[float]()
        ((_, retry),) = stage.recurring
        while True:
            stage.ahead += 0.25
            known = len(stage.sent)
            goes_on = await retry()
            tries += [stage.ahead - began] * (len(stage.sent) - known)
            if not goes_on:
                break
        assert stage.ahead - began == pytest.approx(30, abs=0.5)
        assert len(tries) <= 9
        assert all(later - sooner <= sooner + 0.5 for sooner, later in pairwise([0, *tries]))
        leaving = layer.engine.slots._leaving
        assert not leaving._orphans
        assert not leaving._doubts

    colour.run(scenario)


@pytest.mark.parametrize("why", ["it is lost", "Redis was away", "it is over"])
def test_a_slot_that_cannot_be_taken_late_is_given_back_once(colour: Colour, layer: Layer, why: str) -> None:
    """That was heard of, or never sent, or is longer ago than a lease: then it is true that there is none."""

    async def scenario() -> None:
        if why == "it is over":
            Late(layer, BackendTimeout("late"))
        stage = Stage(layer, timeless=True)
        stage.is_away = why == "Redis was away"
        limit = layer.limiter.concurrency(1, "k", lease=30)
        async with colour.using(limit):
            stage.is_away = False
            ask(layer, "DEL", limit._gate.key, key=limit._gate.key)
            stage.ahead += 30 if why == "it is over" else 0
        assert stage.sent[-1] == "slot_leave"
        assert not layer.engine.slots._leaving._orphans
        assert stage.recurring == []

    colour.run(scenario)


@pytest.mark.parametrize("on_failure", ["open", "local"])
def test_a_coroutine_that_is_closed_after_its_loop_leaves_its_slot_to_the_lease(
    layer: Layer, on_failure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing can be asked any more, so nothing is: closing it raises nothing, and renews the slot no more."""
    stage, loop, slots = Stage(layer), asyncio.new_event_loop(), list[Any]()
    limit = layer.limiter.concurrency(1, "k", on_failure=on_failure)

    async def work() -> None:
        async with limit as slot:
            slots.append(slot)
            await asyncio.Event().wait()

    stage.is_away = on_failure == "local"
    coroutine = work()
    task = loop.create_task(coroutine)
    while not slots:
        loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    coroutine.close()
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    assert slots[0].is_left
    assert not limit._entered
    assert not layer.engine.slots._local._held
    assert stage.sent == ([] if stage.is_away else ["slot_take"])
    assert [each for each in caplog.records if each.levelname == "ERROR"] == []


def test_who_is_refused_without_redis_is_told_why(colour: Colour, layer: Layer) -> None:
    """That no slot is free, nobody knows then."""

    async def scenario() -> None:
        with Stage(layer).away(), pytest.raises(RateLimited) as caught:
            async with colour.using(layer.limiter.concurrency(1, "k", on_failure="closed")):
                raise AssertionError
        assert str(caught.value) == "concurrency: Redis cannot be asked; try again in 1.000 s"
        async with colour.using(layer.limiter.concurrency(1, "k")):
            with pytest.raises(RateLimited, match=r"^no slot is free: over the limit concurrency; try again in"):
                async with colour.using(layer.limiter.concurrency(1, "k")):
                    raise AssertionError

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
