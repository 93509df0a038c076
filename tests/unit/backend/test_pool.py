"""Promises of the pool of blocking wires: its limit, its queue, and what it does after a failure."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from holdfast.backend.failures import WireBroken
from holdfast.backend.pool import Pool
from holdfast.commands import Command, get
from holdfast.errors import BackendTimeout
from support.waiting import until
from unit.backend.wires import FakeWire, Makers


def test_one_thread_needs_one_wire() -> None:
    """Wires are reused, last in, first out."""
    makers = Makers()
    pool = Pool(makers, 5, 1)
    assert [pool.ask(get("k")) for _ in range(20)] == [0] * 20
    assert pool.ask_all([get("a"), get("b")]) == [0, 0]


def test_the_limit_holds_under_many_threads_and_all_are_served() -> None:
    """Under 32 threads there are never more wires than allowed, none is shared, and nobody starves."""
    alive, most = 0, 0
    lock = threading.Lock()

    def during(_: Command) -> None:
        nonlocal alive, most
        with lock:
            alive += 1
            most = max(most, alive)
        threading.Event().wait(0.0002)
        with lock:
            alive -= 1

    makers = Makers(during)
    pool = Pool(makers, 4, 20)
    with ThreadPoolExecutor(32) as threads:
        replies = list(threads.map(lambda _: pool.ask(get("k")), range(2000)))
    assert len(replies) == 2000
    assert most <= 4
    assert len(makers.made) <= 4


def test_connections_being_opened_count() -> None:
    """Opening takes its time: those under way count against the limit too."""
    go_on = threading.Event()
    makers = Makers()
    begun: list[int] = []

    def open_slowly() -> FakeWire:
        begun.append(1)
        go_on.wait(30)
        return makers()

    pool = Pool(open_slowly, 2, 30)
    with ThreadPoolExecutor(6) as threads:
        replies = [threads.submit(pool.ask, get("k")) for _ in range(6)]
        until(lambda: len(begun) + len(pool._queue) == 6, "all have asked")
        assert len(begun) == 2
        go_on.set()
        assert {reply.result(30) for reply in replies} <= {0, 1}


def test_waiting_has_an_end_and_says_who_holds_the_wires() -> None:
    """Who waits in vain is told how many connections there are, which command holds them, and in which thread."""
    inside, go_on = threading.Event(), threading.Event()

    def during(command: Command) -> None:
        if command.name == "EVALSHA":
            inside.set()
            go_on.wait(30)

    pool = Pool(Makers(during), 1, 0.05)
    holder = threading.Thread(target=lambda: pool.ask(Command(("EVALSHA", "x"))), name="report-worker")
    holder.start()
    inside.wait(30)
    with pytest.raises(
        BackendTimeout, match=r"all 1 connections were in use for 0.05 s.*EVALSHA in thread report-work"
    ):
        pool.ask(get("k"))
    go_on.set()
    holder.join()
    assert pool.ask(get("k")) == 0


def test_waiters_are_served_in_order() -> None:
    """A wire that comes back goes to who waits longest, not to who happens to run."""
    gates = [threading.Event() for _ in range(4)]
    started: list[str] = []

    def during(command: Command) -> None:
        started.append(str(command.words[1]))
        gates[int(command.words[1])].wait(30)

    pool = Pool(Makers(during), 1, 30)
    threads = []
    for number in range(4):
        threads.append(threading.Thread(target=pool.ask, args=(get(str(number)),)))
        threads[-1].start()
        until(lambda: len(pool._queue) + len(started) == number + 1, "it queues up")  # noqa: B023
    for number, gate in enumerate(gates):
        until(lambda: len(started) == number + 1, "the next one has its turn")  # noqa: B023
        gate.set()
    for thread in threads:
        thread.join()
    assert started == ["0", "1", "2", "3"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), WireBroken("lost", sent=True), ValueError()])
def test_any_failure_discards_the_wire(error: BaseException) -> None:
    """After a failure in the middle of an exchange, Ctrl-C included, the wire is closed and never used again."""
    asked = count()

    def during(_: Command) -> None:
        if next(asked) == 0:
            raise error

    makers = Makers(during)
    pool = Pool(makers, 1, 0.05)
    with pytest.raises(type(error)):
        pool.ask(get("k"))
    assert makers.made[0].closed
    assert pool.ask(get("k")) == 1


def test_ctrl_c_while_waiting_loses_nothing() -> None:
    """A waiter that is interrupted leaves the queue: the limit is the same afterwards."""
    inside, go_on = threading.Event(), threading.Event()

    def during(command: Command) -> None:
        if command.name == "HOLD":
            inside.set()
            go_on.wait(30)

    pool = Pool(Makers(during), 1, 30)
    holder = threading.Thread(target=pool.ask, args=(Command(("HOLD",)),))
    holder.start()
    inside.wait(30)

    class Interrupted:
        def __call__(self, *_: object) -> None:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("holdfast.backend.pool._Turn.wait", Interrupted())
        with pytest.raises(KeyboardInterrupt):
            pool.ask(get("k"))
    go_on.set()
    holder.join()
    assert not pool._queue
    assert pool.ask(get("k")) == 0


def test_a_failed_opening_frees_its_place() -> None:
    """When a connection cannot be opened its place is free for the next caller."""
    makers = Makers()
    pool = Pool(makers, 1, 0.05)
    makers.fail = WireBroken("refused", sent=False)
    for _ in range(3):
        with pytest.raises(WireBroken):
            pool.ask(get("k"))
    makers.fail = None
    assert pool.ask(get("k")) == 0
