"""Renewing slots: soon again after a failure, not at the expense of others, and only while somebody has them."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from holdfast import BackendUnavailable, Layer
from holdfast.commands import Command, Reply
from support.calls import named
from support.colours import Colour
from support.peeking import told
from support.points import Points
from support.staged import Stage

pytestmark = pytest.mark.usefixtures("patient_limits")


class Pace:
    """Redis takes a given time for each command, as far as one layer can see. What would recur is run by hand."""

    def __init__(self, layer: Layer, took: float) -> None:
        self.took = took
        self.now = 1000.0
        self.fails = ""
        """The name of commands that fail."""
        self.patience: dict[str, float | None] = {}
        """Of the latest command of each name."""
        self.recurring: list[Callable[[], Coroutine[Any, Any, bool]]] = []
        layer.engine.blocking = _Paced(layer.engine.blocking, self)  # type: ignore[assignment]
        layer.engine.asyncio = _Paced(layer.engine.asyncio, self)  # type: ignore[assignment]


class _Paced:
    def __init__(self, port: Any, pace: Pace) -> None:
        self._port = port
        self._pace = pace

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    def monotonic(self) -> float:
        return self._pace.now

    async def call(self, command: Command) -> Reply:
        pace = self._pace
        pace.patience[named(command)] = command.patience
        if named(command) == pace.fails:
            raise BackendUnavailable(pace.fails)
        reply = await self._port.call(command._replace(patience=None))
        pace.now += pace.took
        return reply

    def every(self, seconds: float, work: Callable[[], Coroutine[Any, Any, bool]]) -> Callable[[], object]:
        self._pace.recurring.append(work)
        return lambda: None


def test_a_renewal_that_failed_is_tried_again_soon(colour: Colour, layer: Layer) -> None:
    """After a tenth of the lease, until Redis answers; then it is renewed each third again."""

    async def scenario() -> None:
        stage = Stage(layer, timeless=True)
        async with colour.using(layer.limiter.concurrency(1, "k", lease=30)):
            with stage.away():
                assert not await stage.recurring[-1][1]()
                assert await stage.recurring[-1][1]()
            assert not await stage.recurring[-1][1]()
            assert await stage.recurring[-1][1]()
            assert [pause for pause, _ in stage.recurring] == [10, 3, 10]

    colour.run(scenario)


@pytest.mark.parametrize("end", ["it was gone", "Redis went away"])
def test_a_renewal_that_ends_after_its_slot_was_left_says_nothing(colour: Colour, layer: Layer, end: str) -> None:
    """It was under way when the block ended: the slot was not lost, whatever comes of it."""

    async def scenario() -> None:
        stage = Stage(layer, timeless=True)
        points, limit, events = Points(layer), layer.limiter.concurrency(1, "k"), told(layer)
        slot = await colour.call(limit.__aenter__ if colour.is_async else limit.__enter__)
        ((_, renew),) = stage.recurring
        points.hold("slot_keep")

        async def leave() -> None:
            await colour.until(lambda: points.holds("slot_keep"), "the renewal is under way")
            await colour.call(limit.__aexit__ if colour.is_async else limit.__exit__, None, None, None)
            stage.is_away = end == "Redis went away"
            points.release("slot_keep")

        assert await colour.together(renew, leave) == [False, None]
        assert not slot.lost
        assert events == []

    colour.run(scenario)


def test_a_slot_that_was_left_is_not_renewed_again(colour: Colour, layer: Layer) -> None:
    """It was left after a renewal had looked, and before that put the next one on its way."""

    async def scenario() -> None:
        async with colour.using(layer.limiter.concurrency(1, "k")) as slot:
            pass
        ended = list[int]()
        slot.renew_by(lambda: ended.append(1))
        assert ended == [1]

    colour.run(scenario)


def test_a_slot_that_everybody_has_forgotten_is_renewed_no_more(colour: Colour, layer: Layer) -> None:
    """Who is interrupted between taking it and his block leaves it to its lease, which then ends."""

    async def scenario() -> None:
        stage = Stage(layer, timeless=True)
        limit = layer.limiter.concurrency(1, "k")
        slot = await colour.call(limit.__aenter__ if colour.is_async else limit.__enter__)
        ((_, renew),) = stage.recurring
        del limit
        gc.collect()
        assert await renew(), "somebody has the slot"
        del slot
        gc.collect()
        assert not await renew()
        assert stage.sent == ["slot_take", "slot_keep"]

    colour.run(scenario)


@pytest.mark.parametrize("how", ["with", "async with"])
def test_a_block_holds_its_slot_without_a_name_for_it(layer: Layer, how: str) -> None:
    """Nobody but the statement itself has the object that was entered, or the slot."""
    stage = Stage(layer, timeless=True)

    async def kept() -> bool:
        gc.collect()
        ((_, renew),) = stage.recurring
        return await renew()

    async def scenario() -> bool:
        async with layer.limiter.concurrency(1, "k"):
            return await kept()

    if how == "async with":
        assert asyncio.run(scenario())
    else:
        with layer.limiter.concurrency(1, "k"):
            assert Colour("sync").run(kept)


@pytest.mark.parametrize(
    ("lease", "budget", "took", "patience"),
    [
        (30, 30, 0, 0.1),
        (0.5, 30, 0, 0.05),
        (30, 0.03, 0, 0.03),
        (30, 30, 0.02, 0.1),
        (30, 30, 0.25, 1),
        (30, 0.5, 0.25, 0.5),
        (0.9, 30, 0.25, 0.3),
    ],
)
def test_a_renewal_delays_others_for_a_moment_at_most(
    colour: Colour, layer: Layer, lease: float, budget: float, took: float, patience: float
) -> None:
    """All renewals of threads follow one another: one waits 0.1 s, or a few times as long as taking the slot took."""

    async def scenario() -> None:
        pace, limit = Pace(layer, took), layer.limiter.concurrency(1, "k", lease=lease)
        limit._gate = replace(limit._gate, rule=replace(limit._gate.rule, budget=budget))
        async with colour.using(limit):
            await pace.recurring.pop()()
            assert pace.patience["slot_keep"] == pytest.approx(patience)

    colour.run(scenario)


@pytest.mark.parametrize(("took", "patience"), [(0, 0.1), (0.02, 0.1), (0.2, 0.8), (0.5, 1)])
def test_giving_back_later_delays_others_for_a_moment_at_most(
    colour: Colour, layer: Layer, took: float, patience: float
) -> None:
    """It is done in the thread of the renewals, too, and by whoever was interrupted."""

    async def scenario() -> None:
        pace = Pace(layer, took)
        async with colour.using(layer.limiter.concurrency(1, "k")):
            pace.fails = "slot_leave"
        pace.fails = ""
        assert not await pace.recurring.pop()()
        assert pace.patience["slot_leave"] == pytest.approx(patience)

    colour.run(scenario)
