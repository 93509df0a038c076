"""Loads that need other loads, in one process or across two, and functions that are protected twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from holdfast import Layer
from support.colours import Colour
from support.crowd import Source, actor
from support.processes import opening, parties
from support.topologies import Topology


def test_two_processes_that_need_each_other(colour: Colour, topology: Topology, namespace: str) -> None:
    """Here A needs B, there B needs A, and each waits for the other: no longer than `wait`, then it loads by itself."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as here,
            colour.using(Layer(topology.url, namespace=namespace)) as there,
        ):
            started: list[str] = []

            def pair(layer: Layer) -> dict[str, Any]:
                async def half(name: str, depth: int) -> str:
                    started.append(name)
                    if depth == 0:
                        return name
                    await colour.until(lambda: len(started) >= 2, "both loads run")
                    other = "b" if name == "a" else "a"
                    return name + await colour.call(functions[other], other, depth - 1)

                decorate = layer.cached(60, key="half:{name}", wait="200ms", lease="50s")
                function = decorate(colour.function(half))
                functions = {"a": function, "b": function}
                return functions

            a, b = pair(here)["a"], pair(there)["b"]
            results = await colour.together(actor(colour, a, "a", 1), actor(colour, b, "b", 1))
            # Who gives up first loads what it needs by itself; the other may get what that one has stored.
            assert results in (["ab", "ba"], ["aba", "ba"], ["ab", "bab"])
            assert 3 <= len(started) <= 4

    colour.run(scenario)


def test_a_load_that_comes_back_through_another_process(colour: Colour, topology: Topology, namespace: str) -> None:
    """A load that asks another process for its own key waits for itself, no longer than `wait`."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as here,
            colour.using(Layer(topology.url, namespace=namespace)) as there,
        ):
            options: dict[str, Any] = {"key": "round:{number}", "wait": "200ms", "lease": "50s"}

            async def inner(number: int) -> str:
                return "inner"

            async def outer(number: int) -> str:
                return "outer " + await colour.call(asked, number)

            asked = there.cached(60, **options)(colour.function(inner))
            asking = here.cached(60, **options)(colour.function(outer))
            assert await colour.call(asking, 1) == "outer inner"
            assert await colour.call(asked, 1) == "outer inner"

    colour.run(scenario)


def twice(outer: str, inner: str, *, same: bool) -> Callable[[Layer, Any], Any]:
    def decorate(layer: Layer, function: Any) -> Any:
        decorators = {
            "cached": lambda key: layer.cached(60, key=key),
            "protected": lambda key: layer.stampede_protected(60, key=key),
            "shared": lambda key: layer.stampede_protected(key=key),
        }
        inside = decorators[inner]("slow:{number}")(function)
        return decorators[outer]("slow:{number}" if same else "other:{number}")(inside)

    return decorate


KINDS = ["cached", "protected", "shared"]


@pytest.mark.parametrize("same", [True, False], ids=["same key", "other key"])
@pytest.mark.parametrize("inner", KINDS)
@pytest.mark.parametrize("outer", KINDS)
def test_a_function_that_is_protected_twice(
    colour: Colour, namespace: str, outer: str, inner: str, *, same: bool
) -> None:
    """In any order, under one key or two: concurrent callers share one load and get its value, and nobody hangs."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            source = Source(colour)

            async def slow(number: int) -> Any:
                return await source.load(number)

            function = twice(outer, inner, same=same)(layer, colour.function(slow))
            callers = [actor(colour, function, 1) for _ in range(3)]
            let_go = opening(colour, source, lambda: source.loads)
            assert await colour.together(*callers, let_go) == [[1]] * 3 + [None]
            assert source.loads == 1
            assert await colour.call(function, 1) == [1]
            kept = outer != "shared" or inner != "shared"
            assert source.loads == (1 if kept else 2)

    colour.run(scenario)


def test_a_function_that_is_protected_twice_in_two_processes(
    colour: Colour, topology: Topology, namespace: str
) -> None:
    """The outer one shares among processes what the inner one would share, too."""

    async def scenario() -> None:
        async with parties(colour, topology.url, namespace, lease="50s", wait="50s") as (source, here, there):
            for party in (here, there):
                party.slow = party.layer.cached(60, key="twice:{number}")(party.decorated(ttl=None))
            waiter, let_go = there.after(lambda: source.loads), opening(colour, source, there.listens)
            assert await colour.together(here.caller, waiter, let_go) == [[1], [1], None]
            assert source.loads == 1

    colour.run(scenario)
