"""Concurrency limits as context managers of both colours."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType

from holdfast._calls import drive
from holdfast.core.held_slot import Slot
from holdfast.core.slots import Gate
from holdfast.engine import Engine
from holdfast.entered import Entered, calling_frame
from holdfast.errors import RateLimited
from holdfast.port import Port


class Concurrency:
    """Holds a slot while a block runs. One object may be entered many times, by many threads and tasks at once.

    Example:
        >>> from holdfast import Layer
        >>> layer = Layer("memory://concurrency-example")
        >>> with layer.limiter.concurrency(2, "user:42") as slot:
        ...     slot.decision.remaining
        1
    """

    def __init__(self, engine: Engine, gate: Gate) -> None:
        self._engine = engine
        self._gate = gate
        self._entered: Entered[Slot] = Entered("a concurrency limit", are_alike=True)

    def __enter__(self) -> Slot:
        frame = calling_frame()
        return self._entered.push(drive(self._take(self._engine.blocking)), threading.get_ident(), frame)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        drive(
            self._engine.slots.give_back(
                self._engine.blocking, self._gate, self._entered.pop(threading.get_ident(), calling_frame())
            )
        )

    async def __aenter__(self) -> Slot:
        frame = calling_frame()
        return self._entered.push(await self._take(self._engine.asyncio), asyncio.current_task(), frame)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        frame = calling_frame()
        try:
            owner = asyncio.current_task()
        except RuntimeError:  # a generator that nobody has closed is collected, and its loop is over
            self._engine.slots.abandon(self._gate, self._entered.pop(None, frame))
            return
        await self._engine.slots.give_back(self._engine.asyncio, self._gate, self._entered.pop(owner, frame))

    async def _take(self, port: Port) -> Slot:
        if self._engine.off.get():
            return self._engine.slots.pretend(self._gate)
        slot = await self._engine.slots.take(port, self._gate)
        if not slot.decision.allowed:
            raise RateLimited(slot.decision, "concurrency" if slot.decision.degraded else "no slot is free")
        return slot
