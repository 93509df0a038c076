"""An app behind the HTTP cache, and its clients: under WSGI in the sync colour, under ASGI in the async one.

The app answers by one function, an `async def` of the request, which is driven in the sync colour.
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import unquote_to_bytes

from holdfast import Layer, asgi, wsgi
from holdfast.commands import get
from support.colours import Colour, Gate, _drive

Pair: TypeAlias = tuple[str, str]
Pairs: TypeAlias = tuple[Pair, ...]
HOST = "shop.example"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as the app sees it."""

    method: str
    path: str
    """As it was sent."""
    query: str
    fields: dict[str, str]
    """By names in lower case, lines of one name joined."""

    def get(self, name: str) -> str | None:
        """Return a field; None if it is absent."""
        return self.fields.get(name)


@dataclass(frozen=True, slots=True)
class Made:
    """What the app answers."""

    fields: Sequence[Pair] = ()
    body: Sequence[bytes | Callable[[], Awaitable[object]]] = (b"",)
    """Its pieces; what can be called is awaited between them."""
    status: int = 200


Respond: TypeAlias = Callable[[Asked], Awaitable[Made]]


@dataclass(frozen=True, slots=True)
class Got:
    """What a client got."""

    status: int
    fields: Pairs
    body: bytes

    def lines(self, name: str) -> list[str]:
        """Return the lines of a field."""
        return [value for each, value in self.fields if each.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        """Return the lines of a field, joined; None if it is absent."""
        lines = self.lines(name)
        return ", ".join(lines) if lines else None

    @property
    def told(self) -> str:
        """What the cache says that it did."""
        return self.get("Cache-Status") or ""

    @property
    def is_hit(self) -> bool:
        """Whether it came from the store without the app."""
        return ";hit" in self.told


@dataclass
class Shop:
    """An app behind the middleware.

    Args:
        colour: sync for WSGI, async for ASGI.
        layer: that it stores in; None for the app without the middleware.
        respond: what the app does.
        options: of the middleware.
    """

    colour: Colour
    layer: Layer | None
    respond: Respond
    options: dict[str, Any] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    """The requests that have come to the app."""

    def __post_init__(self) -> None:
        bare: Any = asgi_app(self._answer) if self.colour.is_async else wsgi_app(self._answer)
        middleware: Any = asgi.CacheMiddleware if self.colour.is_async else wsgi.CacheMiddleware
        self.app = bare if self.layer is None else middleware(bare, layer=self.layer, **self.options)

    async def _answer(self, asked: Asked) -> Made:
        self.asked.append(asked)
        return await self.respond(asked)

    async def ask(
        self, target: str = "/", *fields: Pair, method: str = "GET", host: str = HOST, scheme: str = "http"
    ) -> Got:
        """Send a request and take the whole response."""
        pairs = [("Host", host), *fields] if host else list(fields)
        if self.colour.is_async:
            return await ask_asgi(self.app, scope_of(target, pairs, method, scheme))
        return ask_wsgi(self.app, environ_of(target, pairs, method, scheme))

    def asking(self, target: str = "/", *fields: Pair, method: str = "GET") -> Callable[[], Any]:
        """Return an actor that asks."""

        async def act() -> Got:
            return await self.ask(target, *fields, method=method)

        return act


def asgi_app(respond: Respond) -> Callable[..., Awaitable[None]]:
    """Return an ASGI app that answers by a function."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        values: dict[str, str] = {}
        for name, value in scope["headers"]:
            key, text = name.decode("latin-1"), value.decode("latin-1")
            values[key] = f"{values[key]}, {text}" if key in values else text
        path, query = scope["raw_path"].decode("latin-1"), scope["query_string"].decode("latin-1")
        made = await respond(Asked(scope["method"], path, query, values))
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in made.fields]
        await send({"type": "http.response.start", "status": made.status, "headers": headers})
        pieces = list(made.body) or [b""]
        for place, piece in enumerate(pieces):
            if callable(piece):
                await piece()
            else:
                more = place + 1 < len(pieces)
                await send({"type": "http.response.body", "body": piece, "more_body": more})
        if callable(pieces[-1]):
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return app


def wsgi_app(respond: Respond) -> Callable[..., Iterable[bytes]]:
    """Return a WSGI app that answers by a function: with a list if the body has no breaks, else with a generator."""

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        values = {
            name.removeprefix("HTTP_").lower().replace("_", "-"): value
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        sent = environ.get("REQUEST_URI") or environ.get("RAW_URI") or environ["PATH_INFO"]
        path, query = sent.partition("?")[0], environ["QUERY_STRING"]
        made = _drive(_awaited(respond, Asked(environ["REQUEST_METHOD"], path, query, values)))
        start_response(f"{made.status} Whatever", list(made.fields))
        plain = [piece for piece in made.body if not callable(piece)]
        return plain if len(plain) == len(made.body) else _pieces(made.body)

    return app


async def _awaited(work: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    return await work(*args)


def _pieces(body: Sequence[bytes | Callable[[], Awaitable[object]]]) -> Iterator[bytes]:
    for piece in body:
        if callable(piece):
            _drive(_awaited(piece))
        else:
            yield piece


def scope_of(target: str, fields: Sequence[Pair], method: str = "GET", scheme: str = "http") -> dict[str, Any]:
    """Return what an ASGI server makes of a request."""
    path, _, query = target.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": scheme,
        "path": unquote_to_bytes(path).decode("utf-8", "replace"),
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in fields],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "extensions": {},
    }


def environ_of(target: str, fields: Sequence[Pair], method: str = "GET", scheme: str = "http") -> dict[str, Any]:
    """Return what a WSGI server makes of a request."""
    path, _, query = target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "REQUEST_URI": target,
        "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in fields:
        variable = name.upper().replace("-", "_")
        if variable not in {"CONTENT_LENGTH", "CONTENT_TYPE"}:
            variable = f"HTTP_{variable}"
        joiner = "; " if variable == "HTTP_COOKIE" else ","
        environ[variable] = f"{environ[variable]}{joiner}{value}" if variable in environ else value
    return environ


async def ask_asgi(app: Any, scope: dict[str, Any]) -> Got:
    """Send a request to an ASGI app, and see that it keeps to the protocol."""
    sent: list[dict[str, Any]] = []
    over = asyncio.Event()
    received = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        if received:
            return received.pop()
        await over.wait()  # the client stays until it has all
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            over.set()

    await app(scope, receive, send)
    head, *pieces = sent
    assert head["type"] == "http.response.start"
    assert [each.get("more_body", False) for each in pieces] == [True] * (len(pieces) - 1) + [False]
    fields = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in head["headers"])
    return Got(head["status"], fields, b"".join(each.get("body", b"") for each in pieces))


def ask_wsgi(app: Any, environ: dict[str, Any]) -> Got:
    """Send a request to a WSGI app, and see that it keeps to the protocol."""
    heads: list[tuple[str, list[Pair]]] = []
    written: list[bytes] = []

    def start_response(status: str, headers: list[Pair], exc_info: Any = None) -> Callable[[bytes], object]:
        heads.append((status, headers))
        return written.append

    body = app(environ, start_response)
    try:
        rest = b"".join(body)
    finally:
        close = getattr(body, "close", None)
        if close is not None:
            close()
    ((status, headers),) = heads
    return Got(int(status[:3]), tuple(headers), b"".join(written) + rest)


def leases(layer: Layer, *targets: str, namespace: str = "http") -> list[str]:
    """Return those of some paths that somebody fetches now."""
    names = layer.engine.caching.names
    held = []
    for target in targets:
        place = names.places(f"{layer.engine.prefix}{namespace}:http://{HOST}{target}}}").lease
        if layer.engine.backend.blocking.call_now(get(place)) is not None:
            held.append(target)
    return held


def at_rest(layer: Layer, *, away: bool = False) -> bool:
    """Say whether a layer does nothing any more: no turn, no task or thread, no renewal, no listener.

    Args:
        layer: to look at.
        away: whether Redis is away, so that leases may still be waiting to be given back.
    """
    engine, backend = layer.engine, layer.engine.backend
    recurring: list[object] = [each for each in backend._hands._recurring if each.work]
    # What has ended by itself stays in the set until it is collected.
    recurring += [each for each in backend._tasks._recurring if each.work and (each._task or each._timer._scheduled)]  # type: ignore[attr-defined]
    return not (
        engine.turns._turns
        or (backend._tasks._held and not away)
        or backend._hands.at_work()
        or len(recurring) > away
        or backend._subscriber._topics
    )


def shown(asked: Asked) -> bytes:
    """Return all of a request as a body, so that it shows whose answer it is."""
    fields = sorted((name, value) for name, value in asked.fields.items() if name != "cache-control")
    return repr((asked.method, asked.path, asked.query, fields)).encode()


async def asking_all(shop: Shop, gate: Gate, requests: Sequence[Pair], target: str = "/") -> list[Got]:
    """Send requests at once, the first of which is held in the app until all others have missed, too."""
    colour, layer = shop.colour, shop.layer
    assert layer is not None
    before = layer.stats().misses

    def missed() -> int:
        return layer.stats().misses - before

    async def later(pair: Pair) -> Got:
        await colour.until(lambda: gate.waiting, "the first is in the app")
        return await shop.ask(target, pair)

    async def opener() -> None:
        await colour.until(lambda: missed() >= len(requests) - 1, "all but the first have missed")
        gate.open()

    first, *others = requests
    actors: list[Any] = [partial(shop.ask, target, first), *[partial(later, each) for each in others], opener]
    *got, _ = await colour.together(*actors)
    for each in got:
        if isinstance(each, BaseException):
            raise each
    return got
