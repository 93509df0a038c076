"""Who is cancelled or interrupted while several processes wait for one load harms nobody else."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

import pytest

from holdfast import entries
from holdfast.core import leasing
from support.colours import Colour
from support.flights import joined, reached
from support.processes import Party, opening, parties
from support.topologies import Topology

ASYNC = Colour("async")
PATIENT: dict[str, Any] = {"lease": "50s", "wait": "50s"}
"""Whoever had to wait for the end of a lease would be noticed."""


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Any:
    """Fail a test that leaves an exception or a task which nobody looked at: asyncio logs these when they are freed."""
    yield
    gc.collect()
    assert not [record for record in caplog.get_records("call") if record.levelno >= logging.ERROR]


@pytest.fixture
def no_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let waiters look only when they begin to listen, and when they hear something."""
    monkeypatch.setattr(leasing, "pause", lambda *_, **__: 50.0)


def begin(*who: Party) -> list[asyncio.Task[Any]]:
    return [asyncio.ensure_future(party.call()) for party in who]


async def end(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


@pytest.mark.parametrize("leaver", [0, 1])
def test_a_load_goes_on_while_anybody_in_its_process_wants_it(topology: Topology, namespace: str, leaver: int) -> None:
    """Whether the caller that began it leaves, or one that joined it: all others get the one value."""

    async def scenario() -> None:
        async with parties(ASYNC, topology.url, namespace, **PATIENT) as (source, here, there):
            callers = begin(here)
            await reached(lambda: source.loads)
            callers += begin(here, there)
            await reached(lambda: joined(here.layer) == 2 and there.listens())
            await end(callers.pop(leaver))
            source.gate.open()
            assert await asyncio.gather(*callers) == [[1], [1]]
            assert source.loads == 1

    asyncio.run(scenario())


@pytest.mark.usefixtures("no_polls")
def test_a_load_that_its_process_has_left_is_taken_over(topology: Topology, namespace: str) -> None:
    """The lease is given back at once, and another process that waits begins to load."""

    async def scenario() -> None:
        async with parties(ASYNC, topology.url, namespace, **PATIENT) as (source, here, there):
            callers = begin(here, here)
            await reached(lambda: joined(here.layer) == 2 and source.loads)
            waiter = begin(there)
            await reached(there.listens)
            await end(*callers)
            await reached(lambda: there.loads)
            source.gate.open()
            assert await waiter[0] == [1]
            assert (here.loads, there.loads) == (1, 1)

    asyncio.run(scenario())


def test_when_all_have_left_nothing_is_left(topology: Topology, namespace: str) -> None:
    """No load, no lease, nobody who listens."""

    async def scenario() -> None:
        async with parties(ASYNC, topology.url, namespace, **PATIENT) as (source, here, there):
            callers = begin(here)
            await reached(lambda: source.loads)
            callers += begin(here, there, there)
            await reached(lambda: joined(here.layer) == 2 and there.listens(2))
            await end(*callers)
            await here.unleased()
            assert joined(here.layer) == joined(there.layer) == 0
            assert there.loads == 0
            for node in topology.nodes:
                await reached(lambda: not node.client.pubsub_channels(f"{namespace}*"))  # noqa: B023 - at once

    asyncio.run(scenario())


@pytest.mark.parametrize("leavers", [[0], [1], [0, 1]], ids=str)
def test_a_waiter_that_leaves_another_process_is_not_missed(
    topology: Topology, namespace: str, leavers: list[int]
) -> None:
    """The one that came first, the other, or both: the load goes on, is stored, and reaches whoever is left."""

    async def scenario() -> None:
        async with parties(ASYNC, topology.url, namespace, **PATIENT) as (source, here, there):
            loader = begin(here)
            await reached(lambda: source.loads)
            waiters = begin(there)
            await reached(there.listens)
            waiters += begin(there)
            await reached(lambda: joined(there.layer) == 2)
            await end(*(waiters[leaver] for leaver in leavers))
            assert joined(there.layer) == 2 - len(leavers)
            source.gate.open()
            left = [waiter for waiter in waiters if not waiter.cancelled()]
            assert await asyncio.gather(*loader, *left) == [[1]] * (3 - len(leavers))
            assert await there.call() == [1]
            assert source.loads == 1

    asyncio.run(scenario())


def test_a_load_with_a_hard_timeout_outlives_its_callers(topology: Topology, namespace: str) -> None:
    """It was to go on in the background anyway: it is stored though nobody waits any more."""

    async def scenario() -> None:
        async with parties(ASYNC, topology.url, namespace, count=1, hard_timeout=50) as (source, here):
            callers = begin(here)
            await reached(lambda: source.loads)
            await end(*callers)
            source.gate.open()
            await reached(lambda: here.layer.stats().fills)
            assert await entries(here.slow).aget(1) == [1]

    asyncio.run(scenario())


@pytest.mark.usefixtures("no_polls")
# In a task, KeyboardInterrupt and SystemExit end the loop, and with it the test.
@pytest.mark.parametrize(
    ("colour", "kind"),
    [
        *((Colour("sync"), kind) for kind in (KeyboardInterrupt, SystemExit, GeneratorExit)),
        *((ASYNC, kind) for kind in (GeneratorExit, asyncio.CancelledError)),
    ],
    ids=lambda value: getattr(value, "name", "") or value.__name__,
)
def test_an_interrupted_load_is_taken_over_at_once(
    colour: Colour, topology: Topology, namespace: str, kind: type[BaseException]
) -> None:
    """What interrupts one process reaches the caller that loads there, and not another process, which loads instead."""

    async def scenario() -> None:
        async with parties(colour, topology.url, namespace, **PATIENT) as (source, here, there):

            def interrupt(number: int) -> Any:
                if source.loads == 1:
                    raise kind
                return number

            source.end = interrupt
            seen: list[BaseException] = []

            async def interrupted() -> None:
                try:
                    await here.call()
                except kind as error:
                    seen.append(error)

            waiter = there.after(lambda: source.loads)
            let_go = opening(colour, source, there.listens)
            assert await colour.together(interrupted, waiter, let_go) == [None, 1, None]
            assert len(seen) == 1
            assert (here.loads, there.loads) == (1, 1)

    colour.run(scenario)
