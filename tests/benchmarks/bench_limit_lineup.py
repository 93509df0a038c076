"""Who competes in a row about rate limits: subjects that were seen to limit become contenders.

After its trial a subject is still watched: in every slice the server must have been asked at least once a hit (unless a
refusal may be answered in the process), and after every slice it must still admit, or refuse, as the row is about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import redis
from bench_frame import Contender, Slice, describe
from bench_limit_trial import FEW, AsyncBuilder, SyncBuilder, aasks, asks, try_async, try_sync
from bench_lineup import Lineup, Load
from bench_slices import from_tasks, from_threads

PLENTY = 1_000_000
"""The quota of the rows in which all hits are admitted: more than a run makes."""
Counts = tuple[int, int]
"""Scripts that a server ran, and its plain counting: a limiter asks with one or the other."""


@dataclass(frozen=True, slots=True)
class LimitRow:
    """One row: who competes under which load, and what the ratios are to."""

    load: Load
    builders: Mapping[str, SyncBuilder] | Mapping[str, AsyncBuilder]
    baseline: str
    refused: bool = False
    """Whether the row is about hits that are refused."""

    @property
    def limit(self) -> int:
        """The quota of all subjects while they are timed."""
        return FEW if self.refused else PLENTY


@contextmanager
def lineup(row: LimitRow, builders: Mapping[str, Any], port: int) -> Iterator[Lineup]:
    """Try, build and warm the subjects of a row on an empty server, and close them after the row."""
    contenders: list[Contender] = []
    failures: dict[str, str] = {}
    ready = _ready_sync if row.load.colour == "sync" else _ready_async
    with ExitStack() as stack:
        for name, build in builders.items():
            try:
                empty(port)  # nobody finds the buckets of the one before
                _try_out(row.load.colour, build, port)
            except Exception as error:  # reported in the row; the others compete
                failures[name] = describe(error)
        empty(port)
        for name in [name for name in builders if name not in failures]:
            try:
                contenders.append(Contender(name, ready(row, builders[name], port, stack)))
            except Exception as error:
                failures[name] = describe(error)
        yield Lineup(contenders, failures)


def empty(port: int) -> None:
    """Delete all keys of the benchmark's own server."""
    with redis.Redis(port=port) as client:
        client.flushall()


def _try_out(colour: str, build: Any, port: int) -> None:
    if colour == "sync":
        limiter = build(port, FEW)
        try:
            try_sync(limiter)
        finally:
            limiter.close()
        return

    async def scenario() -> None:
        limiter = await build(port, FEW)
        try:
            await try_async(limiter)
        finally:
            await limiter.close()

    asyncio.run(scenario())


def _warming(row: LimitRow, plans: list[list[int]]) -> list[int]:
    """Return whose hits come before the first slice: everybody's, or those that use up a quota."""
    return [plans[0][0]] * FEW if row.refused else [number for plan in plans for number in plan]


def _ready_sync(row: LimitRow, build: SyncBuilder, port: int, stack: ExitStack) -> Callable[[float], Slice]:
    limiter = build(port, row.limit)
    stack.callback(limiter.close)
    plans = row.load.plans()
    for number in _warming(row, plans):
        asks(limiter, number)

    def fetch(number: int) -> object:
        try:
            return limiter.hit(number)
        except limiter.refusal:
            return False

    hit = fetch if row.refused and limiter.refusal else limiter.hit  # admitted hits need no net

    def measure(seconds: float) -> Slice:
        with _commands(port) as count:
            turn = see_asked(row, lambda: from_threads(hit, plans, seconds), count)
        see_limiting(row, asks(limiter, plans[0][0]))
        return turn

    return measure


def _ready_async(row: LimitRow, build: AsyncBuilder, port: int, stack: ExitStack) -> Callable[[float], Slice]:
    runner = stack.enter_context(asyncio.Runner())
    limiter = runner.run(_await(build(port, row.limit)))
    stack.callback(lambda: runner.run(_await(limiter.close())))
    plans = row.load.plans()
    for number in _warming(row, plans):
        runner.run(aasks(limiter, number))

    async def fetch(number: int) -> object:
        try:
            return await limiter.hit(number)
        except limiter.refusal:
            return False

    hit = fetch if row.refused and limiter.refusal else limiter.hit

    def measure(seconds: float) -> Slice:
        with _commands(port) as count:
            turn = see_asked(row, lambda: runner.run(from_tasks(hit, plans, seconds)), count)
        see_limiting(row, runner.run(aasks(limiter, plans[0][0])))
        return turn

    return measure


def see_asked(row: LimitRow, work: Callable[[], Slice], count: Callable[[], Counts]) -> Slice:
    """Do the work of a slice, and see that the server was asked once for each hit, except where it need not be.

    Raises:
        RuntimeError: hits were answered without the server.
    """
    before = count()
    turn = work()
    asked = max(after - earlier for after, earlier in zip(count(), before, strict=True))
    if not row.refused and asked < turn.operations:
        msg = f"the server was asked {asked} times for {turn.operations} hits"
        raise RuntimeError(msg)
    return turn


@contextmanager
def _commands(port: int) -> Iterator[Callable[[], Counts]]:
    """Give what counts the commands that came to a server."""
    with redis.Redis(port=port) as client:
        ask: Any = client.info

        def count() -> Counts:
            calls = {name: int(entry["calls"]) for name, entry in ask("commandstats").items()}
            scripts = sum(calls.get(f"cmdstat_{name}", 0) for name in ("eval", "evalsha", "fcall"))
            return scripts, calls.get("cmdstat_incrby", 0)

        yield count


def see_limiting(row: LimitRow, admitted: bool) -> None:
    """See that a hit after a slice was answered as the row is about.

    Raises:
        RuntimeError: it was not.
    """
    if admitted is row.refused:
        msg = "it admitted a hit of a user who has nothing left" if row.refused else "it refused a hit within the quota"
        raise RuntimeError(msg)


async def _await(made: Awaitable[Any]) -> Any:
    return await made
