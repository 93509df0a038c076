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


class Points:
    """The points of a layer. ``"SET"`` is the instant before a SET is sent, ``"SET!"`` the one before its reply."""

    def __init__(self, layer: Layer) -> None:
        self._closed: dict[str, threading.Event] = {}
        self._tasks_only: set[str] = set()
        self.passed: list[str] = []
        """The points that commands have come to, in order."""
        layer.engine.blocking = _Stopping(layer.engine.blocking, self, blocking=True)
        layer.engine.asyncio = _Stopping(layer.engine.asyncio, self, blocking=False)

    def hold(self, point: str, *, tasks_only: bool = False) -> None:
        """Stop whoever comes to a point, or only tasks."""
        self._closed[point] = threading.Event()
        if tasks_only:
            self._tasks_only.add(point)

    def release(self, point: str) -> None:
        """Let all go on that are stopped at a point, and stop nobody there any more."""
        self._closed.pop(point).set()

    async def come(self, point: str, *, blocking: bool) -> None:
        """Stop at a point, if it is held."""
        self.passed.append(point)
        gate = self._closed.get(point)
        if gate is None or (blocking and point in self._tasks_only):
            return
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
        await self._points.come(command.name, blocking=self._blocking)
        reply = await self._port.call(command)
        await self._points.come(f"{command.name}!", blocking=self._blocking)
        return reply

    async def pipeline(self, commands: Sequence[Command]) -> list[Reply]:
        await self._points.come(commands[0].name, blocking=self._blocking)
        replies: list[Reply] = await self._port.pipeline(commands)
        await self._points.come(f"{commands[0].name}!", blocking=self._blocking)
        return replies
