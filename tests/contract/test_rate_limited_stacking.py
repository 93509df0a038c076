"""`@rate_limited` above and below the other decorators, in every order and both colours."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest

from holdfast import MISSING, Layer, RateLimited, entries
from support.colours import Colour

pytestmark = pytest.mark.usefixtures("patient_limits")


class Source:
    """A function that counts its calls."""

    def __init__(self, colour: Colour) -> None:
        self.calls: list[int] = []

        async def load(number: int) -> int:
            self.calls.append(number)
            return 2 * number

        self.load = colour.function(load)


async def outcome(colour: Colour, function: Callable[..., Any], *args: Any) -> Any:
    """Return what a call returns, or the exception that it raises."""
    try:
        return await colour.call(function, *args)
    except RateLimited as error:
        return error


def test_outside_the_cache_every_call_counts(colour: Colour, layer: Layer) -> None:
    """A hit of the cache, too; `entries` reaches through the limit, and its verbs are not limited."""

    async def scenario() -> None:
        source = Source(colour)
        function = layer.rate_limited("2/day")(layer.cached(60, key="outside:{number}")(source.load))
        found = [await outcome(colour, function, 1) for _ in range(3)]
        assert found[:2] == [2, 2]
        assert isinstance(found[2], RateLimited)
        assert source.calls == [1]
        handle = colour.of(entries(function))
        assert [await handle.get(1), await handle.get(3)] == [2, MISSING]
        assert await handle.refresh(3) == 6
        assert await handle.invalidate(1)

    colour.run(scenario)


def test_below_the_cache_only_loads_count(colour: Colour, layer: Layer) -> None:
    """Who finds an entry is not limited; the refusal of a load passes through and is not stored."""

    async def scenario() -> None:
        source = Source(colour)
        limited = layer.rate_limited("1/day", key="loads")(source.load)
        function = layer.cached(60, key="inside:{number}", cache_errors=LookupError, stale_if_error=60)(limited)
        assert [await outcome(colour, function, 1) for _ in range(3)] == [2, 2, 2]
        for _ in range(2):
            refused = await outcome(colour, function, 3)
            assert isinstance(refused, RateLimited)
            assert refused.decision.refused_by == ("per-day",)
        assert await colour.of(entries(function)).get(3) is MISSING
        layer.limiter.reset("1/day", "loads")
        assert await outcome(colour, function, 3) == 6
        assert source.calls == [1, 3]

    colour.run(scenario)


def test_a_stale_value_may_stand_in_for_a_refused_load(colour: Colour, layer: Layer) -> None:
    """As for any error of the function: with `stale_if_error`, the old value is returned."""

    async def scenario() -> None:
        source = Source(colour)
        limited = layer.rate_limited("1/day")(source.load)
        function = layer.cached(60, key="stale:{number}", stale_if_error=60)(limited)
        assert await outcome(colour, function, 1) == 2
        for port in (layer.engine.blocking, layer.engine.asyncio):
            now = port.now
            port.__class__ = type("Later", (type(port),), {"__slots__": (), "now": lambda _, now=now: now() + 61})
        assert await outcome(colour, function, 1) == 2
        assert (source.calls, layer.stats().limited, layer.stats().stale) == ([1], 1, 1)

    colour.run(scenario)


def test_all_who_share_a_load_share_its_refusal(colour: Colour, layer: Layer) -> None:
    """`@stampede_protected` without a ttl: one hit for all callers at once, whatever comes of it."""

    async def scenario() -> None:
        gate, calls = colour.gate(), []

        async def load(number: int) -> int:
            calls.append(number)
            await gate.passed()
            return 2 * number

        limited = layer.rate_limited("1/day", key="protected")(colour.function(load))
        function = layer.stampede_protected(key="protected:{number}")(limited)

        async def act() -> Any:
            return await outcome(colour, function, 1)

        async def let_go() -> None:
            flights = layer.engine.caching.flights
            members = lambda: sum(flight.members for flight in tuple(flights._open.values()))  # noqa: E731
            await colour.until(lambda: calls and members() == 4, "all have joined")
            gate.open()

        assert await colour.together(*[act] * 4, let_go) == [2, 2, 2, 2, None]
        assert isinstance(await outcome(colour, function, 1), RateLimited)
        assert calls == [1]

    colour.run(scenario)


def test_a_loader_of_many_can_be_limited(colour: Colour, layer: Layer) -> None:
    """Outside each call counts, inside each load, and a cost may be the number of ids."""

    async def scenario() -> None:
        loads: list[list[int]] = []

        async def load(ids: list[int]) -> dict[int, int]:
            loads.append(list(ids))
            return {number: 2 * number for number in ids}

        many = layer.cached_many(60, key="many:{number}")
        outside = layer.rate_limited("2/day", key="calls")(many(colour.function(load)))
        assert [await outcome(colour, outside, [1, 2]) for _ in range(2)] == [{1: 2, 2: 4}] * 2
        assert isinstance(await outcome(colour, outside, [1]), RateLimited)
        assert await colour.of(entries(outside)).get([1, 2]) == {1: 2, 2: 4}
        by_ids = layer.rate_limited("3/day", key="ids", cost=len)(colour.function(load))
        inside = layer.cached_many(60, key="few:{number}")(by_ids)
        assert await outcome(colour, inside, [1, 2]) == {1: 2, 2: 4}
        assert isinstance(await outcome(colour, inside, [1, 3, 4]), RateLimited)
        assert await outcome(colour, inside, [2, 3]) == {2: 4, 3: 6}
        assert loads == [[1, 2], [1, 2], [3]]

    colour.run(scenario)


@pytest.mark.parametrize("order", list(permutations(["cached", "rate_limited", "protected"])), ids="-".join)
def test_every_order_works(colour: Colour, layer: Layer, order: tuple[str, ...]) -> None:
    """Functions, methods and classmethods; the last named is outermost, and `entries` finds the cache."""
    decorators: dict[str, Callable[[Any], Any]] = {
        "cached": layer.cached(60, key="c:{number}"),
        "rate_limited": layer.rate_limited("5/day", key="r:{number}"),
        "protected": layer.stampede_protected(key="p:{number}"),
    }

    def decorate(function: Any) -> Any:
        for name in order:
            function = decorators[name](function)
        return function

    async def scenario() -> None:
        source = Source(colour)

        class Shop:
            async def _load(self, number: int) -> int:
                return 2 * number

            method = decorate(colour.function(_load))
            of_class = decorate(classmethod(colour.function(_load)))

        function = decorate(source.load)
        assert [await outcome(colour, function, 1) for _ in range(4)] == [2] * 4
        assert source.calls == [1]
        shop = Shop()
        assert [await outcome(colour, each, 7) for each in (shop.method, shop.of_class, Shop.of_class)] == [14] * 3
        counted = 5 - layer.limiter.peek("5/day", "r:1").remaining
        assert counted == (4 if order.index("rate_limited") > order.index("cached") else 1)
        if order.index("protected") < order.index("cached"):
            assert await colour.of(entries(function)).get(1) == 2

    colour.run(scenario)


def test_two_limits_on_one_function(colour: Colour, layer: Layer) -> None:
    """The outer one is asked first; a call that it refuses costs the inner one nothing, though not the other way."""

    async def scenario() -> None:
        source = Source(colour)
        inner = layer.rate_limited("3/day", key="inner:{number}")(source.load)
        function = layer.rate_limited("2/hour", key="outer:{number}")(inner)
        for _ in range(2):
            assert await outcome(colour, function, 1) == 2
        refused = await outcome(colour, function, 1)
        assert refused.decision.refused_by == ("per-hour",)
        assert layer.limiter.peek("3/day", "inner:1").remaining == 1

    colour.run(scenario)
