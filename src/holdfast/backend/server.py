"""One Redis server as seen by its callers: circuit breaker, re-sending, scripts it has forgotten.

    the connection...       and the command...       then
    lost                    may be re-sent           forget all connections, send once more
    lost                    may not                  WireBroken
    refused, timeout        -                        WireBroken
    answers NOSCRIPT        has the script's text    send that instead
    answers READONLY        -                        forget all connections, find the primary, send once more

Re-sending happens at most once a call. Whatever is raised here counts as one failure for the breaker.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar, cast

from hiredis import ReplyError

from holdfast._calls import drive
from holdfast.backend.breaker import Breaker
from holdfast.backend.failures import WireBroken, code_of
from holdfast.backend.link import BlockingLink, Link
from holdfast.commands import Command, Reply
from holdfast.events import BreakerClosed, BreakerOpened, Event

T = TypeVar("T")
Emit = Callable[[Event], None]


class Server:
    """Asks one server, in one colour. Error replies are values; a server that cannot be asked raises WireBroken."""

    __slots__ = ("_breaker", "_emit", "link", "name")

    def __init__(self, link: Link, breaker: Breaker, name: str, emit: Emit) -> None:
        self.link = link
        self.name = name
        self._breaker = breaker
        self._emit = emit

    async def ask(self, command: Command) -> Reply:
        """Send one command and return its reply."""
        if self._breaker.tripped:
            return await self._probe(lambda: self._ask(command))
        try:
            reply = await self.link.ask(command)
        except WireBroken as broken:
            reply = await self._once_more(broken, command)
        if self._breaker.failures:
            self._succeeded()
        return await self._mend(reply, command) if type(reply) is ReplyError else reply

    def ask_now(self, command: Command) -> Reply:
        """Do what `ask` does over a blocking link, without a coroutine where nothing is amiss."""
        if self._breaker.tripped or self._breaker.failures:
            return drive(self.ask(command))
        try:
            reply = cast("BlockingLink", self.link).ask_now(command)
        except WireBroken as broken:
            reply = drive(self._once_more(broken, command))
        return drive(self._mend(reply, command)) if type(reply) is ReplyError else reply

    async def ask_all(self, commands: Sequence[Command]) -> list[Reply]:
        """Send commands together and return their replies."""
        if self._breaker.tripped:
            return await self._probe(lambda: self._ask_all(commands))
        replies = await self._ask_all(commands)
        if self._breaker.failures:
            self._succeeded()
        return replies

    async def _ask(self, command: Command) -> Reply:
        try:
            reply = await self.link.ask(command)
        except WireBroken as broken:
            reply = await self._once_more(broken, command)
        return await self._mend(reply, command) if type(reply) is ReplyError else reply

    async def _once_more(self, broken: WireBroken, command: Command) -> Reply:
        """Send a command a second time if that is safe, on a connection that is certainly new."""
        if not broken.may_resend(command):
            raise self._failed(broken)
        self.link.reset()
        try:
            return await self.link.ask(command)
        except WireBroken as again:
            raise self._failed(again) from None

    async def _ask_all(self, commands: Sequence[Command]) -> list[Reply]:
        try:
            replies = await self.link.ask_all(commands)
        except WireBroken as broken:
            if not all(broken.may_resend(command) for command in commands):
                raise self._failed(broken) from None
            self.link.reset()
            try:
                replies = await self.link.ask_all(commands)
            except WireBroken as again:
                raise self._failed(again) from None
        for index, reply in enumerate(replies):
            if type(reply) is ReplyError:
                replies[index] = await self._mend(reply, commands[index])
        return replies

    async def _mend(self, reply: ReplyError, command: Command) -> Reply:
        """Answer the two refusals that another try cures: nothing was executed, so any command may be sent again."""
        code = code_of(reply)
        if code == "NOSCRIPT" and command.fallback:
            again = command._replace(words=command.fallback, fallback=())
        elif code == "READONLY":
            self.link.reset()
            again = command
        else:
            return reply
        try:
            return await self.link.ask(again)
        except WireBroken as broken:
            raise self._failed(broken) from None

    async def _probe(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Let one caller through while the breaker is tripped; refuse the others at once."""
        if not self._breaker.admit(time.monotonic()):
            raise WireBroken("open", sent=False)
        try:
            answer = await ask()
        except WireBroken:
            raise
        except BaseException:
            self._breaker.withdraw()
            raise
        self._succeeded()
        return answer

    def _succeeded(self) -> None:
        if self._breaker.success():
            self._emit(BreakerClosed(self.name))

    def _failed(self, broken: WireBroken) -> WireBroken:
        if broken.how != "closed":
            retry_in = self._breaker.failure(time.monotonic())
            if retry_in is not None:
                self._emit(BreakerOpened(self.name, retry_in))
        return broken
