"""Promises of those who wait in one process: one looks for all, each is rung when it should look, none is forgotten."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from holdfast._lobby import Lobbies, Lobby, Seat


def alive() -> bool:
    return True


def dead() -> bool:
    return False


def seat(member: str = "", is_alive: Callable[[], bool] = alive) -> Seat:
    return Seat(member, is_alive)


class Port:
    """What can be subscribed to."""

    def __init__(self) -> None:
        self.listeners: dict[str, Any] = {}

    def subscribe(self, topic: str, listener: Any, *, pattern: bool = False) -> Callable[[], object]:
        assert not pattern
        assert topic not in self.listeners, "one subscription a channel"
        self.listeners[topic] = listener
        return lambda: self.listeners.pop(topic)


def rung(*seats: Seat) -> list[bool]:
    """Say who was rung since it armed its seat, and arm all anew."""
    found = [each.armed.done() for each in seats]
    for each in seats:
        each.arm()
    return found


@pytest.fixture
def lobby() -> Lobby:
    """Give an empty lobby."""
    return Lobby()


def test_the_first_of_those_who_wait_looks_for_all(lobby: Lobby) -> None:
    """In the order in which they came; who leaves makes the next one look, if it was in front."""
    one, two, three = seats = [seat() for _ in range(3)]
    for each in seats:
        lobby.add(each)
    assert [lobby.is_in_front(each) for each in seats] == [True, False, False]
    lobby.heard("channel", b"")
    assert rung(*seats) == [True, False, False]
    lobby.remove(two)
    assert rung(*seats) == [False, False, False], "the one in front looks still"
    lobby.remove(one)
    assert rung(*seats) == [False, False, True]
    assert lobby.is_in_front(three)
    lobby.remove(three)
    assert not lobby
    lobby.heard("channel", b"")
    lobby.remove(three)


def test_who_stands_in_the_queue_looks_for_itself(lobby: Lobby) -> None:
    """When its member is called, or when everybody is; a call of another, or of nobody known, wakes none."""
    one, two, front = seats = seat("one"), seat("two"), seat()
    for each in seats:
        lobby.add(each)
    assert all(lobby.is_in_front(each) for each in seats)
    lobby.heard("channel", b"two")
    assert rung(*seats) == [False, True, False]
    lobby.heard("channel", b"three")
    lobby.heard("channel", b"\xff\x00")
    assert rung(*seats) == [False, False, False]
    lobby.heard("channel", b"")
    assert rung(*seats) == [True, True, True]
    lobby.remove(two)
    lobby.heard("channel", b"two")
    assert rung(*seats) == [False, False, False]
    lobby.remove(one)
    assert lobby
    lobby.remove(front)
    assert not lobby


def test_those_whose_loop_was_closed_are_passed_over(lobby: Lobby) -> None:
    """The first who can still go on looks instead, and the dead are forgotten."""
    gone, also_gone, here = seats = seat(is_alive=dead), seat(is_alive=dead), seat()
    for each in seats:
        lobby.add(each)
    assert lobby.is_in_front(here)
    lobby.heard("channel", b"")
    assert here.armed.done()
    lobby.remove(here)
    assert not lobby
    del gone, also_gone


def test_a_ring_before_the_wait_is_not_missed() -> None:
    """Arm, look, wait: whatever happens after the arming ends the wait; ringing twice is ringing once."""
    waiter = seat()
    waiter.arm()
    waiter.ring()
    waiter.ring()
    assert waiter.armed.result(0) is None
    before = waiter.armed
    waiter.arm()
    assert not waiter.armed.done()
    assert before.done()


def test_news_are_another_whenever_something_has_happened(lobby: Lobby) -> None:
    """Who looks notes which news there were: what it has seen holds until others come."""
    known = [lobby.news]
    steps: list[Callable[[], None]] = [
        lobby.up,
        lambda: lobby.heard("channel", b""),
        lobby.ring_front,
        lobby.down,
        lobby.ring,
    ]
    for step in steps:
        step()
        assert all(lobby.news is not each for each in known)
        known.append(lobby.news)
    lobby.heard("channel", b"member")
    assert lobby.news is known[-1], "that was for one"


def test_whether_messages_arrive(lobby: Lobby) -> None:
    """Not before the subscription is confirmed, and not between its loss and its return; both make everybody look."""
    seats = seat(), seat("member")
    for each in seats:
        lobby.add(each)
    assert not lobby.hears
    lobby.up()
    assert lobby.hears
    assert rung(*seats) == [True, True]
    lobby.down()
    assert not lobby.hears
    assert rung(*seats) == [True, True]


def test_a_lobby_of_the_parent_is_dumb_in_a_child(lobby: Lobby, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss of the subscription is told there, too, and nobody waits there."""
    waiter = seat()
    lobby.add(waiter)
    lobby.up()
    waiter.arm()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    lobby.down()
    assert not waiter.armed.done()


def test_one_subscription_for_all_who_wait_for_one_lock() -> None:
    """It begins with the first and ends with the last; other locks have their own."""
    lobbies, port = Lobbies(), Port()
    assert lobbies.find("a") is None
    one, two, other = seat(), seat("member"), seat()
    lobby = lobbies.join("a", one, port)
    assert lobbies.join("a", two, port) is lobby is lobbies.find("a")
    assert lobbies.join("b", other, port) is not lobby
    assert port.listeners.keys() == {"a", "b"}
    assert port.listeners["a"] is lobby
    lobbies.leave("a", one)
    assert "a" in port.listeners
    lobbies.leave("a", two)
    assert port.listeners.keys() == {"b"}
    assert lobbies.find("a") is None
    lobbies.leave("a", two)
    assert lobbies.join("a", one, port) is not lobby


def test_giving_back_in_this_process_rings_the_one_in_front() -> None:
    """The message may never come; those in the queue are called by it alone."""
    lobbies, port = Lobbies(), Port()
    one, two, member = seats = seat(), seat(), seat("member")
    for each in seats:
        lobbies.join("a", each, port)
    lobbies.ring("a")
    assert rung(one, two, member) == [True, False, False]
    lobbies.ring("nobody waits there")


def test_a_child_has_lobbies_of_its_own() -> None:
    """Whatever the parent's threads were doing: none of them waits there, and its lock is free."""
    lobbies, port = Lobbies(), Port()
    lobbies.join("a", seat(), port)
    lobbies._lock.acquire()  # as another thread of the parent may hold it
    lobbies.after_fork()
    assert lobbies.find("a") is None
    lobbies.join("a", seat(), Port())


def test_many_threads_come_and_go() -> None:
    """Somebody is in front whenever anybody waits, and nothing is left in the end."""
    lobbies, ringing = Lobbies(), threading.Event()

    class AnyPort(Port):
        def subscribe(self, topic: str, listener: Any, *, pattern: bool = False) -> Callable[[], object]:
            return lambda: None

    port = AnyPort()

    def come_and_go(number: int) -> None:
        for _ in range(200):
            mine = seat(f"m{number}" if number % 3 == 0 else "")
            lobby = lobbies.join("a", mine, port)
            lobby.is_in_front(mine)
            lobbies.leave("a", mine)

    def ring() -> None:
        while not ringing.is_set():
            lobbies.ring("a")
            lobby = lobbies.find("a")
            if lobby is not None:
                lobby.up()

    with ThreadPoolExecutor(7) as threads:
        ringer = threads.submit(ring)
        for done in [threads.submit(come_and_go, number) for number in range(6)]:
            done.result()
        ringing.set()
        ringer.result()
    assert lobbies.find("a") is None
