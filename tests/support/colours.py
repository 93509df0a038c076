"""Both colours of code from one test.

A test writes its steps as an `async def`. In the sync colour nothing in it suspends and no event loop runs; in the
async colour it is a coroutine on a loop. `Colour` hides the difference: verbs with and without the a-prefix, `with`
and `async with`, functions and coroutine functions, threads and tasks.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import FunctionType
from typing import Any, TypeVar

from support.waiting import PATIENCE, POLL

T = TypeVar("T")
Steps = Callable[[], Coroutine[Any, Any, T]]
"""A coroutine function without arguments: a scenario, or one of several actors in it."""


class Gate:
    """A gate that actors wait at until somebody opens it, whatever their colour."""

    def __init__(self, colour: Colour) -> None:
        self._colour = colour
        self._opened = threading.Event()
        self.waiting = 0
        """How many have come to the gate so far."""

    def open(self) -> None:
        """Let all through, now and later."""
        self._opened.set()

    async def passed(self) -> None:
        """Wait until the gate is open."""
        self.waiting += 1
        await self._colour.until(self._opened.is_set, "the gate opens")


class Verbs:
    """An object's methods, to be awaited in either colour: ``await verbs.get("k")`` calls `get` or awaits `aget`."""

    def __init__(self, target: object, prefix: str) -> None:
        self._target = target
        self._prefix = prefix

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._target, self._prefix + name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            return await result if self._prefix else result

        return call


@dataclass(frozen=True, slots=True)
class Colour:
    """One colour of code: ``sync`` or ``async``."""

    name: str

    @property
    def is_async(self) -> bool:
        """Say whether code of this colour runs on an event loop."""
        return self.name == "async"

    def run(self, scenario: Steps[T]) -> T:
        """Run a scenario to its end and return its result: without a loop, or on a new one."""
        return asyncio.run(scenario()) if self.is_async else _drive(scenario())

    def of(self, target: object) -> Verbs:
        """Return the verbs of an object that has each of them twice, such as a layer, its cache or a lock."""
        return Verbs(target, "a" if self.is_async else "")

    def function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function of this colour that does what `function` does, with its name, signature and annotations.

        `function` may be of either colour. Write it as an `async def` if it has to wait, at a `Gate` for example.
        """
        is_async = inspect.iscoroutinefunction(function)
        if is_async == self.is_async:
            return function
        return _twin(function, _driven if is_async else _awaited)

    async def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a function of this colour and return its result."""
        result = function(*args, **kwargs)
        return await result if self.is_async else result

    @asynccontextmanager
    async def using(self, target: Any) -> AsyncIterator[Any]:
        """Enter an object with `with` or `async with`, such as a layer or a lock."""
        if self.is_async:
            async with target as entered:
                yield entered
        else:
            with target as entered:
                yield entered

    async def together(self, *actors: Steps[Any]) -> list[Any]:
        """Run actors at the same time, in threads or in tasks, and return their results or exceptions in order."""
        if self.is_async:
            return await asyncio.gather(*(actor() for actor in actors), return_exceptions=True)
        with ThreadPoolExecutor(len(actors)) as threads:
            futures = [threads.submit(_drive, actor()) for actor in actors]
            return [future.exception() or future.result() for future in futures]

    async def until(self, check: Callable[[], object], what: str, *, within: float = PATIENCE) -> None:
        """Wait until `check` is truthy, without stopping the others.

        Raises:
            TimeoutError: it did not become true in time.
        """
        deadline = time.monotonic() + within
        while not check():
            if time.monotonic() > deadline:
                msg = f"waited {within:.0f} s in vain until {what}"
                raise TimeoutError(msg)
            await self.sleep(POLL)

    async def sleep(self, seconds: float) -> None:
        """Pause this actor only."""
        if self.is_async:
            await asyncio.sleep(seconds)
        else:
            time.sleep(seconds)  # noqa: ASYNC251 - there is no loop in this colour

    def gate(self) -> Gate:
        """Return a closed gate, to force an order of events."""
        return Gate(self)


def _drive(coroutine: Coroutine[Any, Any, T]) -> T:
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    msg = "a scenario suspended in the sync colour: it awaited something that is not of its colour"
    raise AssertionError(msg)


def _awaited(function: Callable[..., Any], _: object) -> Callable[..., Any]:
    async def twin(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return twin


def _driven(function: Callable[..., Any], drive: Callable[..., Any]) -> Callable[..., Any]:
    def twin(*args: Any, **kwargs: Any) -> Any:
        return drive(function(*args, **kwargs))

    return twin


def _twin(function: Any, make: Callable[..., Any]) -> Callable[..., Any]:
    shape = make(function, _drive)
    # It lives in the module of the original, so that annotations in quotes mean what they mean there.
    twin: Any = FunctionType(shape.__code__, function.__globals__, function.__name__, None, shape.__closure__)
    functools.update_wrapper(twin, function)
    # Not a wrapper in the eyes of `inspect`: who looks through it would see the other colour.
    del twin.__wrapped__
    twin.__signature__ = inspect.signature(function)
    return twin
