"""The near cache: what it keeps, what it drops, and what goes first when there is no room."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from holdfast._near import NOT_KEPT, Near, shareable
from support.nearby import ROOMY, Nearby, apart, together


@pytest.fixture
def near() -> Nearby:
    return Nearby()


def test_an_entry_comes_back_as_it_was_stored(near: Nearby) -> None:
    """With the value that was made of it, by whom, and for how long it is fresh."""
    reader = object()
    stored = near.store(
        "k", b"raw", "value", snapshot=near.snapshot(), now=0.0, expires=5.0, fresh_until=77.0, reader=reader
    )
    kept = near.get("k", 1.0)
    assert stored
    assert kept is not None
    assert (kept.raw, kept.value, kept.fresh_until) == (b"raw", "value", 77.0)
    assert kept.reader is reader
    assert near.get("other", 1.0) is None


def test_an_entry_is_served_until_its_instant(near: Nearby) -> None:
    """At the instant itself it is not; what has none left is not stored."""
    near.keep("k", expires=5.0)
    assert [near.raw("k", now) for now in (4.999, 5.0, 6.0)] == [b"raw", None, None]
    assert not near.keep("late", now=5.0, expires=5.0)


@pytest.mark.parametrize("disturb", ["key", "tag", "epoch", "pause", "silence"])
def test_what_was_under_way_during_a_change_is_not_kept(near: Nearby, disturb: str) -> None:
    """The reply may be older than the change: between its snapshot and the store anything may have happened."""
    snapshot = near.snapshot()
    {
        "key": lambda: near.bump("k"),
        "tag": lambda: near.bump_tag("t"),
        "epoch": near.clear,
        "pause": lambda: (near.suspend(), near.resume()),
        "silence": near.suspend,
    }[disturb]()
    assert not near.keep("k", b"old", "s", "t", snapshot=snapshot)
    assert near.raw("k") is None
    near.resume()
    assert near.keep("k", b"new", "s", "t")
    assert near.raw("k") == b"new"


def test_a_change_of_something_else_disturbs_nothing(near: Nearby) -> None:
    """Neither what is kept nor what is under way."""
    (one, other), (tag, another) = apart("k", 2), apart("t", 2)
    near.keep(one, b"1", tag)
    snapshot = near.snapshot()
    near.bump(other)
    near.bump_tag(another)
    assert near.keep(f"{one}", b"2", tag, snapshot=snapshot)
    assert near.raw(one) == b"2"


def test_a_bumped_key_is_dropped_at_once(near: Nearby) -> None:
    """Its memory too; bumping what is not there does no harm."""
    near.keep("k")
    near.bump("k")
    near.bump("nothing")
    assert near.raw("k") is None
    assert (len(near), near.size) == (0, 0)


def test_a_bumped_tag_drops_all_its_entries(near: Nearby) -> None:
    """Those that carry it, whatever else they carry, and no others."""
    mine, yours, theirs = apart("t", 3)
    near.keep("a", b"a", mine)
    near.keep("b", b"b", yours, mine)
    near.keep("c", b"c", yours)
    near.keep("d", b"d", theirs)
    near.keep("e", b"e")
    near.bump_tag(mine)
    assert [near.raw(key) for key in "abcde"] == [None, None, b"c", b"d", b"e"]


def test_names_that_share_a_place_only_lose_entries() -> None:
    """A collision costs an entry, or the store of one; it never keeps what should go."""
    near = Nearby()
    (key, twin), (tag, sister) = together("k"), together("t")
    near.keep(key, b"kept", tag)
    snapshot = near.snapshot()
    near.bump(twin)
    assert near.raw(key) == b"kept"
    assert not near.keep(key, b"other", snapshot=snapshot)
    near.bump_tag(sister)
    assert near.raw(key) is None


def test_nothing_is_served_before_the_news_can_be_heard() -> None:
    """A near cache begins suspended, and clearing it does not wake it."""
    near = Near(10, ROOMY)
    snapshot = near.snapshot()
    near.clear()
    options: Any = {"now": 0.0, "expires": 9.0, "fresh_until": 9.0, "reader": None}
    assert not near.store("k", b"", NOT_KEPT, snapshot=snapshot, **options)
    near.resume()
    assert not near.store("k", b"", NOT_KEPT, snapshot=snapshot, **options)
    assert near.store("k", b"", NOT_KEPT, snapshot=near.snapshot(), **options)


def test_silence_suspends_and_what_came_before_does_not_come_back(near: Nearby) -> None:
    """The news of the time between was not heard, so nothing from before may be served."""
    near.keep("k")
    near.suspend()
    assert near.raw("k") is None
    assert not near.keep("other")
    near.resume()
    assert near.raw("k") is None
    near.keep("k", b"again")
    near.resume()
    assert near.raw("k") is None


def test_a_later_read_is_not_replaced_by_an_earlier_one(near: Nearby) -> None:
    """Replies may be handled in any order; the process does not go back in time while the later one is of use."""
    (tag,) = apart("t", 1)
    early, late = near.snapshot(), near.snapshot()
    assert near.keep("k", b"late", tag, snapshot=late)
    assert not near.keep("k", b"early", snapshot=early)
    assert near.raw("k") == b"late"
    assert near.keep("k", b"early", snapshot=early, now=10.0, expires=20.0)
    near.keep("tagged", b"late", tag)
    near.bump_tag(tag)
    assert near.keep("tagged", b"early", snapshot=early)


def test_an_entry_that_is_too_large_is_not_kept() -> None:
    """It would push out a large part of the others; an older one under its key goes all the same."""
    near = Nearby(bytes=80_000)
    assert near.keep("k", b"x" * 9_000)
    assert not near.keep("k", b"x" * 10_001)
    assert near.raw("k") is None
    assert near.size == 0
    assert not Nearby(entries=0).keep("k")
    assert not Nearby(bytes=0).keep("k")


def test_both_bounds_hold_and_evictions_are_counted() -> None:
    """In entries and in bytes; only entries that had to go while they were of use count as evicted."""
    few, small = Nearby(entries=10), Nearby(bytes=50_000)
    for number in range(100):
        few.keep(f"k{number}")
        small.keep(f"k{number}", b"x" * 5_000)
        assert len(few) <= 10
        assert small.size <= 50_000
    assert (len(few), few.evictions) == (10, 90)
    assert small.evictions == 100 - len(small)
    few.keep("k99")
    few.bump("k99")
    assert few.evictions == 90


def test_what_is_used_outlives_what_is_not() -> None:
    """Keys that are asked for once, in whatever number, do not push out one that is asked for again and again."""
    near = Nearby(entries=20)
    near.keep("popular")
    for number in range(500):
        near.keep(f"once{number}")
        if number % 10 == 0:
            assert near.raw("popular") == b"raw"


def test_the_useless_go_before_the_useful() -> None:
    """Expired entries, and those of an epoch that is over, make room though they were used; nothing is evicted."""
    near = Nearby(entries=20)
    for number in range(10):
        near.keep(f"short{number}", expires=1.0)
        near.raw(f"short{number}")
    for number in range(20):
        near.keep(f"long{number}", now=2.0)
    assert near.evictions == 0
    assert [near.raw(f"long{number}", 2.0) for number in range(20)] == [b"raw"] * 20
    near.clear()
    near.keep("new")
    assert (near.evictions, near.raw("new")) == (0, b"raw")


def test_the_useless_go_first_though_something_older_is_useful() -> None:
    """That they were used once does not spare them, and nothing counts as evicted."""
    near = Nearby(entries=3)
    near.keep("useful")
    near.keep("useless", expires=1.0)
    near.keep("unused")
    near.raw("useful")
    near.raw("useless")
    near.keep("new", now=2.0)
    assert [near.raw(key, 2.0) for key in ("useful", "unused", "new")] == [b"raw"] * 3
    assert near.evictions == 0


def test_the_useless_leave_though_there_is_room(near: Nearby) -> None:
    """Their memory is given back bit by bit, as others are stored."""
    for number in range(100):
        near.keep(f"old{number}", expires=1.0)
    for number in range(20):
        near.keep(f"new{number}", now=2.0)
    assert len(near) == 20
    assert near.size == near.counted()


def test_a_child_process_begins_with_nothing(near: Nearby) -> None:
    """Nobody hears the news there yet, and the lock may have been held when the process forked."""
    near.keep("k")
    snapshot = near.snapshot()
    near._lock.acquire()
    near.after_fork()
    assert near.raw("k") is None
    assert not near.keep("k")
    near.resume()
    assert not near.keep("k", snapshot=snapshot)
    assert near.keep("k")


def test_only_values_that_nobody_can_change_are_shared() -> None:
    """Exact types: a subclass may have attributes."""
    for value in ("text", b"bytes", 1, 1.5, True, None, uuid4()):
        assert shareable(value) is value
    for other in ([], {}, set(), (1, []), bytearray(), type("Text", (str,), {})("x")):
        assert shareable(other) is NOT_KEPT
