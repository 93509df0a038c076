"""One Redis server as seen by its callers: circuit breaker, re-sending, scripts it has forgotten.

    the connection...       and the command...       then
    lost                    may be re-sent           forget all connections, send once more
    lost                    may not                  WireBroken
    refused, timeout, late  -                        WireBroken
    answers NOSCRIPT        has the script's text    send that instead
    answers READONLY        -                        forget all connections, find the primary, send once more

A pipeline that waits for its own writes is never mended in parts, since it would wait on another connection than they
went over. So its scripts go with their text. After READONLY the caller may try again: the new connection finds the
primary.

Re-sending happens at most once a call, and not at all once the breaker is open or the call's deadline is over. Whatever
is raised here counts for the breaker, but for what is the caller's own doing.
"""

from __future__ import annotations

import time
from asyncio import Future
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

from hiredis import ReplyError

from holdfast._calls import drive
from holdfast.backend.breaker import THRESHOLD, Breaker
from holdfast.backend.deadline import Deadline, held_back
from holdfast.backend.failures import WireBroken, code_of
from holdfast.backend.link import Link
from holdfast.commands import Command, Reply
from holdfast.events import BreakerClosed, BreakerOpened, Event

Emit = Callable[[Event], None]


class Server:
    """Asks one server, in one colour. Error replies are values; a server that cannot be asked raises WireBroken."""

    __slots__ = ("_ask_link_now", "_begin_on_link", "_breaker", "_emit", "link", "name")

    def __init__(self, link: Link, breaker: Breaker, name: str, emit: Emit) -> None:
        self.link = link
        self.name = name
        self._ask_link_now: Callable[[Command, Deadline | None], Reply] = getattr(link, "ask_now", _never)
        self._begin_on_link: Callable[[Command, Deadline | None], Future[Reply] | None]
        self._begin_on_link = getattr(link, "begin", _no_future)
        self._breaker = breaker
        self._emit = emit

    def ask_now(self, command: Command, deadline: Deadline | None = None) -> Reply:
        """Do what `ask` does over a blocking link, without a coroutine where nothing is amiss."""
        if self._breaker.failures:
            return drive(self.ask(command, None, deadline))
        try:
            reply = self._ask_link_now(command, deadline)
        except WireBroken as broken:
            return drive(self.ask(command, broken, deadline))
        return drive(self.ask(command, reply, deadline)) if type(reply) is ReplyError else reply

    def begin(self, command: Command, deadline: Deadline | None) -> Future[Reply] | None:
        """Send a command over an asyncio link, and return what its reply comes to, if nothing is amiss.

        What comes of it, be it an error reply or a broken connection, is for `ask` to look at, as its `first`.
        """
        return None if self._breaker.failures else self._begin_on_link(command, deadline)

    async def ask(
        self, command: Command, first: ReplyError | WireBroken | None = None, deadline: Deadline | None = None
    ) -> Reply:
        """Send one command and return its reply; `first` is what came of sending it once already."""
        probing = first is None and self._breaker.tripped and self._admit()
        try:
            try:
                if first is None:
                    reply = await self.link.ask(command, deadline)
                elif isinstance(first, WireBroken):
                    raise first
                else:
                    reply = first
            except WireBroken as broken:
                self._prepare_second_try(broken, (command,), probing=probing)
                with _sent_before(broken):
                    reply = await self.link.ask(command, deadline)
            if type(reply) is ReplyError:
                reply = await self._mend(reply, command, deadline)
        except WireBroken as broken:
            self._failed(broken, probing=probing)
            raise
        except BaseException:
            if probing:
                self._breaker.withdraw()
            raise
        if self._breaker.failures:
            self._succeeded(probing=probing)
        return reply

    async def ask_all(self, commands: Sequence[Command], deadline: Deadline | None = None) -> list[Reply]:
        """Send commands together and return their replies."""
        waits = held_back(commands) is not None
        if waits:
            commands = [command.whole for command in commands]
        probing = self._breaker.tripped and self._admit()
        try:
            try:
                replies = await self.link.ask_all(commands, deadline)
            except WireBroken as broken:
                self._prepare_second_try(broken, commands, probing=probing)
                with _sent_before(broken):
                    replies = await self.link.ask_all(commands, deadline)
            if not waits:
                await self._mend_each(replies, commands, deadline)
        except WireBroken as broken:
            self._failed(broken, probing=probing)
            raise
        except BaseException:
            if probing:
                self._breaker.withdraw()
            raise
        if self._breaker.failures:
            self._succeeded(probing=probing)
        return replies

    def _prepare_second_try(self, broken: WireBroken, commands: Sequence[Command], *, probing: bool) -> None:
        """See to it that the second try gets a new connection; raise if there must be none."""
        if not all(broken.may_resend(command) for command in commands):
            raise broken
        if self._breaker.tripped and not probing:  # somebody else learned meanwhile that the server is dead
            raise WireBroken("open", sent=broken.sent) from broken
        self.link.reset()

    async def _mend_each(self, replies: list[Reply], commands: Sequence[Command], deadline: Deadline | None) -> None:
        for index, reply in enumerate(replies):
            if type(reply) is ReplyError:
                replies[index] = await self._mend(reply, commands[index], deadline)

    async def _mend(self, reply: ReplyError, command: Command, deadline: Deadline | None) -> Reply:
        """Answer the two refusals that another try cures: nothing was executed, so any command may be sent again."""
        code = code_of(reply)
        if code == "NOSCRIPT" and command.fallback:
            return await self.link.ask(command.whole, deadline)
        if code == "READONLY":
            self.link.reset()
            return await self.link.ask(command, deadline)
        return reply

    def _admit(self) -> bool:
        """Say whether this call is the breaker's probe; raise if it must not go through."""
        admission = self._breaker.admit(time.monotonic())
        if admission == "refused":
            raise WireBroken("open", sent=False)
        return admission == "probe"

    def _succeeded(self, *, probing: bool) -> None:
        if self._breaker.success(probe=probing):
            self._emit(BreakerClosed(self.name))

    def _failed(self, broken: WireBroken, *, probing: bool) -> None:
        if broken.how in {"closed", "open"} or not broken.fair:
            if probing:
                self._breaker.withdraw()
            return
        weight = 1
        if broken.how == "timeout":
            weight = THRESHOLD
            self.link.reset()
        retry_in = self._breaker.failure(time.monotonic(), weight=weight, probe=probing)
        if retry_in is not None:
            self.link.turn_away()
            self._emit(BreakerOpened(self.name, retry_in))


@contextmanager
def _sent_before(broken: WireBroken) -> Generator[None]:
    """Have what the second try raises say that the command was sent, if the first one sent it."""
    try:
        yield
    except WireBroken as again:
        again.sent = again.sent or broken.sent
        raise


def _no_future(command: Command, deadline: Deadline | None) -> None:
    """Leave a command to `ask`."""


def _never(command: Command, deadline: Deadline | None) -> Reply:
    msg = f"{command.name}: only a blocking link answers without a coroutine"
    raise RuntimeError(msg)
