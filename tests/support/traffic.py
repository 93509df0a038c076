"""Callers that keep calling for a while, in threads and in tasks at once, and how long each call took."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from math import ceil


@dataclass
class Traffic:
    """The calls of a block."""

    calls: list[tuple[float, float]] = field(default_factory=list)
    """When each began, and how long it took, in seconds."""
    errors: list[BaseException] = field(default_factory=list)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Note one call, and what it raised."""
        began = time.monotonic()
        try:
            yield
        except BaseException as error:
            self.errors.append(error)
        self.calls.append((began, time.monotonic() - began))

    def slowest_percent(self, begin: float, end: float) -> float:
        """Return the 99th percentile of the calls that began between two instants, in seconds."""
        took = sorted(took for began, took in self.calls if begin <= began < end)
        assert len(took) >= 50, f"{len(took)} calls only"
        return took[ceil(len(took) * 0.99) - 1]


@contextmanager
def traffic(plain: Callable[[int], object], awaited: Callable[[int], Awaitable[object]]) -> Iterator[Traffic]:
    """Call two functions all the time during a block: one from four threads, one from sixteen tasks of a loop."""
    seen = Traffic()
    over = threading.Event()

    def thread() -> None:
        for number in cycle(range(10)):
            if over.is_set():
                return
            with seen.timed():
                plain(number)
            time.sleep(0.002)

    async def task() -> None:
        for number in cycle(range(10)):
            if over.is_set():
                return
            with seen.timed():
                await awaited(number)
            await asyncio.sleep(0.008)

    async def tasks() -> None:
        await asyncio.gather(*(task() for _ in range(16)))

    callers = [threading.Thread(target=thread) for _ in range(4)]
    callers.append(threading.Thread(target=lambda: asyncio.run(tasks())))
    for caller in callers:
        caller.start()
    try:
        yield seen
    finally:
        over.set()
        for caller in callers:
            caller.join()
