"""Promises of background work: beside its caller, bounded, repeated at its times, and not lost at the end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any

import pytest

from holdfast.backend.background import MOST_THREADS
from holdfast.backend.background_tasks import MOST_TASKS
from holdfast.commands import get, put
from support.backends import Opened, opened
from support.colours import Colour, Gate
from support.waiting import until

SYNC, ASYNC = Colour("sync"), Colour("async")
LABEL: ContextVar[str] = ContextVar("LABEL", default="none")


def runs(colour: Colour, namespace: str) -> Any:
    return opened(colour, f"memory://{namespace}")


def waiting_at(gate: Gate, then: Callable[[], object] = list) -> Coroutine[Any, Any, None]:
    async def work() -> None:
        await gate.passed()
        then()

    return work()


async def spawn(it: Opened, gate: Gate, times: int) -> list[Callable[[], object]]:
    return [it.port.spawn(waiting_at(gate), list) for _ in range(times)]


def test_spawned_work_runs_beside_its_caller(colour: Colour, namespace: str) -> None:
    """The caller goes on at once; the work sees the caller's context and never its thread, if that would block it."""
    seen: list[object] = []

    async def scenario() -> None:
        gate = colour.gate()

        async def work() -> None:
            await gate.passed()
            seen.extend((LABEL.get(), it.port.place() == here))
            await it.port.call(put("k", b"v", 60))

        async with runs(colour, namespace) as it:
            here = it.port.place()
            LABEL.set("caller's")
            it.port.spawn(work(), lambda: seen.append("ended"))
            LABEL.set("later")
            assert seen == []
            gate.open()
            await colour.until(lambda: "ended" in seen, "it has ended")
            assert seen == ["caller's", colour.is_async, "ended"]
            assert await it.port.call(get("k")) == b"v"

    colour.run(scenario)


def test_what_spawned_work_raises_is_logged(colour: Colour, namespace: str, caplog: pytest.LogCaptureFixture) -> None:
    """An error goes to the log, whatever it is; the end is reported all the same, and its own error harms nobody."""

    async def work() -> None:
        raise ValueError("broken")

    def ended() -> None:
        ends.append(1)

    ends: list[int] = []

    async def scenario() -> None:
        async with runs(colour, namespace) as it:
            it.port.spawn(work(), ended)
            await colour.until(lambda: ends, "it has ended")

    colour.run(scenario)
    assert [record.getMessage() for record in caplog.records] == ["background work raised"]
    assert isinstance(caplog.records[0].exc_info[1], ValueError)  # type: ignore[index]


def test_an_end_that_cannot_be_reported(namespace: str, caplog: pytest.LogCaptureFixture) -> None:
    """A thread whose end raises is logged, and its place is free again."""

    def ended() -> None:
        raise RuntimeError("broken")

    async def scenario() -> None:
        async with runs(SYNC, namespace) as it:
            gate = SYNC.gate()
            gate.open()
            it.port.spawn(waiting_at(gate), ended)
            until(lambda: not it.backend._hands.at_work(), "it has ended")

    SYNC.run(scenario)
    assert [record.getMessage() for record in caplog.records] == ["the end of background work could not be reported"]


def test_hands_are_bounded(colour: Colour, namespace: str) -> None:
    """There are free hands until the bound is reached, and again when work has ended; `start` takes none."""
    bound = MOST_TASKS if colour.is_async else MOST_THREADS

    async def scenario() -> None:
        async with runs(colour, namespace) as it:
            gate = colour.gate()
            await spawn(it, gate, bound - 1)
            if colour.is_async:
                it.port.start(waiting_at(gate), list)
            assert it.port.free_hands()
            await spawn(it, gate, 1)
            assert not it.port.free_hands()
            gate.open()
            await colour.until(it.port.free_hands, "there are free hands")

    colour.run(scenario)


def test_work_of_a_closed_loop_takes_no_hands(namespace: str) -> None:
    """Tasks that a loop left behind when it was closed do not count."""

    async def scenario() -> None:
        async with runs(ASYNC, namespace) as it:
            loop = asyncio.new_event_loop()

            async def leave() -> None:
                await spawn(it, ASYNC.gate(), MOST_TASKS)

            await asyncio.to_thread(loop.run_until_complete, leave())
            assert not it.port.free_hands()
            left = asyncio.all_tasks(loop)
            loop.close()
            assert it.port.free_hands()
            for task in left:  # nobody else can end them now, and they would complain
                task._log_destroy_pending = False  # type: ignore[attr-defined]

    ASYNC.run(scenario)


