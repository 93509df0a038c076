"""Loads inside loads, and what a load sees of its caller."""

from __future__ import annotations

import asyncio

from holdfast import Layer, entries
from support.colours import Colour
from support.crowd import Source, actor, cached_source
from support.flights import joined


def test_a_load_may_ask_for_its_own_key(colour: Colour, namespace: str) -> None:
    """A function that calls itself with the same arguments runs again instead of waiting for itself."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            depth = 0

            async def nested(number: int) -> int:
                nonlocal depth
                depth += 1
                return number if depth == 3 else await colour.call(function, number) + 1

            function = layer.cached(60, key="nested:{number}")(colour.function(nested))
            assert await colour.call(function, 5) == 7
            assert depth == 3
            assert await colour.call(function, 5) == 7
            assert depth == 3

    colour.run(scenario)


def test_two_loads_that_need_each_other_do_not_wait_for_ever(colour: Colour, namespace: str) -> None:
    """A loads B and B loads A at the same time: whoever would close the circle runs the function itself."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            started = {"a": 0, "b": 0}

            async def pair(name: str, depth: int) -> str:
                started[name] += 1
                await colour.until(lambda: all(started.values()), "both loads run")
                other = "b" if name == "a" else "a"
                return name if depth == 0 else name + await colour.call(functions[other], other, depth - 1)

            functions = {name: layer.cached(60, key="pair:{name}")(colour.function(pair)) for name in ("a", "b")}
            results = await colour.together(
                actor(colour, functions["a"], "a", 1), actor(colour, functions["b"], "b", 1)
            )
            assert sorted(str(result)[0] for result in results) == ["a", "b"], results
            assert joined(layer) == 0

    colour.run(scenario)


def test_a_load_may_gather_other_entries(namespace: str) -> None:
    """One load that waits for several others at once, some of them shared with another load, is no circle."""
    colour = Colour("async")

    async def scenario() -> None:
        async with Layer(namespace=namespace) as layer:
            source = Source(colour)
            slow = cached_source(layer, colour, source)

            @layer.cached(60)
            async def total(numbers: list[int]) -> int:
                return sum(part[0] for part in await asyncio.gather(*(slow(number) for number in numbers)))

            source.gate.open()
            assert await asyncio.gather(total([1, 2, 3]), total([2, 3, 4])) == [6, 9]
            assert source.loads == 4

    colour.run(scenario)


def test_context_variables_reach_the_load(colour: Colour, namespace: str) -> None:
    """The function sees the context variables of the caller that loads."""
    from contextvars import ContextVar

    tenant: ContextVar[str] = ContextVar("tenant")

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:

            async def whose(number: int) -> str:
                return f"{tenant.get()}{number}"

            function = layer.cached(60)(colour.function(whose))
            tenant.set("ada")
            assert await colour.call(function, 1) == "ada1"
            assert await colour.call(
                entries(function).refresh if not colour.is_async else entries(function).arefresh, 1
            )

    colour.run(scenario)
