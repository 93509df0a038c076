"""An app behind the idempotency middleware, and a client that plays the server: WSGI in the sync colour, else ASGI."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import holdfast.asgi
import holdfast.wsgi
from holdfast import Layer
from holdfast.policy.http.fields import Fields
from support.colours import Colour
from support.http_clients import Got, Pairs, environ_of, scope_of

HOST: Final = ("Host", "shop.example")
TEXT: Final = ("Content-Type", "text/plain")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the app got."""

    method: str
    target: str
    body: bytes
    info: Any
    """What the middleware has left for the app."""
    number: int
    """How many requests it got so far, from 1."""


@dataclass(frozen=True, slots=True)
class Says:
    """What the app answers."""

    body: bytes | list[bytes | Exception] = b""
    status: int = 201
    fields: Pairs = ()


Respond: TypeAlias = Callable[[Asked], Awaitable[Says]]


async def count(asked: Asked) -> Says:
    """Answer with the number of the request."""
    return Says(f"run {asked.number}".encode(), fields=(TEXT, ("Set-Cookie", "a=b"), ("Date", "today"), ("X-A", "1")))


@dataclass
class Site:
    """An app behind the middleware."""

    colour: Colour
    layer: Layer
    respond: Respond = count
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    got: list[Asked] = field(default_factory=list[Asked])
    """What reached the app."""
    middleware: Any = None

    def __post_init__(self) -> None:
        kind: Any = holdfast.asgi if self.colour.is_async else holdfast.wsgi
        app: Any = self._asgi if self.colour.is_async else self._wsgi
        self.middleware = kind.IdempotencyMiddleware(app, layer=self.layer, **self.options)

    @property
    def runs(self) -> int:
        """Return how many requests reached the app."""
        return len(self.got)

    async def ask(
        self,
        key: str | None = '"k"',
        body: bytes = b"x",
        *fields: tuple[str, str],
        method: str = "POST",
        target: str = "/pay",
        host: str = "shop.example",
    ) -> Got:
        """Send a request, and return what the client gets."""
        pairs = (("Host", host), *fields, *(() if key is None else (("Idempotency-Key", key),)))
        if self.colour.is_async:
            return await post_asgi(self.middleware, pairs, body, method, target)
        return post_wsgi(self.middleware, pairs, body, method, target)

    def asker(self, *args: Any, **options: Any) -> Callable[[], Any]:
        """Return an actor that asks."""

        async def act() -> Got:
            return await self.ask(*args, **options)

        return act

    def _asked(self, method: str, target: str, body: bytes, info: Any) -> Asked:
        self.got.append(Asked(method, target, body, info, len(self.got) + 1))
        return self.got[-1]

    async def _asgi(self, scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        asked = self._asked(scope["method"], scope["path"], body, scope.get("holdfast.idempotency"))
        says = await self.respond(asked)
        headers = [(name.encode(), value.encode()) for name, value in says.fields]
        await send({"type": "http.response.start", "status": says.status, "headers": headers})
        if isinstance(says.body, bytes):
            await send({"type": "http.response.body", "body": says.body})
            return
        for piece in says.body:
            if isinstance(piece, Exception):
                raise piece
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})

    def _wsgi(self, environ: Any, start_response: Any) -> Any:
        body = environ["wsgi.input"].read()
        info = environ.get("holdfast.idempotency")
        asked = self._asked(environ["REQUEST_METHOD"], environ["PATH_INFO"], body, info)
        coroutine: Any = self.respond(asked)
        try:
            coroutine.send(None)
        except StopIteration as stop:
            says: Says = stop.value
        start_response(f"{says.status} Said", list(says.fields))
        return [says.body] if isinstance(says.body, bytes) else _pieces(says.body)


def _pieces(body: list[bytes | Exception]) -> Iterator[bytes]:
    for piece in body:
        if isinstance(piece, Exception):
            raise piece
        yield piece


async def post_asgi(app: Any, pairs: Pairs, body: bytes = b"x", method: str = "POST", target: str = "/pay") -> Got:
    """Send a request to an ASGI app: its body in two pieces."""
    half = len(body) // 2
    left = [(body[:half], True), (body[half:], False)]
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not left:
            await asyncio.Event().wait()
        piece, more = left.pop(0)
        return {"type": "http.request", "body": piece, "more_body": more}

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    error: BaseException | None = None
    try:
        await app(scope_of(method, target, pairs), receive, send)
    except Exception as raised:
        error = raised
    return got_of(messages, error)


def got_of(messages: list[dict[str, Any]], error: BaseException | None = None) -> Got:
    """Return what a client gets by the messages that an app sends."""
    if not messages:
        return Got("0", Fields(()), b"", error)
    head, *bodies = messages
    assert head["type"] == "http.response.start"
    assert all(each["type"] == "http.response.body" for each in bodies)
    assert error is not None or [each.get("more_body", False) for each in bodies].index(False) == len(bodies) - 1
    fields = Fields((name.decode(), value.decode()) for name, value in head["headers"])
    return Got(str(head["status"]), fields, b"".join(each.get("body", b"") for each in bodies), error)


def posted(pairs: Pairs, body: bytes = b"x", method: str = "POST", target: str = "/pay") -> dict[str, Any]:
    """Return the environ of a request with a body, behind which more may come on the same connection."""
    environ = environ_of(method, target, pairs)
    environ["CONTENT_TYPE"] = environ.pop("HTTP_CONTENT_TYPE", "")
    environ["CONTENT_LENGTH"] = str(len(body))
    environ["wsgi.input"] = io.BytesIO(body + b"the next request")
    return environ


def post_wsgi(app: Any, pairs: Pairs, body: bytes = b"x", method: str = "POST", target: str = "/pay") -> Got:
    """Send a request to a WSGI app."""
    heads: list[tuple[str, Fields]] = []
    written: list[bytes] = []
    error: BaseException | None = None

    def start_response(status: str, fields: list[tuple[str, str]], exc_info: Any = None) -> Any:
        assert not heads, "start_response was called twice"
        heads.append((status, Fields(fields)))
        return written.append

    produced: Any = ()
    try:
        produced = app(posted(pairs, body, method, target), start_response)
        for piece in produced:
            assert heads, "a body before start_response"
            written.append(piece)
    except Exception as raised:
        error = raised
    finally:
        getattr(produced, "close", lambda: None)()
    if not heads:
        return Got("0", Fields(()), b"", error)
    return Got(heads[0][0][:3], heads[0][1], b"".join(written), error)
