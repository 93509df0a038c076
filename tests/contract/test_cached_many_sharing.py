"""Calls with many ids at the same time: each id is loaded once, and nobody waits for ever or for nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast import Layer
from support.colours import Colour
from support.flights import joined, reached
from support.many import ManySource, versions
from support.topologies import Topology


def test_ids_under_way_in_this_process_are_joined(colour: Colour, namespace: str) -> None:
    """A call loads what nobody loads yet, in one call, and shares the rest; so does a function of one id."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            source = ManySource(colour, layer, waits=1)

            async def one(number: int) -> list[int]:
                raise AssertionError(number)

            single = layer.cached(60, key="many:{number}")(colour.function(one))

            async def second() -> Any:
                await source.loading()
                return await source.call(3, 2, 4)

            async def third() -> Any:
                await source.loading()
                return await colour.call(single, 1)

            async def release() -> None:
                await colour.until(lambda: layer.stats().misses == 7, "all have missed")
                await colour.until(lambda: joined(layer) == 6, "all have joined, and the other load has ended")
                source.gate.open()

            results = await colour.together(source.actor(1, 2, 3), second, third, release)
            assert results[:3] == [versions(1, 1, 2, 3), versions(1, 3, 2, 4), [1, 1]]
            assert source.asked == [[1, 2, 3], [4]]
            assert layer.stats().coalesced == 3

    colour.run(scenario)


def test_a_load_of_one_id_is_joined(colour: Colour, namespace: str) -> None:
    """What a function of one id loads under the same key, a call with many does not load again."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            source, gate = ManySource(colour, layer), colour.gate()

            async def one(number: int) -> list[int]:
                await gate.passed()
                return [number, 7]

            single = layer.cached(60, key="many:{number}")(colour.function(one))

            async def many() -> Any:
                await colour.until(lambda: gate.waiting, "the load of one runs")
                return await source.call(1, 2)

            async def release() -> None:
                await colour.until(lambda: joined(layer) == 2 and source.loads, "the call with many has joined")
                gate.open()

            async def first() -> Any:
                return await colour.call(single, 1)

            assert (await colour.together(first, many, release))[:2] == [[1, 7], {1: [1, 7], 2: [2, 1]}]
            assert source.asked == [[2]]

    colour.run(scenario)


def test_a_function_of_one_id_takes_no_part_in_what_does_not_exist(colour: Colour, namespace: str) -> None:
    """It waits for the load that it has joined; when that brings no value, it calls its own function."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            source = ManySource(colour, layer, waits=1, missing_ttl=60)

            async def one(number: int) -> list[int]:
                return [number, 7]

            single = layer.cached(60, key="many:{number}")(colour.function(one))

            async def second() -> Any:
                await source.loading()
                return await colour.call(single, 100)

            async def release() -> None:
                await colour.until(lambda: joined(layer) == 3, "the other one has joined")
                source.gate.open()

            assert (await colour.together(source.actor(1, 100), second, release))[:2] == [versions(1, 1), [100, 7]]
            assert source.loads == 1

    colour.run(scenario)


@pytest.mark.parametrize("processes", [1, 2])
def test_overlapping_calls_in_opposite_order(
    colour: Colour, topology: Topology, namespace: str, processes: int
) -> None:
    """Both load what they got first, and wait for each other after that: each id is loaded once, and both end."""

    async def scenario() -> None:
        layers = [Layer(topology.url, namespace=namespace) for _ in range(processes)]
        async with colour.using(layers[0]), colour.using(layers[-1]):
            for start in range(0, 60, 6):
                ids = range(start, start + 6)
                sources = [ManySource(colour, layers[0]), ManySource(colour, layers[-1])]
                forth, back = sources[0].actor(*ids), sources[1].actor(*reversed(ids))
                assert await colour.together(forth, back) == [versions(1, *ids)] * 2
                asked = [number for source in sources for load in source.asked for number in load]
                assert sorted(asked) == list(ids)
            assert all(joined(layer) == 0 for layer in layers)

    colour.run(scenario)


def test_another_process_is_waited_for_only_with_what_it_loads(
    colour: Colour, topology: Topology, namespace: str
) -> None:
    """What is granted is loaded and stored at once, before the others' loads are waited for."""

    async def scenario() -> None:
        first, second = (Layer(topology.url, namespace=namespace) for _ in range(2))
        async with colour.using(first), colour.using(second):
            source, other = ManySource(colour, first, waits=1), ManySource(colour, second, missing_ttl=60)

            async def overlapping() -> Any:
                await source.loading()
                return await other.call(4, 3, 2, 101)

            async def release() -> None:
                kept = colour.of(second.cache)
                while await kept.get("many:4") is None:
                    await colour.sleep(0.002)
                assert await kept.get("many:3") is None
                source.gate.open()

            results = await colour.together(source.actor(1, 2, 3, 100), overlapping, release)
            assert results == [versions(1, 1, 2, 3), versions(1, 4, 3, 2), None]
            assert (source.asked, other.asked) == ([[1, 2, 3, 100]], [[4, 101]])

    colour.run(scenario)


