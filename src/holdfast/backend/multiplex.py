"""One asyncio connection shared by every task of a loop.

redis-py opens it; then this protocol takes the transport over. Commands issued in one tick of the loop leave in one
write, and replies come back in the order of the commands, so `_pending` is a plain queue:

- callers that read the same key in the same tick share one GET, since none of them can have been sent yet;
- a caller that is cancelled cancels only its own future; its reply is read and dropped when it arrives;
- a caller whose deadline is over is told so, and its reply dropped in the same way; the connection lives on. For how
  long a busy loop kept the command back does not count, and a reply that has arrived unread is read first;
- when the connection breaks, every pending caller is told, and whether its command had been sent;
- when commands are waiting and nothing moves for `timeout` seconds, the connection counts as dead. One timer a
  connection watches that, not one a command;
- when the transport's buffer is full, or too many commands are pending, new callers wait (back-pressure).
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import hiredis

from holdfast.backend.connections import INCOMPLETE, has_arrived, new_reader, pack, pack_command
from holdfast.backend.deadline import Deadline
from holdfast.backend.failures import How, WireBroken, too_late
from holdfast.backend.waiting import Batch, Hurried, Room, Shared
from holdfast.commands import Command, Reply

_MOST_PENDING: Final = 10_000
_LARGEST_WRITE: Final = 4 * 1024
"""Bytes that may gather in one tick. More leave at once: so that Redis works on the first commands of many while the
last ones are still being made, which saves a third of the time of a burst of scripts, and so that the transport can
push back."""
_TURN: Final = 0.001
"""Seconds in which a loop reads what is there; a delay of 0 may come before it looks at its sockets."""

_RETIRED: Final = "it was left for another"


class Multiplex(asyncio.Protocol):
    """The protocol on a transport that redis-py has connected and authenticated."""

    def __init__(self, connection: Any, writer: asyncio.StreamWriter, timeout: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._kept: tuple[Any, Any] = (connection, writer)  # their finalizers would close the transport
        self._reader = new_reader()
        self._timeout = timeout
        self._pending: deque[asyncio.Future[Any] | Batch | Shared] = deque()
        self._unsent_gets: dict[Any, int] = {}
        """By key, which command of this tick reads it; counted as in `_submitted`."""
        self._outgoing: list[bytes] = []
        self._gathered = 0
        self._gathering_since = 0.0
        self._sent: deque[tuple[int, float, float]] = deque()
        """For each write that is not wholly answered the number of commands sent until then, when, and how much later
        than the first of its commands came."""
        self._submitted = self._answered = 0
        self._watchdog: asyncio.TimerHandle | None = None
        self._moved = 0.0
        """When something last arrived or left. Replies come in order, so it is progress of the oldest command."""
        self._unwritten = 0
        self._room = Room(self._loop, self._vacancies)
        self._waiting = self._room.queue
        self._hurried = Hurried(self._loop, self._run_out)
        self._writable = True
        self._broken: WireBroken | None = None
        self.closed: asyncio.Future[None] = self._loop.create_future()
        """Done when the transport is gone."""
        self._transport = writer.transport
        self._transport.set_protocol(self)
        self.is_open = True
        """Whether it takes commands."""

    async def ask(self, command: Command, deadline: Deadline | None = None) -> Reply:
        """Send one command and return its reply; an error reply is a value."""
        if self._waiting or not self._writable or len(self._pending) >= _MOST_PENDING:
            await self._wait_for_room(deadline)
        elif self.is_open and not (command.repeatable or self._pending):
            await self._notice()
        self._check(deadline)
        return await self._put(command, deadline)

    def begin(self, command: Command, deadline: Deadline | None) -> asyncio.Future[Reply] | None:
        """Send a command, and return what its reply comes to; None if `ask` would have to wait first."""
        if self._waiting or not self._writable or not self.is_open or len(self._pending) >= _MOST_PENDING:
            return None
        if not (command.repeatable or self._pending) and self._has_news():
            return None
        return self._put(command, deadline)

    def _check(self, deadline: Deadline | None) -> None:
        """Raise if nothing may be sent."""
        if not self.is_open:
            raise self._as_unsent()
        if deadline is not None and deadline.left() <= 0:
            raise too_late(deadline, sent=False, fair=False)

    def _put(self, command: Command, deadline: Deadline | None) -> asyncio.Future[Reply]:
        future: asyncio.Future[Reply] = self._loop.create_future()
        if command.words[0] != "GET":
            self._submit(pack_command(command), (future,))
        elif (number := self._unsent_gets.get(command.words[1])) is not None:
            self._share(number, future)
        else:
            self._unsent_gets[command.words[1]] = self._submitted
            self._submit(pack(command.words), (future,))
        if deadline is not None:
            self._hurried.add(future, self._submitted, deadline)
        return future

    def _share(self, number: int, future: asyncio.Future[Reply]) -> None:
        """Let a caller have the reply to a GET that has not been sent. One that has is of no use: it may be too old."""
        place = number - self._submitted
        waiter = self._pending[place]
        if isinstance(waiter, Shared):
            waiter.join(future)
        elif isinstance(waiter, asyncio.Future):
            self._pending[place] = Shared(waiter, future)

    async def ask_all(self, commands: Sequence[Command], deadline: Deadline | None = None) -> list[Reply]:
        """Send commands together and return their replies."""
        if self._waiting or not self._writable or len(self._pending) >= _MOST_PENDING:
            await self._wait_for_room(deadline)
        elif self.is_open and not (self._pending or all(command.repeatable for command in commands)):
            await self._notice()
        self._check(deadline)
        future: asyncio.Future[list[Reply]] = self._loop.create_future()
        batch = Batch(future, len(commands))
        self._submit(b"".join([pack(command.words) for command in commands]), (batch,) * len(commands))
        if deadline is not None:
            self._hurried.add(future, self._submitted, deadline)
        return await future

    def _submit(self, payload: bytes, waiters: tuple[asyncio.Future[Any] | Batch, ...]) -> None:
        if not self._outgoing:
            self._gathering_since = self._loop.time()
            self._loop.call_soon(self._flush)
        self._outgoing.append(payload)
        self._pending.extend(waiters)
        self._submitted += len(waiters)
        self._gathered += len(payload)
        if self._gathered > _LARGEST_WRITE:
            self._flush()

    def _flush(self) -> None:
        if not self._outgoing or self._broken is not None:
            return
        payload = b"".join(self._outgoing) if len(self._outgoing) > 1 else self._outgoing[0]
        self._outgoing.clear()
        self._unsent_gets.clear()
        self._gathered = 0
        now = self._loop.time()
        self._sent.append((self._submitted, now, now - self._gathering_since))
        if self._watchdog is None:
            self._watchdog = self._loop.call_later(self._timeout, self._check_oldest)
        self._transport.write(payload)

    def data_received(self, data: bytes) -> None:
        """Give each complete reply to the caller that is next in the queue."""
        reader, pending = self._reader, self._pending
        self._moved = self._loop.time()
        try:
            reader.feed(data)
            reply = reader.gets()
            while reply is not INCOMPLETE:
                if type(reply) is not hiredis.PushNotification:
                    self._answered += 1
                    waiter = pending.popleft()
                    if not waiter.done():
                        waiter.set_result(reply)
                reply = reader.gets()
        except hiredis.HiredisError:
            self._break("lost", "not the Redis protocol")
        except IndexError:
            self._break("lost", "a reply that nobody asked for")
        if self._waiting:
            self._room.admit()
        if not self.is_open and not self._pending:
            self._break("lost", _RETIRED)

    def _check_oldest(self) -> None:
        self._watchdog = None
        self._forget_answered()
        if not self._sent:
            return
        unwritten, self._unwritten = self._unwritten, self._transport.get_write_buffer_size()
        if self._unwritten < unwritten:
            self._moved = self._loop.time()
        deadline = max(self._sent[0][1], self._moved) + self._timeout
        if self._loop.time() >= deadline:
            self._break("timeout")
        else:
            self._watchdog = self._loop.call_at(deadline, self._check_oldest)

    def _forget_answered(self) -> None:
        while self._sent and self._sent[0][0] <= self._answered:
            self._sent.popleft()

    def _run_out(self, future: asyncio.Future[Any], number: int, deadline: Deadline) -> None:
        """End the wait for the reply to a command, unless it is the loop that was late.

        However busy the loop is, the server has the time that was left when the command came, and what it has
        answered by then counts.
        """
        if future.done():
            return
        self._forget_answered()  # there may be many, and each who runs out of time would pass them
        held_up = next((late for count, _, late in self._sent if count >= number), None)
        if held_up is None:  # not even sent yet: some loops look at their timers before anything else
            self._loop.call_soon(self._run_out, future, number, deadline)
            return
        deadline.put_off(held_up)
        left = deadline.left()
        if left > _TURN:
            self._loop.call_later(left, self._run_out, future, number, deadline)
        elif self._has_news():
            self._loop.call_later(_TURN, self._give_up, future, number, deadline)
        else:
            self._give_up(future, number, deadline)

    def _give_up(self, future: asyncio.Future[Any], number: int, deadline: Deadline) -> None:
        """Tell a caller that it is too late; the reply drops out when it comes. The loop may be to blame."""
        if future.done():
            return
        left = next((when for count, when, _ in self._sent if count >= number), None)
        fair = left is not None and deadline.was_fair(time.monotonic() - (self._loop.time() - left))
        future.set_exception(too_late(deadline, sent=True, fair=fair))

    def _has_news(self) -> bool:
        return has_arrived(self._transport.get_extra_info("socket"))

    async def _notice(self) -> None:
        """Let the loop tell us of an end of stream that is there already, before we write into it."""
        if self._has_news():
            for _ in range(3):  # one to see it, one to read it, one to be told
                await asyncio.sleep(0)

    async def _wait_for_room(self, deadline: Deadline | None) -> None:
        while self.is_open:
            await self._room.wait(deadline)
            if self._vacancies() > 0:
                return

    def _vacancies(self) -> int:
        """Return how many commands may come in; when the connection takes none, all who wait shall learn it."""
        if not self.is_open:
            return sys.maxsize
        return _MOST_PENDING - len(self._pending) if self._writable else 0

    def pause_writing(self) -> None:
        """Hold new callers back: the transport's buffer is full."""
        self._writable = False

    def resume_writing(self) -> None:
        """Let callers in again."""
        self._writable = True
        self._room.admit()

    def eof_received(self) -> None:
        """Take nothing more; the transport closes itself."""
        self._break("lost", "end of stream")

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell every pending caller."""
        self._break("lost", type(exc).__name__ if exc else "end of stream")
        self._kept = (None, None)
        if not self.closed.done():
            self.closed.set_result(None)

    def _break(self, how: How, detail: str = "") -> None:
        if self._broken is not None:
            return
        self.is_open = False
        self._broken = WireBroken(how, sent=True, detail=detail)
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._hurried.forget()
        self._transport.abort()
        sent_until = self._sent[-1][0] - self._answered if self._sent else 0
        pending, self._pending = self._pending, deque()
        for index, waiter in enumerate(pending):
            if not waiter.done():
                sent = index < sent_until
                unsent_how: How = "closed" if how == "closed" else "lost"
                waiter.set_exception(WireBroken(how if sent else unsent_how, sent=sent, detail=detail))
        self._room.admit()

    def _as_unsent(self) -> WireBroken:
        if self._broken is not None and self._broken.how == "closed":
            return WireBroken("closed", sent=False)
        return WireBroken("lost", sent=False, detail=self._broken.detail if self._broken else "")

    def forsake(self) -> tuple[asyncio.BaseTransport, object]:
        """Give up the transport without touching it, when its loop cannot run any more.

        Returns:
            The transport, and what must outlive it.
        """
        self.is_open = False
        self._pending.clear()
        self._watchdog = None
        kept, self._kept = self._kept, (None, None)
        return self._transport, kept

    def retire(self) -> None:
        """Take no more commands; close when those under way are answered."""
        self.is_open = False
        self._room.admit()
        if not self._pending:
            self._break("lost", _RETIRED)

    def abort(self) -> None:
        """Close at once; pending callers are told."""
        self._break("closed")

    async def close(self) -> None:
        """Close, and return when the transport is gone."""
        self.abort()
        await asyncio.shield(self.closed)
