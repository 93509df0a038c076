"""Invalidations, tags, staleness and the near cache, id by id, for calls with many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from holdfast import Layer, current_entry, entries
from holdfast.events import CacheEvent, Event, Fill, FillRefused, Hit, LoadFailed, Refreshed, Stale
from support.colours import Colour
from support.flights import joined
from support.many import ManySource, versions
from support.topologies import Topology

CHANGES = ["invalidate", "delete", "set", "refresh", "tag"]


async def change(colour: Colour, source: ManySource, layer: Layer, verb: str) -> None:
    """Change id 2 in the source and then in the cache, in one of the ways that there are."""
    source.version = 2
    handle, cache = colour.of(entries(source.function)), colour.of(layer.cache)
    if verb == "invalidate":
        await handle.invalidate([2])
    elif verb == "delete":
        await cache.delete("many:2")
    elif verb == "set":
        await handle.set(versions(2, 2), [2])
    elif verb == "refresh":
        await handle.refresh([2])
    else:
        await cache.invalidate_tags("of:2")


@pytest.mark.parametrize("verb", CHANGES)
@pytest.mark.parametrize("processes", [1, 2])
def test_a_change_of_one_id_while_a_load_runs(
    colour: Colour, topology: Topology, namespace: str, verb: str, processes: int
) -> None:
    """What was loaded before is not kept of that id; the others are. Who began before gets it, who begins later not."""

    async def scenario() -> None:
        layers = [Layer(topology.url, namespace=namespace) for _ in range(processes)]
        async with colour.using(layers[0]), colour.using(layers[-1]):
            source = ManySource(colour, layers[0], waits=1, tags=["of:{number}"])
            other = ManySource(colour, layers[-1], tags=["of:{number}"])

            async def changing() -> Any:
                await source.loading()
                other.version = 2
                await change(colour, other, layers[-1], verb)
                if verb != "tag":  # its load goes on, and would be waited for
                    assert await other.call(2) == versions(2, 2)
                source.gate.open()

            found, done = await colour.together(source.actor(1, 2, 3), changing)
            assert done is None
            assert found == versions(1, 1, 2, 3)
            source.version = 2
            assert await source.call(1, 2, 3) == versions(1, 1) | versions(2, 2) | versions(1, 3)
            assert await other.call(3, 2, 1) == versions(1, 3) | versions(2, 2) | versions(1, 1)

    colour.run(scenario)


@pytest.mark.parametrize("verb", ["delete", "tag"])
def test_who_joins_a_load_after_a_change_gets_the_new_value(
    colour: Colour, topology: Topology, namespace: str, verb: str
) -> None:
    """A change by another process does not detach the load here; what it stores of other ids is still good."""

    async def scenario() -> None:
        first, second = (Layer(topology.url, namespace=namespace) for _ in range(2))
        async with colour.using(first), colour.using(second):
            source = ManySource(colour, first, waits=1, tags=["of:{number}"])

            async def late() -> Any:
                await source.loading()
                await change(colour, source, second, verb)
                return await source.call(1, 2)

            async def release() -> None:
                await colour.until(lambda: joined(first) == 4, "the late one has joined")
                source.gate.open()

            early, found, _ = await colour.together(source.actor(1, 2), late, release)
            assert early == versions(1, 1, 2)
            assert found == versions(1, 1) | versions(2, 2)
            assert source.asked == [[1, 2], [2]]

    colour.run(scenario)


def test_tags_of_the_call_and_of_values(colour: Colour, topology: Topology, namespace: str) -> None:
    """Templates name the id, functions get one value, and a loader may add tags to all that it loads."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            asked: list[list[int]] = []

            async def load(ids: list[int]) -> dict[int, int]:
                asked.append(ids)
                current_entry().tags = ["loaded"]
                return {number: number * 10 for number in ids}

            function = layer.cached_many(60, key="tagged:{number}", tags=lambda value: [f"ten:{value}"])(
                colour.function(load)
            )
            assert await colour.call(function, [1, 2, 3])
            cache = colour.of(layer.cache)
            for tag, missing in [("ten:20", [2]), ("loaded", [1, 2, 3]), ("ten:2", [])]:
                asked.clear()
                await cache.invalidate_tags(tag)
                assert await colour.call(function, [1, 2, 3]) == {1: 10, 2: 20, 3: 30}
                assert asked == [missing][: len(missing)]

    colour.run(scenario)


def test_what_is_not_there_is_invalidated_by_tags_as_well(colour: Colour, topology: Topology, namespace: str) -> None:
    """An id that begins to exist is found when its tag is invalidated, or the id itself."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            source = ManySource(colour, layer, tags=["of:{number}"], missing_ttl=60)
            assert await source.call(100, 101, 102) == {}
            source.end = lambda ids: versions(5, *ids)
            await colour.of(layer.cache).invalidate_tags("of:100")
            await colour.of(entries(source.function)).invalidate([101])
            assert await source.call(100, 101, 102) == versions(5, 100, 101)
            assert source.asked[1:] == [[100, 101]]

    colour.run(scenario)


def test_stale_values_are_served_and_refreshed_behind_in_one_load(
    colour: Colour, topology: Topology, namespace: str
) -> None:
    """Within the grace, nobody waits; what is missing is loaded for the caller meanwhile."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            told: list[Event] = []
            layer.add_hook(told.append)
            source = ManySource(colour, layer, tags=["all"], grace=60)
            await source.call(1, 2)
            source.version = 2
            await colour.of(layer.cache).invalidate_tags("all", soft=True)
            assert await source.call(2, 1) == versions(1, 2, 1)
            await colour.until(lambda: _told(told, Refreshed) == {1, 2}, "both are refreshed")
            assert _told(told, Stale) == {1, 2}
            assert await source.call(1, 2) == versions(2, 1, 2)
            assert source.asked == [[1, 2], [2, 1]]

    colour.run(scenario)


