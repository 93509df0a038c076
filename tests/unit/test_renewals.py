"""Promises of what is renewed in one process: together by length, only while it is known, and work that ends."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor

import pytest

from holdfast._renewals import Renewals


class Lease:
    """Something that is held."""

    def __init__(self, seconds: float = 30.0) -> None:
        self.seconds = seconds


@pytest.fixture
def renewals() -> Renewals[Lease]:
    """Give an empty list."""
    return Renewals()


def test_the_first_of_a_length_starts_the_work(renewals: Renewals[Lease]) -> None:
    """The others join it; each length has its own."""
    one, two, other = Lease(), Lease(), Lease(5)
    assert [renewals.add(each) for each in (one, two, other)] == [True, False, True]
    assert renewals.of_length(30) == [one, two]
    assert renewals.of_length(5) == [other]
    assert renewals.of_length(7) == []


def test_what_was_given_back_is_renewed_no_more(renewals: Renewals[Lease]) -> None:
    """The others are; giving back twice does nothing, nor does giving back what was never there."""
    one, two = Lease(), Lease()
    renewals.add(one)
    renewals.add(two)
    renewals.remove(one)
    renewals.remove(one)
    renewals.remove(Lease())
    renewals.remove(Lease(7))
    assert renewals.of_length(30) == [two]


def test_nobody_renews_what_was_forgotten(renewals: Renewals[Lease]) -> None:
    """They are known weakly, and dropped when they are gone; one that is made at the same address is its own."""
    kept, forgotten = Lease(), Lease()
    renewals.add(kept)
    renewals.add(forgotten)
    del forgotten
    gc.collect()
    assert renewals.of_length(30) == [kept]
    assert len(renewals._rounds[30].held) == 1
    for _ in range(50):
        each = Lease()
        renewals.add(each)
        assert renewals.of_length(30) == [kept, each]
        del each


def test_the_work_ends_a_while_after_the_last(renewals: Renewals[Lease]) -> None:
    """After three rounds without anything to do, so that locking again and again starts it once."""
    lease = Lease()
    assert renewals.add(lease)
    assert [renewals.go_on(30) for _ in range(5)] == [True] * 5
    renewals.remove(lease)
    assert [renewals.go_on(30) for _ in range(2)] == [True, True]
    assert not renewals.add(lease), "it still runs"
    assert renewals.go_on(30)
    renewals.remove(lease)
    assert [renewals.go_on(30) for _ in range(3)] == [True, True, False]
    assert not renewals.go_on(30)
    assert renewals.add(lease), "it has to be started anew"
    assert renewals.of_length(30) == [lease]


def test_work_that_has_failed_is_started_anew(renewals: Renewals[Lease]) -> None:
    """By the next one that comes."""
    one, two = Lease(), Lease()
    renewals.add(one)
    renewals.end(30)
    renewals.end(30)
    assert renewals.add(two)


def test_a_child_renews_nothing_of_its_parents(renewals: Renewals[Lease]) -> None:
    """Whatever the parent's threads were doing, and it starts work of its own."""
    lease = Lease()
    renewals.add(lease)
    renewals._lock.acquire()  # as another thread of the parent may hold it
    renewals.after_fork()
    assert renewals.of_length(30) == []
    assert renewals.add(Lease())


def test_many_threads_add_and_remove(renewals: Renewals[Lease]) -> None:
    """Exactly those that are held are known in the end, and the work was started once for each time that it ended."""
    started: list[int] = []

    def hold(number: int) -> Lease:
        for _ in range(300):
            lease = Lease(30)
            if renewals.add(lease):
                started.append(number)
            renewals.of_length(30)
            renewals.remove(lease)
        kept = Lease(30)
        if renewals.add(kept):
            started.append(number)
        return kept

    with ThreadPoolExecutor(6) as threads:
        kept = [done.result() for done in [threads.submit(hold, number) for number in range(6)]]
    assert {id(each) for each in renewals.of_length(30)} == {id(each) for each in kept}
    assert len(started) == 1
