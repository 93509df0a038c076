"""The move of one slot from node to node, step by step, so that a test can stop in the middle."""

from __future__ import annotations

from collections.abc import Sequence

from support.standalone import Standalone
from support.waiting import until


class Migration:
    """One slot on its way.

    After `begin`, the source still serves the keys that it has and answers ASK for others. Keys that were carried are
    on the target, which serves them to those who say ASKING first; a command over keys of both sides gets TRYAGAIN.
    After `finish`, the source answers MOVED.
    """

    def __init__(self, slot: int, source: Standalone, target: Standalone, nodes: Sequence[Standalone]) -> None:
        self.slot = slot
        self.source = source
        self.target = target
        self._nodes = nodes

    def begin(self) -> None:
        """Mark the slot as importing on the target and as migrating on the source."""
        self.target.ask("CLUSTER", "SETSLOT", self.slot, "IMPORTING", _name(self.source))
        self.source.ask("CLUSTER", "SETSLOT", self.slot, "MIGRATING", _name(self.target))

    def keys(self) -> list[bytes]:
        """Return the keys of the slot that are still on the source."""
        found = self.source.ask("CLUSTER", "GETKEYSINSLOT", self.slot, 10_000)
        assert isinstance(found, list)
        return found

    def carry(self, *keys: str | bytes) -> None:
        """Carry these keys to the target; all that are left, if none is named."""
        moving = keys or tuple(self.keys())
        if moving:
            self.source.ask("MIGRATE", self.target.host, self.target.port, "", 0, 30_000, "KEYS", *moving)

    def finish(self) -> None:
        """Carry what is left, give the slot to the target, and return when all nodes that run know it."""
        self.carry()
        name = _name(self.target)
        for node in (self.target, self.source):
            node.ask("CLUSTER", "SETSLOT", self.slot, "NODE", name)
        until(lambda: all(self._known_to(node) for node in self._nodes), f"all nodes know who has slot {self.slot}")

    def abandon(self) -> None:
        """Forget the move. Keys that were carried stay on the target, out of reach."""
        for node in (self.source, self.target):
            node.ask("CLUSTER", "SETSLOT", self.slot, "STABLE")

    def _known_to(self, node: Standalone) -> bool:
        rows = node.ask("CLUSTER", "SLOTS")
        assert isinstance(rows, list)
        return any(row[0] <= self.slot <= row[1] and row[2][1] == self.target.port for row in rows)


def _name(node: Standalone) -> str:
    name = node.ask("CLUSTER", "MYID")
    assert isinstance(name, bytes)
    return name.decode()
