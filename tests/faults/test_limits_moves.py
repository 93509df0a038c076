"""Slots of a cluster move while threads and tasks hit several limits at once."""

from __future__ import annotations

import time

from holdfast import Layer, LimitDecision
from support.cluster import Cluster
from support.migration import Migration
from support.programs import oldest
from support.traffic import traffic
from support.waiting import until


class Hits:
    """Hits on several keys of a cluster, apart and together, and what was told about them."""

    WINDOW = "1000000000/day; algorithm=fixed_window"
    KEYS = ("first", "second", "third")

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.decisions: dict[str | None, list[LimitDecision]] = {None: [], "all": []}

    @property
    def _hits(self) -> list[tuple[str, str]]:
        return [(self.WINDOW, key) for key in self.KEYS]

    def plain(self, number: int) -> None:
        """Hit, from a thread."""
        colocate = "all" if number % 2 else None
        self.decisions[colocate].append(self.layer.limiter.hit_all(self._hits, colocate=colocate, budget=20))

    async def awaited(self, number: int) -> None:
        """Hit, from a task."""
        colocate = "all" if number % 2 else None
        self.decisions[colocate].append(await self.layer.limiter.ahit_all(self._hits, colocate=colocate, budget=20))

    def done(self) -> int:
        return len(self.decisions[None]) + len(self.decisions["all"])

    def charged(self, key: str, colocate: str | None) -> int:
        decision = self.layer.limiter.peek(self.WINDOW, key, budget=20, colocate=colocate)
        assert not decision.degraded
        return decision.limit - decision.remaining


def test_slots_move_under_load() -> None:
    """While slots move, with keys on both sides, hits on several keys are charged once each, to all of their keys."""
    with Cluster(oldest()) as cluster, Layer(cluster.url) as layer:
        hits = Hits(layer)
        with traffic(hits.plain, hits.awaited) as seen:
            until(lambda: hits.done() > 50, "all is well at first")
            for _ in range(2):
                for name in ("all", "second"):
                    _move_slowly(cluster.move(name), hits)
        assert not seen.errors
        for colocate, decisions in hits.decisions.items():
            assert all(decision.allowed for decision in decisions)
            sure = sum(not decision.degraded for decision in decisions)
            charged = {key: hits.charged(key, colocate) for key in hits.KEYS}
            print(f"\n{colocate}: {len(decisions)} hits, {sure} of them decided by Redis; {charged}")
            assert sure > len(decisions) * 0.9
            assert all(sure <= each <= len(decisions) for each in charged.values())


def _move_slowly(move: Migration, hits: Hits) -> None:
    """Move a slot key by key, with hits in between."""

    def go_on() -> None:
        count = hits.done()
        until(lambda: hits.done() > count + 40, "hits go on", within=10)

    move.begin()
    go_on()
    for key in move.keys()[:1]:
        move.carry(key)
        time.sleep(0.03)  # nothing is to be done for those who need both sides
    move.carry()
    go_on()
    move.finish()
    go_on()
