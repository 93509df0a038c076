"""The `receive` that an app gets where the client may not get its answer.

Apps that stream listen for `http.disconnect`, which a server sends when its response is complete. An answer that is
swallowed, or that nobody waits for, never reaches a server: so the app is told here when it has answered.
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
        bodiless: whether the app is given the request's body from here, which is empty: there is none, or an earlier
            run has had it.
    """

    __slots__ = ("_bodiless", "_over", "_receive")

    def __init__(self, receive: Receive | None, *, bodiless: bool) -> None:
        self._receive = receive
        self._bodiless = bodiless
        self._over = asyncio.Event()

    def end(self) -> None:
        """Note that the app has answered: whoever listens for the client is told that it has left."""
        self._over.set()

    async def __call__(self) -> Any:
        """Return the next message."""
        if self._bodiless:
            self._bodiless = False
            return {"type": "http.request", "body": b"", "more_body": False}
        if self._receive is None:
            await self._over.wait()
        elif not self._over.is_set():
            return await self._either(self._receive)
        return {"type": _DISCONNECT}

    async def _either(self, receive: Receive) -> Any:
        """Return what the server says, unless the app has answered before."""
        said, over = asyncio.ensure_future(receive()), asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait({said, over}, return_when=asyncio.FIRST_COMPLETED)
            return said.result() if said.done() else {"type": _DISCONNECT}
        finally:
            said.cancel()
            over.cancel()
