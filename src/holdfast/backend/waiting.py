"""Those who wait at a multiplexed connection: for replies of a pipeline, for a reply in common, for room to send."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from holdfast.backend.failures import WireBroken
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
        """Those who wait, and some who were cancelled meanwhile."""

    async def wait(self) -> None:
        """Queue up, and return when invited."""
        turn: asyncio.Future[None] = self._loop.create_future()
        self.queue.append(turn)
        self.admit()
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
