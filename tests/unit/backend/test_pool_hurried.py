"""Promises of the pool to callers with a deadline: they leave in time, and take nothing with them that others need."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from holdfast.backend.deadline import Deadline
from holdfast.backend.failures import WireBroken
from holdfast.backend.opening import Opening
from holdfast.backend.pool import Pool
from holdfast.commands import Command, get
from holdfast.errors import BackendTimeout
from support.waiting import until
from unit.backend.wires import FakeWire, Makers

INCR = Command(("INCR", "n"), ("n",))


class SlowMakers(Makers):
    """Makes wires when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()
        self.begun = 0

    def __call__(self) -> FakeWire:
        self.begun += 1
        assert self.go_on.wait(30)
        return super().__call__()


@pytest.fixture
def slow() -> Iterator[SlowMakers]:
    makers = SlowMakers()
    yield makers
    makers.go_on.set()


@pytest.fixture(autouse=True)
def _a_busy_machine_is_no_excuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.backend.deadline._LAG", 60.0)


def test_a_thread_that_is_held_up_before_it_sends() -> None:
    """The server has the time that was left when the thread came; a thread that was not held up has no more."""
    left: list[float] = []

    class Looked(FakeWire):
        doze = 0.0

        def is_stale(self) -> bool:
            time.sleep(self.doze)  # other threads had their turn
            return False

        def ask(self, command: Command, deadline: Deadline | None = None) -> object:
            assert deadline is not None
            left.append(deadline.left())
            return 1

    wire = Looked(0, lambda _: None)
    pool = Pool(lambda: wire, 1, 5)
    pool.ask(INCR, Deadline(15))
    for wire.doze, patience in ((0.06, 0.05), (0.0, 0.5)):
        pool.ask(INCR, Deadline(patience))
        assert patience * 0.5 < left[-1] <= patience


@pytest.mark.parametrize("is_well", [True, False])
def test_a_thread_that_is_held_up_while_its_wire_is_opened(
    slow: SlowMakers, monkeypatch: pytest.MonkeyPatch, is_well: bool
) -> None:
    """It waits once more, no longer than its patience; a wire that is opened then is used."""
    waits: list[float] = []
    right = Opening._ends_within

    def held_up(opening: Opening[Any], seconds: float) -> bool:
        waits.append(seconds)
        if len(waits) == 1:
            time.sleep(0.3)
            return right(opening, 0)
        if is_well:
            slow.go_on.set()
        return right(opening, seconds)

    monkeypatch.setattr(Opening, "_ends_within", held_up)
    pool = Pool(slow, 1, 5)
    if is_well:
        assert pool.ask(INCR, Deadline(0.2)) == 0
    else:
        late(pool, patience=0.2)
    assert waits == [pytest.approx(0.2, abs=0.05), pytest.approx(0.1, abs=0.09)]


def late(pool: Pool, command: Command = INCR, patience: float = 0.05) -> WireBroken:
    """Return what a caller in a hurry is told."""
    started = time.monotonic()
    with pytest.raises(WireBroken) as caught:
        pool.ask(command, Deadline(patience))
    assert time.monotonic() - started < 5
    assert (caught.value.how, caught.value.sent) == ("late", False)
    return caught.value


def test_a_wire_that_opens_in_time() -> None:
    """It is used, in the context of the caller, and given back."""
    context = ContextVar("context", default="none")
    context.set("the caller's")
    seen: list[str] = []
    makers = Makers()

    def open_wire() -> FakeWire:
        seen.append(context.get())
        return makers()

    pool = Pool(open_wire, 1, 1)
    for _ in range(2):
        assert pool.ask(INCR, Deadline(30)) == 0
        assert pool.ask_all([INCR], Deadline(30)) == [0]
    assert seen == ["the caller's"]
    assert pool._opening == 0


def test_a_wire_that_opens_too_late_is_for_the_next(slow: SlowMakers) -> None:
    """The caller leaves, the opening goes on and keeps its place; then the wire serves whoever asks or waits."""
    pool = Pool(slow, 1, 30)
    assert late(pool, patience=0.2).fair
    assert pool._opening == 1
    with pytest.raises(BackendTimeout, match=r"connections were in use for 0\.0\d+ s; .* being opened"):
        pool.ask(INCR, Deadline(0.05))
    replies: list[object] = []
    waiter = threading.Thread(target=lambda: replies.append(pool.ask(get("k"))))
    waiter.start()
    until(lambda: pool._queue, "another waits")
    slow.go_on.set()
    waiter.join(30)
    assert replies == [0]
    assert pool.ask(INCR, Deadline(30)) == 0
    assert (slow.begun, pool._opening) == (1, 0)


def test_a_wire_that_opened_too_late_is_not_fresh(slow: SlowMakers) -> None:
    """It may have died before anybody asked for it: what must not be repeated looks first."""
    pool = Pool(slow, 5, 30)
    late(pool)
    slow.go_on.set()
    until(lambda: pool._idle, "it is open")
    slow.made[0].stale = True
    assert pool.ask(INCR) == 1


def test_a_failed_opening_is_told_or_dropped(slow: SlowMakers) -> None:
    """Who still waits is told why; if nobody does, its place is free again all the same."""
    pool = Pool(slow, 1, 30)
    late(pool)
    slow.fail = WireBroken("refused", sent=False)
    slow.go_on.set()
    until(lambda: not pool._opening, "it has failed")
    with pytest.raises(WireBroken) as caught:
        pool.ask(INCR, Deadline(30))
    assert caught.value.how == "refused"
    slow.fail = None
    assert pool.ask(INCR, Deadline(30)) == 0


def test_closed_while_a_wire_opens(slow: SlowMakers) -> None:
    """A wire that comes when the pool is closed and its caller has left is closed."""
    pool = Pool(slow, 1, 30)
    late(pool)
    pool.close()
    slow.go_on.set()
    until(lambda: slow.made and slow.made[0].closed, "it is closed")


def test_without_a_thread_the_caller_opens_the_wire(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end of the interpreter no thread can be started: better late than never, and the place is given back."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    pool = Pool(Makers(), 1, 1)
    assert pool.ask(INCR, Deadline(30)) == 0
    assert pool._opening == 0


def test_ctrl_c_while_a_wire_opens(slow: SlowMakers, monkeypatch: pytest.MonkeyPatch) -> None:
    """The opening goes on, and its wire is for the next."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    pool = Pool(slow, 1, 30)
    with monkeypatch.context() as patch:
        patch.setattr("holdfast.backend.opening.Future.exception", interrupt)
        with pytest.raises(KeyboardInterrupt):
            pool.ask(INCR, Deadline(30))
    slow.go_on.set()
    assert pool.ask(INCR) == 0
    assert slow.begun == 1


def test_over_before_it_began() -> None:
    """With no time left nothing is sent, no wire is spoilt, and the server is not to blame."""
    pool = Pool(Makers(), 1, 1)
    assert pool.ask(INCR) == 0
    assert not late(pool, patience=0).fair
    assert pool.ask(INCR) == 0


def test_a_wire_at_the_last_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that comes when it is over already is not used, and is there for the next."""
    makers = Makers(lambda command: asked.append(command.name))
    asked: list[str] = []
    pool = Pool(makers, 1, 1)
    obtain = pool._obtain

    def obtain_late(command: Command, deadline: Deadline) -> object:
        wire = obtain(command, deadline)
        until(lambda: deadline.left() <= 0, "it is over")
        return wire

    monkeypatch.setattr(pool, "_obtain", obtain_late)
    assert not late(pool, patience=0.2).fair
    assert asked == []
    assert pool.ask(get("k")) == 0
