"""Locks as whoever holds them sees them, in both colours."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Protocol, Self
from weakref import ref

from holdfast._calls import drive
from holdfast.core.held_lock import Hold
from holdfast.core.records import Recorder
from holdfast.errors import BackendError, LockError, LockLost
from holdfast.lock_terms import lease_seconds
from holdfast.port import BlockingPort, Port
from holdfast.typing import Duration


class Keeper(Protocol):
    """What can say of a lock whether it is held, extend it and give it back: one Redis, or several that vote."""

    process: object
    """Stands for this process: another one in a forked child."""

    async def release(self, port: Port, hold: Hold) -> None:
        """Give a lock back; see `HeldLocks.release`."""
        ...

    def release_at_last(self, port: Port, hold: Hold) -> None:
        """Give a lock back for a caller who was cancelled or interrupted."""
        ...

    async def extend(self, port: Port, hold: Hold, seconds: float) -> None:
        """Let a lock last `seconds` from now."""
        ...

    def check(self, hold: Hold) -> None:
        """Raise `LockLost` if a lock is not held any more."""
        ...


class Grip:
    """That an owner holds a lock, and how often it has entered it."""

    __slots__ = ("count", "owner")

    def __init__(self, owner: object) -> None:
        self.owner = owner
        self.count = 1


class Ground(Protocol):
    """What locks stand on: an engine, or several layers that vote."""

    @property
    def recorder(self) -> Recorder:
        """Where events are told."""
        ...

    @property
    def keeper(self) -> Keeper:
        """What keeps the locks."""
        ...

    @property
    def blocking(self) -> BlockingPort:
        """The port of threads."""
        ...

    @property
    def asyncio(self) -> Port:
        """The port of tasks."""
        ...


class Held:
    """A lock that is held. It can be given back by any thread or task, and is a context manager that does so."""

    __slots__ = ("__weakref__", "_grip", "_ground", "_hold", "_to_leave")

    def __init__(self, ground: Ground, hold: Hold, grip: Grip | None = None) -> None:
        self._ground = ground
        self._hold = hold
        self._grip = grip
        self._to_leave = [True]

    @property
    def parts(self) -> tuple[Held, ...]:
        """The handle itself. For the modules of holdfast only."""
        return (self,)

    @property
    def name(self) -> str:
        """What the lock is called."""
        return self._hold.claim.name

    @property
    def token(self) -> str:
        """What this acquisition is called in Redis; no other has the same."""
        return self._hold.token

    @property
    def fencing_token(self) -> int:
        """A number that grows with each acquisition of this name.

        Give it along to the resource that the lock protects; one that remembers the greatest it has seen, and refuses
        smaller ones, is safe from holders that have lost the lock without knowing.
        """
        return self._hold.fence

    @property
    def lost(self) -> bool:
        """Whether somebody else may hold it now, as far as this process knows, though it was not given back."""
        return self._hold.lost or self._is_foreign()

    @property
    def remaining(self) -> float:
        """Seconds for which it is certainly held if nobody renews it, 0 once it is lost or given back."""
        return 0.0 if not self._to_leave or self._is_foreign() else self._hold.remaining

    def _is_foreign(self) -> bool:
        """Say whether it belongs to the process that this one was forked from."""
        return not self._hold.is_of(self._ground.keeper.process)

    def check(self) -> None:
        """Raise if it is not held any more, as far as this process knows. It asks nobody, and costs next to nothing.

        Raises:
            LockLost: it was lost, or given back.
        """
        self._ground.keeper.check(self._hold)

    def extend(self, lease: Duration | None = None) -> None:
        """Let it last for `lease` from now, and as long after each renewal from then on.

        Args:
            lease: None is as long as before.

        Raises:
            LockLost: it is not held any more.
            BackendError: Redis cannot be reached: whether it lasts longer is not known.
        """
        drive(self._extend(self._ground.blocking, lease))

    async def aextend(self, lease: Duration | None = None) -> None:
        """Do what `extend` does, for async callers."""
        await self._extend(self._ground.asyncio, lease)

    async def _extend(self, port: Port, lease: Duration | None) -> None:
        length = self._hold.seconds if lease is None else lease_seconds(lease)
        await self._ground.keeper.extend(port, self._hold, length)

    def release(self) -> None:
        """Give it back. A second time does nothing.

        Raises:
            LockLost: it was not held any more: somebody else may have held it meanwhile.
            BackendError: Redis cannot be reached. It is tried again in the background, and may be repeated here.
        """
        drive(self.release_on(self._ground.blocking))

    async def arelease(self) -> None:
        """Do what `release` does, for async callers."""
        await self.release_on(self._ground.asyncio)

    async def release_on(self, port: Port) -> None:
        """Give it back over a port. For the modules of holdfast only."""
        try:
            lets_go = self._lets_go()
            if lets_go:
                await self._ground.keeper.release(port, self._hold)
        except Exception:
            raise
        except BaseException:  # interrupted between two steps: it is held no more, unless it was entered again
            if self._grip is None or not self._grip.count:
                self._ground.keeper.release_at_last(port, self._hold)
            raise
        if lets_go:
            return
        if self._grip is not None and self._grip.count and self._hold.lost:
            self.check()  # whoever has entered it again learns of it, too

    def release_at_last(self, port: Port) -> None:
        """Give it back for a caller who was cancelled or interrupted. For the modules of holdfast only."""
        if self._lets_go():
            self._ground.keeper.release_at_last(port, self._hold)

    def _lets_go(self) -> bool:
        """Say whether the lock itself is to be given back: not by whoever has entered it again."""
        try:
            self._to_leave.pop()  # two threads may be here at once
        except IndexError:
            return self._hold.in_doubt
        grip = self._grip
        if grip is None:
            return True
        grip.count -= 1
        return not grip.count

    def again(self, ground: Ground, key: str, owner: object) -> Held | None:
        """Return another handle if this is how an owner holds a lock now. For the modules of holdfast only.

        Args:
            ground: what the lock stands on.
            key: its key in Redis.
            owner: the task or thread.
        """
        grip, hold = self._grip, self._hold
        if grip is None or grip.owner is not owner or ground is not self._ground or hold.claim.places.held != key:
            return None
        if hold.is_left or hold.lost or self._is_foreign():
            return None
        return Held(ground, hold, grip)

    def enter_again(self) -> Held:
        """Count one more entry of its owner, and return the handle. For the modules of holdfast only."""
        if self._grip is not None:
            self._grip.count += 1
        return self

    async def leave_block(self, port: Port, error: BaseException | None) -> None:
        """Give it back at the end of a block, whose own error comes first. For the modules of holdfast only.

        A Redis that cannot be reached is no error of the block: it was told, and the lock is given back later.
        """
        if self._is_foreign():
            return
        try:
            await self.release_on(port)
        except LockLost:
            if error is None:
                raise
        except BackendError:
            return

    def told_of_loss(self, told: Callable[[], object]) -> None:
        """Have `told` called, in any thread, when it is lost. For the modules of holdfast only."""
        self._hold.on_loss.append(told)
        if self._hold.lost:
            told()

    def told_no_more(self, told: Callable[[], object]) -> None:
        """Have `told` not called any more. For the modules of holdfast only."""
        if told in self._hold.on_loss:
            self._hold.on_loss.remove(told)

    def __enter__(self) -> Self:
        self.check()
        note_entered((self,))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        note_left((self,))
        drive(self.leave_block(self._ground.blocking, error))

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        note_left((self,))
        await self.leave_block(self._ground.asyncio, error)

    def __reduce__(self) -> str:
        """Refuse to be copied or pickled: a second handle would give back what the first one holds."""
        msg = f"{self!r} belongs to this process: pass on its name, its token, or its fencing_token"
        raise TypeError(msg)

    def __repr__(self) -> str:
        state = "given back" if not self._to_leave else "lost" if self.lost else "held"
        return f"<Held {self._hold.claim.what} {self._hold.claim.title}, {state}>"


_blocks: ContextVar[tuple[Held, ...]] = ContextVar("holdfast_held", default=())
"""What is held in the blocks around."""
_by_hand: ContextVar[tuple[ref[Held], ...]] = ContextVar("holdfast_held_by_hand", default=())
"""What was acquired by hand and may be entered again. Weak: what nobody keeps must not be renewed."""


def current_lock() -> Held:
    """Return the lock of the innermost block, or function with `locked`, around the caller.

    In a block of several locks it is the last of them.

    Example:
        >>> from holdfast import Layer, current_lock
        >>> layer = Layer("memory://current-lock-example")
        >>> @layer.locked("import")
        ... def load() -> bool:
        ...     return current_lock().lost
        >>> load()
        False

    Raises:
        LockError: there is none.
    """
    held = _blocks.get()
    if not held:
        msg = "no lock is held around this code: call current_lock() in a block of a lock, or under @locked"
        raise LockError(msg)
    return held[-1]


def held_already(ground: Ground, key: str, owner: object) -> Held | None:
    """Return a handle of what an owner holds in this context: nobody but the owner himself could give it back.

    A thread of a pool runs in many contexts, one after the other and in turns. What it holds in one of them is not its
    own in another one.
    """
    for held in (*_blocks.get(), *(each() for each in _by_hand.get())):
        found = None if held is None else held.again(ground, key, owner)
        if found is not None:
            return found
    return None


def note_entered(held: tuple[Held, ...]) -> None:
    """Note that a block begins, in this context."""
    _blocks.set(_blocks.get() + held)


def note_left(held: tuple[Held, ...]) -> None:
    """Note that a block is left; in another context than where it was entered there is nothing to do."""
    known = _blocks.get()
    if held[0] in known:
        _blocks.set(tuple(each for each in known if each not in held))


def note_acquired(held: Held) -> None:
    """Note what was acquired by hand and may be entered again, in this context."""
    known = [each for each in _by_hand.get() if (other := each()) is not None and other.remaining]
    _by_hand.set((*known, ref(held)))
