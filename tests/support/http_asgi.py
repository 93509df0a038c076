"""ASGI apps and clients for tests of what lies between a server and an app."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from support.http_clients import Got, ask_asgi, scope_of
from support.http_world import HOST

Message: TypeAlias = dict[str, Any]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
FRESH: Final = [(b"cache-control", b"max-age=60")]
PAIRS: Final = (("Host", HOST),)
START: Final[Message] = {"type": "http.response.start", "status": 200, "headers": FRESH}


def body(data: bytes = b"", *, more: bool = False) -> Message:
    """Return a message with a piece of the body."""
    return {"type": "http.response.body", "body": data, "more_body": more}


class App:
    """Sends the same messages each time, and counts."""

    def __init__(self, *messages: Message) -> None:
        self.messages = messages
        self.scopes: list[Any] = []
        self.receives: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        """Answer."""
        self.scopes.append(scope)
        self.receives.append(receive)
        for message in self.messages:
            await send({**message})


async def ask(app: Any, method: str = "GET", target: str = "/") -> Got:
    """Send a request and return the answer."""
    return await ask_asgi(app, method, target, PAIRS)


async def raw(app: Any, scope: Any = None) -> list[Message]:
    """Send a request and return the messages of the answer."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope or scope_of("GET", "/", PAIRS), nothing_more, send)
    return sent


async def nothing_more() -> Message:
    """Receive nothing: a cache has no need to."""
    raise AssertionError("the cache received something")
