"""Subscriptions: what is published, told to listeners as it comes. One connection and one thread a backend.

Theory of operation. All that changes the state, and every call of a listener, is a step; steps are done one after the
other by whoever comes first. `_do` puts a step into the queue and does what is there, unless somebody is at it
already, who will then do this one too. So nobody who subscribes ever waits, a listener may subscribe and cancel, even a
finalizer may, and each listener hears ups and downs in their order. Only the reading thread waits for its turn.

The connection is never one of a pool and has nothing to do with the circuit breaker. It is opened at the first
subscription, and again, at random intervals up to a second, whenever it is lost. A peer that is silent for `HEALTH`
seconds is asked for a sign of life and gets the socket's time-out, at most `HEALTH`, to give it: so a dead one is
noticed within twice that. Without listeners the connection is kept for `IDLE` seconds, as the next one may come soon.

In a forked child the listeners are told that they are down. They stay subscribed, and the child connects as soon as
somebody subscribes there.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar
from weakref import finalize, ref

from hiredis import PushNotification

from holdfast.backend.failures import WireBroken
from holdfast.backend.subscriber_reader import Reins, start
from holdfast.backend.subscriber_topics import Ear, Topics
from holdfast.backend.subscriber_tracking import Parts, Tracking, Watcher
from holdfast.backend.subscriber_wire import NewsWire
from holdfast.commands import Reply
from holdfast.errors import BackendError
from holdfast.port import Cancel, KeyListener, Listener

HEALTH: Final = 3.0
"""Seconds of silence after which a peer is asked for a sign of life."""
IDLE: Final = 30.0
"""Seconds for which a connection without listeners is kept."""
_PUSHED: Final = frozenset({PushNotification})
_log = logging.getLogger("holdfast")
T = TypeVar("T")


class Subscriber:
    """Subscribes for a whole process. Opens nothing until somebody listens."""

    def __init__(
        self,
        open_wire: Callable[[], NewsWire],
        name: str,
        patience: float,
        *,
        health: float = HEALTH,
        idle: float = IDLE,
    ) -> None:
        """Set up a subscriber.

        Args:
            open_wire: opens a connection; it must not hold the subscriber.
            name: where Redis is, for the log.
            patience: seconds to wait for an answer.
            health: seconds of silence before a sign of life is asked for.
            idle: seconds for which a connection without listeners is kept.
        """
        self._open_wire = open_wire
        self._name = name
        self._patience = min(patience, health)
        self._health = health
        self._idle = idle
        self._topics = Topics()
        self._tracking = Tracking(self._topics.ask)
        self._is_closed = False
        self._reset()

    def _reset(self) -> None:
        self._busy = threading.Lock()
        self._steps: deque[Callable[[], None]] = deque()
        self._reins: Reins | None = None
        self._finalizer: Any = None
        self._wire: NewsWire | None = None
        self._heard_at = self._asked_at = self._needed_at = 0.0
        self._has_complained = False

    def subscribe(self, topic: str, listener: Listener, *, pattern: bool = False) -> Cancel:
        """Tell `listener` of what is published under a topic; return what ends that."""
        ear = Ear(listener)
        self._begin(partial(self._topics.add, topic.encode(), ear, pattern=pattern))
        return partial(self._cancel, [ear], partial(self._topics.remove, topic.encode(), ear, pattern=pattern))

    def watch(self, patterns: Sequence[str], prefixes: Sequence[str], listener: KeyListener) -> Cancel:
        """Tell `listener` of what is published under some patterns, and of changes of keys with some prefixes.

        It is up when all of this holds. Where the server cannot tell of changes, it is up without that.
        """
        parts = Parts(listener, len(patterns) + 1)
        ears = [(pattern.encode(), Ear(parts)) for pattern in patterns]
        watcher = Watcher(tuple(prefixes), listener, Ear(parts))

        def add() -> None:
            for pattern, ear in ears:
                self._topics.add(pattern, ear, pattern=True)
            self._tracking.add(watcher)

        def remove() -> None:
            for pattern, ear in ears:
                self._topics.remove(pattern, ear, pattern=True)
            self._tracking.remove(watcher)

        self._begin(add)
        return partial(self._cancel, [watcher.ear, *(ear for _, ear in ears)], remove)

    @property
    def is_tracking(self) -> bool:
        """Whether changes of keys are told now."""
        return self._tracking.is_on

    def close(self) -> None:
        """End all subscriptions, from any thread, without waiting. What is subscribed later is never up."""
        self._is_closed = True
        self._do(self._shut)

    def after_fork(self) -> None:
        """In a child process: let go of the parent's connection, and tell the listeners. Nothing is sent."""
        reins, steps = self._reins, self._steps
        self._reset()
        if reins is not None:
            reins.is_stopped = True
            reins.let_go()
        self._let_down()
        for step in steps:  # subscriptions that another thread was about to note
            if step != self._ensure_reader:
                step()

    def _begin(self, add: Callable[[], None]) -> None:
        if not self._is_closed:
            self._do(add)
            self._do(self._ensure_reader)

    def _cancel(self, ears: Sequence[Ear], remove: Callable[[], None]) -> None:
        for ear in ears:
            ear.is_over = True
        self._do(remove)

    def _do(self, *steps: Callable[[], None]) -> None:
        """Have steps done, here or by who is at it."""
        self._steps.extend(steps)
        busy, queue = self._busy, self._steps
        while queue and busy.acquire(blocking=False):
            try:
                self._do_all(queue)
            finally:
                busy.release()

    def _do_all(self, queue: deque[Callable[[], None]]) -> None:
        while queue:
            queue.popleft()()
        outgoing = self._topics.outgoing
        if outgoing and self._wire is not None:
            if not self._asked_at:
                self._asked_at = time.monotonic()
            self._wire.send(outgoing)
        outgoing.clear()

    def _ensure_reader(self) -> None:
        self._needed_at = time.monotonic()
        if self._reins is not None or self._is_closed:
            return
        self._reins = reins = Reins()
        try:
            start(ref(self), reins, self._open_wire)
        except RuntimeError as error:  # too many threads, or the interpreter is about to exit
            self._reins = None
            _log.warning("no thread to subscribe at %s: %s", self._name, error)
            return
        self._finalizer = finalize(self, reins.stop)

    def _shut(self) -> None:
        self._let_down()
        self._topics = Topics()
        self._tracking = Tracking(self._topics.ask)
        if self._reins is not None:
            self._reins.stop()

    def _let_down(self) -> None:
        self._wire = None
        self._tracking.lost()
        self._topics.lost()

    def _in_turn(self, step: Callable[[], T]) -> T:
        """Do a step of the reading thread when it is its turn, and send what follows from it."""
        queue = self._steps
        try:
            with self._busy:
                self._do_all(queue)
                try:
                    return step()
                finally:
                    self._do_all(queue)
        finally:
            self._do()

    def opened(self, reins: Reins, wire: NewsWire) -> bool:
        """Take a new connection into use; say whether it is still wanted."""
        return self._in_turn(partial(self._opened, reins, wire))

    def _opened(self, reins: Reins, wire: NewsWire) -> bool:
        if self._reins is not reins or self._is_closed:
            return False
        self._wire = wire
        self._heard_at, self._asked_at = time.monotonic(), 0.0
        self._has_complained = False
        self._topics.connected()
        self._tracking.connected(can_track=wire.can_track)
        return True

    def arrived(self, reins: Reins, replies: Sequence[Reply]) -> float | None:
        """Take what arrived; return the seconds to wait for more, None if nothing is wanted any more."""
        return self._in_turn(partial(self._arrived, reins, replies))

    def _arrived(self, reins: Reins, replies: Sequence[Reply]) -> float | None:
        if self._reins is not reins or self._wire is None:
            return None
        now = time.monotonic()
        if self._wire.is_full:
            self._wire.flush()
        for reply in replies:
            if type(reply) in _PUSHED and reply[0] == b"invalidate":
                self._tracking.take(reply[1])
            else:
                self._topics.take(reply)
        if replies:
            self._heard_at = now
        if self._topics or self._tracking:
            self._needed_at = now
        elif now - self._needed_at >= self._idle:
            self._retire()
            return None
        return min(self._look_after(now), self._needed_at + self._idle - now)

    def _look_after(self, now: float) -> float:
        """See to it that a dead peer is noticed; return the seconds until the next look."""
        if self._topics.is_waiting:
            remaining = max(self._asked_at, self._heard_at) + self._patience - now
            if remaining <= 0:
                raise WireBroken("timeout", sent=True)
            return remaining
        self._asked_at = 0.0
        if now - self._heard_at >= self._health:
            self._topics.ask(("PING",), _ignore)
            return self._patience
        return self._heard_at + self._health - now

    def failed(self, reins: Reins, error: Exception) -> bool:
        """Note that the connection is lost, or could not be had; say whether to try again."""
        return self._in_turn(partial(self._failed, reins, error))

    def _failed(self, reins: Reins, error: Exception) -> bool:
        if self._reins is not reins or self._is_closed:
            return False
        was_open = self._wire is not None
        self._let_down()
        if not self._topics and not self._tracking:
            self._retire()
            return False
        why = f"{error.how} {error.detail}".rstrip() if isinstance(error, WireBroken) else _in_words(error)
        if was_open:
            _log.info("the subscriptions at %s are lost (%s); connecting again", self._name, why)
        elif not self._has_complained:
            self._has_complained = True
            _log.warning("cannot subscribe at %s (%s); trying again until it works", self._name, why)
        return True

    def _retire(self) -> None:
        """Let the thread end; the next subscription starts another."""
        self._let_down()
        self._reins = None
        if self._finalizer is not None:
            self._finalizer.detach()


def _ignore(reply: Reply) -> None:
    """Any sign of life will do."""


def _in_words(error: Exception) -> str:
    """Return what may be told of an error: others than ours may hold a secret."""
    return str(error) if isinstance(error, BackendError) else type(error).__name__
