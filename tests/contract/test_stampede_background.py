"""Refreshes behind a stale value, and what a load sees of its callers."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

from holdfast import Layer, entries
from holdfast.commands import unlink
from support.colours import Colour
from support.flights import joined, reached
from support.processes import Party, opening, parties
from support.topologies import Topology

tenant: ContextVar[str] = ContextVar("tenant")
GRACE: dict[str, Any] = {"grace": "1h"}


async def outdate(colour: Colour, *everybody: Party) -> None:
    """Store ``"old"`` for a minute, and let more than that pass."""
    await colour.of(entries(everybody[0].slow)).set("old", 1)
    for party in everybody:
        party.shift(90)


async def refreshed(colour: Colour, party: Party) -> None:
    """Wait until something was loaded and stored besides what was set."""
    await colour.until(lambda: party.layer.stats().fills == 2, "the refresh is stored")


def test_one_refresh_for_all(colour: Colour, topology: Topology, namespace: str) -> None:
    """While it runs, everybody in every process gets the stale value at once; then everybody gets the new one."""

    async def scenario() -> None:
        async with parties(colour, topology.url, namespace, **GRACE) as (source, here, there):
            await outdate(colour, here, there)
            source.end = lambda number: "new"
            assert await here.call() == "old"
            await colour.until(lambda: source.loads == 1, "the refresh runs")
            assert [await party.call() for party in (here, there, here, there)] == ["old"] * 4
            source.gate.open()
            await refreshed(colour, here)
            assert [await here.call(), await there.call()] == ["new", "new"]
            assert (source.loads, here.layer.stats().misses, there.layer.stats().misses) == (1, 0, 0)

    colour.run(scenario)


def test_a_refresh_that_fails_leaves_what_there_is(colour: Colour, topology: Topology, namespace: str) -> None:
    """Nobody gets its error; its lease is given back, and it is not tried again at once."""

    async def scenario() -> None:
        async with parties(colour, topology.url, namespace, count=1, **GRACE) as (source, here):
            await outdate(colour, here)

            def fail(number: int) -> Any:
                raise LookupError(number)

            source.end = fail
            source.gate.open()
            assert await here.call() == "old"
            await colour.until(lambda: "abandon" in here.sent.names, "it has failed")
            await here.unleased()
            assert await here.call() == "old"
            assert source.loads == 1

    colour.run(scenario)


def test_a_refresh_does_not_bring_back_what_was_invalidated(colour: Colour, topology: Topology, namespace: str) -> None:
    """It may have read the source before; it is refused, and the next caller loads."""

    async def scenario() -> None:
        async with parties(colour, topology.url, namespace, **GRACE) as (source, here, there):
            await outdate(colour, here, there)
            source.end = lambda number: source.loads
            assert await here.call() == "old"
            await colour.until(lambda: source.loads == 1, "the refresh runs")
            await colour.of(entries(there.slow)).invalidate(1)
            gate, source.gate = source.gate, colour.gate()
            source.gate.open()
            assert await there.call() == 2
            gate.open()
            await colour.until(lambda: "fill" in here.sent.names, "the refresh is about to be stored")
            await colour.until(lambda: joined(here.layer) == 0, "it has ended")
            assert await here.call() == 2
            assert here.layer.stats().fills == 1, "only what was set"

    colour.run(scenario)


def test_a_refresh_has_a_copy_of_the_context(colour: Colour, namespace: str) -> None:
    """It sees the context variables of the caller that was given the stale value; what it sets stays its own."""

    async def scenario() -> None:
        async with parties(colour, "memory://", namespace, count=1, **GRACE) as (source, here):
            await outdate(colour, here)
            source.gate.open()
            seen: list[str] = []

            def end(number: int) -> str:
                seen.append(tenant.get())
                tenant.set("of the refresh")
                return "new"

            source.end = end
            tenant.set("of the caller")
            assert await here.call() == "old"
            await refreshed(colour, here)
            assert seen == ["of the caller"]
            assert tenant.get() == "of the caller"

    colour.run(scenario)


def test_a_shared_load_has_the_context_of_who_began_it(colour: Colour, namespace: str) -> None:
    """The others get what was loaded there: what differs between callers must be in the key."""

    async def scenario() -> None:
        async with parties(colour, "memory://", namespace, count=1) as (source, here):
            source.end = lambda number: tenant.get()

            def named(name: str, check: Callable[[], object]) -> Any:
                async def act() -> Any:
                    tenant.set(name)
                    await colour.until(check, "it is this one's turn")
                    return await here.call()

                return act

            actors = [named("first", lambda: True), named("second", lambda: source.loads)]
            let_go = opening(colour, source, lambda: joined(here.layer) == 2)
            assert await colour.together(*actors, let_go) == ["first", "first", None]

    colour.run(scenario)


def test_a_refresh_is_not_lost_to_the_garbage_collector(colour: Colour, namespace: str) -> None:
    """Nothing else holds it, and it ends all the same."""

    async def scenario() -> None:
        async with parties(colour, "memory://", namespace, count=1, **GRACE) as (source, here):
            await outdate(colour, here)
            source.end = lambda number: "new"
            assert await here.call() == "old"
            await colour.until(lambda: source.loads, "it runs")
            for _ in range(3):
                gc.collect()
                await colour.sleep(0)
            source.gate.open()
            await refreshed(colour, here)

    colour.run(scenario)


def test_closing_waits_for_a_refresh(colour: Colour, topology: Topology, namespace: str) -> None:
    """What is under way when a layer is closed is still stored."""

    async def scenario() -> None:
        async with parties(colour, topology.url, namespace, **GRACE) as (source, here, there):
            await outdate(colour, here, there)
            source.end = lambda number: "new"
            assert await here.call() == "old"
            await colour.until(lambda: source.loads, "it runs")
            closing: list[str] = []

            async def close() -> None:
                closing.append("begun")
                await colour.of(here.layer).close()

            assert await colour.together(close, opening(colour, source, lambda: closing)) == [None, None]
            assert here.layer.stats().fills == 2
            assert await there.call() == "new"

    colour.run(scenario)


def test_a_blocking_call_on_a_loop_does_not_wait_for_a_refresh_on_it(namespace: str) -> None:
    """The stale value has gone meanwhile, so it has to load, and does so by itself: waiting would block the refresh."""
    colour = Colour("async")

    async def scenario() -> None:
        async with parties(colour, "memory://", namespace, count=1, wait="50s", **GRACE) as (source, here):
            await outdate(colour, here)

            @here.layer.cached(60, key="slow:{number}", wait="50s")
            def plain(number: int) -> str:
                return "loaded"

            assert await here.call() == "old"
            await reached(lambda: source.loads)
            await here.layer.engine.asyncio.call(unlink([entries(plain).key(1)]))
            assert plain(1) == "loaded"
            source.gate.open()
            await reached(lambda: joined(here.layer) == 0)

    asyncio.run(scenario())


class Untouchable:
    """A lock that nobody may take."""

    def __enter__(self) -> None:
        raise AssertionError("a hit took a lock")

    def __exit__(self, *_: object) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("options", [{}, GRACE, {"beta": 1.0}, {"tags": ["all"]}], ids=str)
def test_a_hit_takes_no_lock(colour: Colour, topology: Topology, namespace: str, options: dict[str, Any]) -> None:
    """The lock of the loads is for misses; a hit does not see it."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:

            async def double(number: int) -> int:
                return 2 * number

            function = layer.cached("1h", key="double:{number}", **options)(colour.function(double))
            await colour.call(function, 1)
            flights = layer.engine.caching.flights
            lock, flights._lock = flights._lock, Untouchable()  # type: ignore[assignment]
            try:
                assert [await colour.call(function, 1) for _ in range(3)] == [2, 2, 2]
            finally:
                flights._lock = lock
            assert layer.stats().hits == 3

    colour.run(scenario)
