"""A pool of blocking wires: last in, first out, without a lock on the hot path.

Theory of operation. `list.pop` and `list.append` are atomic, so taking an idle wire and giving it back need no lock.
Only who finds the list empty takes the lock and queues up. A giver first appends its wire, then looks at the queue; who
queues up first enters the queue, then looks at the idle wires. One of the two therefore always sees the other. Those
in the queue are served in order: with a wire that came back, or with the right to open one.

A wire is lent for one exchange. When the exchange fails in any way, Ctrl-C included, the wire is closed. `reset` starts
a new generation: wires of an older one are closed when they come back. Wires are held weakly but by who uses them, so
that one which Ctrl-C made its borrower forget does not count against the limit.

A caller with a deadline has another thread open the wire, see `opening.py`. That thread then keeps the wire's place.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from threading import get_ident
from typing import Final
from weakref import WeakSet

from holdfast.backend.deadline import Deadline
from holdfast.backend.failures import WireBroken, too_late
from holdfast.backend.opening import Opening
from holdfast.backend.wire import Wire
from holdfast.commands import Command, Reply
from holdfast.errors import BackendTimeout

OpenWire = Callable[[], Wire]
_NOTICED: Final = 0.001
"""Seconds; for less than that nobody's deadline is put off."""


class _Turn:
    """A place in the queue."""

    __slots__ = ("_bell", "handed_over", "may_open", "refused", "wire")

    def __init__(self) -> None:
        self._bell = threading.Lock()
        self._bell.acquire()
        self.wire: Wire | None = None
        self.may_open = False
        self.handed_over = False
        """Whether another thread opens the wire, and gives the right to it back."""
        self.refused: WireBroken | None = None

    def wait(self, seconds: float) -> None:
        self._bell.acquire(timeout=max(0.0, seconds))

    def call(self) -> None:
        self._bell.release()


