"""``memory://``: a Redis in the process, by fakeredis with Lua. One server a name, shared by both colours.

It answers at once and never blocks its caller, but for a command that blocks on purpose, which waits in a thread on the
asyncio side. Nothing crosses processes: a child starts with an empty one.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from typing import Any, Final

import redis.exceptions
from hiredis import ReplyError

from holdfast.backend.failures import WireBroken
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


def open_client(name: str) -> Any:
    """Return a new client of the embedded server called `name`; the server is made when it is first asked for."""
    try:
        import fakeredis
        import lupa  # noqa: F401 - fakeredis has no EVAL without it
    except ImportError as error:
        msg = "memory:// needs the embedded Redis with Lua: pip install 'fakeredis[lua]'"
        raise ConfigurationError(msg) from error
    with _lock:
        server = _servers.get((os.getpid(), name))
        if server is None:
            server = _servers[os.getpid(), name] = fakeredis.FakeServer()
    client = fakeredis.FakeRedis(server=server, decode_responses=False)
    client.response_callbacks.clear()  # replies as a server sends them
    return client


class EmbeddedLink:
    """The way to an embedded server, for either colour."""

    def __init__(self, name: str, *, threaded: bool) -> None:
        self._name = name
        self._threaded = threaded
        self._client = open_client(name)
        self._closed = False

    async def ask(self, command: Command) -> Reply:
        """Execute one command and return its reply."""
        if self._closed:
            raise WireBroken("closed", sent=False)
        if command.blocks is not None and self._threaded:
            return await asyncio.to_thread(self._execute, command)
        return self._execute(command)

    def ask_now(self, command: Command) -> Reply:
        """Execute one command in the caller's thread."""
        if self._closed:
            raise WireBroken("closed", sent=False)
        return self._execute(command)

    async def ask_all(self, commands: Sequence[Command]) -> list[Reply]:
        """Execute commands one after the other."""
        if self._closed:
            raise WireBroken("closed", sent=False)
        return [self._execute(command) for command in commands]

    def _execute(self, command: Command) -> Reply:
        try:
            return self._client.execute_command(*command.words)
        except redis.exceptions.ResponseError as error:
            code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), None)
            text = str(error)
            if code is None and not text.split(" ", 1)[0].isupper():
                code = "ERR"
            return ReplyError(f"{code} {text}" if code else text)
        except redis.exceptions.ConnectionError as error:
            raise WireBroken("refused", sent=False, detail="the embedded server is disconnected") from error

    def reset(self) -> None:
        """There is no connection to forget."""

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
