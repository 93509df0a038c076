"""The `receive` that an app gets behind the cache.

Apps that stream listen for `http.disconnect`, which a server sends when the client has left or the response is
complete. An answer that is swallowed, or that nobody waits for, never reaches a server: then the app is told here when
it has answered. And whoever is told that the client has left may end the answer early, as if it were complete.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

Receive: TypeAlias = Callable[[], Awaitable[Any]]

_DISCONNECT: Final = "http.disconnect"


class Ears:
    """Hears of a request for one run of the app.

    Args:
        receive: that of the server; None where there is no client.
        answers: whether the app is told here when it has answered, since the client may not get the answer.
        bodiless: whether the app is given the request's body from here, which is empty: there is none, or an earlier
            run has had it.
    """

    __slots__ = ("_bodiless", "_over", "_receive", "left")

    def __init__(self, receive: Receive | None, *, answers: bool, bodiless: bool) -> None:
        self._receive = receive
        self._bodiless = bodiless
        self._over = asyncio.Event() if answers or receive is None else None
        self.left = False
        """Whether the app knows that the client has left."""

    def end(self) -> None:
        """Note that the app has answered: whoever listens for the client is told that it has left."""
        if self._over is not None:
            self._over.set()

    async def __call__(self) -> Any:
        """Return the next message."""
        if self._bodiless:
            self._bodiless = False
            return {"type": "http.request", "body": b"", "more_body": False}
        message = await self._next()
        self.left = self.left or message["type"] == _DISCONNECT
        return message

    async def _next(self) -> Any:
        over, receive = self._over, self._receive
        if over is None and receive is not None:
            return await receive()
        if over is None or over.is_set():
            return {"type": _DISCONNECT}
        if receive is None:
            await over.wait()
            return {"type": _DISCONNECT}
        return await _either(receive, over)


async def _either(receive: Receive, over: asyncio.Event) -> Any:
    """Return what the server says, unless the app has answered before."""
    said, answered = asyncio.ensure_future(receive()), asyncio.ensure_future(over.wait())
    try:
        await asyncio.wait({said, answered}, return_when=asyncio.FIRST_COMPLETED)
        return said.result() if said.done() else {"type": _DISCONNECT}
    finally:
        said.cancel()
        answered.cancel()