def test_what_another_process_gives_up_is_loaded_in_one_call(
    colour: Colour, topology: Topology, namespace: str
) -> None:
    """When its load fails, whoever waits for several of its ids loads them together."""

    async def scenario() -> None:
        first, second = (Layer(topology.url, namespace=namespace) for _ in range(2))
        async with colour.using(first), colour.using(second):
            source, other = ManySource(colour, first, waits=1), ManySource(colour, second)
            source.end = lambda ids: 1 // 0

            async def overlapping() -> Any:
                await source.loading()
                return await other.call(1, 2, 3)

            async def release() -> None:
                await colour.until(lambda: joined(second) == 3, "the other one waits")
                source.gate.open()

            failed, found, _ = await colour.together(source.actor(1, 2, 3), overlapping, release)
            assert isinstance(failed, ZeroDivisionError)
            assert found == versions(1, 1, 2, 3)
            assert sorted(number for load in other.asked for number in load) == [1, 2, 3]

    colour.run(scenario)


def test_an_error_is_that_of_every_id_of_its_load(colour: Colour, namespace: str) -> None:
    """Everybody who shares one of them gets it, once; nothing is stored, and the next call tries again."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            source = ManySource(colour, layer, waits=1, missing_ttl=60)
            source.end = lambda ids: 1 // 0

            async def second() -> Any:
                await source.loading()
                return await source.call(2)

            async def release() -> None:
                await colour.until(lambda: joined(layer) == 3, "both are members")
                source.gate.open()

            errors = await colour.together(source.actor(1, 2), second, release)
            assert [type(error) for error in errors[:2]] == [ZeroDivisionError] * 2
            assert source.loads == 1
            source.end = None
            assert await source.call(1, 2) == versions(1, 1, 2)
            assert joined(layer) == 0

    colour.run(scenario)


def test_a_loader_that_asks_for_its_own_ids_does_not_wait_for_itself(colour: Colour, namespace: str) -> None:
    """It loads them once more, for itself, and all ends."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            asked: list[list[int]] = []

            async def load(ids: list[int]) -> dict[int, int]:
                asked.append(ids)
                if len(asked) == 1:
                    return {number: value + 1 for number, value in (await colour.call(function, [2, 1, 3])).items()}
                return {number: number for number in ids}

            function = layer.cached_many(60, key="own:{number}")(colour.function(load))
            assert await colour.call(function, [1, 2]) == {1: 2, 2: 3}
            assert [sorted(ids) for ids in asked] == [[1, 2], [3], [1, 2]]

    colour.run(scenario)


@pytest.mark.parametrize("leaver", ["first", "second", "both"])
def test_who_is_cancelled_harms_nobody(namespace: str, leaver: str) -> None:
    """The load goes on for whoever shares one of its ids; without anybody it ends, and its leases are given back."""

    async def scenario() -> None:
        async with Layer(namespace=namespace) as layer:
            source = ManySource(Colour("async"), layer, waits=1)
            first = asyncio.ensure_future(source.call(1, 2))
            await source.loading()
            second = asyncio.ensure_future(source.call(2, 3))
            await reached(lambda: source.loads == 2 and joined(layer) == 3)
            leaving = {"first": [first], "second": [second], "both": [second, first]}[leaver]
            for task in leaving:
                task.cancel()
            await asyncio.wait(leaving)
            if leaver == "both":
                await reached(lambda: not joined(layer))
                assert await asyncio.wait_for(source.call(1, 2), 5) == versions(1, 1, 2)
                assert source.asked == [[1, 2], [3], [1, 2]]
                return
            source.gate.open()
            stays, found = (second, versions(1, 2, 3)) if leaver == "first" else (first, versions(1, 1, 2))
            assert await stays == found
            assert await source.call(1, 2, 3) == versions(1, 1, 2, 3)
            assert source.loads == 2

    asyncio.run(scenario())


def test_one_who_waits_for_another_process_can_leave(namespace: str) -> None:
    """A cancelled call that waits leaves nothing behind; the one that it waited for is not disturbed."""

    async def scenario() -> None:
        url = f"memory://{namespace}"
        async with Layer(url, namespace=namespace) as one, Layer(url, namespace=namespace) as two:
            source, other = ManySource(Colour("async"), one, waits=1), ManySource(Colour("async"), two)
            loading = asyncio.ensure_future(source.call(1, 2))
            await source.loading()
            waiting = asyncio.ensure_future(other.call(1, 3))
            await reached(lambda: other.asked == [[3]] and joined(two) == 1)
            waiting.cancel()
            await asyncio.wait([waiting])
            await reached(lambda: not joined(two))
            source.gate.open()
            assert await loading == versions(1, 1, 2)
            assert await other.call(1, 2, 3) == versions(1, 1, 2, 3)
            assert other.loads == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("policy", ["load", "raise"])
def test_others_are_waited_for_no_longer_than_wanted(colour: Colour, namespace: str, policy: Any) -> None:
    """Past `wait`, what others still load is loaded in one call and not stored, or it is an error."""

    async def scenario() -> None:
        url = f"memory://{namespace}"
        first, second = (Layer(url, namespace=namespace) for _ in range(2))
        async with colour.using(first), colour.using(second):
            source = ManySource(colour, first, waits=1)
            hasty = ManySource(colour, second, wait="20ms", on_wait_timeout=policy)
            hasty.version = 9

            async def overlapping() -> Any:
                await source.loading()
                try:
                    return await hasty.call(1, 2, 3)
                finally:
                    source.gate.open()

            slow, found = await colour.together(source.actor(1, 2), overlapping)
            assert slow == versions(1, 1, 2)
            assert type(found).__name__ == "LoadTimeout" if policy == "raise" else found == versions(9, 1, 2, 3)
            assert hasty.asked == [[3], [1, 2]][: 1 + (policy == "load")]
            assert await hasty.call(1, 2, 3) == versions(1, 1, 2) | versions(9, 3)

    colour.run(scenario)
