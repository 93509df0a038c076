"""A reverse proxy as an ASGI app, with our cache between it and the server.

The cache sees the origin's fields as they are, `Connection` among them, since it must heed them. What concerns one
connection only is taken off outside of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import h11

PATIENCE: Final = 10.0
"""Seconds that the origin may take."""
HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""What a proxy never passes on. Fields that `Connection` names are left in: whether the cache drops them is a test."""
_GREATEST_STATUS: Final = 599
"""The greatest that uvicorn can send. The origin says 999 where a request should have had a condition: a failure."""


def build(origin: int, redis: int, options: dict[str, Any]) -> Any:
    """Return the app: the proxy to an origin's port, under our cache with its options."""
    from holdfast import Layer
    from holdfast.asgi import CacheMiddleware

    cached = CacheMiddleware(proxy_to(origin), layer=Layer(f"redis://127.0.0.1:{redis}/0"), **options)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def pass_on(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = [pair for pair in message["headers"] if pair[0].lower().decode() not in HOP_BY_HOP]
                message = {**message, "headers": headers, "status": min(message["status"], _GREATEST_STATUS)}
            await send(message)

        await cached(scope, receive, pass_on)

    return app


def proxy_to(origin: int) -> Any:
    """Return an app that asks the origin on a loopback port, over a new connection each time."""

    async def proxy(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        request, body = _request(scope, await _read(receive))
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", origin)
            try:
                async for event in _exchange(reader, writer, request, body):
                    await send(_message(event))
            finally:
                writer.close()

    return proxy


async def _read(receive: Any) -> bytes:
    pieces: list[bytes] = []
    while True:
        message = await receive()
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(pieces)


def _request(scope: Any, body: bytes) -> tuple[h11.Request, bytes]:
    target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    left_out = HOP_BY_HOP | {"content-length", "proxy-connection"}
    # httptools leaves the white space behind a value, which is no part of it and which h11 refuses to send
    headers = [(name, value.strip(b" \t")) for name, value in scope["headers"] if name.decode() not in left_out]
    headers.append((b"connection", b"close"))
    if body:
        headers.append((b"content-length", str(len(body)).encode()))
    return h11.Request(method=scope["method"], target=target, headers=headers), body


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: h11.Request, body: bytes
) -> AsyncIterator[h11.Event]:
    """Send a request, and give what the origin answers; raise if it closes the connection before the end."""
    connection = h11.Connection(h11.CLIENT)
    for event in (request, h11.Data(data=body), h11.EndOfMessage()):
        writer.write(connection.send(event) or b"")
    await writer.drain()
    while True:
        answered = connection.next_event()
        if answered is h11.NEED_DATA:
            connection.receive_data(await reader.read(65536))
        elif isinstance(answered, (h11.Response, h11.Data, h11.EndOfMessage)):
            yield answered
            if isinstance(answered, h11.EndOfMessage):
                return
        elif not isinstance(answered, h11.InformationalResponse):
            msg = "the origin closed the connection"
            raise ConnectionError(msg)


def _message(event: h11.Event) -> dict[str, Any]:
    if isinstance(event, h11.Response):
        headers = [(name.lower(), value) for name, value in event.headers.raw_items()]
        return {"type": "http.response.start", "status": event.status_code, "headers": headers}
    piece = bytes(event.data) if isinstance(event, h11.Data) else b""
    return {"type": "http.response.body", "body": piece, "more_body": isinstance(event, h11.Data)}
