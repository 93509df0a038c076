"""Several locks as whoever holds them sees them, in both colours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self

from holdfast._calls import drive
from holdfast.errors import BackendError, LockLost
from holdfast.lock_handles import Ground, Held, note_entered, note_left
from holdfast.port import Port
from holdfast.typing import Duration


class MultiHeld:
    """Several locks that are held together."""

    __slots__ = ("_ground", "held")

    def __init__(self, ground: Ground, held: Sequence[Held]) -> None:
        self._ground = ground
        self.held: tuple[Held, ...] = tuple(held)
        """The locks, in the order of their names."""

    @property
    def parts(self) -> tuple[Held, ...]:
        """The locks. For the modules of holdfast only."""
        return self.held

    @property
    def fencing_tokens(self) -> dict[str, int]:
        """The fencing token of each name, see `Held.fencing_token`."""
        return {each.name: each.fencing_token for each in self.held}

    @property
    def lost(self) -> bool:
        """Whether one of them is lost."""
        return any(each.lost for each in self.held)

    @property
    def remaining(self) -> float:
        """Seconds for which all of them are certainly held if nobody renews them."""
        return min(each.remaining for each in self.held)

    def check(self) -> None:
        """Raise `LockLost` if one of them is not held any more, as far as this process knows."""
        for each in self.held:
            each.check()

    def extend(self, lease: Duration | None = None) -> None:
        """Let all of them last for `lease` from now; see `Held.extend`."""
        for each in self.held:
            each.extend(lease)

    async def aextend(self, lease: Duration | None = None) -> None:
        """Do what `extend` does, for async callers."""
        for each in self.held:
            await each.aextend(lease)

    def release(self) -> None:
        """Give all of them back, also if one is lost; then raise what was the first error, see `Held.release`."""
        drive(self._leave_all(self._ground.blocking, lambda each: each.release_on(self._ground.blocking)))

    async def arelease(self) -> None:
        """Do what `release` does, for async callers."""
        await self._leave_all(self._ground.asyncio, lambda each: each.release_on(self._ground.asyncio))

    async def leave_block(self, port: Port, error: BaseException | None) -> None:
        """Give all of them back at the end of a block. For the modules of holdfast only."""
        await self._leave_all(port, lambda each: each.leave_block(port, error))

    async def _leave_all(self, port: Port, leave: Callable[[Held], Awaitable[None]]) -> None:
        error: Exception | None = None
        left = list(self.held)
        try:
            while left:
                try:
                    await leave(left[-1])
                except (LockLost, BackendError) as raised:
                    error = error or raised
                left.pop()
        except BaseException:  # the others are given back all the same
            for each in left:
                each.release_at_last(port)
            raise
        if error is not None:
            raise error

    def told_of_loss(self, told: Callable[[], object]) -> None:
        """Have `told` called when one of them is lost. For the modules of holdfast only."""
        for each in self.held:
            each.told_of_loss(told)

    def told_no_more(self, told: Callable[[], object]) -> None:
        """Have `told` not called any more. For the modules of holdfast only."""
        for each in self.held:
            each.told_no_more(told)

    def __enter__(self) -> Self:
        self.check()
        note_entered(self.held)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        note_left(self.held)
        drive(self.leave_block(self._ground.blocking, error))

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        note_left(self.held)
        await self.leave_block(self._ground.asyncio, error)

    def __repr__(self) -> str:
        return f"<MultiHeld {', '.join(repr(each) for each in self.held)}>"
