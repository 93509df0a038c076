"""The `send` and `receive` of an app behind the limits: fields are added, and the end of the response is seen."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final

from holdfast.asgi.http_receive import Receive
from holdfast.asgi.http_relay import Message, Send
from holdfast.asgi.http_scopes import RawFields
from holdfast.policy.http.fields import Pairs
from holdfast.web.limit_admission import Admission
from holdfast.web.limit_answers import STARTS
from holdfast.web.limit_writing import RawPairs

_STARTS: Final = tuple(start.encode() for start in STARTS)
_INITIALS: Final = b"rRxX"


def add_fields(message: Message, fields: RawPairs) -> Message:
    """Return the head of a response with fields about limits, unless the app has set such fields itself."""
    raw: RawFields = [*message.get("headers", ())]  # any iterable, perhaps one that can be read only once
    for name, _ in raw:
        if name[:1] in _INITIALS and name.lower().startswith(_STARTS):
            return {**message, "headers": raw}
    raw += fields
    return {**message, "headers": raw}


def field_adder(send: Send, fields: RawPairs) -> Send:
    """Return a `send` that adds fields to the head of the response, and is no further step for anything else."""
    if not fields:
        return send

    def relay(message: Message) -> Awaitable[None]:
        return send(add_fields(message, fields) if message["type"] == "http.response.start" else message)

    return relay


class HeldSend:
    """The `send` of a request that holds something until its response is complete.

    It is given back before the last message goes out: whoever asks again as soon as he has his answer finds it free.
    """

    __slots__ = ("_admission", "_declared", "_pairs", "_send", "_size", "_status")

    def __init__(self, send: Send, admission: Admission) -> None:
        self._send = send
        self._admission = admission
        self._status: int | None = None
        self._pairs: Pairs = ()
        self._size = 0
        self._declared = -1

    async def __call__(self, message: Message) -> None:
        """Send a message of the app."""
        kind = message["type"]
        if kind == "http.response.start":
            message = add_fields(message, self._admission.raw_fields())
            self._note_head(message)
        is_last, size = kind == "http.response.pathsend", 0
        if kind in ("http.response.body", "http.response.zerocopysend"):
            size = len(message.get("body", b"")) or message.get("count", 0) or 0
            is_last = not message.get("more_body", False) or self._size + size == self._declared
        if is_last and kind != "http.response.body" and not size:  # the server sends a file, to its end
            size = max(self._declared - self._size, 0)
        if is_last:
            await self._admission.give_back()
        await self._send(message)
        self._size += size
        if is_last:
            await self._settle()

    def _note_head(self, message: Message) -> None:
        self._status = message.get("status", 200)
        for name, value in message["headers"]:
            if name.lower() == b"content-length" and value.isdigit():
                self._declared = int(value)
        if self._admission.settles:
            pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]]
            self._pairs = tuple(pairs)

    async def leave(self) -> None:
        """Give back what is held: the app knows that the client has left."""
        await self._admission.give_back()

    async def finish(self) -> None:
        """Give back what is held, and charge what was sent, unless that is done: the app has ended."""
        try:
            await self._admission.give_back()
        finally:
            await self._settle()

    async def _settle(self) -> None:
        if self._status is not None:
            await self._admission.settle(self._status, self._pairs, self._size)


class HeldReceive:
    """The `receive` of a request that holds something: it hears that the client has left."""

    __slots__ = ("_held", "_receive")

    def __init__(self, receive: Receive, held: HeldSend) -> None:
        self._receive = receive
        self._held = held

    async def __call__(self) -> Any:
        """Return the next message."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            await self._held.leave()
        return message
