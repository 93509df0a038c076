"""How long a lock takes from who gives it back to who waits for it, and how many commands that costs.

Both have connections of their own, as two processes would. The waiter stands for a time drawn afresh, so that those who
ask again and again are met at any moment between two questions. Contenders take turns; one handover is one turn.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from random import Random
from statistics import mean, median, quantiles
from typing import Any, Final

from bench_frame import describe
from bench_limit_lineup import empty
from bench_lock_lineup import LockRow, pair_async, pair_sync
from bench_lock_monitor import monitoring
from bench_lock_trial import AsyncLock, SyncLock, judge

PAUSES: Final = (0.05, 0.25)
"""Seconds between which the waiter stands: longer than the peers' common pauses of 0.1 and 0.2."""
PATIENCE: Final = 10.0
"""Seconds after which a waiter has failed."""
_COUNTED: Final = 3
"""Handovers in which commands are counted; these are not timed."""
Turn = Callable[[float], float]
"""Let a waiter stand for so many seconds, hand over, and return the seconds until it has the lock."""


@dataclass(frozen=True, slots=True)
class Handover:
    """How one contender hands over."""

    name: str
    median_ms: float
    slow_ms: float
    """One in ten takes longer."""
    commands: float
    """Sent by holder and waiter, from the waiter's first to the one with which it gives the lock back."""


@dataclass(frozen=True, slots=True)
class HandoverRow:
    """All handovers of one colour, the fastest first."""

    name: str
    standings: tuple[Handover, ...]
    failures: Mapping[str, str]


def hand_over(row: LockRow, builders: Mapping[str, Any], port: int, rounds: int, chance: Random) -> HandoverRow:
    """Let contenders hand over in turns, then count their commands."""
    ready = _ready_sync if row.load.colour == "sync" else _ready_async
    turns: dict[str, Turn] = {}
    failures: dict[str, str] = {}
    times: dict[str, list[float]] = {name: [] for name in builders}
    commands: dict[str, float] = {}
    with ExitStack() as stack:
        for name, build in builders.items():
            with _noting(name, failures):
                empty(port)
                turns[name] = ready(build, port, stack)
                turns[name](PAUSES[0])  # connections are open and scripts known from now on
        for _ in range(rounds):
            standing = [name for name in turns if name not in failures]
            for name in chance.sample(standing, len(standing)):
                with _noting(name, failures):
                    times[name].append(turns[name](chance.uniform(*PAUSES)))
        for name in [name for name in turns if name not in failures]:
            with _noting(name, failures), monitoring(port) as sent:
                commands[name] = mean(_counted(turns[name], sent) for _ in range(_COUNTED))
    standings = [summarize(name, times[name], commands[name]) for name in turns if name not in failures]
    return HandoverRow(row.load.name, tuple(sorted(standings, key=lambda one: one.median_ms)), failures)


class _noting:  # noqa: N801 - read as a verb after `with`
    """Note the first error of a contender and go on with the others."""

    def __init__(self, name: str, failures: dict[str, str]) -> None:
        self._name, self._failures = name, failures

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, Exception):
            self._failures.setdefault(self._name, describe(error))
        return isinstance(error, Exception)


def _counted(turn: Turn, sent: Callable[[], int]) -> int:
    sent()
    turn(mean(PAUSES))
    return sent()


def summarize(name: str, seconds: list[float], commands: float) -> Handover:
    """Return what many handovers say about a contender."""
    slow = quantiles(seconds, n=10, method="inclusive")[-1] if len(seconds) > 1 else seconds[0]
    return Handover(name, median(seconds) * 1000, slow * 1000, commands)


def _ready_sync(build: Any, port: int, stack: ExitStack) -> Turn:
    holder, waiter = pair_sync(build, port, stack)
    judge(holder.waits, "it cannot wait")
    return lambda pause: turn_sync(holder, waiter, pause)


def turn_sync(holder: SyncLock, waiter: SyncLock, pause: float) -> float:
    """Hand a lock over from this thread to another, and return the seconds it took.

    Raises:
        ValueError: the waiter did not get the lock in time, or before it was given back.
    """
    begun = threading.Event()
    got: list[float] = []
    errors: list[BaseException] = []

    def wait() -> None:
        begun.set()
        try:
            with waiter.hold(0):
                got.append(time.perf_counter())
        except BaseException as error:  # carried over to the measuring thread, which raises it
            errors.append(error)

    thread = threading.Thread(target=wait, daemon=True)
    with holder.hold(0):
        thread.start()
        begun.wait()
        time.sleep(pause)
        given = time.perf_counter()
    thread.join(PATIENCE)
    if errors:
        raise errors[0]
    return _taken(given, got)


def _ready_async(build: Any, port: int, stack: ExitStack) -> Turn:
    runner = stack.enter_context(asyncio.Runner())
    holder, waiter = pair_async(build, port, runner, stack)
    judge(holder.waits, "it cannot wait")
    return lambda pause: runner.run(turn_async(holder, waiter, pause))


async def turn_async(holder: AsyncLock, waiter: AsyncLock, pause: float) -> float:
    """Hand a lock over from this task to another, and return the seconds it took. Errors as in `turn_sync`."""
    got: list[float] = []

    async def wait() -> None:
        async with waiter.hold(0):
            got.append(time.perf_counter())

    async with holder.hold(0):
        task = asyncio.create_task(wait())
        await asyncio.sleep(pause)
        given = time.perf_counter()
    done, _ = await asyncio.wait([task], timeout=PATIENCE)
    if done:
        await task
    task.cancel()
    return _taken(given, got)


def _taken(given: float, got: list[float]) -> float:
    judge(bool(got), f"the waiter did not get the lock within {PATIENCE:.0f} s")
    judge(got[0] >= given, "the waiter got the lock before it was given back")
    return got[0] - given
