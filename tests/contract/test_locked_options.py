"""`@locked`: what is done instead of a call, and what it cannot work with."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import pytest

from holdfast import ConfigurationError, Layer, LockNotAcquired, locked
from holdfast.events import LockBusy
from support.colours import Colour
from support.peeking import told

LAYER = Layer("memory://locked-options")


async def twice(number: int, *, scale: int = 2) -> int:
    return number * scale


def test_a_busy_call_raises(colour: Colour, layer: Layer) -> None:
    """Unless something else is said; after `wait`, which is for ever if it is not given."""

    async def scenario() -> None:
        held = await colour.of(layer.lock("k")).acquire()
        for options in ({}, {"on_busy": "raise"}):
            function = layer.locked("k", wait=0, **options)(colour.function(twice))  # type: ignore[arg-type]
            with pytest.raises(LockNotAcquired, match="the lock 'k' is held by others"):
                await colour.call(function, 1)
        with pytest.raises(LockNotAcquired, match=r"for the 0\.0[5-9]"):
            await colour.call(layer.locked("k", wait="50ms")(colour.function(twice)), 1)
        await colour.of(held).release()

    colour.run(scenario)


def test_a_busy_call_may_be_skipped(colour: Colour, layer: Layer) -> None:
    """It returns None, the function is not called, and it is counted."""

    async def scenario() -> None:
        busy = told(layer, LockBusy)
        function = layer.locked("k", wait=0, on_busy="skip")(colour.function(twice))
        assert await colour.call(function, 4) == 8
        held = await colour.of(layer.lock("k")).acquire()
        assert await colour.call(function, 4) is None
        assert [event.pattern for event in busy] == ["k"]
        assert layer.stats().patterns["k"].busy == 1
        await colour.of(held).release()

    colour.run(scenario)


@pytest.mark.parametrize("of_the_colour", [False, True], ids=["plain", "of the colour"])
def test_something_else_may_be_called_instead(colour: Colour, layer: Layer, of_the_colour: bool) -> None:
    """With the call's arguments as they were given; what it returns is returned, what it raises raised."""

    async def instead(number: int, *, scale: int = 0) -> Any:
        if number < 0:
            raise LookupError
        return "instead", number, scale

    async def scenario() -> None:
        on_busy = (colour if of_the_colour else Colour("sync")).function(instead)
        function = layer.locked("k", wait=0, on_busy=on_busy)(colour.function(twice))
        assert await colour.call(function, 4) == 8
        held = await colour.of(layer.lock("k")).acquire()
        assert await colour.call(function, 4) == ("instead", 4, 0)
        assert await colour.call(function, 4, scale=3) == ("instead", 4, 3)
        with pytest.raises(LookupError):
            await colour.call(function, -1)
        await colour.of(held).release()

    colour.run(scenario)


def test_what_is_called_instead_of_a_method_gets_its_instance(colour: Colour, layer: Layer) -> None:
    """As the method would."""

    class Shop:
        async def _sell(self, number: int) -> Any:
            return "sold", number

        async def _queue(self, number: int) -> Any:
            return self, number

        sell = layer.locked("k", wait=0, on_busy=colour.function(_queue))(colour.function(_sell))

    async def scenario() -> None:
        shop = Shop()
        held = await colour.of(layer.lock("k")).acquire()
        for call in (shop.sell, partial(Shop.sell, shop)):
            assert await colour.call(call, 7) == (shop, 7)
        await colour.of(held).release()
        assert await colour.call(shop.sell, 7) == ("sold", 7)

    colour.run(scenario)


@pytest.mark.parametrize("on_busy", ["skip", "call"])
def test_an_error_of_the_function_is_not_taken_for_busy(colour: Colour, layer: Layer, on_busy: Any) -> None:
    """Also if it is `LockNotAcquired` itself, of another lock that the function wants."""

    async def scenario() -> None:
        async def work() -> None:
            await colour.of(layer.lock("other", wait=0)).acquire()

        held = await colour.of(layer.lock("other")).acquire()
        instead = (lambda: "instead") if on_busy == "call" else on_busy
        with pytest.raises(LockNotAcquired, match="'other'"):
            await colour.call(layer.locked("k", on_busy=instead)(colour.function(work)))
        await colour.of(held).release()

    colour.run(scenario)


