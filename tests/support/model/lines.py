"""The way of a command: sent, executed, answered; and all that can go wrong with it between two of these.

The commands of one connection are executed in order and answered in order; those of others come between any two of
them, also within a pipeline. On a cluster each slot has a connection of its own. A command that was given up may be
executed all the same, at any later time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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
    error: BackendError | None = None
    items: list[Sent] = field(default_factory=list)

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
    line: Line
    executed: bool = False


@dataclass(eq=False, slots=True)
class Line:
    """One connection. `execute` and `answer` are chosen apart."""

    home: Any
    outgoing: deque[Sent] = field(default_factory=deque)
    incoming: deque[Sent] = field(default_factory=deque)
    kept: bool = False
    """Whether it is used again."""
    rank: float = 0.0
    back_rank: float = 0.0

    def execute(self, redis: Callable[[Command], Reply]) -> Sent:
        """Have the next command executed."""
        sent = self.outgoing.popleft()
        sent.batch.replies[sent.place] = redis(sent.command)
        sent.executed = True
        self.incoming.append(sent)
        return sent

    def answer(self) -> Batch:
        """Bring the next replies, all of one batch that are there."""
        batch = self.incoming[0].batch
        while self.incoming and self.incoming[0].batch is batch:
            self.incoming.popleft()
            batch.left -= 1
        if not batch.left and batch.sender is not None:
            batch.sender.wake()
        return batch

    def give_up(self, batch: Batch) -> list[Sent]:
        """Forget a batch, whose sender is told that it failed; return what had not been executed."""
        lost = [sent for sent in self.outgoing if sent.batch is batch]
        for sent in lost:
            self.outgoing.remove(sent)
        for sent in [sent for sent in self.incoming if sent.batch is batch]:
            self.incoming.remove(sent)
        return lost


def unsent_copy(sent: Sequence[Sent]) -> Line:
    """Return a connection on which commands are executed once more, or after all, for nobody."""
    line = Line(None)
    nobody = Batch([None] * len(sent), None, len(sent))
    line.outgoing.extend(Sent(one.command, nobody, place, line) for place, one in enumerate(sent))
    return line
