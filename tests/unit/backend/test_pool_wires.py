"""Promises about the life of a wire in the pool: stale, forgotten, of an older generation, inherited, closed."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from holdfast.backend.failures import WireBroken
from holdfast.backend.pool import Pool
from holdfast.commands import Command, get
from support.waiting import until
from unit.backend.wires import FakeWire, Makers

INCR = Command(("INCR", "n"), ("n",))


def test_a_forgotten_wire_does_not_count() -> None:
    """A wire that its borrower lost, as Ctrl-C can bring about, does not use up the limit."""
    makers = Makers()
    pool = Pool(makers, 1, 0.05)
    wire = pool._take(get("k"), None, repeatable=True)
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
