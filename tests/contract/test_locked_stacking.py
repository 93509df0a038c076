"""`@locked` above and below the other decorators, in every order and both colours."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest

from holdfast import MISSING, Layer, LockNotAcquired, RateLimited, current_lock, entries
from holdfast.errors import LockError
from support.colours import Colour
from support.lock_kinds import is_free

pytestmark = pytest.mark.usefixtures("patient_limits")


class Source:
    """A function that counts its calls, and whether it was locked at each."""

    def __init__(self, colour: Colour) -> None:
        self.calls: list[tuple[int, str]] = []

        async def load(number: int) -> int:
            self.calls.append((number, _name()))
            return 2 * number

        self.load = colour.function(load)


def _name() -> str:
    try:
        return current_lock().name
    except LockError:
        return ""


@pytest.mark.parametrize("order", list(permutations(["cached", "rate_limited", "locked"])), ids="-".join)
def test_every_order_works(colour: Colour, layer: Layer, order: tuple[str, ...]) -> None:
    """Functions, methods and classmethods; the last named is outermost, and the lock is held while the source runs."""
    decorators: dict[str, Callable[[Any], Any]] = {
        "cached": layer.cached(60, key="c:{number}"),
        "rate_limited": layer.rate_limited("5/day", key="r:{number}"),
        "locked": layer.locked("l:{number}", wait=0),
    }

    def decorate(function: Any) -> Any:
        for name in order:
            function = decorators[name](function)
        return function

    async def scenario() -> None:
        source = Source(colour)

        class Shop:
            async def _load(self, number: int) -> Any:
                return 2 * number

            method = decorate(colour.function(_load))
            of_class = decorate(classmethod(colour.function(_load)))

        function = decorate(source.load)
        assert [await colour.call(function, 1) for _ in range(4)] == [2] * 4
        assert source.calls == [(1, "l:1")]
        shop = Shop()
        assert [await colour.call(each, 7) for each in (shop.method, shop.of_class, Shop.of_class)] == [14] * 3
        held = await colour.of(layer.lock("l:1")).acquire()
        outside = order.index("locked") > order.index("cached")
        if outside:
            with pytest.raises(LockNotAcquired):
                await colour.call(function, 1)
        else:
            assert await colour.call(function, 1) == 2, "a hit needs no lock"
        await colour.of(held).release()
        assert layer.stats().patterns["l:{number}"].busy == outside

    colour.run(scenario)


def test_below_the_cache_only_loads_lock(colour: Colour, layer: Layer) -> None:
    """The refusal of a load passes through, and is not stored; `entries` reaches the cache through the lock."""

    async def scenario() -> None:
        source = Source(colour)
        function = layer.cached(60, key="c:{number}")(layer.locked("loads", wait=0)(source.load))
        held = await colour.of(layer.lock("loads")).acquire()
        with pytest.raises(LockNotAcquired):
            await colour.call(function, 1)
        assert await colour.of(entries(function)).get(1) is MISSING
        await colour.of(held).release()
        assert await colour.call(function, 1) == 2
        outside = layer.locked("calls")(function)
        assert await colour.of(entries(outside)).get(1) == 2
        assert source.calls == [(1, "loads")]

    colour.run(scenario)


def test_a_call_that_is_limited_gives_the_lock_back(colour: Colour, layer: Layer) -> None:
    """A busy call outside of the limit costs no unit, one inside does."""

    async def scenario() -> None:
        source = Source(colour)
        function = layer.locked("k", wait=0)(layer.rate_limited("1/day", key="r")(source.load))
        held = await colour.of(layer.lock("k")).acquire()
        with pytest.raises(LockNotAcquired):
            await colour.call(function, 1)
        assert layer.limiter.peek("1/day", "r").remaining == 1
        await colour.of(held).release()
        assert await colour.call(function, 1) == 2
        with pytest.raises(RateLimited):
            await colour.call(function, 1)
        assert await is_free(colour, layer.lock("k", wait=0))

    colour.run(scenario)


def test_two_locks_on_one_function(colour: Colour, layer: Layer) -> None:
    """The outer one is taken first; if the inner one is busy, the outer is free again."""

    async def scenario() -> None:
        source = Source(colour)
        function = layer.locked("outer", wait=0)(layer.locked("inner", wait=0)(source.load))
        assert await colour.call(function, 1) == 2
        assert source.calls == [(1, "inner")]
        held = await colour.of(layer.lock("inner")).acquire()
        with pytest.raises(LockNotAcquired, match="'inner'"):
            await colour.call(function, 1)
        assert await is_free(colour, layer.lock("outer", wait=0))
        await colour.of(held).release()

    colour.run(scenario)


def test_protected_calls_share_one_lock(colour: Colour, layer: Layer) -> None:
    """`@stampede_protected` without a ttl, over a lock: one of all callers at once takes it."""

    async def scenario() -> None:
        gate, calls = colour.gate(), []

        async def load(number: int) -> int:
            calls.append(_name())
            await gate.passed()
            return 2 * number

        function = layer.stampede_protected(key="p:{number}")(layer.locked("k")(colour.function(load)))

        async def act() -> Any:
            return await colour.call(function, 1)

        async def let_go() -> None:
            flights = layer.engine.caching.flights
            await colour.until(
                lambda: calls and sum(flight.members for flight in tuple(flights._open.values())) == 4,
                "all have joined",
            )
            gate.open()

        assert await colour.together(*[act] * 4, let_go) == [2, 2, 2, 2, None]
        assert calls == ["k"]
        assert layer.stats().patterns["k"].acquired == 1

    colour.run(scenario)
