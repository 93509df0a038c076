"""The thread that reads what a server says on its own, and keeps the connection alive.

It knows its subscriber weakly while it waits: one that nobody else holds is collected, and the thread ends. Nothing
that goes wrong leaves the thread; a connection that cannot be had is tried again for as long as somebody listens.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final, Protocol
from weakref import ReferenceType

from holdfast.backend.failures import WireBroken
from holdfast.backend.subscriber_wire import NewsWire
from holdfast.commands import Reply

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
"""Seconds between two tries to connect. A random half of a pause is left out: clients must not come in step."""
_log = logging.getLogger("holdfast")


class Reins:
    """What a subscriber holds of its reading thread; it outlives both."""

    def __init__(self) -> None:
        self.is_stopped = False
        self.wire: NewsWire | None = None
        self._bell: SimpleQueue[None] = SimpleQueue()  # unlike an event it may be rung out of a finalizer

    def stop(self) -> None:
        """Make the thread end soon, from any thread, even out of a finalizer."""
        self.is_stopped = True
        self._bell.put(None)
        wire = self.wire
        if wire is not None:
            wire.wake()

    def pause(self, seconds: float) -> None:
        """Wait, unless stopped."""
        with suppress(Empty):
            self._bell.get(timeout=seconds)

    def let_go(self) -> None:
        """Close the connection, which nobody else uses any more."""
        wire, self.wire = self.wire, None
        if wire is not None:
            wire.close()


class Mind(Protocol):
    """What decides for the thread: the subscriber. It returns False when the thread is not needed any more."""

    def opened(self, reins: Reins, wire: NewsWire) -> bool:
        """Take a new connection into use."""
        ...

    def arrived(self, reins: Reins, replies: Sequence[Reply]) -> float | None:
        """Take what arrived; return how many seconds to wait for more, None to end. Raises WireBroken."""
        ...

    def failed(self, reins: Reins, error: Exception) -> bool:
        """Note that the connection is lost, or could not be had."""
        ...


def start(mind: ReferenceType[Mind], reins: Reins, open_wire: Callable[[], NewsWire]) -> None:
    """Start the thread.

    Raises:
        RuntimeError: no thread can be started.
    """
    threading.Thread(target=_run, args=(mind, reins, open_wire), name="holdfast-subscriber", daemon=True).start()


def _run(mind: ReferenceType[Mind], reins: Reins, open_wire: Callable[[], NewsWire]) -> None:
    tries = 0
    while not reins.is_stopped:
        started = time.monotonic()
        error = _connect(mind, reins, open_wire)
        subscriber = mind()
        goes_on = error is not None and subscriber is not None and subscriber.failed(reins, error)
        del subscriber, error
        reins.let_go()
        if not goes_on:
            return
        tries = 0 if time.monotonic() - started > _LONGEST_PAUSE else tries + 1
        reins.pause(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(tries, 10)) * random.uniform(0.5, 1))  # noqa: S311 - it spreads load


def _connect(mind: ReferenceType[Mind], reins: Reins, open_wire: Callable[[], NewsWire]) -> Exception | None:
    """Open a connection and read it as long as it lasts; return why it does not, None if it is not needed any more."""
    try:
        wire = reins.wire = open_wire()
        subscriber = mind()
        if reins.is_stopped or subscriber is None or not subscriber.opened(reins, wire):
            return None
        del subscriber
        patience: float | None = 0.0
        while patience is not None and not reins.is_stopped:
            replies = wire.receive(patience)
            subscriber = mind()
            if subscriber is None:
                return None
            patience = subscriber.arrived(reins, replies)
            del subscriber
    except WireBroken as broken:
        return broken
    except Exception as error:
        if reins.wire is not None:
            _log.exception("the subscriber met an error that it does not know; it connects again")
        return error
    return None
