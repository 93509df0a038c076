"""Promises of the pool of blocking wires, with wires that do what the test says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from holdfast.backend.failures import WireBroken
from holdfast.backend.pool import Pool
from holdfast.commands import Command, get
from holdfast.errors import BackendTimeout
from support.waiting import until

INCR = Command(("INCR", "n"), ("n",))


class FakeWire:
    """A wire that counts, and runs a function in the middle of an exchange."""

    def __init__(self, number: int, during: Callable[[Command], object]) -> None:
        self.number = number
        self._during = during
        self.command: Command | None = None
        self.thread = 0
        self.since = 0.0
        self.generation = 0
        self.busy = threading.Lock()
        self.stale = False
        self.closed = 0

    def ask(self, command: Command) -> object:
        assert self.busy.acquire(blocking=False), "two threads use one wire"
        assert not self.closed, "a closed wire is used"
        try:
            self._during(command)
        finally:
            self.busy.release()
        return self.number

    def ask_all(self, commands: list[Command]) -> list[object]:
        return [self.ask(command) for command in commands]

    def is_stale(self) -> bool:
        return self.stale

    def close(self) -> None:
        self.closed += 1


class Makers:
    """Makes fake wires and keeps them."""

    def __init__(self, during: Callable[[Command], object] = lambda _: None) -> None:
        self.made: list[FakeWire] = []
        self._during = during
        self.fail: Exception | None = None

    def __call__(self) -> FakeWire:
        if self.fail is not None:
            raise self.fail
        self.made.append(FakeWire(len(self.made), self._during))
        return self.made[-1]


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


def test_a_forgotten_wire_does_not_count() -> None:
    """A wire that its borrower lost, as Ctrl-C can bring about, does not use up the limit."""
    makers = Makers()
    pool = Pool(makers, 1, 0.05)
    wire = pool._take(get("k"))
    makers.made.clear()
    del wire
    assert pool.ask(get("k")) == 0


def test_a_stale_wire_is_not_given_what_must_not_be_repeated() -> None:
    """A command that may not be sent twice gets a wire that has been looked at; others are cured by re-sending."""
    makers = Makers()
    pool = Pool(makers, 5, 1)
    pool.ask(get("k"))
    makers.made[0].stale = True
    assert pool.ask(get("k")) == 0
    assert pool.ask(INCR) == 1
    assert makers.made[0].closed
    makers.made[1].stale = True
    assert pool.ask_all([get("k"), INCR]) == [2, 2]


def test_a_fresh_wire_is_not_looked_at() -> None:
    """What a server says right after the greeting does not make a new connection useless, time and again."""
    makers = Makers()
    pool = Pool(makers, 5, 1)
    makers_call = makers.__call__

    def stale_from_the_start() -> FakeWire:
        wire = makers_call()
        wire.stale = True
        return wire

    pool = Pool(stale_from_the_start, 5, 1)
    assert pool.ask(INCR) == 0


def test_reset_forgets_idle_and_borrowed_wires() -> None:
    """After a reset no wire from before is used: idle ones are closed now, others when they come back."""
    inside, go_on = threading.Event(), threading.Event()

    def during(command: Command) -> None:
        if command.name == "HOLD":
            inside.set()
            go_on.wait(30)

    makers = Makers(during)
    pool = Pool(makers, 5, 1)
    holder = threading.Thread(target=pool.ask, args=(Command(("HOLD",)),))
    holder.start()
    inside.wait(30)
    pool.ask(get("k"))
    pool.reset()
    assert [wire.closed for wire in makers.made] == [0, 1]
    go_on.set()
    holder.join()
    assert [wire.closed for wire in makers.made] == [1, 1]
    assert pool.ask(get("k")) == 2


def test_waiters_are_turned_away() -> None:
    """When the server does not answer, who waits for a wire is refused at once."""
    inside, go_on = threading.Event(), threading.Event()

    def during(_: Command) -> None:
        inside.set()
        go_on.wait(30)

    pool = Pool(Makers(during), 1, 30)
    with ThreadPoolExecutor(2) as threads:
        holding = threads.submit(pool.ask, get("k"))
        inside.wait(30)
        waiting = threads.submit(pool.ask, get("k"))
        until(lambda: pool._queue, "the second waits")
        pool.turn_away()
        with pytest.raises(WireBroken) as caught:
            waiting.result(30)
        go_on.set()
        assert holding.result(30) == 0
    assert (caught.value.how, caught.value.sent) == ("open", False)


def test_close_during_use() -> None:
    """Closing while threads use and want wires: every wire is closed in the end, every later call is refused."""
    makers = Makers(lambda _: threading.Event().wait(0.0005))
    pool = Pool(makers, 3, 5)
    refused = 0
    lock = threading.Lock()

    def work(_: int) -> None:
        nonlocal refused
        try:
            for _ in range(200):
                pool.ask(get("k"))
        except WireBroken as broken:
            with lock:
                refused += broken.how == "closed"

    with ThreadPoolExecutor(8) as threads:
        running = threads.map(work, range(8))
        until(lambda: len(makers.made) == 3, "the pool is in full use")
        pool.close()
        list(running)
    assert refused == 8
    assert all(wire.closed for wire in makers.made)
    with pytest.raises(WireBroken):
        pool.ask(get("k"))


def test_a_child_process_starts_afresh() -> None:
    """After a fork the parent's wires are closed and a lock that its threads held does not matter."""
    makers = Makers()
    pool = Pool(makers, 1, 0.05)
    pool.ask(get("k"))
    pool._lock.acquire()
    pool.after_fork()
    assert makers.made[0].closed == 1
    assert pool.ask(get("k")) == 1
