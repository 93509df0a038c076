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


Promise: TypeAlias = Future[Any]
"""What work that was started apart from its caller brings; `Port.wait` waits for it."""


def promise() -> Promise:
    """Return a promise that nobody has kept yet."""
    return Future()


class Listener(Protocol):
    """Hears what is published under a topic.

    Every method may be called from any thread; it must be quick and must not block. What it raises is logged.
    """

    def up(self) -> None:
        """Note that the subscription is confirmed (again): whatever was published before may have been missed."""
        ...

    def down(self) -> None:
        """Note that the subscription was lost; `up` tells when it is back.

        In a forked child it is called before any other code there, while locks that other threads of the parent held
        are still locked. The subscription of a child comes back when somebody subscribes there.
        """
        ...

    def heard(self, topic: str, message: bytes) -> None:
        """Take one message.

        Args:
            topic: the channel on which it was published, not the pattern that matched it.
            message: what was published.
        """
        ...


class KeyListener(Listener, Protocol):
    """Hears of changes of keys as well, by whoever makes them, where the server can tell of them."""

    def changed(self, key: str) -> None:
        """Note that a key was written, deleted, evicted, or that it expired."""
        ...

    def flushed(self) -> None:
        """Note that any key may have changed: the database was emptied."""
        ...


class WaitOver(Exception):  # noqa: N818 - what happened; it never reaches a user
    """A result did not come as soon as the caller was ready to wait for it."""


class Port(Protocol):
    """One colour of access to one backend."""

    async def call(self, command: Command) -> Reply:
        """Send a command and return its reply.

        Raises:
            BackendUnavailable: it was not executed, or nobody knows.
            BackendTimeout: no answer in time: that of the connection, or the command's own patience.
            BackendError: Redis refused it.
        """
        ...

    async def pipeline(self, commands: Sequence[Command]) -> list[Reply]:
        """Send commands together and return their replies in order. Not a transaction.

        A refused command raises after all replies were read. The patience of the least patient command holds for all.

        If one of them blocks on purpose, such as `wait_for_replicas`, all go over a connection of their own, opened for
        them and closed after: so it waits for those before it, and nobody else is held up. If one of these came to the
        wrong server, of a cluster say, none is sent again: `BackendUnavailable`, and the next try goes right.
        """
        ...

    async def outcomes(self, commands: Sequence[Command]) -> list[Reply]:
        """Send commands together as `pipeline` does, and return what came of each: a reply, or a `BackendError`.

        For who has to make up for what some nodes of a cluster have done when others fail. Who needs all replies or
        none uses `pipeline`.

        Raises:
            BackendError: nothing was sent.
        """
        ...

    async def together(self, calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        """Run calls, at once where the colour can, and return their results in order.

        On asyncio each has a task of its own. A blocking port runs one after the other, in this order. If one raises,
        or the caller is cancelled, the others are cancelled and waited for, or never begun; what it raised comes out.
        """
        ...

    async def steps(self, *steps: Sequence[Command]) -> list[Reply]:
        """Send groups of commands so that each group is executed after the one before it; return all replies in order.

        On one server that is one pipeline, on a cluster one a group. A refused command raises; later groups may not
        have been sent then. The patience of the least patient command holds for all groups together.
        """
        ...

    def slots(self, keys: Sequence[str]) -> Sequence[int]:
        """Return a number for each key; only keys with the same number may be in one script or transaction.

        On a cluster it is the key's hash slot, elsewhere 0 for all of them.
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

    def spawn(self, work: Coroutine[Any, Any, None], ended: Callable[[], object]) -> Cancel:
        """Run `work` beside its caller, never in the caller's thread; return what asks it to stop.

        On asyncio it is like `start`. A blocking port runs it in a thread of its own, with a copy of the caller's
        context; such a thread cannot be cancelled. `work` reports through a `Future`; what it raises all the same is
        logged. Closing the backend, or the end of the interpreter, waits a while for it.

        Args:
            work: what to run.
            ended: called when `work` has ended in any way, even if it was cancelled before it began.
        """
        ...

    def afterwards(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do what is left to do when the caller has been cancelled or interrupted: here, or soon in its loop.

        The loop may be about to end; it is done as long as it still runs a little, and who closes the backend waits for
        it. `work` must be short, a call or two to Redis.

        Args:
            work: makes the coroutine.

        Raises:
            RuntimeError: there is no loop to do it in.
        """
        ...

    def free_hands(self) -> bool:
        """Say whether `spawn` may be asked for more: background work that nobody waits for must stay bounded."""
        ...

    def every(self, seconds: float, work: Callable[[], Coroutine[Any, Any, bool]]) -> Cancel:
        """Run `work()` again and again, for the first time after `seconds`; return what ends that.

        It ends when `work` returns False or raises, which is logged, or when it is cancelled. One run follows the
        other: the pause between two of them is `seconds`. On a blocking port all such work shares one thread, so it
        must be short: a few calls to Redis, never the user's code.

        Args:
            seconds: the pause before each run.
            work: makes the coroutine of one run, which returns whether there is to be another.
        """
        ...

    def subscribe(self, topic: str, listener: Listener, *, pattern: bool = False) -> Cancel:
        """Tell `listener` of what is published under a topic; return at once with what ends that.

        Nothing is heard before `listener.up()`, and nothing between `down()` and the next `up()`. All subscriptions of
        a process share one connection. The returned function may be called from any thread, and more than once.

        Args:
            topic: the channel, or the pattern of channels.
            listener: what to tell. It is held until the subscription ends.
            pattern: whether `topic` is a pattern, as PSUBSCRIBE understands it.
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
