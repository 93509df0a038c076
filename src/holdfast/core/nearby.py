"""The near cache in use: what may be kept of a read or a fill, what is served, and what the news do to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from holdfast._copies import Copier, copier
from holdfast._near import NOT_KEPT, Near, Snapshot, shareable
from holdfast.codec import Codec
from holdfast.core.plan import Outcome, Plan
from holdfast.core.records import Recorder
from holdfast.events import Hit
from holdfast.policy.frame import ID_OFFSET, ID_SIZE, Unreadable
from holdfast.policy.names import Names
from holdfast.port import Port


class Moment(NamedTuple):
    """When a read or a fill was sent that may prove an entry."""

    snapshot: Snapshot
    sent: float
    """Monotonic seconds."""


class Kept(NamedTuple):
    """A fresh entry as it was read or stored."""

    raw: bytes
    value: object
    fresh_until: float
    """Unix seconds."""
    tags: tuple[str, ...]


class _Encoded(int):
    """Where in an entry the payload lies that is decoded for each caller."""

    __slots__ = ()


NOTHING: Final = object()
"""What `Nearby.value` gives where nothing may be served."""


class Nearby:
    """The near cache of one layer, and the listener that keeps it true."""

    def __init__(self, near: Near, names: Names, recorder: Recorder) -> None:
        self.near = near
        self._recorder = recorder
        self._names = names
        self._own: set[bytes] = set()

    def reader(self, plan: Plan, clock: Callable[[], float]) -> Callable[[str], Any]:
        """Return what gives the value that is kept under a key, or `NOTHING` if it may not be served.

        This is the whole of a hit in the process, in one function. What it leaves out, such as looking at the frame
        once more, was done when the entry was kept.

        Args:
            plan: how the entries are read.
            clock: gives monotonic seconds.
        """
        find, codec, tally, recorder = self.near.get, plan.codec, plan.tally, self._recorder
        decode = codec.decode

        def value_of(key: str) -> Any:
            kept = find(key, clock())
            if kept is None:
                return NOTHING
            value = kept.value
            if value is NOT_KEPT or kept.reader is not codec:
                value = _decoded(codec, key, kept.raw)
            elif type(value) is Copier:
                value = value.copy()
            elif type(value) is _Encoded:
                value = decode(kept.raw[value:])
            if value is not NOTHING:
                tally.hits += 1
                if recorder.hooks:
                    recorder.emit(Hit(tally.pattern, key, near=True))
            return value

        return value_of

    def hit(self, port: Port, plan: Plan, key: str) -> Outcome | None:
        """Return what is kept under a key, with its entry, if it may be served."""
        kept = self.near.get(key, port.monotonic())
        if kept is None:
            return None
        value = self.reader(plan, port.monotonic)(key)
        return None if value is NOTHING else (value, "near", kept.raw)

    def moment(self, port: Port) -> Moment:
        """Return the instant before a command is sent that may prove an entry."""
        return Moment(self.near.snapshot(), port.monotonic())

    def keep(self, port: Port, plan: Plan, key: str, found: Kept, moment: Moment) -> bool:
        """Keep an entry that was fresh at its moment, unless something was heard of it since; say whether."""
        value = shareable(found.value)
        if value is NOT_KEPT:
            value = _prepared(plan.codec, found.raw, type(found.value))
        return self.near.store(
            key,
            found.raw,
            value,
            snapshot=moment.snapshot,
            now=port.monotonic(),
            expires=moment.sent + min(plan.near, found.fresh_until - port.now()),
            fresh_until=found.fresh_until,
            reader=plan.codec,
            tags=found.tags,
        )

    def begin_fill(self, token: str) -> None:
        """Expect the news of a fill of our own: it tells nothing that its reply does not."""
        self._own.add(token.encode("ascii"))

    def end_fill(self, token: str) -> None:
        """Note that a fill of our own is over."""
        self._own.discard(token.encode("ascii"))

    def up(self) -> None:
        """Begin to serve: from now on everything is heard."""
        self.near.resume()

    def down(self) -> None:
        """Stop serving: what happens now is not heard."""
        self.near.suspend()

    def heard(self, topic: str, message: bytes) -> None:
        """Drop what a message tells of; not an entry that the told fill itself has stored.

        A channel that no entry and no tag of ours could have tells nothing.
        """
        tag = self._names.tag_of(topic)
        if tag is not None:
            self.near.bump_tag(tag)
            return
        key = self._names.key_of(topic)
        if key is None:
            return
        told, _, token = message.partition(b" ")
        if told == b"gone" or (told == b"done" and token not in self._own and not self._holds(key, token)):
            self.near.bump(key)

    def _holds(self, key: str, token: bytes) -> bool:
        kept = self.near.get(key, float("-inf"))
        return kept is not None and kept.raw[ID_OFFSET : ID_OFFSET + ID_SIZE] == token

    def changed(self, key: str) -> None:
        """Drop what a key of Redis stands for: it was written, has expired, or was evicted."""
        tag = self._names.tag_of(key)
        if tag is not None:
            self.near.bump_tag(tag)
        elif key.startswith(self._names.entries):
            self.near.bump(key)

    def flushed(self) -> None:
        """Drop everything."""
        self.near.clear()


def _prepared(codec: Codec, raw: bytes, kind: type) -> object:
    """Return what a value that callers could change is best made from, for each of them: a copier, or its payload."""
    start = codec.payload_start(raw)
    if not start:
        return NOT_KEPT
    if kind is dict or kind is list:
        copies = copier(codec.decode(raw[start:]))
        if copies is not None:
            return copies
    return _Encoded(start)


def _decoded(codec: Codec, key: str, raw: bytes) -> Any:
    """Return the value in an entry, or `NOTHING` for a function that decodes to something else."""
    try:
        return codec.value(codec.open(key, raw))
    except Unreadable:
        return NOTHING
