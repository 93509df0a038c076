"""The near cache against a model that remembers everything that ever happened."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from holdfast._near import Snapshot
from support.nearby import Nearby, apart

KEYS, TAGS = apart("k", 5), apart("t", 3)
ANY_KEY, SOME_TAGS = st.sampled_from(KEYS), st.sets(st.sampled_from(TAGS), max_size=2).map(sorted)


@dataclass
class Entry:
    raw: bytes
    expires: float
    tags: list[str]
    since: int
    """How long the history was when its snapshot was taken."""


@dataclass
class Model:
    """What should be served, told from the whole history: an entry lives until something happens that touches it."""

    history: list[str] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    hearing: bool = True

    def untouched(self, key: str, entry: Entry, now: float) -> bool:
        touching = {key, "epoch", *entry.tags}
        return now < entry.expires and self.hearing and touching.isdisjoint(self.history[entry.since :])

    def store(self, key: str, entry: Entry, now: float) -> bool:
        if not self.untouched(key, entry, now):
            return False
        other = self.entries.get(key)
        if other is not None and other.since > entry.since and self.untouched(key, other, now):
            return False
        self.entries[key] = entry
        return True

    def raw(self, key: str, now: float) -> bytes | None:
        entry = self.entries.get(key)
        return entry.raw if entry is not None and self.untouched(key, entry, now) else None


class Roomy(RuleBasedStateMachine):
    """With room for everything, the near cache serves exactly what the model does."""

    snapshots: Bundle[tuple[Snapshot, int]] = Bundle("snapshots")
    entries, bytes = 1000, 1 << 20

    def __init__(self) -> None:
        super().__init__()
        self.near = Nearby(self.entries, self.bytes)
        self.model = Model()
        self.now = 0.0
        self.serial = 0

    @rule(target=snapshots)
    def snapshot(self) -> tuple[Snapshot, int]:
        self.model.history.append("snapshot")
        return self.near.snapshot(), len(self.model.history)

    @rule(snapshot=snapshots, key=ANY_KEY, tags=SOME_TAGS, life=st.sampled_from([1.0, 3.0, 50.0]))
    def store(self, snapshot: tuple[Snapshot, int], key: str, tags: list[str], life: float) -> None:
        self.serial += 1
        entry = Entry(b"%d" % self.serial, self.now + life, tags, snapshot[1])
        stored = self.near.keep(key, entry.raw, *tags, snapshot=snapshot[0], now=self.now, expires=entry.expires)
        self.compare(key, entry, stored)

    def compare(self, key: str, entry: Entry, stored: bool) -> None:
        assert stored == self.model.store(key, entry, self.now)

    @rule(key=ANY_KEY, tags=SOME_TAGS)
    def read_and_store(self, key: str, tags: list[str]) -> None:
        self.store(self.snapshot(), key, tags, 50.0)

    @rule(key=ANY_KEY)
    def bump(self, key: str) -> None:
        self.near.bump(key)
        self.model.history.append(key)

    @rule(tag=st.sampled_from(TAGS))
    def bump_tag(self, tag: str) -> None:
        self.near.bump_tag(tag)
        self.model.history.append(tag)

    @rule()
    def clear(self) -> None:
        self.near.clear()
        self.model.history.append("epoch")

    @rule()
    def suspend(self) -> None:
        self.near.suspend()
        self.model.history.append("epoch")
        self.model.hearing = False

    @rule()
    def resume(self) -> None:
        self.near.resume()
        self.model.history.append("epoch")
        self.model.hearing = True

    @rule(by=st.sampled_from([0.5, 2.0]))
    def wait(self, by: float) -> None:
        self.now += by

    @rule(key=ANY_KEY)
    def get(self, key: str) -> None:
        assert self.near.raw(key, self.now) == self.model.raw(key, self.now)

    @invariant()
    def the_bounds_hold(self) -> None:
        assert len(self.near) <= self.entries
        assert self.near.size <= self.bytes
        assert self.near.size == self.near.counted()

    def teardown(self) -> None:
        for key in KEYS:
            self.get(key)


class Tight(Roomy):
    """With too little room it may serve less than the model, and never anything else."""

    entries, bytes = 3, 8_000

    def compare(self, key: str, entry: Entry, stored: bool) -> None:
        assert not stored or self.model.untouched(key, entry, self.now)
        if stored:  # perhaps over a later one that is forgotten
            self.model.entries[key] = entry

    @rule(key=ANY_KEY, size=st.integers(1, 1200))
    def read_and_store_much(self, key: str, size: int) -> None:
        since = self.snapshot()[1]
        stored = self.near.keep(key, b"x" * size, now=self.now, expires=self.now + 50)
        self.compare(key, Entry(b"x" * size, self.now + 50, [], since), stored)
        assert stored or self.near.raw(key, self.now) is None

    @rule(key=ANY_KEY)
    def get(self, key: str) -> None:
        assert self.near.raw(key, self.now) in {None, self.model.raw(key, self.now)}


TestRoomy = Roomy.TestCase
TestTight = Tight.TestCase
