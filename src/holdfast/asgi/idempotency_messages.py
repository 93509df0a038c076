"""What an app under idempotency receives and sends: a body that was read already, a response that is collected first.

collecting   nothing was sent to the client yet; at the end the response is stored, then sent
streaming    it is too long to keep, or cannot be collected: what was collected was sent, the rest passes through
ended        the last of it was seen

While it is collected the app does not hear that its client has left. Whoever hears that may cut off an answer as if it
were complete, or be cancelled, as what streams is by many frameworks: then the work would be done again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from holdfast.policy.http.fields import Pairs, declared_length
from holdfast.web.idempotency import WebRun

Message: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]

_START: Final = "http.response.start"
_BODY: Final = "http.response.body"
_DISCONNECT: Final = "http.disconnect"


class TooLong(Exception):  # noqa: N818 - what was found
    """A request's body is longer than it may be."""


class ClientLeft(Exception):  # noqa: N818 - what happened
    """The client has left before its request was complete."""


async def read_body(receive: Receive, most: int) -> bytes:
    """Return the body of a request.

    Raises:
        TooLong: it has more than `most` bytes; the rest was not read.
        ClientLeft: it is not complete.
    """
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == _DISCONNECT:
            raise ClientLeft
        piece: bytes = message.get("body", b"")
        size += len(piece)
        if size > most:
            raise TooLong
        pieces.append(piece)
        if not message.get("more_body", False):
            return b"".join(pieces)


class Receiving:
    """The `receive` that the app gets: the body as one piece; once nothing is collected, what the server says."""

    __slots__ = ("_body", "_hears", "_receive", "left")

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive
        self._hears = asyncio.Event()
        self.left = False
        """Whether the app knows that the client has left."""

    def open(self) -> None:
        """Let the app hear of its client: nothing is collected any more."""
        self._hears.set()

    async def __call__(self) -> Any:
        """Return the next message."""
        body, self._body = self._body, None
        if body is not None:
            return {"type": "http.request", "body": body, "more_body": False}
        await self._hears.wait()
        message = await self._receive()
        self.left = self.left or message["type"] == _DISCONNECT
        return message


class Sending:
    """The `send` that the app gets."""

    def __init__(self, run: WebRun, receiving: Receiving, send: Send) -> None:
        self._run = run
        self._receiving = receiving
        self._send = send
        self._head: Message | None = None
        self._fields: Pairs = ()
        self._pieces: list[bytes] = []
        self._size = 0
        self._streaming = False
        self._is_lost = False
        """Whether the server has refused a message: the client has left."""
        self._ended = False

    async def __call__(self, message: Message) -> None:
        """Take a message of the app."""
        kind = message["type"]
        if self._ended or (self._head is None and kind != _START):
            await self._send(message)
        elif kind == _START:
            await self._start(message)
        elif kind == _BODY:
            await self._body(message)
        else:  # a form of body that cannot be collected
            await self._stream(more=True)
            await self._pass_on(message)

    async def _start(self, message: Message) -> None:
        headers = list(message.get("headers", ()))  # it may be anything that can be read once
        self._head = {**message, "headers": headers}
        self._fields = tuple([(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers])
        length = declared_length(self._fields)
        if message.get("trailers") or (length is not None and length > self._run.max_body) or self._run.max_body < 0:
            await self._stream(more=True)

    async def _body(self, message: Message) -> None:
        more = message.get("more_body", False)
        if not self._streaming:
            piece = message.get("body", b"")
            self._pieces.append(piece)
            self._size += len(piece)
            if self._size > self._run.max_body:
                await self._end(more)
                await self._stream(more=more)
            elif not more:
                await self._end(more)
                await self._send_collected(more=False)
            return
        await self._end(more)
        await self._pass_on(message)

    async def _end(self, more: bool) -> None:
        """End the run with the last of the body, before the client has it: so a client that leaves loses nothing."""
        if more:
            return
        self._ended = True
        if self._streaming or self._size > self._run.max_body:
            await self._run.finish_unkept(self._status, self._fields)
        else:
            await self._run.finish(self._status, self._fields, b"".join(self._pieces))

    @property
    def _status(self) -> int:
        return 0 if self._head is None else int(self._head["status"])

    async def _stream(self, *, more: bool) -> None:
        """Send what was collected, and collect no more."""
        if not self._streaming:
            self._streaming = True
            await self._send_collected(more=more)

    async def _send_collected(self, *, more: bool) -> None:
        try:
            await self._pass_on(self._head)
            pieces, self._pieces = self._pieces, []
            if pieces or not more:
                await self._pass_on({"type": _BODY, "body": b"".join(pieces), "more_body": more})
        finally:
            self._receiving.open()

    async def _pass_on(self, message: Any) -> None:
        try:
            await self._send(message)
        except Exception:
            self._is_lost = True
            raise

    async def give_up(self, error: BaseException | None) -> None:
        """End the run of an app that has raised, or that has returned without the end of its response.

        A response that was on its way when its client left was given: it is not made again. If the app has raised
        nothing, the server gets what there is of the response, as without us.
        """
        self._receiving.open()
        given = self._streaming and (self._is_lost or (error is None and self._receiving.left))
        if error is not None and not isinstance(error, Exception):
            self._run.free_at_last()
        elif self._ended:
            pass
        elif given:
            await self._run.finish_unkept(self._status, self._fields)
        else:
            await self._run.free()
        if error is None and self._head is not None and not (self._streaming or self._ended):
            await self._stream(more=True)
