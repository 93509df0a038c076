"""What the cache does while Redis is away: go on without it or say so, as told, and come back by itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from holdfast import MISSING, BackendError, BackendTimeout, BackendUnavailable, Layer, entries
from holdfast.events import BackendFailed, BreakerClosed, BreakerOpened, Event, Fill, Hit, Miss
from support.colours import Colour
from support.flights import joined
from support.programs import oldest
from support.proxy import Proxy
from support.standalone import Standalone


def numbers(colour: Colour, layer: Layer, **options: Any) -> tuple[Callable[..., Any], list[int]]:
    calls: list[int] = []

    async def double(number: int) -> int:
        calls.append(number)
        return 2 * number

    return layer.cached(60, key="double:{number}", **options)(colour.function(double)), calls


def names(told: list[Event]) -> list[str]:
    """Return the names of events but for the breaker's, with what a backend failure was about."""
    return [
        f"{type(each).__name__}({each.operation})" if isinstance(each, BackendFailed) else type(each).__name__
        for each in told
        if not isinstance(each, BreakerOpened | BreakerClosed)
    ]


def test_without_redis_calls_go_to_the_function(colour: Colour) -> None:
    """Each call is served, told as a failure and a miss, and nothing is sent after the read that failed."""

    async def scenario() -> None:
        with Standalone(oldest()) as server:
            async with colour.using(Layer(server.url)) as layer:
                function, calls = numbers(colour, layer)
                handle, cache = colour.of(entries(function)), colour.of(layer.cache)
                await colour.call(function, 1)
                server.stop()
                told: list[Event] = []
                layer.add_hook(told.append)
                for _ in range(6):
                    assert await colour.call(function, 1) == 2
                assert names(told) == ["BackendFailed(GET)", "Miss"] * 6
                assert {each.reason for each in told if isinstance(each, Miss)} == {"unavailable"}
                assert calls == [1] * 7
                told.clear()
                assert await handle.get(1) is MISSING
                assert await cache.get("a", "default") == "default"
                assert await cache.get_or_load("a", lambda: 7, 60) == 7
                assert names(told) == ["BackendFailed(GET)", "Miss"] * 3
                told.clear()
                assert await cache.get_many(["a", "b"]) == {}
                assert names(told) == ["BackendFailed(MGET)", "Miss", "Miss"]
                value, info = await handle.call(1)
                assert (value, info.status, info.age, info.remaining) == (2, "miss", 0, 0)
                assert layer.stats().errors == 11

    colour.run(scenario)


def test_without_redis_calls_still_share_loads(colour: Colour) -> None:
    """A dead cache must not turn one slow query into many."""

    async def scenario() -> None:
        with Standalone(oldest()) as server:
            async with colour.using(Layer(server.url)) as layer:
                server.stop()
                gate = colour.gate()

                async def slow(number: int) -> int:
                    await gate.passed()
                    return number

                function = layer.cached(60, key="slow:{number}")(colour.function(slow))

                async def call() -> Any:
                    return await colour.call(function, 1)

                async def opener() -> None:
                    await colour.until(lambda: joined(layer) == 5, "all have joined")
                    gate.open()

                assert await colour.together(*[call] * 5, opener) == [1] * 5 + [None]
                assert gate.waiting == 1
                assert layer.stats().coalesced == 4

    colour.run(scenario)


@pytest.mark.parametrize("on_failure", ["bypass", "raise"])
def test_what_changes_an_entry_raises_whatever_the_policy(colour: Colour, on_failure: Any) -> None:
    """An invalidation that was not made cannot be made good later: who asked for it must know, and so must hooks."""

    async def scenario() -> None:
        with Standalone(oldest()) as server:
            async with colour.using(Layer(server.url, on_failure=on_failure)) as layer:
                function, _ = numbers(colour, layer)
                server.stop()
                told: list[Event] = []
                layer.add_hook(told.append)
                handle, cache = colour.of(entries(function)), colour.of(layer.cache)
                changes: list[tuple[str, Callable[[], Any]]] = [
                    ("invalidate", lambda: handle.invalidate(1)),
                    ("put", lambda: handle.set(1, 1)),
                    ("acquire", lambda: handle.refresh(1)),
                    ("GET", lambda: handle.info(1)),
                    ("put", lambda: cache.set("a", 1, 60)),
                    ("put", lambda: cache.set_many({"a": 1, "b": 2}, 60)),
                    ("invalidate", lambda: cache.delete("a")),
                    ("expire", lambda: cache.expire("a", 60)),
                ]
                for operation, change in changes:
                    with pytest.raises(BackendUnavailable, match=f"^{operation}: Redis at "):
                        await change()
                    assert names(told)[0] == f"BackendFailed({operation})", operation
                    told.clear()

    colour.run(scenario)


