"""Stops between the instants of a command: before it is sent, and before its reply is handled.

A proxy holds bytes of every connection of a server; this holds single commands of one layer, so that another command of
the same layer can overtake them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

from holdfast import Layer
from holdfast._calls import drive
from holdfast.commands import Command, Reply
from support.calls import named


class Points:
    """The points of a layer. ``"fill"`` is the instant before a fill is sent, ``"fill!"`` the one before its reply.

    Several commands in one pipeline come to the points of the first.
    """

    def __init__(self, layer: Layer) -> None:
        self._gates: dict[str, threading.Event] = {}
        self._stopped: dict[str, threading.Event] = {}
        self.passed: list[str] = []
        """The points that commands have come to, in order."""
        layer.engine.blocking = _Stopping(layer.engine.blocking, self, blocking=True)
        layer.engine.asyncio = _Stopping(layer.engine.asyncio, self, blocking=False)

    def hold(self, point: str) -> None:
        """Stop the next command that comes to a point; all others pass."""
        self._gates[point] = threading.Event()

    def holds(self, point: str) -> bool:
        """Say whether a command is stopped at a point."""
        return point in self._stopped

    def release(self, point: str) -> None:
        """Let the command go on that is stopped at a point."""
        self._stopped.pop(point).set()

    async def come(self, point: str, *, blocking: bool) -> None:
        """Stop at a point, if it is held."""
        self.passed.append(point)
        gate = self._gates.pop(point, None)
        if gate is None:
            return
        self._stopped[point] = gate
        if blocking:
            assert gate.wait(30), point
            return
        while not gate.is_set():  # noqa: ASYNC110 - the gate is for threads as well
            await asyncio.sleep(0.002)


class _Stopping:
    """A port that comes to points."""

    def __init__(self, port: Any, points: Points, *, blocking: bool) -> None:
        self._port = port
        self._points = points
        self._blocking = blocking

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    def call_now(self, command: Command) -> Reply:
        return drive(self.call(command))

    async def call(self, command: Command) -> Reply:
        await self._points.come(named(command), blocking=self._blocking)
        reply = await self._port.call(command)
        await self._points.come(f"{named(command)}!", blocking=self._blocking)
        return reply

    async def pipeline(self, commands: Sequence[Command]) -> list[Reply]:
        await self._points.come(named(commands[0]), blocking=self._blocking)
        replies: list[Reply] = await self._port.pipeline(commands)
        await self._points.come(f"{named(commands[0])}!", blocking=self._blocking)
        return replies

    async def outcomes(self, commands: Sequence[Command]) -> list[Reply]:
        await self._points.come(named(commands[0]), blocking=self._blocking)
        outcomes: list[Reply] = await self._port.outcomes(commands)
        await self._points.come(f"{named(commands[0])}!", blocking=self._blocking)
        return outcomes
