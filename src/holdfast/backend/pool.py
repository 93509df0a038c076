"""A pool of blocking wires: last in, first out, without a lock on the hot path.

Theory of operation. `list.pop` and `list.append` are atomic, so taking an idle wire and giving it back need no lock.
Only who finds the list empty takes the lock: it opens a wire if the limit allows, else waits for one to come back.
A waiter first counts itself in `_waiting`, then looks at the list again; a giver first appends, then looks at
`_waiting`. One of the two therefore always sees the other.

A wire is lent for one exchange. When the exchange fails in any way, Ctrl-C included, the wire is closed. `reset` starts
a new generation: wires of an older one are closed when they come back.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from threading import get_ident

from holdfast.backend.wire import Wire
from holdfast.commands import Command, Reply
from holdfast.errors import BackendTimeout, BackendUnavailable

OpenWire = Callable[[], Wire]


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
        self._wires: set[Wire] = set()
        self._opening = 0
        self._waiting = 0
        self._generation = 0
        self._returned = threading.Condition(threading.Lock())

    def ask(self, command: Command) -> Reply:
        """Exchange one command. Raises WireBroken, or BackendTimeout when no wire came free in time."""
        wire = self._take(command)
        try:
            reply = wire.ask(command)
        except BaseException:
            self._discard(wire)
            raise
        self._give(wire)
        return reply

    def ask_all(self, commands: Sequence[Command]) -> list[Reply]:
        """Exchange several commands in one go."""
        wire = self._take(commands[0])
        try:
            replies = wire.ask_all(commands)
        except BaseException:
            self._discard(wire)
            raise
        self._give(wire)
        return replies

    def _take(self, command: Command) -> Wire:
        while True:
            try:
                wire = self._idle.pop()
            except IndexError:
                wire = self._obtain(command)
            wire.command = command
            wire.thread = get_ident()
            wire.since = time.monotonic()
            # What must not be sent twice cannot be repaired after a stale connection swallowed it: look first.
            if command.repeatable or not wire.is_stale():
                return wire
            self._discard(wire)

    def _give(self, wire: Wire) -> None:
        if wire.generation != self._generation or self._closed:
            self._discard(wire)
            return
        wire.command = None
        self._idle.append(wire)
        if self._waiting:
            with self._returned:
                self._returned.notify()

    def _obtain(self, command: Command) -> Wire:
        deadline = time.monotonic() + self._timeout
        with self._returned:
            while True:
                if self._closed:
                    msg = f"{command.name}: the layer is closed; open a new one"
                    raise BackendUnavailable(msg)
                self._waiting += 1
                try:
                    if self._idle:
                        return self._idle.pop()
                    if len(self._wires) + self._opening < self._limit:
                        break
                    if not self._returned.wait(deadline - time.monotonic()) and time.monotonic() >= deadline:
                        raise BackendTimeout(self._exhausted(command))
                except IndexError:
                    continue
                finally:
                    self._waiting -= 1
            self._opening += 1
            generation = self._generation
        return self._open(generation)

    def _open(self, generation: int) -> Wire:
        wire = None
        try:
            wire = self._open_wire()
        finally:
            with self._returned:
                self._opening -= 1
                if wire is None:
                    self._returned.notify()
                else:
                    wire.generation = generation
                    self._wires.add(wire)
        return wire

    def _discard(self, wire: Wire) -> None:
        wire.close()
        with self._returned:
            self._wires.discard(wire)
            self._returned.notify()

    def _exhausted(self, command: Command) -> str:
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        now = time.monotonic()
        idle = set(self._idle)
        held = [wire for wire in list(self._wires) if wire not in idle and wire.command is not None]
        held.sort(key=lambda wire: wire.since)
        holders = ", ".join(
            f"{wire.command.name} in thread {names.get(wire.thread, wire.thread)} for {now - wire.since:.1f} s"
            for wire in held[:8]
            if wire.command is not None
        )
        return (
            f"{command.name}: all {self._limit} connections were in use for {self._timeout:g} s; "
            f"raise max_connections in the URL, or see what holds them: {holders or 'connections being opened'}"
        )

    def reset(self) -> None:
        """Forget every connection, after a failover say; those in use are closed when they come back."""
        with self._returned:
            self._generation += 1
        self.close_idle()

    def close_idle(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            try:
                wire = self._idle.pop()
            except IndexError:
                return
            self._discard(wire)

    def close(self) -> None:
        """Close the pool; connections in use are closed when they come back."""
        self._closed = True
        self.close_idle()
        with self._returned:
            self._returned.notify_all()

    def after_fork(self) -> None:
        """In a child process: drop the parent's sockets, and its locks, which another thread may have held."""
        inherited = list(self._wires)
        self._start_afresh()
        for wire in inherited:
            wire.close()

    def __repr__(self) -> str:
        return f"<Pool of {len(self._wires)} connections, {len(self._idle)} idle, process {os.getpid()}>"
