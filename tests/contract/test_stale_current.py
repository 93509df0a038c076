"""`current_entry()`: what a loader may say about its entry, and what it sees of the one that it replaces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from holdfast import MISSING, ConfigurationError, Layer, current_entry, entries
from support.colours import Colour
from support.flights import joined
from support.peeking import ask, idle, tag_key
from support.times import Times

WRONG: list[tuple[str, Any]] = [
    ("ttl", -1),
    ("ttl", "soon"),
    ("ttl", None),
    ("ttl", True),
    ("tags", "t"),
    ("tags", None),
]


def saying(colour: Colour, layer: Layer, say: Callable[[Any], object], **options: Any) -> Callable[..., Any]:
    """Return a function that says something about its entry, and returns how often it was called."""
    loads = 0

    async def row(number: int) -> int:
        nonlocal loads
        loads += 1
        say(current_entry())
        return loads

    return layer.cached(60, key="row:{number}", **options)(colour.function(row))


def test_the_ttl(colour: Colour, namespace: str) -> None:
    """It replaces the decorator's for this entry, with its jitter; the grace comes on top."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            times = Times(layer)
            times.chance = 0.5

            def say(entry: Any) -> None:
                assert entry.ttl is None
                entry.ttl = "100s"
                assert entry.ttl == 100

            row = saying(colour, layer, say, jitter=0.2, grace=50)
            _, info = await colour.of(entries(row)).call(1)
            assert 109 < info.remaining <= 110
            assert 159 < (await colour.of(entries(row)).info(1)).remaining <= 160
            await colour.of(entries(row)).set(7, 2)
            assert 115 < (await colour.of(entries(row)).info(2)).remaining <= 116

    colour.run(scenario)


def test_a_ttl_longer_than_the_tags_live(colour: Colour, namespace: str) -> None:
    """The tags are made to live as long, or the entry would be lost before its time."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            row = saying(colour, layer, lambda entry: setattr(entry, "ttl", "30d"), tags=["t"])
            await colour.call(row, 1)
            tag = tag_key(layer, "t")
            assert ask(layer, "PTTL", tag, key=tag) / 1000 > 30 * 86400 - 10

    colour.run(scenario)


@pytest.mark.parametrize("way", ["no_store", "ttl"])
def test_not_storing(colour: Colour, namespace: str, way: str) -> None:
    """The callers of the load get its value, and nothing stays; what was there before stays, unless refresh asks."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:

            def say(entry: Any) -> None:
                if way == "no_store":
                    entry.no_store()
                else:
                    entry.ttl = 0

            row = saying(colour, layer, say)
            handle = colour.of(entries(row))
            assert [await colour.call(row, 1), await colour.call(row, 1)] == [1, 2]
            assert await handle.get(1) is MISSING
            await handle.set(7, 1)
            assert await colour.call(row, 1) == 7
            assert await handle.refresh(1) == 3
            assert await handle.get(1) is MISSING

    colour.run(scenario)


def test_errors_obey_it_too(colour: Colour, namespace: str) -> None:
    """A loader that says how long, or not to store, and then raises, has said it of the exception."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            loads = 0

            async def row(number: int) -> int:
                nonlocal loads
                loads += 1
                if number == 1:
                    current_entry().no_store()
                else:
                    current_entry().ttl = 100
                raise LookupError(number)

            function = layer.cached(60, key="row:{number}", cache_errors=LookupError)(colour.function(row))
            for number in (1, 1, 2, 2):
                with pytest.raises(LookupError):
                    await colour.call(function, number)
            assert loads == 3
            assert 99 < (await colour.of(entries(function)).info(2)).remaining <= 100

    colour.run(scenario)


@pytest.mark.parametrize("how", ["foreground", "background", "early", "refresh"])
def test_the_stale_value(colour: Colour, namespace: str, how: str) -> None:
    """It is what is being replaced, also in the background; nothing on the first load and after an invalidation."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            times, seen = Times(layer), []
            options: dict[str, Any] = {"background": {"grace": 600}, "early": {"beta": 1000.0}}.get(how, {})
            row = saying(colour, layer, lambda entry: seen.append(entry.stale), stale_if_error=600, **options)
            times.chance = 0.0
            await colour.call(row, 1)
            if how == "refresh":
                await colour.of(entries(row)).refresh(1)
                assert seen == [MISSING, MISSING]
                return
            times.go_by(59.9999 if how == "early" else 61)
            times.chance = 1 - 2.0**-53
            await colour.call(row, 1)
            await colour.until(lambda: idle(layer) and len(seen) == 2, "it is loaded anew")
            times.chance = 0.0
            await colour.of(entries(row)).invalidate(1)
            await colour.call(row, 1)
            assert seen == [MISSING, 1, MISSING]

    colour.run(scenario)


