"""The seam between sync and async code."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from holdfast import cached
from holdfast._calls import as_coroutine, drive, is_async


def plain() -> int:
    return 1


async def coroutine() -> int:
    return 1


@functools.wraps(plain)
async def async_of_plain() -> int:
    return await asyncio.to_thread(plain)


@functools.wraps(coroutine)
def plain_of_async() -> int:
    return asyncio.run(coroutine())


class Plain:
    def __call__(self) -> int:
        return 1

    def method(self) -> int:
        return 1


class Async:
    async def __call__(self) -> int:
        return 1

    async def method(self) -> int:
        return 1


@pytest.mark.parametrize(
    "function",
    [
        coroutine,
        async_of_plain,
        Async(),
        Async().method,
        functools.partial(coroutine),
        functools.partial(functools.partial(Async().method)),
        staticmethod(coroutine),
        classmethod(coroutine),  # type: ignore[arg-type]
        cached(1)(coroutine),
    ],
)
def test_what_must_be_awaited_is_async(function: Callable[..., Any]) -> None:
    """A call of these gives an awaitable."""
    assert is_async(function)


@pytest.mark.parametrize(
    "function",
    [
        plain,
        plain_of_async,
        Plain(),
        Plain().method,
        functools.partial(plain),
        staticmethod(plain),
        len,
        int,
        cached(1)(plain),
    ],
)
def test_what_returns_at_once_is_not(function: Callable[..., Any]) -> None:
    """A call of these gives the value, even where it wraps an async function."""
    assert not is_async(function)


def test_drive_returns_what_a_coroutine_returns() -> None:
    """No event loop is needed for a coroutine that never suspends."""
    assert drive(as_coroutine(plain)) == 1


def test_a_users_stop_iteration_comes_out_as_it_went_in() -> None:
    """PEP 479 does not turn it into a RuntimeError."""
    mine = StopIteration("mine")

    def stop() -> int:
        raise mine

    with pytest.raises(StopIteration) as caught:
        drive(as_coroutine(stop))
    assert caught.value is mine


def test_a_coroutine_that_suspends_is_closed_and_reported() -> None:
    """Something asynchronous on the sync path is a defect, and leaves nothing half run."""
    steps: list[str] = []

    async def suspends() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            steps.append("closed")

    async def outer(work: Callable[[], Awaitable[None]]) -> None:
        await work()

    with pytest.raises(RuntimeError, match="a blocking call suspended"):
        drive(outer(suspends))
    assert steps == ["closed"]
