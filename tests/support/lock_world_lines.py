"""The way of a command to Redis and back, on which it may be held up until an instant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from holdfast.errors import BackendError, BackendTimeout, BackendUnavailable
from support.model.lines import Batch, Line, Lines, Sent

if TYPE_CHECKING:
    from support.lock_world import LockWorld

Way: TypeAlias = Literal["out", "in"]
LATEST: Final = 1.0
"""Seconds after which a take is executed at the latest that its sender has given up: sooner than its lease ends."""
LATER: Final = 5.0
"""The same of what gives back or renews, which must do no harm at any time."""


class LockLines(Lines):
    """All connections of a world."""

    def __init__(self, world: LockWorld) -> None:
        super().__init__(world.chance)
        self._world = world
        self._held_up: dict[tuple[Line, Way], float] = {}

    def hold_up(self, line: Line, way: Way, until: float) -> None:
        """Let nothing pass until an instant."""
        self._held_up[line, way] = until
        self._world.troubled(until)

    def passes(self, line: Line, way: Way) -> bool:
        """Say whether what is on its way goes on."""
        return self._held_up.get((line, way), 0.0) <= self._world.time

    def dues(self) -> list[float]:
        """Return when what is held up goes on."""
        self._held_up = {
            key: until for key, until in self._held_up.items() if until > self._world.time and key[0] in self.all
        }
        return [
            until for (line, way), until in self._held_up.items() if (line.outgoing if way == "out" else line.incoming)
        ]

    def give_up(self, batch: Batch, error: BackendError) -> None:
        """Tell a sender that its commands failed. Those that were not executed are lost, unless it was for the time."""
        if not isinstance(error, BackendTimeout) or self._world.away:
            for line in self.all:
                line.forget(batch)
        super().give_up(batch, error)

    def cut_off(self) -> None:
        """Break all connections: of what was sent, nobody knows whether it was executed."""
        batches = {sent.batch: None for line in self.all for sent in (*line.outgoing, *line.incoming)}
        for batch in batches:
            self.give_up(batch, BackendUnavailable("cut off"))
        self.all = [line for line in self.all if line.kept]

    def again(self, sent: Sequence[Sent]) -> None:
        """Put commands on their way that nobody waits for; they take their time."""
        super().again(sent)
        latest = LATEST if any(one.command.name.startswith("take") for one in sent) else LATER
        self.hold_up(self.all[-1], "out", self._world.time + self._chance.random() * latest)