def test_a_stale_value_that_was_invalidated(colour: Colour, namespace: str) -> None:
    """A hard invalidation by tag hides it; a soft one does not."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            seen: list[Any] = []
            row = saying(colour, layer, lambda entry: seen.append(entry.stale), tags=["t"])
            for soft in (True, False, True):
                await colour.call(row, 1)
                await colour.of(layer.cache).invalidate_tags("t", soft=soft)
            await colour.call(row, 1)
            assert seen == [MISSING, 1, MISSING, 3]

    colour.run(scenario)


def test_nested_loaders_see_their_own(colour: Colour, namespace: str) -> None:
    """A loader inside another one speaks of its own entry, and the outer one afterwards of its own again."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:

            async def inner(number: int) -> int:
                current_entry().ttl = 10
                return number

            part = layer.cached(60, key="inner:{number}")(colour.function(inner))

            async def outer(number: int) -> int:
                before = current_entry()
                found: int = await colour.call(part, number)
                assert current_entry() is before
                assert before.ttl is None
                before.ttl = 100
                return found

            whole = layer.cached(60, key="outer:{number}")(colour.function(outer))
            for number in (1, 2):
                await colour.call(whole, number)
            lives = [(await colour.of(entries(each)).info(1)).remaining for each in (part, whole)]
            assert lives == [pytest.approx(10, abs=1), pytest.approx(100, abs=1)]

    colour.run(scenario)


def test_followers_are_not_inside(colour: Colour, namespace: str) -> None:
    """Who shares a load has no entry of its own, and none is left behind after a load, failed or not."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            gate = colour.gate()

            async def row(number: int) -> int:
                current_entry().ttl = 100
                await gate.passed()
                if number == 2:
                    raise LookupError
                return number

            function = layer.cached(60, key="row:{number}")(colour.function(row))

            def nothing_is_current() -> None:
                with pytest.raises(ConfigurationError, match="inside a cached function"):
                    current_entry()

            async def call() -> Any:
                nothing_is_current()
                found = await colour.call(function, 1)
                nothing_is_current()
                return found

            async def open_gate() -> None:
                await colour.until(lambda: joined(layer) == 2, "both have joined")
                nothing_is_current()
                gate.open()

            assert await colour.together(call, call, open_gate) == [1, 1, None]
            with pytest.raises(LookupError):
                await colour.call(function, 2)
            nothing_is_current()

    colour.run(scenario)


def test_where_nothing_is_kept(colour: Colour, namespace: str) -> None:
    """A function that speaks of its entry can be called without one: disabled, bypassed, or only shared."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            seen: list[Any] = []

            def say(entry: Any) -> None:
                seen.append(entry.stale)
                entry.ttl, entry.tags = 100, ["t"]
                entry.no_store()

            row = saying(colour, layer, say)
            handle = colour.of(entries(row))
            with layer.disabled():
                assert await colour.call(row, 1) == 1
                assert (await handle.call(1))[0] == 2
            assert await handle.bypass(1) == 3
            assert seen == [MISSING] * 3
            with pytest.raises(ConfigurationError):
                current_entry()

            async def shared(number: int) -> int:
                say(current_entry())
                return number

            assert await colour.call(layer.stampede_protected(key="shared:{number}")(colour.function(shared)), 1) == 1

    colour.run(scenario)


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_what_cannot_be_said(namespace: str, name: str, value: Any) -> None:
    """It is refused where it is said; nothing is stored."""
    with Layer(namespace=namespace) as layer:

        @layer.cached(60, key="row")
        def row() -> int:
            setattr(current_entry(), name, value)
            return 1

        with pytest.raises(ConfigurationError, match=name):
            row()
        assert entries(row).get() is MISSING
