"""The clockwork wakes its thread for what is due before all else, and for nothing more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial

import pytest

from holdfast.backend.background import _Clockwork, _Recurring
from support.waiting import until


class Bell(threading.Condition):
    """Tells how often somebody was woken, and whether somebody sleeps."""

    def __init__(self) -> None:
        super().__init__(threading.Lock())
        self.rung = 0
        self.sleeps = 0

    def notify(self, n: int = 1) -> None:
        self.rung += 1
        super().notify(n)

    def wait(self, timeout: float | None = None) -> bool:
        self.sleeps += 1
        return super().wait(timeout)


class Clockwork(_Clockwork):
    """One of its own for each test, which can be watched."""

    def after_fork(self) -> None:
        super().after_fork()
        self._changed = self.bell = Bell()

    def put(self, seconds: float) -> tuple[_Recurring, threading.Event]:
        """Add work that is done once; return it, and what is set when it is done."""
        done = threading.Event()

        async def work() -> bool:
            done.set()
            return False

        recurring = _Recurring(seconds, work)
        self.add(recurring)
        return recurring, done

    def has_slept(self, times: int) -> bool:
        return self.bell.sleeps >= times

    @property
    def length(self) -> int:
        return len(self._queue)


@pytest.fixture
def clockwork() -> Iterator[Clockwork]:
    """Give one whose thread sleeps until something far away is due."""
    it = Clockwork()
    it.put(600)
    until(lambda: it.bell.sleeps == 1, "its thread sleeps")
    it.bell.rung = 0
    yield it
    it.after_fork()


def test_what_is_due_later_wakes_nobody(clockwork: Clockwork) -> None:
    """The thread will look at it in time: waking it costs the caller more than all else of a miss."""
    clockwork.put(700)
    clockwork.put(601)
    assert (clockwork.bell.rung, clockwork.bell.sleeps) == (0, 1)


def test_what_is_due_earlier_wakes_the_thread(clockwork: Clockwork) -> None:
    """It is done at its time, and the thread sleeps on until the rest is due; that is woken for again."""
    for number in (1, 2):
        _, done = clockwork.put(0.01)
        assert done.wait(10)
        assert clockwork.bell.rung == number
        sleeps = 1 + 2 * number
        until(partial(clockwork.has_slept, sleeps), "it sleeps again")


def test_what_was_cancelled_wakes_nobody_and_does_not_pile_up(clockwork: Clockwork) -> None:
    """One load after the other that ends before its lease does wakes the thread once, and leaves nothing behind."""
    for number in range(50):
        recurring, _ = clockwork.put(300)
        recurring.cancel()
        if number == 0:
            until(lambda: clockwork.bell.sleeps == 2, "it sleeps again")
    assert (clockwork.bell.rung, clockwork.bell.sleeps) == (1, 2)
    assert clockwork.length <= 2
    _, done = clockwork.put(0.01)
    assert done.wait(10)