def test_in_raise_mode_reads_raise_before_anything_is_loaded(colour: Colour) -> None:
    """The function is not called, and the error says which server and what was asked."""

    async def scenario() -> None:
        with Standalone(oldest()) as server:
            async with colour.using(Layer(server.url, on_failure="raise")) as layer:
                function, calls = numbers(colour, layer)
                server.stop()
                cache = colour.of(layer.cache)
                for read in (
                    lambda: colour.call(function, 1),
                    lambda: colour.of(entries(function)).get(1),
                    lambda: cache.get("a"),
                    lambda: cache.get_many(["a"]),
                    lambda: cache.get_or_load("a", lambda: calls.append(1), 60),
                ):
                    with pytest.raises(BackendUnavailable, match="GET: Redis at "):
                        await read()
                assert calls == []

    colour.run(scenario)


@pytest.mark.parametrize("on_failure", ["bypass", "raise"])
def test_a_value_that_cannot_be_stored_any_more(colour: Colour, on_failure: Any) -> None:
    """Redis goes away while the function runs: its value is returned all the same, or the failure raised."""

    async def scenario() -> None:
        with Standalone(oldest()) as server:
            async with colour.using(Layer(server.url, on_failure=on_failure)) as layer:
                told: list[Event] = []
                layer.add_hook(told.append)

                async def last(number: int) -> int:
                    server.kill()
                    return number

                function = layer.cached(60, key="last:{number}")(colour.function(last))
                if on_failure == "bypass":
                    value, info = await colour.of(entries(function)).call(1)
                    assert (value, info.status, info.remaining) == (1, "miss", 0)
                else:
                    with pytest.raises(BackendUnavailable, match="fill: "):
                        await colour.call(function, 1)
                assert names(told) == ["Miss", "BackendFailed(fill)"]

    colour.run(scenario)


def test_a_full_server_still_serves_what_it_has(colour: Colour) -> None:
    """When Redis refuses writes, entries are read, loaded values returned, and changes raise what is the matter."""

    async def scenario() -> None:
        with Standalone(oldest(), options={"maxmemory-policy": "noeviction"}) as server:
            async with colour.using(Layer(server.url)) as layer:
                function, calls = numbers(colour, layer)
                await colour.call(function, 1)
                server.ask("CONFIG", "SET", "maxmemory", "1")
                told: list[Event] = []
                layer.add_hook(told.append)
                assert await colour.call(function, 1) == 2
                assert await colour.call(function, 2) == 4
                assert names(told) == ["Hit", "Miss", "BackendFailed(acquire)"]
                with pytest.raises(BackendError, match="out of memory: raise maxmemory"):
                    await colour.of(layer.cache).set("a", 1, 60)
                assert await colour.of(entries(function)).invalidate(1)
                assert calls == [1, 2]

    colour.run(scenario)


def test_no_answer_is_a_failure_after_the_time_out(colour: Colour) -> None:
    """A server that swallows commands costs its callers one time-out, then microseconds; changes raise that."""

    async def scenario() -> None:
        with Standalone(oldest()) as server, Proxy(server.address) as proxy:
            async with colour.using(Layer(f"{proxy.url}?socket_timeout=0.1")) as layer:
                function, calls = numbers(colour, layer)
                await colour.call(function, 1)
                proxy.black_hole()
                with pytest.raises(BackendTimeout, match="did not answer in time"):
                    await colour.of(entries(function)).invalidate(1)
                began = time.monotonic()
                for _ in range(20):
                    assert await colour.call(function, 1) == 2
                assert time.monotonic() - began < 0.5
                proxy.restore()
                await colour.until(lambda: proxy.open_now == 0 or proxy.bytes_down, "the proxy is back")
                while await colour.of(entries(function)).get(1) is MISSING:
                    await colour.sleep(0.02)
                assert len(calls) == 21

    colour.run(scenario)


def test_it_comes_back_by_itself(colour: Colour) -> None:
    """When the server is there again, calls find it within the breaker's pause, store, and hit."""

    async def scenario() -> None:
        with Standalone(oldest()) as server:
            async with colour.using(Layer(server.url)) as layer:
                function, _ = numbers(colour, layer)
                server.kill()
                for _ in range(5):
                    await colour.call(function, 1)
                told: list[Event] = []
                layer.add_hook(told.append)
                server.start()
                while not any(isinstance(each, Hit) for each in told):
                    await colour.call(function, 1)
                    await colour.sleep(0.01)
                kinds = [type(each) for each in told]
                assert kinds.index(BreakerClosed) < kinds.index(Fill) < kinds.index(Hit)
                assert BackendFailed not in kinds[kinds.index(BreakerClosed) :]
                assert await colour.of(entries(function)).invalidate(1)

    colour.run(scenario)
