"""Entries kept in the process, so that a hit costs no round trip.

Rules.

1. Whoever is going to read or fill takes a `Snapshot` before the command is sent, and stores with it. An entry is
   stored only if nothing that touches it was bumped since; check and insertion are one step. So a reply that was under
   way when its key was invalidated is never kept.
2. An entry is served while its instant has not come, no tag of it was bumped, and the epoch is that of its snapshot.
3. Bumping a tag and beginning an epoch take the same short time however many entries there are. What they made useless
   stays until it is the oldest; it counts towards the bounds, and goes before anything useful does.
4. Nothing is served or stored while the news of invalidations cannot be heard: from the beginning, and from `suspend`,
   until `resume`.
5. A hit takes no lock and moves nothing: it leaves a mark, and an entry that has one is passed over once when room is
   made. No call looks at more than a few entries that it does not remove.

Keys and tags are counted in a fixed number of places, found by hash. Two that share a place are bumped together: an
entry is lost now and then, and never kept too long. No clock here: `now` and `expires` are monotonic seconds of the
caller.
"""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import Final, NamedTuple

from holdfast._copies import FLAT

NOT_KEPT: Final = object()
"""The value of an entry whose value is made from `raw` for every caller, because they could change it."""


_PLACES: Final = 4096
_PLACE: Final = _PLACES - 1
_LARGEST_SHARE: Final = 8
"""An entry that takes more than one part in so many of all bytes is not kept: it would push out too many others."""
_LOOKS: Final = 16
"""How many of the oldest entries are looked at for one that nobody used; then the next one goes, used or not."""
_OVERHEAD: Final = 352
"""Bytes that an entry takes besides its texts: measured, with the place in the table, on 64-bit CPython."""
_TAG_OVERHEAD: Final = 48


class Snapshot(NamedTuple):
    """An instant: bumps before it do not matter to the entry that is going to be read, and those after it do."""

    epoch: object | None
    tick: int
    """Bumps and snapshots are numbered together."""


@dataclass(slots=True, eq=False)
class Kept:
    """An entry that is kept in the process. What callers need comes first; the rest is the near cache's own."""

    raw: bytes
    """The frame, as Redis has it."""
    value: object
    """What `reader` made of it, for all callers; or `NOT_KEPT`."""
    fresh_until: float
    """Unix seconds, as in the frame."""
    reader: object
    """Who made `value`; others must not take it."""
    expires: float
    """Monotonic seconds from which on it is not served."""
    epoch: object
    tick: int
    """When the read or the fill that proves it was begun, as its snapshot says."""
    places: tuple[int, ...]
    """Where its tags are counted."""
    size: int
    used: bool = False


def shareable(value: object) -> object:
    """Return a value that all callers may have, because it cannot be changed and holds nothing else; or `NOT_KEPT`."""
    return value if type(value) in FLAT else NOT_KEPT


