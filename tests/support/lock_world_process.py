"""One process: its locks, its loops and threads, and its ear for messages."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any

from holdfast.core.lock_waiting import Locks
from holdfast.core.records import Recorder
from support.lock_world_port import LockPort
from support.lock_world_scenario import NAMES
from support.model.news import Subscriber

if TYPE_CHECKING:
    from support.lock_world import LockWorld


class LockProcess:
    """One process of a world. It is what handles stand on, too."""

    def __init__(self, world: LockWorld, number: int) -> None:
        places, chance = count(number * 100 + 10), world.chance
        self.number = number
        self.dead = False
        self.frozen = False
        self.troubled = False
        """Whether anything has happened to it for which it may lose a lock."""
        self.failures = 0
        """How often it was told that Redis could not be used."""
        self.clockwork = number * 100 + 1
        """The place of what recurs in threads."""
        self.new_place: Callable[[], int] = lambda: next(places)
        self.subscriber = Subscriber(number, world.published, rank=chance.random(), back_rank=chance.random() ** 3)
        world.subscribers.append(self.subscriber)
        world.watch.homes.append(self)
        self._world = world
        keeper = LockPort(world, self, self.clockwork, blocking=True)
        self._loop = LockPort(world, self, number * 100 + 2, blocking=False)
        self.ports = [keeper, self._loop]
        self.recorder = Recorder()
        self.keeper = Locks(self.recorder, NAMES, keeper)
        self.blocking: Any = keeper
        self.asyncio = self._loop
        self.grips: Any = {}

    def fail(self) -> None:
        """Note that Redis could not be used."""
        self.failures += 1
        self.troubled = True
        self._world.troubled()

    def port(self, place: str) -> LockPort:
        """Return the port of the loop, or one of a new thread."""
        if place == "loop":
            return self._loop
        port = LockPort(self._world, self, self.new_place(), blocking=True)
        self.ports.append(port)
        return port
