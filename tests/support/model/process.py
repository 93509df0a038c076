"""One process: its cache, its loops and threads, and its ear for messages."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Final

from holdfast._near import Near
from holdfast.core.batch_caching import BatchCaching
from holdfast.core.caching import Caching
from holdfast.core.records import Recorder
from holdfast.policy.names import Names
from support.model.news import Subscriber
from support.model.port import WorldPort
from support.model.scenario import Scenario
from support.model.world import World

NAMES: Final = Names("m")


class Process:
    """One process of a world."""

    def __init__(self, world: World, number: int, scenario: Scenario) -> None:
        places, chance = count(number * 100 + 10), world.chance
        self.number = number
        self.dead = False
        self.failures = 0
        """How often it was told that Redis could not be used."""
        self.clockwork = number * 100 + 1
        """The place of what recurs in threads."""
        self.new_place: Callable[[], int] = lambda: next(places)
        self.caching = Caching(NAMES, Recorder(), Near(64, 1 << 16), bypass=scenario.bypass)
        self.batches = BatchCaching(self.caching)
        self.plan = scenario.plan()
        self.subscriber = Subscriber(number, world.published, rank=chance.random(), back_rank=chance.random() ** 3)
        world.subscribers.append(self.subscriber)
        if self.plan.near:
            self.subscriber.subscribe(NAMES.patterns, self.caching.nearby)
        self._world = world
        self._loops: dict[int, WorldPort] = {}

    def port(self, place: str) -> tuple[WorldPort, int, bool]:
        """Return a port, the place it is for, and whether it blocks: of a loop, or of a new thread."""
        if place == "thread":
            thread = self.new_place()
            return WorldPort(self._world, self, thread, blocking=True), thread, True
        loop = self.number * 100 + (3 if place == "other loop" else 2)
        if place == "sync in loop":
            return WorldPort(self._world, self, loop, blocking=True), loop, True
        port = self._loops.get(loop)
        if port is None:
            port = self._loops[loop] = WorldPort(self._world, self, loop, blocking=False)
        return port, loop, False

    def left_behind(self) -> list[object]:
        """Return what is in the books of a process in which nothing runs: nothing should be."""
        flights, ears = self.caching.flights, self.subscriber.ears
        books: list[object] = [
            flights._open,
            flights._blocked,
            self.caching.nearby._own,
            ears[1:] if self.plan.near else ears,
        ]
        if not self.failures:
            books.append(flights._orphans)
        return [] if self.dead else [book for book in books if book]
