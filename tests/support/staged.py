"""A world that a test directs, as one layer sees it: Redis goes away, sleeps end at once, what recurs is run by hand.

For tests of what is done then; how an outage is noticed, and how long things take, is tested with real servers.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from holdfast import BackendTimeout, BackendUnavailable, Layer
from holdfast.commands import Command, Reply
from support.calls import named


class Stage:
    """Stands between a layer and its world, from now on.

    Args:
        layer: whose world it is.
        timeless: whether sleeps end at once and nothing recurs by itself.
    """

    def __init__(self, layer: Layer, *, timeless: bool = False) -> None:
        self.timeless = timeless
        self.is_away = False
        self.ahead = 0.0
        """Seconds by which the clock that never jumps is ahead: time that has passed for the layer, not for Redis."""
        self.sent: list[str] = []
        """The names of commands that were sent, but not those of one that failed."""
        self.interrupts: dict[str, BaseException] = {}
        """What to raise, once, instead of the reply to a command, by its name; the command is executed."""
        self.loses: set[str] = set()
        """The names of commands whose next reply does not come in time; the command is executed."""
        self.slept: list[float] = []
        """Seconds of each sleep."""
        self.in_sleep: Callable[[], object] = lambda: None
        """What happens during a sleep; it may raise."""
        self.recurring: list[tuple[float, Callable[[], Coroutine[Any, Any, bool]]]] = []
        """What would recur: its pause, and its work."""
        engine = layer.engine
        engine.blocking = _Staged(engine.blocking, self)  # type: ignore[assignment]
        engine.asyncio = _Staged(engine.asyncio, self)  # type: ignore[assignment]

    @contextmanager
    def away(self) -> Iterator[None]:
        """Let every command fail during the block."""
        self.is_away = True
        try:
            yield
        finally:
            self.is_away = False


class _Staged:
    """A port that does as the stage says."""

    def __init__(self, port: Any, stage: Stage) -> None:
        self._port = port
        self._stage = stage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    def call_now(self, command: Command) -> Reply:
        self._check(command)
        reply = self._port.call_now(command)
        self._interrupt(command)
        return reply

    async def call(self, command: Command) -> Reply:
        self._check(command)
        reply = await self._port.call(command)
        self._interrupt(command)
        return reply

    async def pipeline(self, commands: Sequence[Command]) -> list[Reply]:
        self._check(commands[0])
        replies: list[Reply] = await self._port.pipeline(commands)
        for command in commands:
            self._interrupt(command)
        return replies

    async def outcomes(self, commands: Sequence[Command]) -> list[Reply]:
        self._check(commands[0])
        outcomes: list[Reply] = await self._port.outcomes(commands)
        for command in commands:
            self._interrupt(command)
        return outcomes

    def monotonic(self) -> float:
        now: float = self._port.monotonic()
        return now + self._stage.ahead

    async def sleep(self, seconds: float) -> None:
        self._stage.slept.append(seconds)
        self._stage.in_sleep()
        if self._stage.timeless:
            self._stage.ahead += seconds
        else:
            await self._port.sleep(seconds)

    def every(self, seconds: float, work: Callable[[], Coroutine[Any, Any, bool]]) -> Callable[[], object]:
        if not self._stage.timeless:
            cancel: Callable[[], object] = self._port.every(seconds, work)
            return cancel
        entry = (seconds, work)
        self._stage.recurring.append(entry)
        return lambda: entry in self._stage.recurring and self._stage.recurring.remove(entry)

    def _check(self, command: Command) -> None:
        if self._stage.is_away:
            msg = f"{command.name}: Redis is away"
            raise BackendUnavailable(msg)

    def _interrupt(self, command: Command) -> None:
        self._stage.sent.append(named(command))
        if named(command) in self._stage.loses:
            self._stage.loses.remove(named(command))
            msg = f"{command.name}: no answer in time"
            raise BackendTimeout(msg)
        error = self._stage.interrupts.pop(named(command), None)
        if error is not None:
            raise error
