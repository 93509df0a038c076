"""Who competes in a row about free locks: subjects that were seen to exclude become contenders.

After its trial a subject is still watched: in each slice the server must have run at least two commands for each time
that the lock was taken and given back, and after each slice a rival must be kept out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import redis
from bench_frame import Contender, Slice, describe
from bench_limit_lineup import empty
from bench_lineup import Lineup, Load
from bench_lock_trial import (
    AsyncBuilder,
    AsyncLock,
    SyncBuilder,
    SyncLock,
    judge,
    seen_on,
    try_async,
    try_sync,
)
from bench_slices import from_tasks, from_threads


@dataclass(frozen=True, slots=True)
class LockRow:
    """One row: who competes under which load."""

    load: Load
    builders: Mapping[str, SyncBuilder] | Mapping[str, AsyncBuilder]


@contextmanager
def lineup(load: Load, builders: Mapping[str, Any], port: int) -> Iterator[Lineup]:
    """Build and try the subjects of a row, each on an empty server, and close them after the row."""
    contenders: list[Contender] = []
    failures: dict[str, str] = {}
    ready = _ready_sync if load.colour == "sync" else _ready_async
    with ExitStack() as stack:
        for name, build in builders.items():
            try:
                empty(port)  # nobody finds the keys of the one before
                contenders.append(Contender(name, ready(load, build, port, stack)))
            except Exception as error:  # reported in the row; the others compete
                failures[name] = describe(error)
        yield Lineup(contenders, failures)


def pair_sync(build: SyncBuilder, port: int, stack: ExitStack) -> tuple[SyncLock, SyncLock]:
    """Return a subject that was seen to exclude, and its rival; both are closed with the stack."""
    lock, rival = build(port), build(port)
    stack.callback(lock.close)
    stack.callback(rival.close)
    try_sync(lock, rival, seen_on(port))
    return lock, rival


def pair_async(build: AsyncBuilder, port: int, runner: asyncio.Runner, stack: ExitStack) -> tuple[AsyncLock, AsyncLock]:
    """Return a subject that was seen to exclude, and its rival; both are closed with the stack."""

    async def prepare() -> tuple[AsyncLock, AsyncLock]:
        lock, rival = await build(port), await build(port)
        stack.callback(lambda: runner.run(_await(rival.close())))
        stack.callback(lambda: runner.run(_await(lock.close())))
        await try_async(lock, rival, seen_on(port))
        return lock, rival

    return runner.run(prepare())


def _ready_sync(load: Load, build: SyncBuilder, port: int, stack: ExitStack) -> Callable[[float], Slice]:
    lock, rival = pair_sync(build, port, stack)
    cycle, plans = lock.cycling(), load.plans()

    def measure(seconds: float) -> Slice:
        with _commands(port) as count:
            turn = see_served(lambda: from_threads(cycle, plans, seconds), count)
        with lock.hold(0):
            judge(not rival.attempt(0), "two held one lock at once")
        return turn

    return measure


def _ready_async(load: Load, build: AsyncBuilder, port: int, stack: ExitStack) -> Callable[[float], Slice]:
    runner = stack.enter_context(asyncio.Runner())
    lock, rival = pair_async(build, port, runner, stack)
    cycle, plans = lock.cycling(), load.plans()

    async def exclude() -> None:
        async with lock.hold(0):
            judge(not await rival.attempt(0), "two held one lock at once")

    def measure(seconds: float) -> Slice:
        with _commands(port) as count:
            turn = see_served(lambda: runner.run(from_tasks(cycle, plans, seconds)), count)
        runner.run(exclude())
        return turn

    return measure


def see_served(work: Callable[[], Slice], count: Callable[[], int]) -> Slice:
    """Do the work of a slice, and see that the server was asked to take and to give back each time.

    Raises:
        ValueError: it was not.
    """
    before = count()
    turn = work()
    served = count() - before
    judge(served >= 2 * turn.operations, f"the server ran {served} commands for {turn.operations} locks")
    return turn


@contextmanager
def _commands(port: int) -> Iterator[Callable[[], int]]:
    """Give what counts the commands that a server has run, but for those that ask how many."""
    with redis.Redis(port=port) as client:
        ask: Any = client.info

        def count() -> int:
            calls = {name: int(entry["calls"]) for name, entry in ask("commandstats").items()}
            return sum(calls.values()) - calls.get("cmdstat_info", 0)

        yield count


async def _await(made: Awaitable[Any]) -> Any:
    return await made
