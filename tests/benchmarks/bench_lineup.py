"""Who competes and under which load: a subject's calls, warmed and verified, become a contender of a row.

A subject that returns anything but the expected product, or whose loader runs once its entries are warm, has failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass

from bench_frame import Contender, Slice, describe
from bench_product import IDS, PRODUCT, Product, Source
from bench_slices import from_tasks, from_threads


@dataclass(frozen=True, slots=True)
class SyncSubject:
    """A blocking way to get a product."""

    fetch: Callable[[int], Product]
    source: Source
    close: Callable[[], object]
    around: Callable[[], AbstractContextManager[object]] = nullcontext
    """The context in which a thread of a web server would call `fetch`."""


@dataclass(frozen=True, slots=True)
class AsyncSubject:
    """An asyncio way to get a product."""

    fetch: Callable[[int], Awaitable[Product]]
    source: Source
    close: Callable[[], Awaitable[object]]


SyncBuilder = Callable[[int], SyncSubject]
"""Makes a subject for the server on a port."""
AsyncBuilder = Callable[[int], Awaitable[AsyncSubject]]
"""Makes a subject for the server on a port, in the loop in which it will be used."""


@dataclass(frozen=True, slots=True)
class Load:
    """One row: how many workers call, and whether they all want the same entry."""

    name: str
    colour: str
    workers: int
    hot: bool = False

    def plans(self) -> list[list[int]]:
        """Return, for each worker, the numbers that it asks for in turn.

        Unless the row is about one hot key, no two workers share a number. Were they to go round the same numbers, a
        contender that coalesces would fall into step: whoever catches up shares the call of the one ahead and stays
        with it, and the row would become the hot key's.
        """
        if self.hot:
            return [[IDS[0]] for _ in range(self.workers)]
        share = len(IDS) // self.workers
        return [list(IDS[worker * share : (worker + 1) * share]) for worker in range(self.workers)]


LOADS = (
    Load("sync, 1 thread", "sync", 1),
    Load("sync, 8 threads", "sync", 8),
    Load("async, 1 task", "async", 1),
    Load("async, 64 tasks", "async", 64),
    Load("async, 64 tasks, one hot key", "async", 64, hot=True),
)


@dataclass(frozen=True, slots=True)
class Lineup:
    """Those who are ready for a row, and those who failed on the way to it."""

    contenders: Sequence[Contender]
    failures: Mapping[str, str]


@contextmanager
def sync_lineup(builders: Mapping[str, SyncBuilder], load: Load, port: int) -> Iterator[Lineup]:
    """Build, warm and verify blocking subjects, and close them after the row."""
    contenders: list[Contender] = []
    failures: dict[str, str] = {}
    with ExitStack() as stack:
        for name, build in builders.items():
            try:
                subject = build(port)
                stack.callback(subject.close)
                _warm(subject)
            except Exception as error:  # reported in the row; the others compete
                failures[name] = describe(error)
            else:
                contenders.append(Contender(name, _sync_measure(subject, load)))
        yield Lineup(contenders, failures)


@contextmanager
def async_lineup(builders: Mapping[str, AsyncBuilder], load: Load, port: int) -> Iterator[Lineup]:
    """Build, warm and verify asyncio subjects, each in a loop of its own that it keeps for the row."""
    contenders: list[Contender] = []
    failures: dict[str, str] = {}
    with ExitStack() as stack:
        for name, build in builders.items():
            runner = stack.enter_context(asyncio.Runner())
            try:
                subject = runner.run(_await(build(port)))
                stack.callback(_close, runner, subject)
                runner.run(_warm_async(subject))
            except Exception as error:  # reported in the row; the others compete
                failures[name] = describe(error)
            else:
                contenders.append(Contender(name, _async_measure(runner, subject, load)))
        yield Lineup(contenders, failures)


def _sync_measure(subject: SyncSubject, load: Load) -> Callable[[float], Slice]:
    plans = load.plans()

    def measure(seconds: float) -> Slice:
        with _no_loads(subject.source):
            return from_threads(subject.fetch, plans, seconds, subject.around)

    return measure


def _async_measure(runner: asyncio.Runner, subject: AsyncSubject, load: Load) -> Callable[[float], Slice]:
    plans = load.plans()

    def measure(seconds: float) -> Slice:
        with _no_loads(subject.source):
            return runner.run(from_tasks(subject.fetch, plans, seconds))

    return measure


def _warm(subject: SyncSubject) -> None:
    with subject.around():
        for number in IDS:
            subject.fetch(number)
        with _no_loads(subject.source):
            for number in IDS:
                _verify(subject.fetch(number))


async def _warm_async(subject: AsyncSubject) -> None:
    for number in IDS:
        await subject.fetch(number)
    with _no_loads(subject.source):
        for number in IDS:
            _verify(await subject.fetch(number))


def _verify(value: object) -> None:
    if value != PRODUCT or type(value) is not dict:
        msg = "a warm entry did not come back as the product that was stored"
        raise ValueError(msg)


@contextmanager
def _no_loads(source: Source) -> Iterator[None]:
    before = source.loads
    yield
    if source.loads != before:
        msg = f"the loader ran {source.loads - before} times on warm entries: these were not hits"
        raise RuntimeError(msg)


async def _await(made: Awaitable[AsyncSubject]) -> AsyncSubject:
    return await made


def _close(runner: asyncio.Runner, subject: AsyncSubject) -> None:
    async def close() -> None:
        await subject.close()

    runner.run(close())
