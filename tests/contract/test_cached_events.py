"""Exactly which events hooks receive, in which order, and that no event and no error shows a value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from holdfast import Layer, SerializationError, entries
from holdfast.events import (
    CacheEvent,
    Coalesced,
    EntryUnreadable,
    Event,
    Fill,
    Hit,
    Invalidated,
    LoadFailed,
    Miss,
    Refreshed,
)
from support.colours import Colour
from support.flights import joined
from support.topologies import Topology

SECRET = "top-secret-value"


class Told:
    """What a layer's hooks were told since the last look."""

    def __init__(self, layer: Layer) -> None:
        self._events: list[Event] = []
        self.all: list[Event] = []
        layer.add_hook(self._events.append)

    def names(self) -> list[str]:
        """Return the names of the new events, with the reason of a miss."""
        return [f"{type(each).__name__}{f'({each.reason})' if isinstance(each, Miss) else ''}" for each in self.take()]

    def take(self) -> list[Event]:
        taken, self._events[:] = list(self._events), []
        self.all += taken
        return taken


def cached_text(colour: Colour, layer: Layer, **options: Any) -> Callable[..., Any]:
    async def text(number: int) -> str:
        if number < 0:
            raise LookupError(f"{SECRET}-{number}")
        return f"{SECRET}-{number}"

    return layer.cached(60, key="text:{number}", **options)(colour.function(text))


def test_each_call_and_verb_tells_what_happened(colour: Colour, topology: Topology, namespace: str) -> None:
    """One event a fact, in the order in which things happen."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            told = Told(layer)
            function = cached_text(colour, layer)
            handle, cache = colour.of(entries(function)), colour.of(layer.cache)
            steps: list[tuple[Callable[[], Any], list[str]]] = [
                (lambda: colour.call(function, 1), ["Miss(absent)", "Fill"]),
                (lambda: colour.call(function, 1), ["Hit"]),
                (lambda: handle.call(1), ["Hit"]),
                (lambda: handle.get(1), ["Hit"]),
                (lambda: handle.get(2), ["Miss(absent)"]),
                (lambda: handle.set("x", 2), ["Fill"]),
                (lambda: handle.refresh(1), ["Fill", "Refreshed"]),
                (lambda: handle.bypass(1), []),
                (lambda: handle.info(1), []),
                (lambda: handle.invalidate(1), ["Invalidated"]),
                (lambda: handle.invalidate(1), ["Invalidated"]),
                (lambda: cache.set("a", 1, 60), ["Fill"]),
                (lambda: cache.get("a"), ["Hit"]),
                (lambda: cache.get("b"), ["Miss(absent)"]),
                (lambda: cache.get_or_load("c", lambda: 1, 60), ["Miss(absent)", "Fill"]),
                (lambda: cache.get_or_load("d", lambda: 1, lambda _: 0), ["Miss(absent)"]),
                (lambda: cache.set_many({"x": 1, "y": 2}, 60), ["Fill", "Fill"]),
                (lambda: cache.get_many(["x", "z", "y"]), ["Hit", "Miss(absent)", "Hit"]),
                (lambda: cache.expire("x", 60), []),
                (lambda: cache.delete("x", "z"), ["Invalidated", "Invalidated"]),
            ]
            for number, (step, names) in enumerate(steps):
                await step()
                assert told.names() == names, number
            with layer.disabled():
                await colour.call(function, 1)
            assert told.names() == []

    colour.run(scenario)


def test_events_say_which_entry_and_how_much(colour: Colour, topology: Topology, namespace: str) -> None:
    """The pattern, the key in Redis, and for a fill its size, its time to live and how long the load took."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            told = Told(layer)
            function = cached_text(colour, layer)
            await colour.call(function, 1)
            pattern, key = "text:{number}", entries(function).key(1)
            miss, fill = told.take()
            assert miss == Miss(pattern, key, "absent")
            assert isinstance(fill, Fill)
            assert (fill.pattern, fill.key, fill.ttl) == (pattern, key, 60)
            assert 0 <= fill.load_time < 10
            assert fill.size == (await colour.of(entries(function)).info(1)).size
            await colour.call(function, 1)
            assert told.take() == [Hit(pattern, key)]
            await colour.of(layer.cache).delete("text:1")
            assert told.take() == [Invalidated("layer.cache", key)]

    colour.run(scenario)


