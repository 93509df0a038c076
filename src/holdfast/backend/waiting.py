"""Those who wait at a multiplexed connection: for replies of a pipeline, for a common reply, for room, not for long."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from holdfast.backend.deadline import Deadline
from holdfast.backend.failures import WireBroken, too_late
from holdfast.commands import Reply


class Batch:
    """Collects the replies of a pipeline; stands in the queue once for each of its commands."""

    __slots__ = ("_count", "_future", "_replies")

    def __init__(self, future: asyncio.Future[list[Reply]], count: int) -> None:
        self._future = future
        self._count = count
        self._replies: list[Reply] = []

    def done(self) -> bool:
        """Say whether nobody waits for it any more."""
        return self._future.done()

    def set_result(self, reply: Reply) -> None:
        """Take the next reply; the last one completes it."""
        self._replies.append(reply)
        if len(self._replies) == self._count:
            self._future.set_result(self._replies)

    def set_exception(self, error: WireBroken) -> None:
        """Fail it as a whole."""
        self._future.set_exception(error)


class Shared:
    """Gives one reply to several callers that asked the same in the same tick."""

    __slots__ = ("_futures",)

    def __init__(self, *futures: asyncio.Future[Reply]) -> None:
        self._futures = list(futures)

    def join(self, future: asyncio.Future[Reply]) -> None:
        """Add a caller."""
        self._futures.append(future)

    def done(self) -> bool:
        """Say whether nobody waits for it any more."""
        return all(future.done() for future in self._futures)

    def set_result(self, reply: Reply) -> None:
        """Give the reply to all."""
        for future in self._futures:
            if not future.done():
                future.set_result(reply)

    def set_exception(self, error: WireBroken) -> None:
        """Tell all of the failure."""
        for future in self._futures:
            if not future.done():
                future.set_exception(error)


class Room:
    """A queue at the door. Who is at its head is invited as soon as there is a vacancy, and then comes in by himself.

    An invitation that is not taken up, since its holder was cancelled, passes to the next.
    """

    __slots__ = ("_invited", "_loop", "_vacancies", "queue")

    def __init__(self, loop: asyncio.AbstractEventLoop, vacancies: Callable[[], int]) -> None:
        self._loop = loop
        self._vacancies = vacancies
        self._invited = 0
        self.queue: deque[asyncio.Future[None]] = deque()
        """Those who wait, and some who were cancelled or ran out of time meanwhile."""

    async def wait(self, deadline: Deadline | None) -> None:
        """Queue up, and return when invited."""
        turn: asyncio.Future[None] = self._loop.create_future()
        self.queue.append(turn)
        self.admit()
        if deadline is not None:
            self._loop.call_later(deadline.left(), _send_away, turn, deadline, time.monotonic())
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._invited -= 1
                self.admit()
            raise
        self._invited -= 1

    def admit(self) -> None:
        """Invite as many as there are vacancies."""
        free = self._vacancies() - self._invited
        while self.queue and free > 0:
            turn = self.queue.popleft()
            if not turn.done():
                free -= 1
                self._invited += 1
                turn.set_result(None)


def _send_away(turn: asyncio.Future[None], deadline: Deadline, since: float) -> None:
    if not turn.done():
        turn.set_exception(too_late(deadline, sent=False, fair=deadline.was_fair(since)))


class Hurried:
    """Those who wait for a reply until a deadline. One timer a connection watches them, not one a command.

    As a rule all have the same patience, so that deadlines come in the order of the commands. Whoever is less patient
    than somebody before has a timer of his own. No timer is cancelled when a reply comes in time: a call is cheaper.
    """

    __slots__ = ("_alarm", "_loop", "_queue", "_run_out")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, run_out: Callable[[asyncio.Future[Any], int, Deadline], None]
    ) -> None:
        """Begin with nobody.

        Args:
            loop: where they wait.
            run_out: is told of each whose deadline is over, with the number of his command; he may be answered.
        """
        self._loop = loop
        self._run_out = run_out
        self._queue: deque[tuple[asyncio.Future[Any], int, Deadline, float]] = deque()
        """The deadline's moment is noted apart: it may be put off meanwhile, and nobody waits behind that."""
        self._alarm: asyncio.TimerHandle | None = None

    def add(self, future: asyncio.Future[Any], number: int, deadline: Deadline) -> None:
        """Watch over a wait that has just begun."""
        queue = self._queue
        if queue and deadline.at < queue[-1][3]:
            self._loop.call_later(deadline.left(), self._run_out, future, number, deadline)
            return
        queue.append((future, number, deadline, deadline.at))
        if self._alarm is None:
            self._alarm = self._loop.call_later(deadline.left(), self._ring)

    def _ring(self) -> None:
        self._alarm = None
        queue = self._queue
        while queue:
            future, number, deadline, at = queue[0]
            if not future.done() and (left := at - time.monotonic()) > 0:
                self._alarm = self._loop.call_later(left, self._ring)
                return
            queue.popleft()
            if not future.done():
                self._run_out(future, number, deadline)

    def forget(self) -> None:
        """Stop watching: nobody waits any more."""
        self._queue.clear()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