def function(number: int) -> int:
    return number


async def afunction(number: int) -> int:
    return number


def generator(number: int) -> Iterator[int]:
    yield number


async def agenerator(number: int) -> AsyncIterator[int]:
    yield number


class Numbers:
    """Things in a class that look like functions."""

    def __call__(self, number: int) -> Iterator[int]:
        yield number

    @property
    def first(self) -> int:
        return 1


@pytest.mark.parametrize(
    ("thing", "advice"),
    [
        (generator, r"cannot lock the generator function .*generator: write `with layer\.lock\(\.\.\.\)` inside"),
        (agenerator, "cannot lock the generator function .*agenerator"),
        (partial(generator, 1), "generator function .*generator"),
        (staticmethod(generator), "generator function .*generator"),
        (classmethod(agenerator), "generator function .*agenerator"),  # type: ignore[arg-type]
        (Numbers(), "generator function .*Numbers"),
        (Numbers, r"cannot lock a class .*\.Numbers: put @locked\('name'\), with its parentheses"),
        (vars(Numbers)["first"], "cannot lock a property: put @property outside, above the decorator"),
        (7, r"cannot lock a value of type int: put @locked\('name'\), with its parentheses, above"),
    ],
)
def test_what_is_no_function_is_refused(thing: Any, advice: str) -> None:
    """A generator would be locked when it is made, not while it runs; classes and values are not called."""
    with pytest.raises(ConfigurationError, match=advice):
        locked("k", layer=LAYER)(thing)


def test_the_decorator_without_its_parentheses(layer: Layer) -> None:
    """Is found when the function is defined or called, and the message shows how it is written."""
    for decorate in (locked, layer.locked):
        for args, kwargs in (((), {}), ((7,), {}), ((7, 8), {}), ((), {"number": 7})):
            with pytest.raises(ConfigurationError, match=r"(write|put) @locked\('"):
                decorate(function)(*args, **kwargs)


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("invoice:{invoice_id}", "invoice_id"),
        ("invoice:{", "invoice"),
        ("", "needs the name of its lock"),
        (7, "key"),
        (b"k", "key"),
        ("{number.missing.}", "number"),
    ],
)
def test_a_key_that_cannot_work_is_refused(key: Any, why: str) -> None:
    """When decorating: a field that the function lacks, a template that is broken, or what is neither text nor call."""
    with pytest.raises(ConfigurationError, match=why):
        locked(key, layer=LAYER)(function)


def test_a_key_may_be_a_function(colour: Colour, layer: Layer) -> None:
    """Of the arguments; what is no text, or empty, is refused at the call, and what it raises passes."""

    async def scenario() -> None:
        names: dict[int, Any] = {1: "one", 2: "", 3: None, 4: 7}
        function = layer.locked(lambda number, **_: names[number], wait=0)(colour.function(twice))
        assert await colour.call(function, 1) == 2
        for number in (2, 3, 4):
            with pytest.raises(ConfigurationError, match="key"):
                await colour.call(function, number)
        with pytest.raises(KeyError):
            await colour.call(function, 5)
        held = await colour.of(layer.lock("one")).acquire()
        with pytest.raises(LockNotAcquired):
            await colour.call(function, 1)
        await colour.of(held).release()

    colour.run(scenario)


@pytest.mark.parametrize("on_busy", [None, "", "wait", 0, True, []])
def test_on_busy_is_one_of_three(on_busy: Any) -> None:
    """Raise, skip, or something to call."""
    with pytest.raises(ConfigurationError, match=re.escape(f"on_busy={on_busy!r} must be 'raise', 'skip'")):
        locked("k", on_busy=on_busy, layer=LAYER)(function)


def test_a_plain_function_cannot_await_what_is_called_instead() -> None:
    """An async `on_busy` needs an async function."""
    with pytest.raises(ConfigurationError, match=r"on_busy= of .*function is async, and the function is not"):
        locked("k", on_busy=afunction, layer=LAYER)(function)
    locked("k", on_busy=function, layer=LAYER)(afunction)


def test_replicas_in_memory_are_refused_when_it_is_called(layer: Layer) -> None:
    """Which layer it is, is not known before."""
    decorated = layer.locked("k", min_replicas=1)(function)
    with pytest.raises(ConfigurationError, match="memory:// has none"):
        decorated(1)