def test_spawned_tasks_can_be_cancelled(namespace: str) -> None:
    """From any thread; the end is reported even of a task that never began."""
    ends: list[int] = []

    async def scenario() -> None:
        async with runs(ASYNC, namespace) as it:
            gate = ASYNC.gate()
            it.port.spawn(waiting_at(gate), lambda: ends.append(1))()
            begun = it.port.spawn(waiting_at(gate), lambda: ends.append(2))
            await ASYNC.until(lambda: gate.waiting, "it waits")
            await asyncio.to_thread(begun)
            await ASYNC.until(lambda: len(ends) == 2, "both have ended")

    ASYNC.run(scenario)


def test_no_thread_can_be_started(
    namespace: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Work that gets no thread is logged and its end reported, without a warning of a coroutine never awaited."""
    ends: list[int] = []

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    async def scenario() -> None:
        async with runs(SYNC, namespace) as it:
            with monkeypatch.context() as patched:
                patched.setattr(threading.Thread, "start", refuse)
                it.port.spawn(waiting_at(SYNC.gate()), lambda: ends.append(1))
            assert it.port.free_hands()

    SYNC.run(scenario)
    assert ends == [1]
    assert [record.getMessage() for record in caplog.records] == [
        "background work could not be started: can't start new thread"
    ]


def test_every_runs_until_it_says_no(colour: Colour, namespace: str) -> None:
    """The first run comes after the pause, the next one a pause after the one before has ended, none after False."""
    times: list[float] = []

    async def work() -> bool:
        times.append(time.monotonic())
        await colour.sleep(0.02)
        times.append(time.monotonic())
        return len(times) < 6

    async def scenario() -> None:
        async with runs(colour, namespace) as it:
            times.append(time.monotonic())
            it.port.every(0.03, work)
            await colour.until(lambda: len(times) == 7, "it has run three times")
            await colour.sleep(0.05)
            assert len(times) == 7
            assert all(times[at + 1] - times[at] >= 0.029 for at in (0, 2, 4))

    colour.run(scenario)


def test_every_ends_with_an_error(colour: Colour, namespace: str, caplog: pytest.LogCaptureFixture) -> None:
    """A run that raises is logged and is the last one; other work goes on."""
    counts = {"bad": 0, "good": 0}

    async def bad() -> bool:
        counts["bad"] += 1
        raise ValueError("broken")

    async def good() -> bool:
        counts["good"] += 1
        return True

    async def scenario() -> None:
        async with runs(colour, namespace) as it:
            it.port.every(0.001, bad)
            it.port.every(0.01, good)
            await colour.until(lambda: counts["good"] > 3, "the other one goes on")

    colour.run(scenario)
    assert counts["bad"] == 1
    assert [record.getMessage() for record in caplog.records] == ["recurring work raised; it is not run again"]


def test_every_can_be_cancelled(colour: Colour, namespace: str) -> None:
    """Before the first run, from within a run, from another thread, and twice; no run begins after that."""
    counts = {"before": 0, "within": 0, "outside": 0}

    def counting(name: str) -> Callable[[], Coroutine[Any, Any, bool]]:
        async def work() -> bool:
            counts[name] += 1
            if name == "within":
                cancels[name]()
                await colour.sleep(0)
                counts[name] += 10  # the run itself goes on
            return True

        return work

    cancels: dict[str, Callable[[], object]] = {}

    async def scenario() -> None:
        async with runs(colour, namespace) as it:
            cancels.update({name: it.port.every(0.005, counting(name)) for name in counts})
            cancels["before"]()
            await colour.until(lambda: counts["outside"] > 2 and counts["within"] > 10, "they run")
            thread = threading.Thread(target=lambda: [cancel() for cancel in [*cancels.values()] * 2])
            thread.start()
            thread.join()
            await colour.sleep(0.05)  # what was under way may still count
            seen = dict(counts)
            await colour.sleep(0.03)
            assert counts == seen
            assert (counts["before"], counts["within"]) == (0, 11)

    colour.run(scenario)


def test_all_recurring_work_of_threads_shares_one(namespace: str) -> None:
    """One thread a process runs it in the order of its times; a slow run delays the others by itself and no more."""
    threads: set[int] = set()
    order: list[str] = []

    def job(name: str, pause: float = 0.0) -> Callable[[], Coroutine[Any, Any, bool]]:
        async def work() -> bool:
            threads.add(threading.get_ident())
            order.append(name)
            time.sleep(pause)  # noqa: ASYNC251 - this coroutine never runs on a loop
            return False

        return work

    async def scenario() -> None:
        async with runs(SYNC, namespace) as it, runs(SYNC, f"{namespace}:2") as other:
            started = time.monotonic()
            other.port.every(0.06, job("third"))
            it.port.every(0.04, job("second"))
            it.port.every(0.02, job("slow", 0.1))
            until(lambda: len(order) == 3, "all have run")
            assert time.monotonic() - started >= 0.12
            assert order == ["slow", "second", "third"]
            assert len(threads - {threading.get_ident()}) == 1

    SYNC.run(scenario)
