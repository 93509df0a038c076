"""The near cache in use: what may be kept of a read or a fill, what is served, and what the news do to it."""

from __future__ import annotations

from typing import NamedTuple

from holdfast._near import NOT_KEPT, Near, Snapshot, shareable
from holdfast.codec import NOT_PLAIN
from holdfast.core.plan import Outcome, Plan
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


class Nearby:
    """The near cache of one layer, and the listener that keeps it true."""

    def __init__(self, near: Near, names: Names) -> None:
        self.near = near
        self._names = names
        self._own: set[bytes] = set()

    def hit(self, port: Port, plan: Plan, key: str) -> Outcome | None:
        """Return what is kept under a key, if it may be served."""
        kept = self.near.get(key, port.monotonic())
        if kept is None:
            return None
        codec = plan.codec
        if kept.value is not NOT_KEPT and kept.reader is codec:
            return kept.value, "near", kept.raw
        try:
            value = codec.quick(kept.raw)
            if value is NOT_PLAIN:
                value = codec.value(codec.open(key, kept.raw))
        except Unreadable:  # by a function that decodes to something else
            return None
        return value, "near", kept.raw

    def moment(self, port: Port) -> Moment:
        """Return the instant before a command is sent that may prove an entry."""
        return Moment(self.near.snapshot(), port.monotonic())

    def keep(self, port: Port, plan: Plan, key: str, found: Kept, moment: Moment) -> None:
        """Keep an entry that was fresh at its moment, unless something was heard of it since."""
        self.near.store(
            key,
            found.raw,
            shareable(found.value),
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
        """Drop what a message tells of; not an entry that the told fill itself has stored."""
        tag = self._names.tag_of(topic)
        if tag is not None:
            self.near.bump_tag(tag)
            return
        key = self._names.key_of(topic)
        told, _, token = message.partition(b" ")
        if told == b"gone" or (told == b"done" and token not in self._own and not self._holds(key, token)):
            self.near.bump(key)

    def _holds(self, key: str, token: bytes) -> bool:
        kept = self.near.get(key, float("-inf"))
        return kept is not None and kept.raw[ID_OFFSET : ID_OFFSET + ID_SIZE] == token

    def changed(self, key: str) -> None:
        """Drop what a key of Redis stands for: it was written, has expired, or was evicted."""
        tag = self._names.tag_of(key)
        if tag is None:
            self.near.bump(key)
        else:
            self.near.bump_tag(tag)

    def flushed(self) -> None:
        """Drop everything."""
        self.near.clear()
