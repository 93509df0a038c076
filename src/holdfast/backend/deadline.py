"""How long the caller of a command is ready to wait, all in all.

A deadline is made once, when the call begins, and handed down to whatever may wait on its behalf: for a connection,
for the map of a cluster, for room, for the reply. Nothing below the port starts a time of its own. What a busy process
takes of it is not the server's: it is put off by as much.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from time import monotonic
from typing import Final

from holdfast.commands import Command

_LEAST_WAIT: Final = 0.001
"""Seconds; all zeros would mean for ever to the kernel, and a reply that is here already shall be seen."""
_TICK: Final = 0.01
_DAY: Final = 86400.0
_LAG: Final = 0.05
"""Seconds by which a machine under load may wake somebody too late."""


class Deadline:
    """The moment at which a caller gives up."""

    __slots__ = ("_due", "at", "granted")

    def __init__(self, granted: float) -> None:
        """Begin to count.

        Args:
            granted: seconds from now.
        """
        self.granted = granted
        self.at = self._due = monotonic() + granted

    def left(self) -> float:
        """Return the seconds that are left, less than nothing when it is over."""
        return self.at - monotonic()

    def is_over(self) -> bool:
        """Say whether it is over, or so nearly that only the tick of a kernel's clock is left."""
        return self.at - monotonic() <= _TICK

    def cap(self, wait: float) -> float:
        """Return how long to wait for something that nobody waits longer for than `wait` seconds.

        It is rounded up to whole milliseconds, so that a wire that was set to a command's patience fits the next one.
        """
        return min(wait, max(_LEAST_WAIT, math.ceil((self.at - monotonic()) * 1000) / 1000))

    def put_off(self, seconds: float) -> None:
        """Let the caller wait on for as long as this process, not the server, has held him up.

        Several who were held up at the same time, on connections to several nodes say, put it off once.

        Args:
            seconds: how long he was held up.
        """
        self.at = max(self.at, self._due + seconds)

    def put_off_if_late(self) -> bool:
        """Let a caller who was woken late wait on for as long again, at most as long as he was granted; say if he may.

        For who cannot say what kept him: while he slept, what he waits for may have slept as well.
        """
        late = -self.left()
        if late <= _TICK:
            return False
        self.at += late + min(late, self.granted)
        return True

    def half(self) -> Deadline:
        """Return one for something on the way: it leaves half of the time for the question itself."""
        return Deadline(max(0.0, self.left()) / 2)

    def was_fair(self, since: float) -> bool:
        """Say whether a server that has been asked and let the deadline pass is to blame for that.

        It is not if the caller had used up most of the time before, in a queue say, or if this process stood
        still, so that it noticed late: the server may have stood still with it.

        Args:
            since: when the server was asked, by the monotonic clock.
        """
        return (self.at - since) * 2 >= self.granted and -self.left() <= max(_LAG, self.granted / 2)


def held_back(commands: Sequence[Command]) -> float | None:
    """Return for how many seconds replies to commands may be held back on purpose, all in all; None if none is.

    Where there is no limit, it is a day: after that a connection counts as dead.
    """
    pauses = [command.blocks for command in commands if command.blocks is not None]
    if not pauses:
        return None
    return sum(pauses) if all(pauses) else _DAY


def deadline_of(commands: Sequence[Command]) -> Deadline | None:
    """Return the deadline of several commands that are sent together: that of the least patient one."""
    granted = [command.patience for command in commands if command.patience is not None]
    return Deadline(min(granted)) if granted else None
