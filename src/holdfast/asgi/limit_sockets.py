"""Websockets behind the limits: refused before they open, slowed down for nobody, closed for too many messages."""

from __future__ import annotations

from time import monotonic
from typing import Any, Final

from holdfast._local_limits import LocalLimits
from holdfast.asgi.http_receive import Receive
from holdfast.asgi.http_relay import Message, Send, send_answer
from holdfast.asgi.http_scopes import Scope
from holdfast.asgi.limit_relay import add_fields
from holdfast.policy.http.answering import Answer
from holdfast.policy.quota import Quota
from holdfast.web.limit_admission import Admission

_POLICY_VIOLATION: Final = 1008
_DENIAL: Final = "websocket.http.response"
_HEADS: Final = frozenset({"websocket.accept", f"{_DENIAL}.start"})
_ENDS: Final = frozenset({"websocket.close", "websocket.disconnect"})


async def refuse_socket(scope: Scope, receive: Receive, send: Send, answer: Answer) -> None:
    """Refuse to open a websocket: with the answer if the server can send one, or else with 403, as servers do."""
    await receive()  # that it wants to be opened
    if _DENIAL not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": "over the limit"})
        return

    async def deny(message: Message) -> None:
        await send({**message, "type": message["type"].replace("http.response", _DENIAL)})

    await send_answer(deny, answer)


class Socket:
    """The two ends of a websocket that an app gets.

    Its messages are counted here, in the process that has the connection: nobody else can receive them. They are while
    the websocket is open: what an app still reads when it has closed it is nobody's burden, and closes it no more.
    """

    def __init__(self, receive: Receive, send: Send, admission: Admission | None, messages: tuple[Quota, ...]) -> None:
        self._receive = receive
        self._send = send
        self._admission = admission
        self._quotas = messages
        self._names = tuple(quota.name for quota in messages)
        self._counted = LocalLimits(1)
        self._is_open = False
        self._is_over = False

    async def receive(self) -> Any:
        """Return the next message; that the client has left, once it has sent too many."""
        if self._is_over:
            return {"type": "websocket.disconnect", "code": _POLICY_VIOLATION, "reason": "too many messages"}
        message = await self._receive()
        kind = message["type"]
        if kind == "websocket.disconnect":
            await self.finish()
        elif kind == "websocket.receive" and self._quotas and self._is_open and not self._admits():
            self._is_over = True
            await self.finish()
            await self._send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": "too many messages"})
            return await self.receive()
        return message

    async def send(self, message: Message) -> None:
        """Send a message of the app.

        Raises:
            OSError: the websocket was closed here, as servers tell it of one that the client has closed.
        """
        kind = message["type"]
        if self._is_over:
            if kind in _ENDS:
                return
            raise OSError("this websocket is closed, since its client has sent too many messages")
        if self._admission is not None and kind in _HEADS:
            message = add_fields(message, self._admission.raw_fields())
        if kind == "websocket.close":
            self._is_open = False
            await self.finish()
        elif kind == "websocket.accept":
            self._is_open = True
        await self._send(message)

    async def finish(self) -> None:
        """Give back what the websocket holds."""
        if self._admission is not None:
            await self._admission.give_back()

    def _admits(self) -> bool:
        admitted_in, _ = self._counted.hit(self._names, self._quotas, 1, monotonic(), 0.0)
        return admitted_in is not None
