"""Requests that a test lets go on, one step at a time: coroutines, and threads that hand over to each other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final

from support.model.actors import SUSPENDED


class Discarded(BaseException):
    """The play is over: whoever still runs is to end."""


class SessionActor:
    """One that takes part: what it has sent and what became of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rank = 0.0
        self.over = False
        self.error: BaseException | None = None
        self.result: Any = None
        self.cancelled_in = -1
        """Steps after which it is cancelled; negative: it is not."""
        self.is_reader = False
        self.ops: list[tuple[str, Any]] = []
        """What it has done to its session and not saved yet."""
        self.saved = False
        """Whether that was saved."""
        self.refused = ""
        """Why it was not, if the scripts have said so."""
        self.anew = False
        """Whether it logs in although what it had loaded has ended."""
        self.logs_in = False
        self.secrets: set[str] = set()
        """Digests that it has installed."""
        self.superseded = False
        self.ends: set[str] = set()
        """Handles of the sessions that it ends."""
        self.given: set[str] = set()
        """Handles in its cookies."""
        self.loaded: set[str] = set()
        """Handles of the sessions that it has loaded: of two cookies the first that is one."""

    def step(self) -> None:
        """Go on to the next wait, or to the end."""
        raise NotImplementedError

    def discard(self) -> None:
        """End it without a step."""
        raise NotImplementedError


class TaskActor(SessionActor):
    """A coroutine."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.work: Coroutine[Any, Any, Any]

    async def pause(self) -> None:
        """Let chance decide when to go on."""
        await SUSPENDED

    def step(self) -> None:
        try:
            self.cancelled_in -= 1
            if self.cancelled_in == 0:
                self.work.throw(asyncio.CancelledError())
            else:
                self.work.send(None)
        except StopIteration as stop:
            self.result, self.over = stop.value, True
        except BaseException as error:  # whatever it is, it is the actor's result
            self.error, self.over = error, True

    def discard(self) -> None:
        self.over = True
        self.work.close()


class _Worker:
    """A thread that runs one actor after the other, and only when it is told to."""

    def __init__(self) -> None:
        self.turn, self.back = threading.Lock(), threading.Lock()
        self.turn.acquire()
        self.back.acquire()
        self.work: Callable[[], object] = lambda: None
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            self.turn.acquire()
            self.work()
            self.back.release()


_idle: Final[list[_Worker]] = []


class ThreadActor(SessionActor):
    """A function in a thread."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.work: Callable[[], Any]
        self._worker: _Worker | None = None
        self._ends = False

    def step(self) -> None:
        if self._worker is None:
            self._worker = _idle.pop() if _idle else _Worker()
            self._worker.work = self._run
        worker = self._worker
        worker.turn.release()
        worker.back.acquire()
        if self.over:
            _idle.append(worker)

    def park(self) -> None:
        """Let chance decide when to go on."""
        assert self._worker is not None
        self._worker.back.release()
        self._worker.turn.acquire()
        if self._ends:
            raise Discarded

    def discard(self) -> None:
        self._ends = True
        if self._worker is not None and not self.over:
            self.step()
        self.over = True

    def _run(self) -> None:
        try:
            self.result = self.work()
        except BaseException as error:  # whatever it is, it is the actor's result
            self.error = error
        self.over = True