class Pool:
    """Lends wires to one server. What it does, it does in the caller's thread."""

    def __init__(self, open_wire: OpenWire, limit: int, timeout: float) -> None:
        self._open_wire = open_wire
        self._limit = limit
        self._timeout = timeout
        self._closed = False
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._idle: list[Wire] = []
        self._wires: WeakSet[Wire] = WeakSet()
        self._opening = 0
        self._generation = 0
        self._queue: deque[_Turn] = deque()
        self._lock = threading.Lock()

    def ask(self, command: Command, deadline: Deadline | None = None) -> Reply:
        """Exchange one command. Raises WireBroken, or BackendTimeout when no wire came free in time."""
        wire = self._take(command, deadline, repeatable=command.repeatable)
        try:
            reply = wire.ask(command, deadline)
        except BaseException:
            self._discard(wire)
            raise
        self._give(wire)
        return reply

    def ask_all(self, commands: Sequence[Command], deadline: Deadline | None = None) -> list[Reply]:
        """Exchange several commands in one go."""
        wire = self._take(commands[0], deadline, repeatable=all(command.repeatable for command in commands))
        try:
            replies = wire.ask_all(commands, deadline)
        except BaseException:
            self._discard(wire)
            raise
        self._give(wire)
        return replies

    def _take(self, command: Command, deadline: Deadline | None, *, repeatable: bool) -> Wire:
        while True:
            left = 0.0
            if deadline is not None and (left := deadline.left()) <= 0:
                raise too_late(deadline, sent=False, fair=False)
            try:
                wire = self._idle.pop()
            except IndexError:
                wire = self._obtain(command, deadline)
                if deadline is not None and (left := deadline.left()) <= 0:
                    self._give_unused(wire)
                    continue
            # What must not be sent twice cannot be repaired after a stale connection swallowed it: look first.
            usable = repeatable or not wire.since or not wire.is_stale()
            wire.command = command
            wire.thread = get_ident()
            wire.since = time.monotonic()
            if deadline is not None and (held_up := left - (deadline.at - wire.since)) > _NOTICED:
                deadline.put_off(held_up)  # who looks lets other threads run: what they take is not the server's time
            if usable and wire.generation == self._generation:
                return wire
            self._discard(wire)

    def _give(self, wire: Wire) -> None:
        if wire.generation != self._generation:
            self._discard(wire)
            return
        wire.command = None
        self._idle.append(wire)
        if self._queue or self._closed:
            self._serve()

    def _obtain(self, command: Command, deadline: Deadline | None) -> Wire:
        """Queue up, and return a wire: one that came back, or one of our own opening."""
        turn = _Turn()
        patience = self._timeout if deadline is None else min(self._timeout, deadline.left())
        try:
            with self._lock:
                self._queue.append(turn)
            self._serve()
            turn.wait(patience)
            self._leave(turn)
            if not turn.may_open:
                wire = turn.wire
            else:
                wire = self._open() if deadline is None else self._open_within(deadline, turn)
        finally:
            self._leave(turn)
            if not turn.handed_over:
                self._end_opening(turn)
        if wire is None:
            raise turn.refused or BackendTimeout(self._exhausted(command, patience))
        return wire

    def _end_opening(self, turn: _Turn) -> None:
        """Free the place that was kept for the wire; once it is open it counts itself."""
        with self._lock:
            if not turn.may_open:
                return
            turn.may_open = False
            self._opening -= 1
        self._serve()

    def _open_within(self, deadline: Deadline, turn: _Turn) -> Wire:
        def open_apart() -> Wire:
            try:
                return self._open()
            finally:
                self._end_opening(turn)

        try:
            opening = Opening(open_apart, self._give_unused)
        except RuntimeError:  # the interpreter ends, or there are too many threads: take the time that it takes
            return self._open()
        turn.handed_over = True
        return opening.wait(deadline)

    def _give_unused(self, wire: Wire) -> None:
        wire.since = time.monotonic()  # it is not fresh any more when somebody takes it
        self._give(wire)

    def _leave(self, turn: _Turn) -> None:
        with self._lock:
            if turn in self._queue:
                self._queue.remove(turn)

    def _open(self) -> Wire:
        generation = self._generation
        wire = self._open_wire()
        wire.generation = generation
        with self._lock:
            self._wires.add(wire)
        return wire

    def _serve(self) -> None:
        """Let those at the head of the queue go on, as far as there are wires or room for more."""
        with self._lock:
            while self._queue:
                turn = self._queue[0]
                if self._closed:
                    turn.refused = WireBroken("closed", sent=False)
                elif self._idle:
                    try:
                        turn.wire = self._idle.pop()
                    except IndexError:
                        continue
                elif len(self._wires) + self._opening < self._limit:
                    self._opening += 1
                    turn.may_open = True
                else:
                    return
                self._queue.popleft()
                turn.call()
        if self._closed:
            self._close_idle()

    def _discard(self, wire: Wire) -> None:
        wire.close()
        with self._lock:
            self._wires.discard(wire)
        if self._queue:
            self._serve()

    def _exhausted(self, command: Command, patience: float) -> str:
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        now = time.monotonic()
        with self._lock:
            held = [(now - wire.since, wire.command.name, wire.thread) for wire in self._wires if wire.command]
        holders = ", ".join(
            f"{holding} in thread {names.get(thread, thread)} for {seconds:.1f} s"
            for seconds, holding, thread in sorted(held, reverse=True)[:8]
        )
        return (
            f"{command.name}: all {self._limit} connections were in use for {patience:.3g} s; "
            f"raise max_connections in the URL, or see what holds them: {holders or 'connections being opened'}"
        )

    def turn_away(self) -> None:
        """Refuse all who wait for a wire: the server does not answer."""
        with self._lock:
            while self._queue:
                turn = self._queue.popleft()
                turn.refused = WireBroken("open", sent=False)
                turn.call()

    def reset(self) -> None:
        """Forget every connection, after a failover say; those in use are closed when they come back."""
        with self._lock:
            self._generation += 1
        self._close_idle()

    def _close_idle(self) -> None:
        while self._idle:
            try:
                wire = self._idle.pop()
            except IndexError:
                return
            self._discard(wire)

    def close(self) -> None:
        """Close the pool; connections in use are closed when they come back."""
        self._closed = True
        self._close_idle()
        self._serve()

    def after_fork(self) -> None:
        """In a child process: drop the parent's sockets, and its locks, which another thread may have held."""
        inherited = list(self._wires)
        self._start_afresh()
        for wire in inherited:
            wire.close()

    def __repr__(self) -> str:
        return f"<Pool of {len(self._wires)} connections, {len(self._idle)} idle, process {os.getpid()}>"
