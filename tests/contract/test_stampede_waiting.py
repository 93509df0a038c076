"""What a caller does when another's load takes longer than it is ready to wait, and what becomes of that load."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import LoadTimeout, entries
from holdfast.events import Event, Stale
from support.colours import Colour
from support.processes import Party, opening, parties
from support.topologies import Topology

WHERE = ["the same process", "another process"]


async def outdate(colour: Colour, *everybody: Party) -> None:
    """Store ``"old"`` for a minute, and let more than that pass; it is still there for whoever may have it."""
    await colour.of(entries(everybody[0].slow)).set("old", 1)
    for party in everybody:
        party.shift(90)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("policy", ["load", "stale", "raise"])
def test_a_wait_that_is_over(colour: Colour, topology: Topology, namespace: str, where: str, policy: str) -> None:
    """The caller loads for itself, storing nothing, or takes what is stale, or raises; the load goes on for others."""

    async def scenario() -> None:
        async with parties(colour, topology.url, namespace, stale_if_error="1h") as (source, here, there):
            seen: list[Event] = []
            there.layer.add_hook(seen.append)
            here.layer.add_hook(seen.append)
            await outdate(colour, here, there)
            second = here if where == "the same process" else there
            hasty = second.decorated(stale_if_error="1h", wait="50ms", on_wait_timeout=policy)
            source.end = lambda number: "new"

            async def impatient() -> Any:
                await colour.until(lambda: source.loads == 1, "the load runs")
                gate, source.gate = source.gate, colour.gate()
                source.gate.open()
                try:
                    return await colour.call(hasty, 1)
                finally:
                    gate.open()

            first, outcome = await colour.together(here.caller, impatient)
            assert first == "new"
            if policy == "raise":
                assert isinstance(outcome, LoadTimeout)
            else:
                assert outcome == {"load": "new", "stale": "old"}[policy]
            assert source.loads == (2 if policy == "load" else 1)
            assert [event.reason for event in seen if isinstance(event, Stale)] == ["wait"] * (policy == "stale")
            assert here.layer.stats().fills + there.layer.stats().fills == 2, "what was set, and the one load"
            assert await colour.of(entries(here.slow)).get(1) == "new"

    colour.run(scenario)


@pytest.mark.parametrize("where", WHERE)
def test_who_wants_what_is_stale_loads_if_there_is_nothing(
    colour: Colour, topology: Topology, namespace: str, where: str
) -> None:
    """`on_wait_timeout="stale"` without an entry is `"load"`."""

    async def scenario() -> None:
        async with parties(colour, topology.url, namespace) as (source, here, there):
            second = here if where == "the same process" else there
            hasty = second.decorated(wait="50ms", on_wait_timeout="stale")

            async def impatient() -> Any:
                await colour.until(lambda: source.loads == 1, "the load runs")
                gate, source.gate = source.gate, colour.gate()
                source.gate.open()
                try:
                    return await colour.call(hasty, 1)
                finally:
                    gate.open()

            assert await colour.together(here.caller, impatient) == [[1], [1]]
            assert source.loads == 2

    colour.run(scenario)


def test_a_soft_timeout_returns_what_is_stale(colour: Colour, topology: Topology, namespace: str) -> None:
    """The caller gets the stale value, and the load goes on and is stored."""

    async def scenario() -> None:
        options: dict[str, Any] = {"stale_if_error": "1h", "soft_timeout": "50ms"}
        async with parties(colour, topology.url, namespace, count=1, **options) as (source, here):
            await outdate(colour, here)
            source.end = lambda number: "new"
            assert await here.call() == "old"
            source.gate.open()
            await colour.until(lambda: here.layer.stats().fills == 2, "the load is stored")
            assert await here.call() == "new"
            assert source.loads == 1

    colour.run(scenario)


def test_a_soft_timeout_holds_for_the_load_of_another_process(
    colour: Colour, topology: Topology, namespace: str
) -> None:
    """Who waits for another process takes what is stale, too."""

    async def scenario() -> None:
        async with parties(colour, topology.url, namespace, stale_if_error="1h") as (source, here, there):
            await outdate(colour, here, there)
            source.end = lambda number: "new"
            hasty = there.decorated(stale_if_error="1h", soft_timeout="50ms")

            async def impatient() -> Any:
                await colour.until(lambda: source.loads, "the load runs")
                try:
                    return await colour.call(hasty, 1)
                finally:
                    source.gate.open()

            assert await colour.together(here.caller, impatient) == ["new", "old"]
            assert await colour.call(hasty, 1) == "new"
            assert source.loads == 1

    colour.run(scenario)


def test_a_soft_timeout_without_anything_stale_waits(colour: Colour, topology: Topology, namespace: str) -> None:
    """There is nothing else to return."""

    async def scenario() -> None:
        async with parties(colour, topology.url, namespace, count=1, soft_timeout=0, grace=60) as (source, here):
            let_go = opening(colour, source, lambda: source.loads)
            assert await colour.together(here.caller, let_go) == [[1], None]

    colour.run(scenario)


def test_a_hard_timeout_raises_and_the_load_goes_on(colour: Colour, topology: Topology, namespace: str) -> None:
    """Each caller in turn gives up; all of them shared one load, which is stored when it ends."""

    async def scenario() -> None:
        async with parties(colour, topology.url, namespace, count=1, hard_timeout="50ms") as (source, here):
            for _ in range(2):
                with pytest.raises(LoadTimeout, match=r"hard_timeout=0\.05"):
                    await here.call()
            source.gate.open()
            await colour.until(lambda: here.layer.stats().fills == 1, "the load is stored")
            assert await here.call() == [1]
            assert source.loads == 1

    colour.run(scenario)


def test_a_hard_timeout_holds_for_the_load_of_another_process(
    colour: Colour, topology: Topology, namespace: str
) -> None:
    """Who waits for another process raises in time, too."""

    async def scenario() -> None:
        async with parties(colour, topology.url, namespace) as (source, here, there):
            hasty = there.decorated(hard_timeout="50ms")

            async def impatient() -> Any:
                await colour.until(lambda: source.loads, "the load runs")
                try:
                    with pytest.raises(LoadTimeout):
                        await colour.call(hasty, 1)
                finally:
                    source.gate.open()

            assert await colour.together(here.caller, impatient) == [[1], None]
            assert there.loads == 0

    colour.run(scenario)


def test_a_load_that_fails_after_all_have_given_up(colour: Colour, topology: Topology, namespace: str) -> None:
    """Its error reaches nobody, and its lease is given back: the next call loads."""

    async def scenario() -> None:
        async with parties(colour, topology.url, namespace, count=1, hard_timeout="50ms", lease="50s") as (
            source,
            here,
        ):

            def fail(number: int) -> Any:
                raise LookupError(number)

            source.end = fail
            with pytest.raises(LoadTimeout):
                await here.call()
            source.gate.open()
            await here.unleased()
            source.end = lambda number: "new"
            patient = here.decorated()
            assert await colour.call(patient, 1) == "new"

    colour.run(scenario)
