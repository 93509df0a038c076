"""An HTTP cache in front of an ASGI app."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias, Unpack

from holdfast.asgi.http_scopes import RawFields, Scope, relayed, request_of
from holdfast.core.http_exchange import Exchange, Next, Outcome
from holdfast.engine import Engine
from holdfast.layer import Layer
from holdfast.policy.http.answering import Answer
from holdfast.policy.http.fields import Pairs
from holdfast.web.http_answers import answer, relayed_status, timeout
from holdfast.web.http_options import HttpCacheOptions, WebCache

Message: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]
App: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]

_log = logging.getLogger("holdfast")


class CacheMiddleware:
    """An HTTP cache by RFC 9111 in front of any ASGI app."""

    def __init__(self, app: App, *, layer: Layer | None = None, **options: Unpack[HttpCacheOptions]) -> None:
        self.app = app
        self._cache = WebCache(layer, options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request from what is stored, or let the app answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        opened = self._cache.open()
        request = None if opened is None else request_of(scope, self._cache.keying, opened[2])
        if opened is None or request is None:
            await self.app(scope, receive, send)
            return
        engine, caching, _ = opened
        found = await caching.open(engine.asyncio, request, partial(self._prepare, scope))
        if isinstance(found, Exchange):
            await self._forward(engine, found, scope, receive, send)
        elif isinstance(found, Outcome):
            await _send(send, answer(self._cache, request, found, engine.asyncio.now()))
        else:
            await _send(send, timeout(self._cache, request))

    async def _forward(self, engine: Engine, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the app answer, as often as that is needed."""
        while True:
            relay = _Relay(self._cache, engine, exchange, send)
            try:
                await self.app(relayed(scope, exchange.conditions), receive, relay)
            except BaseException as error:
                outcome = None if relay.ended else await exchange.broken(error, begun=relay.begun)
                if outcome is None:
                    raise
                _log.warning("an app raised %s, and a stale response stood in", type(error).__name__, exc_info=error)
                await relay.send_outcome(outcome)
                return
            if relay.again:
                continue
            if not relay.ended:
                await exchange.broken(None, begun=True)
            return

    def _prepare(self, scope: Scope) -> Callable[[Exchange], Awaitable[None]]:
        """Return what sends a copy of a request to the app, without a client."""
        return partial(self._rerun, dict(scope))

    async def _rerun(self, scope: Scope, exchange: Exchange) -> None:
        opened = self._cache.open()
        if opened is None:
            return
        told = False
        over = asyncio.Event()

        async def receive() -> Message:
            nonlocal told
            if told:
                await over.wait()
                return {"type": "http.disconnect"}
            told = True
            return {"type": "http.request", "body": b"", "more_body": False}

        try:
            await self._forward(opened[0], exchange, scope, receive, _drop)
        finally:
            over.set()


async def _drop(message: Message) -> None:
    """Send nothing: nobody waits for it."""


class _Relay:
    """The `send` that the app gets: it shows each message to the exchange before the client gets it."""

    __slots__ = ("_bodiless", "_cache", "_done", "_engine", "_exchange", "_held", "_send", "again", "begun", "ended")

    def __init__(self, cache: WebCache, engine: Engine, exchange: Exchange, send: Send) -> None:
        self._cache = cache
        self._engine = engine
        self._exchange = exchange
        self._send = send
        self._done: Next | None = None
        self._held: Message | None = None
        """The head, while the body is awaited that its ETag is made of."""
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
        if done.stored and self._cache.rules.etag:
            self._held = head
            return
        self.begun = True
        await self._send(head)

    async def _body(self, message: Message) -> None:
        exchange, more = self._exchange, message.get("more_body", False)
        if self._done is not None and self._done.does != "relay":
            if not more and self._done.does == "swallow" and not self.ended:
                self.ended = True
                outcome = exchange.conclude()
                if outcome is not None:
                    await self.send_outcome(outcome)
            return
        body = message.get("body", b"")
        if self._held is not None:
            await self._let_go(body, more)
        if exchange.is_over:
            self.ended = self.ended or not more
        else:
            exchange.feed(body)
            if exchange.is_overlong:
                await exchange.give_up()
            if not more and not self.ended:
                self.ended = True
                await exchange.complete()
        if not self._bodiless:
            await self._send(message)
        elif not more:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _let_go(self, body: bytes, more: bool) -> None:
        """Send the head that was held, with the ETag of the body if this is all of it."""
        head, self._held = self._held, None
        if head is None:
            return
        etag = None if more else self._exchange.etag_of(body)
        if etag is not None:
            head["headers"].append((b"etag", etag.encode("latin-1")))
        self.begun = True
        await self._send(head)

    async def send_outcome(self, outcome: Outcome) -> None:
        """Send what is stored instead of what the app answered."""
        self.begun = self.ended = True
        await _send(self._send, answer(self._cache, self._exchange.request, outcome, self._engine.asyncio.now()))


async def _send(send: Send, answer: Answer) -> None:
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
