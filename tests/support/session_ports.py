"""Ports that let something happen at a command of sessions, or whose clock is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from holdfast import Layer
from holdfast.commands import Command
from support.colours import Colour


class Between:
    """A port that lets something happen once, before or after a command."""

    def __init__(self, layer: Layer, colour: Colour, name: str, act: Any, *, after: bool = False) -> None:
        engine: Any = layer.engine
        self._port = engine.asyncio if colour.is_async else engine.blocking
        self._name, self._act, self._after = name, act, after
        if colour.is_async:
            engine.asyncio = self
        else:
            engine.blocking = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    async def call(self, command: Command) -> Any:
        mine = self._act if command.name == self._name else None
        self._act = None if mine is not None else self._act
        if mine is not None and not self._after:
            await mine()
        reply = await self._port.call(command)
        if mine is not None and self._after:
            await mine()
        return reply

    async def pipeline(self, commands: Sequence[Command]) -> Any:
        mine = self._act if any(command.name == self._name for command in commands) else None
        self._act = None if mine is not None else self._act
        if mine is not None and not self._after:
            await mine()
        replies = await self._port.pipeline(commands)
        if mine is not None and self._after:
            await mine()
        return replies


class Skewed:
    """A port of a process whose clock is ahead by some seconds, or behind."""

    def __init__(self, port: Any, ahead: int) -> None:
        self._port = port
        self._ahead = ahead

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    def now(self) -> float:
        return float(self._port.now()) + self._ahead


class Cancelling:
    """A port that has a task cancelled before or after one of its commands."""

    def __init__(self, port: Any, step: int) -> None:
        self.port = port
        self.task: Any = None
        self._left = step

    def __getattr__(self, name: str) -> Any:
        return getattr(self.port, name)

    async def call(self, command: Any) -> Any:
        await self._pass()
        reply = await self.port.call(command)
        await self._pass()
        return reply

    async def pipeline(self, commands: Any) -> Any:
        await self._pass()
        replies = await self.port.pipeline(commands)
        await self._pass()
        return replies

    async def _pass(self) -> None:
        self._left -= 1
        if not self._left:
            self.task.cancel()
            await asyncio.sleep(0)