def test_stale_values_rescue_a_call_whose_load_fails(colour: Colour, topology: Topology, namespace: str) -> None:
    """If each id has one; otherwise the error is the caller's. After a failure the loader is left alone for a while."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            told: list[Event] = []
            layer.add_hook(told.append)
            source = ManySource(colour, layer, tags=["all"], stale_if_error=60)
            await source.call(1, 2)
            source.end = lambda ids: 1 // 0
            await colour.of(layer.cache).invalidate_tags("all", soft=True)
            for _ in range(2):
                assert await source.call(1, 2) == versions(1, 1, 2)
            assert source.asked == [[1, 2], [1, 2]]
            assert _told(told, LoadFailed) == {1, 2}
            with pytest.raises(ZeroDivisionError):
                await source.call(1, 3)
            assert source.asked[2:] == [[3]]

    colour.run(scenario)


def test_entries_are_kept_near(colour: Colour, topology: Topology, namespace: str) -> None:
    """What was read or loaded is served without Redis, what does not exist as well, until something is heard of it."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace, near=60)) as layer:
            told: list[Event] = []
            layer.add_hook(told.append)
            source = ManySource(colour, layer, tags=["of:{number}"], missing_ttl=60)

            async def all_near() -> bool:
                told.clear()
                await source.call(1, 2, 100)
                return [event.near for event in told if isinstance(event, Hit)] == [True] * 3

            await reached(colour, all_near)
            source.version = 2
            await colour.of(layer.cache).delete("many:1")
            assert await source.call(1, 2, 100) == versions(2, 1) | versions(1, 2)
            source.version = 3
            await colour.of(layer.cache).invalidate_tags("of:2", "of:100")
            source.end = lambda ids: versions(3, *ids)
            assert await source.call(1, 2, 100) == versions(2, 1) | versions(3, 2, 100)
            await reached(colour, all_near)

    colour.run(scenario)


def test_what_was_loaded_is_kept_near_at_once(colour: Colour, namespace: str) -> None:
    """The reply to the fill proves it: nothing has to be read once more, where no server tells of our own writes."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace, near=60)) as layer:
            told: list[Event] = []
            source = ManySource(colour, layer, tags=["of:{number}"], missing_ttl=60)
            await source.call(9)  # from now on it listens
            await colour.until(lambda: layer.engine.caching.nearby.near.snapshot().epoch, "the news are heard")
            await source.call(1, 2, 100)
            layer.add_hook(told.append)
            assert await source.call(1, 2, 100) == versions(1, 1, 2)
            assert [event.near for event in told if isinstance(event, Hit)] == [True] * 3

    colour.run(scenario)


def test_nothing_is_kept_near_of_a_load_that_a_change_overtook(colour: Colour, namespace: str) -> None:
    """The caller gets what it began to ask for before; the next one asks Redis."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace, near=60)) as layer:
            source = ManySource(colour, layer)
            await source.call(9)  # from now on it listens
            await colour.until(lambda: layer.engine.caching.nearby.near.snapshot().epoch, "the news are heard")
            source.waits = 1

            async def overtake() -> None:
                await source.loading(2)
                await change(colour, source, layer, "delete")
                source.gate.open()

            found, done = await colour.together(source.actor(1, 2), overtake)
            assert (found, done) == (versions(1, 1, 2), None)
            assert await source.call(1, 2) == versions(1, 1) | versions(2, 2)

    colour.run(scenario)


def test_events_are_told_id_by_id(colour: Colour, namespace: str) -> None:
    """Whatever happens to an entry is told with its key, as for functions of one id."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            told: list[Event] = []
            layer.add_hook(told.append)
            source = ManySource(colour, layer, waits=1, missing_ttl=60)

            async def overtake() -> None:
                await source.loading()
                await colour.of(layer.cache).delete("many:2")
                source.gate.open()

            await colour.together(source.actor(1, 2, 100), overtake)
            assert _told(told, Fill) == {1, 100}
            assert _told(told, FillRefused) == {2}
            await source.call(1, 2, 100)
            assert _told(told, Hit) == {1, 100}
            stats = layer.stats().patterns["many:{number}"]
            assert (stats.hits, stats.misses, stats.fills, stats.errors) == (2, 4, 3, 0)

    colour.run(scenario)


def _told(events: list[Event], kind: type[CacheEvent]) -> set[int]:
    """Return the ids that events of a kind are about."""
    return {int(event.key.split(":")[-1][:-1]) for event in events if isinstance(event, kind)}


async def reached(colour: Colour, check: Callable[[], Any]) -> None:
    """Try something until it is true."""
    for _ in range(2000):
        if await check():
            return
        await colour.sleep(0.002)
    raise TimeoutError("it never came true")
