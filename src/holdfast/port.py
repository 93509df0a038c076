"""What the core may ask of the world: Redis, the clock, chance, and waiting for another caller.

The core knows nothing else. There is one port for blocking code, whose coroutines never suspend, and one for asyncio;
tests bring their own with a fake clock or a recorder. Errors are those of `holdfast.errors`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, TypeAlias, TypeVar

from holdfast.commands import Command, Reply

T = TypeVar("T")

Cancel: TypeAlias = Callable[[], object]
"""Asks work that was started to stop; harmless once it has ended."""


class WaitOver(Exception):  # noqa: N818 - what happened; it never reaches a user
    """A result did not come as soon as the caller was ready to wait for it."""


class Port(Protocol):
    """One colour of access to one backend."""

    async def call(self, command: Command) -> Reply:
        """Send a command and return its reply.

        Raises:
            BackendUnavailable: it was not executed, or nobody knows.
            BackendTimeout: no answer in time.
            BackendError: Redis refused it.
        """
        ...

    async def pipeline(self, commands: Sequence[Command]) -> list[Reply]:
        """Send commands together and return their replies in order. Not a transaction.

        A refused command raises after all replies were read.
        """
        ...

    def now(self) -> float:
        """Return the wall clock in seconds since 1970. It decides freshness, never correctness."""
        ...

    def monotonic(self) -> float:
        """Return a clock that never jumps, in seconds."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Pause the caller."""
        ...

    def token(self) -> str:
        """Return 16 random characters, never the same twice."""
        ...

    def random(self) -> float:
        """Return a random number in [0, 1)."""
        ...

    def start(self, work: Coroutine[Any, Any, None], ended: Callable[[], object]) -> Cancel:
        """Run `work` apart from its caller, and return what cancels it.

        On asyncio a task of its own runs it, so that cancelling the caller does not. A blocking port runs it here
        and now: a thread cannot be cancelled from outside. `work` reports through a `Future`, not by raising; a
        `BaseException` that is not an `Exception` (Ctrl-C) does come out of the blocking port.

        Args:
            work: what to run.
            ended: called when `work` has ended in any way, even if it was cancelled before it began.
        """
        ...

    def place(self) -> int:
        """Name the thread in which the caller runs."""
        ...

    def lifeline(self) -> Callable[[], bool]:
        """Return what says, from any thread, whether work that is started here now can still go on."""
        ...

    def may_wait_for(self, place: int) -> bool:
        """Say whether waiting here for work that runs in `place` can ever end.

        A blocking caller must not wait for its own thread: for a load further up its stack, or for a task of the loop
        that it blocks.
        """
        ...

    async def wait(self, future: Future[T], patience: float | None) -> T:
        """Wait for a result, whatever the colour of who brings it; None waits for as long as it takes.

        Raises:
            WaitOver: the result did not come within `patience` seconds.
        """
        ...


class BlockingPort(Port, Protocol):
    """The port of blocking code, whose coroutines never suspend."""

    def call_now(self, command: Command) -> Reply:
        """Do what `call` does, without a coroutine."""
        ...
