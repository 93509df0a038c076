"""Promises of client tracking: up when it holds, no overlapping prefixes, and without it where it is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hiredis
import pytest

from holdfast.backend.subscriber_topics import Ear
from holdfast.backend.subscriber_tracking import Parts, Tracking, Watcher
from support.listening import Notes


class Asked:
    """Collects what a tracking asks, and answers it."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self._answered: list[Callable[[Any], None]] = []

    def __call__(self, words: tuple[Any, ...], answered: Callable[[Any], None]) -> None:
        assert words[:2] == ("CLIENT", "TRACKING")
        self.words.append(" ".join(words[2:]))
        self._answered.append(answered)

    def answer(self, reply: object = b"OK") -> None:
        """Answer the oldest question."""
        self._answered.pop(0)(reply)

    def answer_all(self) -> None:
        while self._answered:
            self.answer()


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def tracking(asked: Asked) -> Tracking:
    tracking = Tracking(asked)
    tracking.connected(can_track=True)
    return tracking


def watch(tracking: Tracking, *prefixes: str) -> tuple[Notes, Watcher]:
    notes = Notes()
    watcher = Watcher(prefixes, notes, Ear(notes))
    tracking.add(watcher)
    return notes, watcher


def test_up_with_the_confirmation(tracking: Tracking, asked: Asked) -> None:
    """A watcher is up when the server has confirmed, and is told of keys with its prefixes and of floods."""
    notes, _ = watch(tracking, "a:", "b:")
    assert (notes.all, asked.words, tracking.is_on) == ([], ["ON BCAST PREFIX a: PREFIX b:"], False)
    asked.answer()
    assert tracking.is_on
    tracking.take([b"a:1", b"c:1", b"b:\xff"])
    tracking.take(None)
    assert notes.all == ["up", "a:1", "b:\ufffd", "flushed"]


def test_what_is_covered_is_not_asked_for(tracking: Tracking, asked: Asked) -> None:
    """Equal and longer prefixes are there already; others are added to them."""
    watch(tracking, "a:", "a:b:", "a:")
    asked.answer()
    covered, _ = watch(tracking, "a:c:")
    assert covered.all == ["up"]
    added, _ = watch(tracking, "b:", "a:x")
    assert added.all == []
    asked.answer()
    assert added.all == ["up"]
    assert covered.all == ["up"]
    assert asked.words == ["ON BCAST PREFIX a:", "ON BCAST PREFIX b:"]


def test_a_prefix_that_covers_older_ones(tracking: Tracking, asked: Asked) -> None:
    """Everything is asked for anew; watchers are down meanwhile, since changes in between are not told."""
    notes, _ = watch(tracking, "a:b:", "c:")
    asked.answer()
    wider, _ = watch(tracking, "a:")
    assert notes.all == ["up", "down"]
    asked.answer()
    assert (notes.is_up, wider.all, tracking.is_on) == (False, [], False)
    asked.answer()
    assert (notes.is_up, wider.all, tracking.is_on) == (True, ["up"], True)
    assert asked.words == ["ON BCAST PREFIX a:b: PREFIX c:", "OFF", "ON BCAST PREFIX a: PREFIX c:"]


def test_a_refusal_leaves_watchers_up(tracking: Tracking, asked: Asked) -> None:
    """Where the server refuses, and where it cannot be asked, watchers are up without changes."""
    notes, _ = watch(tracking, "a:")
    asked.answer(hiredis.ReplyError("NOPERM no"))
    later, _ = watch(tracking, "b:")
    assert (notes.all, later.all, tracking.is_on, len(asked.words)) == (["up"], ["up"], False, 1)
    tracking.lost()
    tracking.connected(can_track=False)
    assert (notes.all, len(asked.words)) == (["up", "down", "up"], 1)
    tracking.lost()
    tracking.connected(can_track=True)
    assert not notes.is_up
    asked.answer()
    assert notes.is_up
    assert tracking.is_on


def test_the_last_watcher_turns_it_off(tracking: Tracking, asked: Asked) -> None:
    """Nothing is tracked for nobody; whoever comes while it is being turned off gets it back."""
    _, first = watch(tracking, "a:")
    _, second = watch(tracking, "b:")
    tracking.remove(first)
    tracking.remove(first)
    assert "OFF" not in asked.words
    tracking.remove(second)
    notes, _ = watch(tracking, "a:")
    assert asked.words[-2:] == ["OFF", "ON BCAST PREFIX a:"]
    asked.answer_all()
    assert notes.all == ["up"]


def test_nothing_is_told_after_the_end(tracking: Tracking, asked: Asked) -> None:
    """A watcher that left hears no more."""
    notes, watcher = watch(tracking, "a:")
    asked.answer()
    watcher.ear.is_over = True
    tracking.take([b"a:1"])
    tracking.take(None)
    tracking.lost()
    assert notes.all == ["up"]


def test_the_parts_of_one_listener() -> None:
    """A listener of several subscriptions is up while all are, and is told each change once."""
    notes = Notes()
    parts = Parts(notes, 2)
    first, second = Ear(parts), Ear(parts)
    first.up()
    first.up()
    assert notes.all == []
    second.up()
    second.heard("t", b"m")
    first.down()
    second.down()
    second.up()
    assert notes.all == ["up", ("t", b"m"), "down"]
    first.up()
    assert notes.all == ["up", ("t", b"m"), "down", "up"]
