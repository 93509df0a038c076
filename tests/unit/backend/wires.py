"""Wires that do what the test says."""

from __future__ import annotations

import threading
from collections.abc import Callable

from holdfast.backend.deadline import Deadline
from holdfast.commands import Command


class FakeWire:
    """A wire that counts, and runs a function in the middle of an exchange."""

    def __init__(self, number: int, during: Callable[[Command], object]) -> None:
        self.number = number
        self._during = during
        self.command: Command | None = None
        self.thread = 0
        self.since = 0.0
        self.generation = 0
        self.busy = threading.Lock()
        self.stale = False
        self.closed = 0

    def ask(self, command: Command, deadline: Deadline | None = None) -> object:
        assert self.busy.acquire(blocking=False), "two threads use one wire"
        assert not self.closed, "a closed wire is used"
        try:
            self._during(command)
        finally:
            self.busy.release()
        return self.number

    def ask_all(self, commands: list[Command], deadline: Deadline | None = None) -> list[object]:
        return [self.ask(command) for command in commands]

    def is_stale(self) -> bool:
        return self.stale

    def close(self) -> None:
        self.closed += 1


class Makers:
    """Makes fake wires and keeps them."""

    def __init__(self, during: Callable[[Command], object] = lambda _: None) -> None:
        self.made: list[FakeWire] = []
        self._during = during
        self.fail: Exception | None = None

    def __call__(self) -> FakeWire:
        if self.fail is not None:
            raise self.fail
        self.made.append(FakeWire(len(self.made), self._during))
        return self.made[-1]
