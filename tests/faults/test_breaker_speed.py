"""Promises of speed when Redis is gone: calls fail in microseconds, one probe at a time, and all is well by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial

import pytest

from holdfast.backend.breaker import LONGEST_PAUSE
from holdfast.commands import Command, get
from holdfast.errors import BackendError
from holdfast.events import BreakerClosed, BreakerOpened
from support.backends import Opened, opened
from support.colours import Colour
from support.programs import oldest
from support.proxy import Proxy
from support.standalone import Standalone


async def fails_fast(it: Opened) -> None:
    """Check that a call is refused within microseconds, but for the one that may probe."""
    costs = []
    for _ in range(300):
        started = time.perf_counter()
        assert isinstance(await it.outcome("GET", "k", repeatable=True), BackendError)
        costs.append(time.perf_counter() - started)
    assert sorted(costs)[150] < 0.0002, "the median of refused calls"


async def recovers(colour: Colour, it: Opened) -> None:
    """Ask until an answer comes; nothing but time is needed."""
    started = time.monotonic()
    while isinstance(await it.outcome("GET", "k", repeatable=True), BackendError):
        assert time.monotonic() - started < LONGEST_PAUSE + 10
        await colour.sleep(0.01)


def test_a_dead_server_costs_microseconds(colour: Colour) -> None:
    """After three refused connections nobody touches a socket, but for one probe when the pause is over."""

    async def scenario() -> None:
        with Standalone(oldest()) as server, Proxy(server.address) as proxy:
            async with opened(colour, proxy.url) as it:
                await it.call("GET", "k")
                proxy.cut_all()
                server.kill()
                for _ in range(3):
                    assert isinstance(await it.outcome("GET", "k", repeatable=True), BackendError)
                opened_before, started = proxy.opened, time.monotonic()
                await fails_fast(it)
                assert proxy.opened - opened_before <= 1 + (time.monotonic() - started) / 0.25
                server.start()
                await recovers(colour, it)
                await fast_again(it)
                assert [type(event) for event in it.events] == [BreakerOpened, BreakerClosed]

    colour.run(scenario)


async def fast_again(it: Opened) -> None:
    for _ in range(20):
        assert await it.call("GET", "k") is None


def test_a_frozen_server_costs_one_time_out(colour: Colour) -> None:
    """With many callers at once, a frozen server costs each at most about a time-out, once; then microseconds."""

    async def scenario() -> None:
        with Standalone(oldest()) as server:
            async with opened(colour, f"{server.url}?socket_timeout=0.3&max_connections=4") as it:
                await it.call("GET", "k")
                costs: list[float] = []

                async def act() -> None:
                    for _ in range(5):
                        started = time.perf_counter()
                        await it.outcome("GET", "k", repeatable=True)
                        costs.append(time.perf_counter() - started)

                with server.paused():
                    started = time.monotonic()
                    assert await colour.together(*[act] * 16) == [None] * 16
                    assert time.monotonic() - started < 1.5, "16 callers over 4 connections: one time-out for all"
                    await fails_fast(it)
                await recovers(colour, it)
                assert [type(event) for event in it.events] == [BreakerOpened, BreakerClosed]

    colour.run(scenario)


def test_one_probe_for_threads_and_tasks(colour: Colour) -> None:
    """When the pause is over one of sixteen callers asks the server; the others are refused meanwhile."""

    async def scenario() -> None:
        with Standalone(oldest()) as server, Proxy(server.address) as proxy:
            async with opened(colour, f"{proxy.url}?socket_timeout=0.2") as it:
                await it.call("GET", "k")
                proxy.black_hole()
                assert isinstance(await it.outcome("GET", "k", repeatable=True), BackendError)
                await colour.sleep(0.26)
                proxy.restore()
                proxy.hold_replies()
                opened_before = proxy.opened

                async def act() -> object:
                    return await it.outcome("GET", "k", repeatable=True)

                outcomes = await colour.together(*[act] * 16)
                assert sum("circuit breaker open" in str(outcome) for outcome in outcomes) == 15
                assert proxy.opened - opened_before == 1
                proxy.release()
                proxy.restore()
                await recovers(colour, it)
                assert [type(event) for event in it.events] == [BreakerOpened, BreakerClosed]

    colour.run(scenario)


def test_colours_share_what_they_know(colour: Colour) -> None:
    """A server that one colour found dead is not tried by the other."""

    async def scenario() -> None:
        with Standalone(oldest()) as server, Proxy(server.address) as proxy:
            async with opened(colour, proxy.url) as it:
                proxy.refuse()
                for _ in range(3):
                    await it.outcome("GET", "k", repeatable=True)
                attempts = proxy.opened
                other: Callable[[Command], object] = it.backend.blocking.call_now
                if not colour.is_async:
                    other = partial(_on_a_loop, it)
                with pytest.raises(BackendError, match="circuit breaker open"):
                    other(get("k"))
                assert proxy.opened == attempts

    colour.run(scenario)


def _on_a_loop(it: Opened, command: Command) -> object:
    return asyncio.run(it.backend.asyncio.call(command))
