"""An app behind limits, once for ASGI and once for WSGI, and a client that plays the server."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import http_sf

from holdfast import Layer, asgi, wsgi
from support.colours import Colour
from support.http_clients import scope_of
from support.peeking import ask

Pair: TypeAlias = tuple[str, str]
Respond: TypeAlias = Callable[[str], "Made"]
PEER: Final = "192.0.2.1"
TIMEOUT: Final = 30.0


@dataclass(frozen=True, slots=True)
class Made:
    """What an app answers."""

    status: int = 200
    fields: tuple[Pair, ...] = ()
    pieces: tuple[bytes, ...] = (b"teapot",)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a client gets."""

    status: int
    fields: tuple[Pair, ...]
    body: bytes

    def get(self, name: str) -> str | None:
        """Return a field that is there once, or None."""
        found = [value for key, value in self.fields if key.lower() == name.lower()]
        assert len(found) < 2, f"{name} is there {len(found)} times"
        return found[0] if found else None

    def members(self, name: str) -> dict[str, dict[str, Any]]:
        """Return the members of a field that is a List of Strings, read by a parser of somebody else."""
        parsed = http_sf.parse((self.get(name) or "").encode(), tltype="list")
        return {str(text): dict(parameters) for text, parameters in parsed}

    @property
    def left(self) -> dict[str, int]:
        """What is left under each policy."""
        return {name: parameters["r"] for name, parameters in self.members("RateLimit").items()}


class Site:
    """An app of one colour behind limits: ASGI where code is async, else WSGI.

    Args:
        colour: of the app.
        layer: of the limits.
        respond: from a path to what the app answers.
        options: of the middleware.
    """

    def __init__(self, colour: Colour, layer: Layer | None, respond: Respond | None = None, **options: Any) -> None:
        self.colour = colour
        self.calls: list[str] = []
        self.decisions: list[Any] = []
        self._respond: Respond = respond or (lambda _: Made())
        module: Any = asgi if colour.is_async else wsgi
        self.app = module.RateLimitMiddleware(self._asgi if colour.is_async else self._wsgi, layer=layer, **options)

    async def ask(
        self, path: str = "/", *pairs: Pair, method: str = "GET", peer: str | None = PEER, mount: str = ""
    ) -> Reply:
        """Send a request, and return the answer."""
        fields = (("Host", "shop.example"), *pairs)
        if self.colour.is_async:
            async with asyncio.timeout(TIMEOUT):
                return await ask_asgi(self.app, method, path, fields, peer, mount)
        return ask_wsgi(self.app, method, path, fields, peer, mount)

    async def statuses(self, times: int, path: str = "/", *pairs: Pair, **more: Any) -> list[int]:
        """Send a request several times, and return the statuses."""
        return [(await self.ask(path, *pairs, **more)).status for _ in range(times)]

    async def _asgi(self, scope: Any, receive: Any, send: Any) -> None:
        self.calls.append(scope["path"])
        self.decisions.append(scope.get("holdfast.limit"))
        made = self._respond(scope["path"])
        await send({"type": "http.response.start", "status": made.status, "headers": raw(made.fields)})
        for piece in made.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _wsgi(self, environ: Any, start_response: Any) -> Iterator[bytes]:
        self.calls.append(environ["PATH_INFO"])
        self.decisions.append(environ.get("holdfast.limit"))
        made = self._respond(environ["PATH_INFO"])
        start_response(f"{made.status} Made", list(made.fields))
        return iter(made.pieces)


def raw(fields: Iterable[Pair]) -> list[tuple[bytes, bytes]]:
    """Return fields as ASGI has them."""
    return [(name.lower().encode(), value.encode()) for name, value in fields]


async def ask_asgi(
    app: Any, method: str, path: str, fields: Sequence[Pair], peer: str | None, mount: str = ""
) -> Reply:
    """Send a request to an ASGI app, and return the answer."""
    scope = scope_of(method, path, tuple(fields))
    scope |= {"client": None if peer is None else (peer, 40000), "root_path": mount}
    sent: list[dict[str, Any]] = []
    bodies = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, Any]:
        return next(bodies, {"type": "http.disconnect"})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    head, *rest = sent
    told = tuple((name.decode(), value.decode()) for name, value in head["headers"])
    return Reply(head["status"], told, b"".join(message.get("body", b"") for message in rest))


def environ_of(method: str, path: str, fields: Sequence[Pair], peer: str | None, mount: str = "") -> dict[str, Any]:
    """Return the environ of a request, as a server makes it."""
    path, _, query = path.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": mount,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "shop.example",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": peer or "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in fields:
        key = f"HTTP_{name.upper().replace('-', '_')}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ


def ask_wsgi(app: Any, method: str, path: str, fields: Sequence[Pair], peer: str | None, mount: str = "") -> Reply:
    """Send a request to a WSGI app, and return the answer."""
    heads: list[tuple[str, list[Pair]]] = []
    written: list[bytes] = []

    def start(status: str, headers: list[Pair], exc_info: Any = None) -> Callable[[bytes], object]:
        assert exc_info or not heads
        heads.append((status, headers))
        return written.append

    body = app(environ_of(method, path, fields, peer, mount), start)
    try:
        pieces = list(body)
    finally:
        getattr(body, "close", lambda: None)()
    status, headers = heads[-1]
    return Reply(int(status[:3]), tuple(headers), b"".join([*written, *pieces]))


def slot_key(layer: Layer, rule: str, who: str = f"client:{PEER}") -> str:
    """Return the key of the slots of a rule by its name."""
    return f"{layer.engine.namespace}:limit:{{edge:{who}}}:{rule}:concurrency"


def taken(layer: Layer, rule: str, who: str = f"client:{PEER}") -> int:
    """Return how many slots of a rule are taken, in Redis."""
    key = slot_key(layer, rule, who)
    return int(ask(layer, "ZCARD", key, key=key))


def fill(layer: Layer, rule: str) -> None:
    """Let somebody else have a slot of a rule, for ever."""
    key = slot_key(layer, rule)
    ask(layer, "ZADD", key, 4 * 10**12, "somebody", key=key)


def left(layer: Layer, quota: Any, rule: str, who: str = f"client:{PEER}") -> int:
    """Return what is left of a rule's quota, in Redis."""
    remaining: int = layer.limiter.peek(quota, rule, colocate=f"edge:{who}", budget="30s").remaining
    return remaining
