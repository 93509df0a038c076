"""What type checkers must see of what is done once. Checked by mypy and pyright, never run."""

from __future__ import annotations

from typing import Any, assert_type

from holdfast import IdempotentRun, Layer, asgi, current_idempotency, idempotent, wsgi
from holdfast.web import WebRequest

layer = Layer("memory://")


@idempotent("pay:{order}", ttl="7d", lease=10, wait=0, fingerprint="{amount}", on_failure="run", layer=layer)
def pay(order: int, amount: int = 1) -> str:
    """A plain function."""
    return f"{order} {amount}"


@layer.idempotent("pay:{order}", serializer="msgpack")
async def apay(order: int, *, amount: int = 1) -> str:
    """An async function."""
    return f"{order} {amount}"


def key_of(order: int) -> str:
    """The key of a call."""
    return f"order:{order}"


@layer.idempotent(key_of, fingerprint=key_of, wait=None)
def by_layer(order: int) -> str:
    """A function on a layer."""
    return str(order)


class Shop:
    """Methods."""

    @idempotent("m:{number}")
    def method(self, number: int) -> int:
        """A method."""
        return number

    @classmethod
    @idempotent("m")
    def by_class(cls) -> str:
        """A class method."""
        return cls.__name__


def identity(request: WebRequest) -> str | None:
    """Whose key it is."""
    return request.get("x-account")


assert_type(pay(1), str)
assert_type(by_layer(1), str)
assert_type(Shop().method(1), int)
assert_type(Shop.by_class(), str)
assert_type(current_idempotency(), IdempotentRun)
assert_type(current_idempotency().fencing_token, int | None)


async def use() -> None:
    """Await."""
    assert_type(await apay(1, amount=2), str)


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    """An app."""


def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
    """An app."""
    return []


asgi.IdempotencyMiddleware(asgi_app, layer=layer, required=True, identity=identity, wait="5s", max_body=10)
wsgi.IdempotencyMiddleware(wsgi_app, required=["/pay"], exempt=(), keep_errors=True, strict=True, on_failure="open")
