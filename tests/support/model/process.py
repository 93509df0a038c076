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
        self.ports: list[WorldPort] = []

    def port(self, place: str) -> tuple[WorldPort, int, bool]:
        """Return a port, the place it is for, and whether it blocks: of a loop, or of a new thread."""
        blocking = place in {"thread", "sync in loop"}
        number = self.number * 100 + (3 if place == "other loop" else 2)
        if place == "thread":
            number = self.new_place()
        port = None if blocking else self._loops.get(number)
        if port is None:
            port = WorldPort(self._world, self, number, blocking=blocking)
            self.ports.append(port)
        if not blocking:
            self._loops[number] = port
        return port, number, blocking

    def close_loop(self, place: int) -> None:
        """Let a loop end while tasks of it are under way; who has such a loop next has another one."""
        port = self._loops.pop(place)
        port.closed = True
        doomed = [actor for actor in self._world.actors if actor.place == place]
        self._world.actors = [actor for actor in self._world.actors if actor.place != place]
        self._world.lines.drop([port])
        for actor in doomed:
            actor.discard()

    def open_loops(self) -> list[int]:
        """Return the places of loops in which no blocking call runs, nor is to run."""
        blocked = {actor.place for actor in self._world.actors if actor.blocking}
        return [place for place in self._loops if place not in blocked]

    def left_behind(self) -> list[object]:
        """Return what is in the books of a process in which nothing runs: nothing should be."""
        flights, ears = self.caching.flights, self.subscriber.ears
        books: list[object] = [
            flights._open,
            flights._blocked,
            self.caching.nearby._own,
            ears[1:] if self.plan.near else ears,
        ]
        if not any(port.closed for port in self.ports):
            books.append(flights.orphans)
        return [] if self.dead else [book for book in books if book]
