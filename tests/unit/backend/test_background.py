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

    def forget(self) -> None:
        """Let its thread have nothing to do any more."""
        for _, _, recurring in list(self._queue):
            recurring.cancel()

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
    it.forget()


def test_what_is_due_later_wakes_nobody(clockwork: Clockwork) -> None:
    """The thread will look at it in time: waking it costs the caller more than all else of a miss."""
    clockwork.put(700)
    clockwork.put(601)
    assert (clockwork.bell.rung, clockwork.bell.sleeps) == (0, 1)


def test_what_is_due_earlier_wakes_the_thread(clockwork: Clockwork) -> None:
    """It is done at its time, and the thread sleeps on until the rest is due; that is woken for again."""
    for number in (1, 2):
        _, done = clockwork.put(0.2)  # the thread must have seen it before it is due, or it sleeps once less
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


def test_what_was_cancelled_does_not_pile_up_behind_what_is_not(clockwork: Clockwork) -> None:
    """One who holds a slot while many others come and go: most of theirs is forgotten, and all of what lives is run."""
    early, late = [clockwork.put(100) for _ in range(30)], list[tuple[_Recurring, threading.Event]]()
    for number in range(1000):
        recurring, _ = clockwork.put(700)
        recurring.cancel()
        if number % 100 == 0:
            late.append(clockwork.put(0.01))
    assert clockwork.length <= 102
    assert all(done.wait(10) for _, done in late)
    queued = {recurring for _, _, recurring in clockwork._queue}
    assert queued >= {recurring for recurring, _ in early}
    assert clockwork._queue[0] == min(clockwork._queue)


def test_what_was_cancelled_may_stay_as_long_as_half_of_the_rest_lives(clockwork: Clockwork) -> None:
    """Looking through all of it each time would cost more than it saves."""
    for _ in range(90):
        clockwork.put(100)
    for _ in range(80):
        recurring, _ = clockwork.put(200)
        recurring.cancel()
        recurring.cancel()
    assert clockwork.length == 171
    for _ in range(20):
        clockwork.put(200)[0].cancel()
    assert clockwork.length <= 111
