"""Sending at the client's pace while the app goes on at its own.

Others may wait for the body that is being stored. Whoever reads it slowly, on purpose or not, must not hold them up.
So the messages of such a response wait here, not the app; they are no more than the cache keeps of it anyway.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any


class Pump:
    """Sends messages in their order, in a task of its own."""

    __slots__ = ("_error", "_messages", "_send", "_task")

    def __init__(self, send: Callable[[Any], Awaitable[None]]) -> None:
        self._send = send
        self._messages: deque[Any] = deque()
        self._task: asyncio.Task[None] | None = None
        self._error: Exception | None = None

    def push(self, message: Any) -> None:
        """Send a message after those before it; nothing once the client is known to have left.

        The app may use the message and its buffer again as soon as this has returned.
        """
        if self._error is not None:
            return
        body = message.get("body")
        self._messages.append(dict(message) if body is None else {**message, "body": bytes(body)})
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while self._messages:
            try:
                await self._send(self._messages.popleft())
            except Exception as error:
                self._error = error
                self._messages.clear()

    async def drained(self) -> None:
        """Wait until everything is sent; raise what sending has raised."""
        if self._task is not None:
            try:
                await self._task
            except asyncio.CancelledError:
                self.stop()
                raise
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Send nothing more."""
        self._messages.clear()
        if self._task is not None:
            self._task.cancel()
