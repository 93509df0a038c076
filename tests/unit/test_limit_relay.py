"""What goes from an app through the limits to a server of ASGI, in forms that the specification leaves to the app."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from holdfast import Layer
from holdfast.asgi import RateLimitMiddleware
from support.http_clients import scope_of


@pytest.fixture
def layer(namespace: str) -> Iterator[Layer]:
    """Give an embedded layer of the test's own."""
    with Layer(namespace=namespace) as layer:
        yield layer


def relayed(layer: Layer, *messages: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    """Return what a server gets of an app that sends some messages."""
    sent: list[dict[str, Any]] = []

    async def app(_: Any, __: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    limited = RateLimitMiddleware(app, layer=layer, quota="999/hour", on_failure="closed", budget="30s", **options)
    asyncio.run(limited({**scope_of("GET", "/", ()), "client": ("192.0.2.1", 1)}, receive, send))
    return sent


@pytest.mark.parametrize("dialect", ["draft-11", "off"])
@pytest.mark.parametrize("settles", [True, False])
@pytest.mark.parametrize("own", [True, False])
def test_fields_that_can_be_read_only_once(layer: Layer, dialect: str, settles: bool, own: bool) -> None:
    """`headers` may be any iterable: all of them arrive, with ours or without."""
    given = [(b"x-a", b"1"), (b"ratelimit" if own else b"x-b", b"2")]
    options: dict[str, Any] = {"settle": lambda *_: 1} if settles else {}
    head = {"type": "http.response.start", "status": 200, "headers": iter(given)}
    sent = relayed(layer, head, {"type": "http.response.body"}, dialect=dialect, **options)
    got = list(sent[0]["headers"])
    assert got[:2] == given
    assert len(got) == (2 if own or dialect == "off" else 4)


@pytest.mark.parametrize(
    ("length", "messages", "size"),
    [
        (9, [("zerocopysend", {"count": None})], 9),
        (9, [("zerocopysend", {})], 9),
        (9, [("body", {"body": b"ab", "more_body": True}), ("zerocopysend", {"count": None})], 9),
        (9, [("zerocopysend", {"count": 4, "more_body": True}), ("zerocopysend", {"count": 5})], 9),
        (9, [("pathsend", {"path": "/x"})], 9),
        (None, [("zerocopysend", {"count": None})], 0),
        (9, [("zerocopysend", {"count": None, "more_body": True}), ("body", {"body": b"ab"})], 2),
    ],
)
def test_a_file_that_the_server_sends_has_the_length_that_was_announced(
    layer: Layer, length: int | None, messages: Any, size: int
) -> None:
    """`count` may be absent or None, for the whole file; what nobody knows costs nothing."""
    fields = [] if length is None else [(b"content-length", str(length).encode())]
    head = {"type": "http.response.start", "status": 200, "headers": fields}
    sizes: list[int] = []
    rest = [{"type": f"http.response.{kind}", **more} for kind, more in messages]
    relayed(layer, head, *rest, settle=lambda *told: sizes.append(told[2]))
    assert sizes == [size]
