"""Both colours of one test: names, signatures, values and exceptions must be those of the code under test."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_type_hints

import pytest

from support.colours import Colour


@dataclass(frozen=True, slots=True)
class Product:
    name: str


class Shop:
    """Has a verb in both colours and a context in both."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def sell(self, count: int) -> int:
        self.log.append("sync")
        return count

    async def asell(self, count: int) -> int:
        self.log.append("async")
        return count

    def __enter__(self) -> str:
        return "sync"

    def __exit__(self, *_: object) -> None:
        self.log.append("closed sync")

    async def __aenter__(self) -> str:
        return "async"

    async def __aexit__(self, *_: object) -> None:
        self.log.append("closed async")


def test_verbs_call_the_method_of_their_colour(colour: Colour) -> None:
    """`get` on the sync side, `aget` on the async side, with arguments and result."""
    shop = Shop()

    async def scenario() -> int:
        return await colour.of(shop).sell(3)

    assert colour.run(scenario) == 3
    assert shop.log == [colour.name]


def test_only_the_async_colour_has_a_loop(colour: Colour) -> None:
    """Sync code must work where no event loop runs, so none may run."""

    async def scenario() -> bool:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return False
        return True

    assert colour.run(scenario) == colour.is_async


def test_a_function_of_either_colour_becomes_one_of_this_colour(colour: Colour) -> None:
    """It is what `inspect` and `typing` say it is: colour, name, signature, annotations in quotes; and it works."""

    def plain(product: Product, count: int = 2) -> list[Product]:
        return [product] * count

    async def waiting(product: Product, count: int = 2) -> list[Product]:
        return [product] * count

    async def scenario() -> None:
        for original in (plain, waiting):
            made = colour.function(original)
            assert inspect.iscoroutinefunction(made) == inspect.iscoroutinefunction(inspect.unwrap(made))
            assert inspect.iscoroutinefunction(made) == colour.is_async
            assert inspect.signature(made) == inspect.signature(original)
            assert get_type_hints(made) == get_type_hints(original)
            assert (made.__qualname__, made.__module__) == (original.__qualname__, original.__module__)
            assert await colour.call(made, Product("a"), count=1) == [Product("a")]

    colour.run(scenario)


def test_functions_become_methods(colour: Colour) -> None:
    """In the body of a class they bind like any other."""

    class Till:
        @colour.function
        def total(self, price: int) -> tuple[Till, int]:
            return self, price

    async def scenario() -> None:
        till = Till()
        assert await colour.call(till.total, 4) == (till, 4)

    colour.run(scenario)


def test_contexts_are_entered_in_their_colour(colour: Colour) -> None:
    """`with` and `async with`, closed also after an exception."""
    shop = Shop()

    async def scenario() -> None:
        async with colour.using(shop) as entered:
            assert entered == colour.name
            raise LookupError

    with pytest.raises(LookupError):
        colour.run(scenario)
    assert shop.log == [f"closed {colour.name}"]


def test_actors_run_at_the_same_time_and_meet_at_gates(colour: Colour) -> None:
    """Each waits for the other; results and exceptions come back in the order of the actors."""
    order: list[str] = []

    async def scenario() -> list[object]:
        first, second = colour.gate(), colour.gate()

        async def one() -> str:
            await first.passed()
            order.append("one")
            second.open()
            return "1"

        async def other() -> None:
            await colour.until(lambda: first.waiting == 1, "the first is at its gate")
            order.append("other")
            first.open()
            await second.passed()
            raise LookupError

        return await colour.together(one, other)

    result, error = colour.run(scenario)
    assert result == "1"
    assert isinstance(error, LookupError)
    assert order == ["other", "one"]


def test_a_function_may_wait_in_either_colour(colour: Colour) -> None:
    """A loader that stands at a gate is written once, as a coroutine function."""

    async def scenario() -> list[object]:
        gate = colour.gate()

        @colour.function
        async def load(key: str) -> str:
            await gate.passed()
            return key

        async def caller() -> object:
            return await colour.call(load, "k")

        async def opener() -> None:
            await colour.until(lambda: gate.waiting == 1, "the loader waits")
            gate.open()

        return await colour.together(caller, opener)

    assert colour.run(scenario) == ["k", None]


def test_suspending_in_the_sync_colour_is_an_error() -> None:
    """A scenario that awaits something asynchronous on the sync side fails instead of passing half run."""

    async def suspends() -> None:
        await _Suspends()

    with pytest.raises(AssertionError, match="suspended"):
        Colour("sync").run(suspends)


class _Suspends:
    def __await__(self) -> Iterator[None]:
        yield
