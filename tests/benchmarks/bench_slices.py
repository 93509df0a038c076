"""How one slice is measured: calls from threads, or from tasks of one loop, until the time is up.

The clocks start when every worker stands ready with its connection open, and stop when the last has finished its call.
Both kinds check the clock once a call, which costs every contender the same tenth of a microsecond.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import cycle
from time import perf_counter, process_time

from bench_frame import Slice


@dataclass(slots=True)
class _Stopwatch:
    """The shared start of all workers of one slice."""

    seconds: float
    wall: float = 0.0
    cpu: float = 0.0
    deadline: float = 0.0
    done: list[int] = field(default_factory=list[int])
    errors: list[BaseException] = field(default_factory=list[BaseException])

    def start(self) -> None:
        self.cpu = process_time()
        self.wall = perf_counter()
        self.deadline = self.wall + self.seconds

    def stop(self) -> Slice:
        wall, cpu = perf_counter() - self.wall, process_time() - self.cpu
        if self.errors:
            raise self.errors[0]
        return Slice(sum(self.done), wall, cpu)


def from_threads(
    fetch: Callable[[int], object],
    plans: Sequence[Sequence[int]],
    seconds: float,
    around: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Slice:
    """Call `fetch` from one thread a plan, each going round the numbers of its plan.

    One plan runs in the calling thread. Threads are new in each slice, as a web server's may be; a call before the
    start opens what belongs to the thread.

    Args:
        fetch: the call to measure.
        plans: for each thread, the numbers to ask for.
        seconds: how long to go on.
        around: a context in which each thread works.
    """
    watch = _Stopwatch(seconds)
    barrier = threading.Barrier(len(plans), action=watch.start)

    def work(plan: Sequence[int]) -> None:
        try:
            with around():
                fetch(plan[0])
                barrier.wait()
                watch.done.append(_repeat(fetch, plan, watch.deadline))
        except threading.BrokenBarrierError:
            pass  # the thread that broke it has noted its own error
        except BaseException as error:  # carried over to the measuring thread, which raises it
            watch.errors.append(error)
            barrier.abort()

    if len(plans) == 1:
        work(plans[0])
        return watch.stop()
    threads = [threading.Thread(target=work, args=(plan,)) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return watch.stop()


def _repeat(fetch: Callable[[int], object], plan: Sequence[int], deadline: float) -> int:
    count = 0
    for number in cycle(plan):
        fetch(number)
        count += 1
        if perf_counter() >= deadline:
            break
    return count


async def from_tasks(
    fetch: Callable[[int], Awaitable[object]], plans: Sequence[Sequence[int]], seconds: float
) -> Slice:
    """Await `fetch` from one task a plan, each going round the numbers of its plan.

    Args:
        fetch: the call to measure.
        plans: for each task, the numbers to ask for.
        seconds: how long to go on.
    """
    watch = _Stopwatch(seconds)
    ready = asyncio.Event()

    async def prime(plan: Sequence[int]) -> None:
        await fetch(plan[0])

    async def work(plan: Sequence[int]) -> None:
        await ready.wait()
        count = 0
        for number in cycle(plan):
            await fetch(number)
            count += 1
            if perf_counter() >= watch.deadline:
                break
        watch.done.append(count)

    await asyncio.gather(*(prime(plan) for plan in plans))
    tasks = [asyncio.create_task(work(plan)) for plan in plans]
    await asyncio.sleep(0)  # every task now waits for the start
    watch.start()
    ready.set()
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return watch.stop()
