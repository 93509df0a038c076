"""The `send` that an app gets behind the cache, and the sending of what is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from holdfast.asgi.http_pump import Pump
from holdfast.asgi.http_receive import Ears
from holdfast.asgi.http_scopes import RawFields
from holdfast.core.http_exchange import Exchange, Next, Outcome
from holdfast.engine import Engine
from holdfast.policy.http.answering import Answer
from holdfast.policy.http.fields import Pairs
from holdfast.web.http_answers import answer, relayed_status
from holdfast.web.http_options import WebCache

Message: TypeAlias = dict[str, Any]
Send: TypeAlias = Callable[[Any], Awaitable[None]]


class Relay:
    """The `send` that the app gets: it shows each message to the exchange before the client gets it."""

    __slots__ = (
        "_bodiless",
        "_cache",
        "_done",
        "_ears",
        "_engine",
        "_exchange",
        "_held",
        "_pump",
        "_send",
        "again",
        "begun",
        "ended",
    )

    def __init__(
        self, cache: WebCache, engine: Engine, exchange: Exchange, send: Send, ears: Ears | None = None
    ) -> None:
        self._cache = cache
        self._engine = engine
        self._exchange = exchange
        self._send = send
        self._ears = ears
        self._done: Next | None = None
        self._held: Message | None = None
        """The head, until the body begins: it may give the head an ETag, and others may wait for it."""
        self._pump: Pump | None = None
        self._bodiless = False
        self.again = False
        """Whether the app is to be asked once more."""
        self.begun = False
        """Whether the client has got something."""
        self.ended = False
        """Whether the client has got all."""

    async def __call__(self, message: Message) -> None:
        """Take a message of the app."""
        kind = message["type"]
        if kind == "http.response.body":
            await self._body(message)
            if self._ears is not None and not message.get("more_body", False):
                self._ears.end()
        elif kind == "http.response.start":
            await self._start(message)
        elif self._done is None or self._done.does == "relay":
            await self._send(message)

    async def _start(self, message: Message) -> None:
        exchange = self._exchange
        raw: RawFields = list(message.get("headers", ()))
        pairs: Pairs = tuple([(name.decode("latin-1"), value.decode("latin-1")) for name, value in raw])
        done = self._done = await exchange.head(message["status"], pairs)
        if done.does != "relay":
            self.again = done.does == "again"
            return
        if message.get("trailers") and done.stored:
            await exchange.give_up()
        fields = raw if done.fields is pairs else _encoded(done.fields)
        status = relayed_status(self._cache, exchange, done, message["status"])
        if status is not None:
            fields.append((b"cache-status", status.encode("latin-1")))
        self._bodiless = done.bodiless
        head = {**message, "status": done.status, "headers": fields}
        if exchange.is_storing or exchange.changes:
            self._held = head
            return
        self.begun = True
        await self._send(head)

    async def _body(self, message: Message) -> None:
        more = message.get("more_body", False)
        if self._done is not None and self._done.does != "relay":
            await self._swallow(more)
            return
        body = message.get("body", b"")
        held, self._held = self._held, None
        etag = None if more or held is None else self._exchange.etag_of(body)
        await self._take(body, more)
        apart = more and self._exchange.is_storing
        if held is not None:
            if etag is not None:
                held["headers"].append((b"etag", etag.encode("latin-1")))
            self.begun = True
            await self._pass_on(held, apart=apart)
        if not self._bodiless:
            await self._pass_on(message, apart=apart)
        elif not more:
            await self._pass_on({"type": "http.response.body", "body": b"", "more_body": False}, apart=False)

    async def _swallow(self, more: bool) -> None:
        """Take a piece of a body that is not for the client; after the last the client gets what is stored."""
        if more or self.again or self.ended:
            return
        self.ended = True
        outcome = self._exchange.conclude()
        if outcome is not None:
            await self.send_outcome(outcome)

    async def _take(self, body: bytes, more: bool) -> None:
        """Show a piece of the body to the exchange: what is to be stored is, before the client has the end of it."""
        exchange = self._exchange
        if exchange.is_over:
            self.ended = self.ended or not more
            return
        await exchange.take(body)
        if not more and not self.ended:
            self.ended = True
            # Who knows that the client has left may not have said all.
            await exchange.complete(sure=self._ears is None or not self._ears.left)

    async def _pass_on(self, message: Message, *, apart: bool) -> None:
        """Send a message: apart from the app while others may wait for what it brings."""
        if apart:
            if self._pump is None:
                self._pump = Pump(self._send)
            self._pump.push(message)
            await asyncio.sleep(0)
        elif self._pump is not None:
            self._pump.push(message)
            await self._pump.drained()
        else:
            await self._send(message)

    async def finish(self) -> None:
        """Send what is left of an answer that the app has not completed, as it would have been sent without us."""
        held, self._held = self._held, None
        if held is not None:
            self.begun = True
            await self._pass_on(held, apart=False)
        elif self._pump is not None:
            await self._pump.drained()

    def stop(self) -> None:
        """Send nothing more."""
        if self._pump is not None:
            self._pump.stop()

    async def send_outcome(self, outcome: Outcome) -> None:
        """Send what is stored instead of what the app answered."""
        self.begun = self.ended = True
        await send_answer(self._send, answer(self._cache, self._exchange.request, outcome, self._engine.asyncio.now()))


async def send_answer(send: Send, answer: Answer) -> None:
    """Send a whole response."""
    variant = answer.variant
    if variant is None:
        fields = _encoded(answer.fields)
    else:
        if variant.wire is None:
            variant.wire = _encoded(variant.served)
        fields = variant.wire.copy()
    for name, value in answer.more:
        fields.append((name.lower().encode("latin-1"), value.encode("latin-1")))
    await send({"type": "http.response.start", "status": answer.status, "headers": fields})
    await send({"type": "http.response.body", "body": answer.body})


def _encoded(pairs: Pairs) -> RawFields:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs]
