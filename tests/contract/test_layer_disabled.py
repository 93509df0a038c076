"""``layer.disabled()``: calls go straight to their functions."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

import pytest

from holdfast import MISSING, Layer, entries
from support.colours import Colour
from support.topologies import Topology


def counting(colour: Colour, decorate: Callable[..., Any]) -> tuple[Callable[..., Any], list[int]]:
    calls: list[int] = []

    async def count(number: int) -> int:
        calls.append(number)
        return number

    return decorate(60, key="count:{number}")(colour.function(count)), calls


def test_disabled_sends_every_call_to_its_function(colour: Colour, topology: Topology, namespace: str) -> None:
    """Nothing is read or loaded into the cache inside the block, however blocks are nested; changes are still made."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            function, calls = counting(colour, layer.cached)
            handle, cache = colour.of(entries(function)), colour.of(layer.cache)
            await colour.call(function, 1)
            await cache.set("a", 1, 60)
            with layer.disabled():
                with layer.disabled():
                    assert await colour.call(function, 1) == 1
                assert await colour.call(function, 1) == 1
                assert await colour.call(function, 2) == 2
                assert await handle.get(1) is MISSING
                assert await cache.get("a", "default") == "default"
                assert await cache.get_many(["a"]) == {}
                assert await cache.get_or_load("a", lambda: 2, 60) == 2
                assert await handle.invalidate(1)
                await cache.set("b", 2, 60)
            assert calls == [1, 1, 1, 2]
            assert await handle.get(1) is MISSING
            assert await handle.get(2) is MISSING
            assert await cache.get("b") == 2
            assert await cache.get("a") == 1
            await colour.call(function, 1)
            await colour.call(function, 1)
            assert calls == [1, 1, 1, 2, 1]

    colour.run(scenario)


def test_disabled_ends_with_an_exception(namespace: str) -> None:
    """Whatever leaves the block, the cache is on again."""
    with Layer(namespace=namespace) as layer:
        function, calls = counting(Colour("sync"), layer.cached)
        with pytest.raises(LookupError), layer.disabled():
            raise LookupError
        function(1)
        function(1)
        assert calls == [1]


def test_disabled_holds_for_this_thread_or_task_only(namespace: str) -> None:
    """Other threads and tasks go on with the cache; tasks that begin inside the block go without."""
    with Layer(namespace=namespace) as layer:
        function, calls = counting(Colour("sync"), layer.cached)
        function(1)
        with layer.disabled():
            thread = threading.Thread(target=contextvars.Context().run, args=(function, 1))
            thread.start()
            thread.join()
            assert calls == [1]

        async def scenario() -> None:
            afunction, acalls = counting(Colour("async"), layer.cached)
            inside, over = asyncio.Event(), asyncio.Event()

            async def block() -> None:
                with layer.disabled():
                    inside.set()
                    await over.wait()
                    await asyncio.gather(afunction(1), afunction(1))

            task = asyncio.ensure_future(block())
            await inside.wait()
            assert await afunction(1) == 1
            assert acalls == []
            over.set()
            await task
            assert acalls == [1, 1]

        asyncio.run(scenario())


def test_disabled_is_about_one_layer(namespace: str) -> None:
    """Another layer is on meanwhile."""
    with Layer(namespace=namespace) as layer, Layer(namespace=f"{namespace}-other") as other:
        function, calls = counting(Colour("sync"), other.cached)
        with layer.disabled():
            function(1)
            function(1)
        assert calls == [1]
