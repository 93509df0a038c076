"""The near cache under threads: a change and a store of the same entry, in every order, and hits beside both."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import pytest

from holdfast._near import Kept
from support.nearby import Nearby
from support.waiting import PATIENCE


class Told:
    """A lock that tells when somebody else than its first holder comes to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.awaited = threading.Event()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            self.awaited.set()
            self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()


class Interrupted(Nearby):
    """A near cache in whose stores something happens between the check and the insertion."""

    change: Callable[[], object] | None = None

    def _make_room(self, size: int, now: float, gone: list[Kept]) -> None:
        super()._make_room(size, now, gone)
        if self.change is None:
            return
        told: Any = self._lock
        change, self.change = self.change, None

        def run() -> None:
            change()
            told.awaited.set()

        self.thread = threading.Thread(target=run)
        self.thread.start()
        assert told.awaited.wait(PATIENCE)


@pytest.mark.parametrize("what", ["key", "tag", "epoch", "silence", "news"])
def test_a_change_in_the_middle_of_a_store_wins(what: str) -> None:
    """It comes after the check and before the insertion; once it has returned, nothing from before is served."""
    near = Interrupted()
    lock: Any = Told()
    near._lock = lock
    near.change = {
        "key": lambda: near.bump("k"),
        "tag": lambda: near.bump_tag("t"),
        "epoch": near.clear,
        "silence": near.suspend,
        "news": near.resume,
    }[what]
    near.keep("k", b"old", "t")
    near.thread.join(PATIENCE)
    assert near.raw("k") is None
    assert near.size == near.counted()


class Forbidden:
    """A lock that nobody may take."""

    def __enter__(self) -> None:
        raise AssertionError("a hit took the lock")

    def __exit__(self, *_: object) -> None: ...


def test_a_hit_and_a_snapshot_take_no_lock() -> None:
    """Readers do not wait for each other, nor for a store; neither do those who find nothing."""
    near = Nearby()
    near.keep("k", b"raw", "t")
    lock: Any = Forbidden()
    near._lock = lock
    assert near.raw("k") == b"raw"
    assert near.raw("other") is None
    near.snapshot()


class Dying(str):
    """A value whose end runs code."""

    at_end: Callable[[], object] = staticmethod(lambda: None)

    def __del__(self) -> None:
        self.at_end()


def test_the_end_of_a_value_may_use_the_cache() -> None:
    """Values are freed after the lock: what a user's finalizer does cannot wait for itself."""
    near = Nearby(entries=1)
    heard: list[str] = []

    def keep(key: str) -> None:
        value = Dying(key)
        value.at_end = lambda: (near.bump("x"), heard.append(key))
        near.store(
            key, b"", value, snapshot=near.snapshot(), now=0.0, expires=1.0, fresh_until=1.0, reader=None, tags=()
        )

    def use() -> None:
        keep("replaced")
        keep("replaced")
        keep("evicting")
        near.bump("evicting")

    worker = threading.Thread(target=use, daemon=True)
    worker.start()
    worker.join(PATIENCE)
    assert heard == ["replaced", "replaced", "evicting"]


@contextmanager
def impatient() -> Iterator[None]:
    """Let threads take turns as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@dataclass
class Source:
    """What a near cache keeps entries of, with what has been told to the cache."""

    near: Nearby
    values: dict[str, int]
    told: dict[str, int]
    failures: list[str] = field(default_factory=list)

    def read(self, key: str) -> None:
        """Read through the cache as a caller does, and note what was too old when the caller began."""
        least = self.told[key]
        kept = self.near.get(key, 0.0)
        if kept is None:
            snapshot = self.near.snapshot()
            self.near.keep(key, b"%d" % self.values[key], "t", snapshot=snapshot)
        elif int(kept.raw) < least:
            self.failures.append(f"{key}: {kept.raw!r} after {least}")

    def change(self, key: str, value: int) -> None:
        """Change a value, and return when the cache knows."""
        self.values[key] = value
        if value % 3:
            self.near.bump(key)
        else:
            self.near.bump_tag("t")
        self.told[key] = value


def test_no_thread_is_served_what_was_old_when_it_began() -> None:
    """One thread changes values and bumps; others read through the cache, which is too small for their keys."""
    keys = [f"k{number}" for number in range(5)]
    source = Source(Nearby(entries=3), dict.fromkeys(keys, 0), dict.fromkeys(keys, 0))
    over = threading.Event()

    def reader() -> None:
        while not over.is_set():
            for key in keys:
                source.read(key)

    def changer() -> None:
        for turn in range(1, 1501):
            source.change(keys[turn % len(keys)], turn)
        over.set()

    with impatient():
        threads = [threading.Thread(target=work) for work in (reader, reader, changer)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    assert source.failures == []
    assert len(source.near) <= 3
    assert source.near.size == source.near.counted()
