"""``memory://``: a Redis in the process, by fakeredis with Lua. One server a name, shared by both colours.

It answers at once and never blocks its caller. A command that blocks on purpose is tried again and again instead: in a
transaction, where Redis gives the empty answer at once. So it can be cancelled at any time and takes nothing after
that. Nothing crosses processes: a child starts with an empty server.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, Final

import redis.exceptions
from hiredis import ReplyError

from holdfast._calls import drive
from holdfast.backend.deadline import Deadline
from holdfast.backend.failures import WireBroken
from holdfast.backend.link import Colour
from holdfast.commands import Command, Reply
from holdfast.errors import ConfigurationError

_servers: dict[tuple[int, str], Any] = {}
"""Servers by process and name. A child process gets its own: the locks of a copied one may be held for ever."""
_lock = threading.Lock()
_CODES: Final[dict[type[Exception], str]] = {
    redis.exceptions.NoScriptError: "NOSCRIPT",
    redis.exceptions.ReadOnlyError: "READONLY",
    redis.exceptions.OutOfMemoryError: "OOM",
}
_TURN: Final = 0.005
"""Seconds between two tries of a command that blocks on purpose."""


def open_client(name: str) -> Any:
    """Return a new client of the embedded server called `name`; the server is made when it is first asked for."""
    if find_spec("fakeredis") is None or find_spec("lupa") is None:  # without lupa it has no EVAL
        msg = "memory:// needs the embedded Redis with Lua: pip install 'fakeredis[lua]'"
        raise ConfigurationError(msg)
    import fakeredis

    with _lock:
        server = _servers.get((os.getpid(), name))
        if server is None:
            server = _servers[os.getpid(), name] = fakeredis.FakeServer()
    client = fakeredis.FakeRedis(server=server, decode_responses=False)
    client.response_callbacks.clear()  # replies as a server sends them
    return client


class EmbeddedLink:
    """The way to an embedded server, for either colour."""

    def __init__(self, name: str, colour: Colour) -> None:
        self._name = name
        self._colour = colour
        self._client = open_client(name)
        self._closed = False

    async def ask(self, command: Command, deadline: Deadline | None = None) -> Reply:
        """Execute one command and return its reply."""
        if command.blocks is not None:
            return await self._ask_often(command, command.blocks)
        return self._execute(command)

    def ask_now(self, command: Command, deadline: Deadline | None = None) -> Reply:
        """Execute one command in the caller's thread, for the blocking colour. No deadline matters."""
        if command.blocks is not None:
            return drive(self._ask_often(command, command.blocks))
        return self._execute(command)

    def _execute(self, command: Command) -> Reply:
        if self._closed:
            raise WireBroken("closed", sent=False)
        try:
            return self._client.execute_command(*command.words)
        except redis.exceptions.RedisError as error:
            return _reply(error)

    async def ask_all(self, commands: Sequence[Command], deadline: Deadline | None = None) -> list[Reply]:
        """Execute commands one after the other."""
        return [self._execute(command) if command.blocks is None else await self.ask(command) for command in commands]

    async def _ask_often(self, command: Command, blocks: float) -> Reply:
        deadline = time.monotonic() + (blocks or float("inf"))
        while True:
            if self._closed:
                raise WireBroken("closed", sent=False)
            with self._client.pipeline(transaction=True) as transaction:
                transaction.execute_command(*command.words)
                (reply,) = transaction.execute(raise_on_error=False)
            if isinstance(reply, redis.exceptions.RedisError):
                return _reply(reply)
            if reply or time.monotonic() >= deadline:
                return reply
            await self._colour.pause(_TURN)

    def reset(self) -> None:
        """There is no connection to forget."""

    def turn_away(self) -> None:
        """Nobody waits for a connection here."""

    async def aclose(self) -> None:
        """Refuse further commands; what is stored stays for other clients of the same name."""
        self.close()

    def close(self) -> None:
        """Refuse further commands; what is stored stays for other clients of the same name."""
        self._closed = True
        self._client.close()

    def after_fork(self) -> None:
        """In a child process: use a server of its own, which starts empty."""
        global _lock  # noqa: PLW0603 - another thread of the parent may have held it
        _lock = threading.Lock()
        self._client = open_client(self._name)


def _reply(error: redis.exceptions.RedisError) -> ReplyError:
    """Return a refusal as a server sends it; fakeredis makes an exception of it and drops the code of some."""
    if not isinstance(error, redis.exceptions.ResponseError):
        raise WireBroken("refused", sent=False, detail="the embedded server is disconnected") from error
    code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), None)
    text = str(error)
    if code is None and not text.split(" ", 1)[0].isupper():
        code = "ERR"
    return ReplyError(f"{code} {text}" if code else text)