def test_a_load_that_fails_is_told(colour: Colour, topology: Topology, namespace: str) -> None:
    """By the name of the error's class; a kept error fills and hits like a value."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            told = Told(layer)
            function = cached_text(colour, layer)
            with pytest.raises(LookupError):
                await colour.call(function, -1)
            miss, failed = told.take()
            assert isinstance(miss, Miss)
            assert failed == LoadFailed("text:{number}", entries(function).key(-1), "LookupError")
            with pytest.raises(LookupError):
                await colour.of(entries(function)).refresh(-1)
            assert told.names() == ["LoadFailed"]
            keeping = cached_text(colour, layer, cache_errors=LookupError)
            for names in (["Miss(absent)", "LoadFailed", "Fill"], ["Hit"]):
                with pytest.raises(LookupError):
                    await colour.call(keeping, -2)
                assert told.names() == names

    colour.run(scenario)


def test_callers_that_share_a_load_are_told_apart(colour: Colour, topology: Topology, namespace: str) -> None:
    """One miss and one fill; a caller that joined before it asked Redis tells only that it shared."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            told = Told(layer)
            gate = colour.gate()

            async def slow(number: int) -> int:
                await gate.passed()
                return number

            function = layer.cached(60, key="slow:{number}")(colour.function(slow))

            async def first() -> Any:
                return await colour.call(function, 1)

            async def second() -> Any:
                await colour.until(lambda: gate.waiting, "the load runs")
                return await colour.call(function, 1)

            async def opener() -> None:
                await colour.until(lambda: joined(layer) == 2, "both are members")
                gate.open()

            await colour.together(first, second, opener)
            assert sorted(told.names()) == ["Coalesced", "Fill", "Miss(absent)"]
            stats = layer.stats()
            assert (stats.misses, stats.coalesced, stats.fills) == (2, 1, 1)

    colour.run(scenario)


def test_an_unreadable_entry_is_told_before_the_miss(colour: Colour, topology: Topology, namespace: str) -> None:
    """With the reason why, and counted as an error."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            told = Told(layer)
            function = cached_text(colour, layer)
            number_of = layer.cached(60, key="text:{number}")(_numbers(colour))
            await colour.call(function, 1)
            told.take()
            assert await colour.call(number_of, 1) == 1
            unreadable, *rest = told.take()
            assert isinstance(unreadable, EntryUnreadable)
            assert (unreadable.key, unreadable.reason) == (entries(function).key(1), "payload")
            assert [type(each) for each in rest] == [Miss, Fill]
            assert isinstance(rest[0], Miss)
            assert rest[0].reason == "unreadable"
            assert layer.stats().errors == 1

    colour.run(scenario)


def _numbers(colour: Colour) -> Callable[..., Any]:
    async def number_of(number: int) -> int:
        return number

    return colour.function(number_of)


def test_no_event_and_no_error_shows_a_value(colour: Colour, namespace: str) -> None:
    """Neither a result, nor an argument of an exception, nor what cannot be stored."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            told = Told(layer)
            function = cached_text(colour, layer, cache_errors=LookupError)
            await colour.call(function, 1)
            await colour.call(function, 1)
            for _ in range(2):
                with pytest.raises(LookupError):
                    await colour.call(function, -1)
            for value in ((SECRET,), {SECRET: object()}, {SECRET}):
                with pytest.raises(SerializationError) as caught:
                    await colour.of(layer.cache).set("a", value, 60)
                assert SECRET not in str(caught.value)
                assert caught.value.__cause__ is None
                assert caught.value.__suppress_context__
            told.take()
            assert len(told.all) == 7
            assert SECRET not in repr(told.all)
            assert all(isinstance(each, CacheEvent) for each in told.all)
            assert not [each for each in told.all if isinstance(each, Coalesced | Refreshed)]

    colour.run(scenario)
