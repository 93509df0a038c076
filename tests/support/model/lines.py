"""The way of a command: sent, executed, answered; and all that can go wrong with it between two of these.

The commands of one connection are executed in order and answered in order; those of others come between any two of
them, also within a pipeline. On a cluster each slot has a connection of its own. A command that was given up may be
executed all the same, at any later time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from holdfast.commands import Command, Reply
from holdfast.errors import BackendError
from support.model.actors import Actor


@dataclass(eq=False, slots=True)
class Batch:
    """What one call of the port sent."""

    replies: list[Reply]
    sender: Actor | None
    left: int
    """How many replies are still to come."""
    error: BackendError | None = None

    @property
    def over(self) -> bool:
        """Whether the sender may go on."""
        return not self.left or self.error is not None


@dataclass(eq=False, slots=True)
class Sent:
    """One command on its way."""

    command: Command
    batch: Batch
    place: int
    """Of its reply among those of the batch."""


@dataclass(eq=False, slots=True)
class Line:
    """One connection. Executing its next command and bringing its next reply are chosen apart."""

    port: Any
    kept: bool
    """Whether it is used again."""
    rank: float
    back_rank: float
    outgoing: deque[Sent] = field(default_factory=deque)
    incoming: deque[Sent] = field(default_factory=deque)

    @property
    def is_idle(self) -> bool:
        """Whether nothing will happen on it any more."""
        return not (self.kept or self.outgoing or self.incoming)

    def answer(self) -> Batch:
        """Bring the next replies, all of one batch that are there."""
        batch = self.incoming[0].batch
        while self.incoming and self.incoming[0].batch is batch:
            self.incoming.popleft()
            batch.left -= 1
        if not batch.left and batch.sender is not None:
            batch.sender.wake()
        return batch

    def forget(self, batch: Batch) -> list[Sent]:
        """Drop a batch; return what of it had not been executed."""
        lost = [sent for sent in self.outgoing if sent.batch is batch]
        self.outgoing = deque(sent for sent in self.outgoing if sent.batch is not batch)
        self.incoming = deque(sent for sent in self.incoming if sent.batch is not batch)
        return lost


class Lines:
    """All connections of a world."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self.all: list[Line] = []

    def open(self, port: Any, *, kept: bool) -> Line:
        """Open a connection of a port."""
        line = Line(port, kept, self._chance.random(), self._chance.random())
        self.all.append(line)
        return line

    def tidy(self, line: Line) -> None:
        """Forget a connection if nothing will happen on it any more."""
        if line.is_idle:
            self.all.remove(line)

    def give_up(self, batch: Batch, error: BackendError) -> None:
        """Tell a sender that its commands failed; what was not executed is lost, or executed at some later time."""
        batch.error = error
        self._perhaps_later([sent for line in self.all for sent in line.forget(batch)])
        self.all = [line for line in self.all if not line.is_idle]
        if batch.sender is not None:
            batch.sender.wake()

    def drop(self, ports: Container[Any]) -> None:
        """Close the connections of ports that are no more."""
        lost = [line for line in self.all if line.port in ports]
        self.all = [line for line in self.all if line.port not in ports]
        for line in lost:
            self._perhaps_later(line.outgoing)

    def _perhaps_later(self, sent: Sequence[Sent]) -> None:
        if sent and self._chance.random() < 0.5:
            self.again(sent)

    def again(self, sent: Sequence[Sent]) -> None:
        """Put commands on their way that nobody waits for."""
        nobody = Batch([None] * len(sent), None, len(sent))
        line = Line(None, False, self._chance.random() ** 3, 0.5)  # rather late
        line.outgoing.extend(Sent(one.command, nobody, place) for place, one in enumerate(sent))
        self.all.append(line)