class Near:
    """The near cache of one layer. All methods may be called from any thread.

    Args:
        entries: how many entries it may have.
        bytes: how much memory they may take, in bytes.
    """

    def __init__(self, entries: int, bytes: int) -> None:  # noqa: A002 - the word for it
        self._most = entries
        self._bytes = bytes
        self._largest = bytes // _LARGEST_SHARE if entries > 0 else 0
        self._ticks = count(1)
        self.after_fork()

    def after_fork(self) -> None:
        """In a child process: begin without entries, suspended. Nobody there hears the news yet."""
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, Kept] = OrderedDict()
        self._epoch: object | None = None
        """What entries must have been stored under; None while suspended, which no entry has."""
        self._key_bumps = [0] * _PLACES
        self._tag_bumps = [0] * _PLACES
        self.size = 0
        """Bytes that the entries take, those of no use any more included."""
        self.evictions = 0
        """How many entries had to go for others while they were still of use."""

    def __len__(self) -> int:
        """Count the entries, those of no use any more included."""
        return len(self._entries)

    def get(self, key: str, now: float) -> Kept | None:
        """Return the entry of a key if it may be served. Takes no lock."""
        kept = self._entries.get(key)
        if kept is None or now >= kept.expires or kept.epoch is not self._epoch:
            return None
        if kept.places and self._tags_bumped(kept.places, kept.tick):
            return None
        kept.used = True
        return kept

    def snapshot(self) -> Snapshot:
        """Return what `store` needs. To be called before the read or the fill that will prove the entry is sent."""
        return Snapshot(self._epoch, next(self._ticks))

    def store(
        self,
        key: str,
        raw: bytes,
        value: object,
        *,
        snapshot: Snapshot,
        now: float,
        expires: float,
        fresh_until: float,
        reader: object,
        tags: Iterable[str] = (),
    ) -> bool:
        """Keep an entry, unless it may be out of date already.

        An entry from a later snapshot stays: it was read after this one. One that is too large is not kept.

        Args:
            key: the key in Redis.
            raw: the frame.
            value: what `reader` made of it if it cannot be changed, or `NOT_KEPT`.
            snapshot: taken before the command was sent whose reply brought or proved the entry.
            now: monotonic seconds.
            expires: monotonic seconds; counted from sending, never past the end of freshness.
            fresh_until: Unix seconds, as in the frame.
            reader: who made `value`.
            tags: all tags that the entry carries.

        Returns:
            Whether it is kept.
        """
        places = tuple([hash(tag) & _PLACE for tag in tags])
        size = sys.getsizeof(key) + sys.getsizeof(raw) + _OVERHEAD + _TAG_OVERHEAD * len(places)
        if value is not NOT_KEPT:
            size += sys.getsizeof(value)
        epoch, tick = snapshot
        kept = Kept(raw, value, fresh_until, reader, expires, epoch, tick, places, size)
        gone: list[Kept] = []  # freed after the lock: freeing a value may run a user's code
        with self._lock:
            if not self._usable(kept, now) or self._key_bumps[hash(key) & _PLACE] >= tick:
                return False
            other = self._entries.get(key)
            if other is not None:
                if other.tick > tick and self._usable(other, now):
                    return False
                gone.append(self._remove(key))
            if size > self._largest:
                return False
            self._make_room(size, now, gone)
            self._entries[key] = kept
            self.size += size
        return True

    def bump(self, key: str) -> None:
        """Drop the entry of a key, and whatever is under way for it."""
        with self._lock:
            self._key_bumps[hash(key) & _PLACE] = next(self._ticks)
            gone = self._remove(key) if key in self._entries else None
        del gone  # after the lock: freeing a value may run a user's code

    def bump_tag(self, tag: str) -> None:
        """Drop all entries with a tag, and whatever is under way for it."""
        with self._lock:
            self._tag_bumps[hash(tag) & _PLACE] = next(self._ticks)

    def clear(self) -> None:
        """Drop all entries, and whatever is under way; while suspended there are none."""
        with self._lock:
            if self._epoch is not None:
                self._epoch = object()

    def suspend(self) -> None:
        """Serve and store nothing until `resume`."""
        with self._lock:
            self._epoch = None

    def resume(self) -> None:
        """Begin to serve and store, with nothing from before: what was published meanwhile was not heard."""
        with self._lock:
            self._epoch = object()

    def _tags_bumped(self, places: tuple[int, ...], tick: int) -> bool:
        """Say whether a tag was bumped since an instant."""
        bumps = self._tag_bumps
        for place in places:  # noqa: SIM110 - a generator takes longer than the whole rest of a hit
            if bumps[place] >= tick:
                return True
        return False

    def _usable(self, kept: Kept, now: float) -> bool:
        """Say whether an entry may be served, by the same three tests as `get`."""
        return (
            now < kept.expires
            and kept.epoch is not None
            and kept.epoch is self._epoch
            and not self._tags_bumped(kept.places, kept.tick)
        )

    def _remove(self, key: str) -> Kept:
        kept = self._entries.pop(key)
        self.size -= kept.size
        return kept

    def _make_room(self, size: int, now: float, gone: list[Kept]) -> None:
        """Remove entries until one more of this size fits; some of the useless even if it does fit.

        Otherwise their memory would wait until the cache is full.
        """
        for _ in range(_LOOKS):
            key, oldest = next(iter(self._entries.items()), ("", None))
            if oldest is None or self._usable(oldest, now):
                break
            gone.append(self._remove(key))
        while self._entries and (len(self._entries) >= self._most or self.size + size > self._bytes):
            gone.append(self._evict(now))

    def _evict(self, now: float) -> Kept:
        """Remove the oldest entry, but pass over a few that were used since they were last passed over."""
        for _ in range(_LOOKS):
            key, oldest = next(iter(self._entries.items()))
            if not oldest.used or not self._usable(oldest, now):
                break
            oldest.used = False
            self._entries.move_to_end(key)
        key, oldest = next(iter(self._entries.items()))
        if self._usable(oldest, now):
            self.evictions += 1
        return self._remove(key)
