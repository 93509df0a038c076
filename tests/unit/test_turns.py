"""Turns: of all requests of one URL in a process, one at a time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from holdfast._turns import Turn, Turns


def turn(*, alive: bool = True) -> Turn:
    """Return a turn whose request can go on, or not."""
    return Turn(1, lambda: alive)


def test_the_first_has_the_turn_until_it_ends() -> None:
    """Others get the same turn to wait for, and the next has its own afterwards."""
    turns, first, second, third = Turns(), turn(), turn(), turn()
    assert turns.take("k", first) is first
    assert turns.take("k", first) is first
    assert turns.take("k", second) is turns.take("k", third) is first
    assert not first.ended.done()
    turns.end("k", first)
    assert first.ended.done()
    assert turns.take("k", third) is third
    assert turns.take("k", second) is third


def test_keys_have_turns_of_their_own() -> None:
    """Nobody waits for another URL."""
    turns, first, second = Turns(), turn(), turn()
    assert turns.take("a", first) is first
    assert turns.take("b", second) is second
    turns.end("a", first)
    assert turns.take("b", first) is second


def test_a_turn_ends_once_and_ends_no_other() -> None:
    """A late end wakes those that wait for it, and leaves the turn of another alone."""
    turns, first, second = Turns(), turn(), turn()
    turns.take("k", first)
    turns.end("k", first)
    turns.take("k", second)
    turns.end("k", first)
    turns.end("other", first)
    assert turns.take("k", first) is second
    assert not second.ended.done()
    stranger = turn()
    turns.end("k", stranger)
    assert stranger.ended.done()
    assert turns.take("k", first) is second


def test_whoever_waits_is_woken() -> None:
    """In whichever thread; and one that has stopped waiting hinders nobody."""
    turns, first = Turns(), turn()
    turns.take("k", first)
    woken = threading.Event()
    first.ended.add_done_callback(lambda _: woken.set())
    turns.end("k", first)
    assert woken.is_set()
    gone = turn()
    turns.take("k", gone)
    gone.ended.cancel()
    turns.end("k", gone)
    assert turns.take("k", first) is first


def test_a_turn_that_cannot_go_on_is_ended_by_the_next() -> None:
    """As when its loop was closed under it: who waits is woken, and the next has its own."""
    turns, dead, second = Turns(), turn(alive=False), turn()
    assert turns.take("k", dead) is dead
    assert turns.take("k", second) is second
    assert dead.ended.done()
    assert turns.take("k", turn()) is second


def test_a_process_that_was_forked_has_none_of_its_parents_turns() -> None:
    """Their requests are not in it, and would never end."""
    turns, parents, own = Turns(), turn(), turn()
    turns.take("k", parents)
    turns.behind["k"] = bool
    turns.after_fork()
    assert turns.take("k", own) is own
    assert not turns.behind
    assert not parents.ended.done()


def test_a_fork_in_the_middle_of_taking_does_not_block_the_child() -> None:
    """The lock of the parent may be held by a thread that the child does not have."""
    turns, dead, own = Turns(), turn(alive=False), turn()
    turns._lock.acquire()  # pyright: ignore[reportPrivateUsage] - as a thread of the parent has it
    turns.after_fork()
    turns.take("k", dead)
    assert turns.take("k", own) is own


@pytest.mark.parametrize("alive", [True, False], ids=["free", "dead"])
def test_of_many_threads_one_has_the_turn(alive: bool) -> None:
    """Also if all of them find a dead one at once."""
    count, rounds = 4, 50
    barrier = threading.Barrier(count)

    def take(turns: list[Turns], mine: list[Turn]) -> list[Turn]:
        found: list[Turn] = []
        for each, own in zip(turns, mine, strict=True):
            barrier.wait()
            found.append(each.take("k", own))
        return found

    turns = [Turns() for _ in range(rounds)]
    if not alive:
        for each in turns:
            each.take("k", turn(alive=False))
    own = [[turn() for _ in range(rounds)] for _ in range(count)]
    with ThreadPoolExecutor(count) as pool:
        found = list(pool.map(take, [turns] * count, own))
    for taken in zip(*found, strict=True):
        assert len(set(taken)) == 1
        assert not taken[0].ended.done()


def test_two_who_end_a_dead_turn_do_not_both_have_the_next() -> None:
    """The second finds the turn of the first, however late it comes to end the dead one."""
    turns, dead, second, third = Turns(), turn(), turn(), turn()
    seen: list[Turn] = []

    def dies_late() -> bool:
        if not seen:  # the third has found it dead, and before it goes on, the second takes its place
            seen.append(second)
            assert turns.take("k", second) is second
        return False

    dead.alive = dies_late
    turns.take("k", dead)
    assert turns.take("k", third) is second
    assert not second.ended.done()
