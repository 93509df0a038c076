"""A small HTTP world: an app that answers from a script, a cache in front of it, a client, and a clock that stands still.

It is played in each of the fronts: the ASGI middleware, and the WSGI middleware over apps that return lists or
generators. `support.http_steps` has the words for what happens in it.
"""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import holdfast.asgi
import holdfast.wsgi
from holdfast import Layer
from holdfast.policy.http.dates import format_date
from holdfast.policy.http.fields import Fields
from support.colours import Colour, _drive

FRONTS: Final = ("asgi", "wsgi", "wsgi-lazy")
"""The ASGI middleware; the WSGI middleware and an app that returns lists; the same and one that returns generators."""
HOST: Final = "shop.example"
NOW: Final = 1_790_000_000.0
"""When each world begins, Unix seconds."""

Pairs: TypeAlias = tuple[tuple[str, str], ...]
_RELATIVE: Final = re.compile(r"@([+-]\d+)")


def colour_of(front: str) -> Colour:
    """Return the colour of a front's code."""
    return Colour("async" if front == "asgi" else "sync")


class AppFailed(Exception):
    """What the app raises."""


@dataclass(frozen=True, slots=True)
class Says:
    """What the app answers to one request."""

    lines: tuple[str, ...] = ()
    """Of the form `Name: value`; `@-10` stands for the date ten seconds ago."""
    status: int = 200
    body: bytes | None = None
    """None: `run 1` for the first request that the app gets, and so on."""
    fails: str = ""
    """`first` before it has answered, or `midway`, with half the body."""
    pieces: int = 1
    gate: Any = None
    """Where the app waits before it answers."""


@dataclass(frozen=True, slots=True)
class Got:
    """What the app or the client got."""

    line: str
    """Method and target of a request, the status of a response."""
    fields: Fields
    body: bytes = b""
    error: BaseException | None = None

    @property
    def status(self) -> int:
        """The status of a response."""
        return int(self.line)


class Clock:
    """A layer's wall clock, which only the test moves. Redis has its own, and keys do not expire by this one."""

    def __init__(self, *layers: Layer) -> None:
        self.now = NOW
        for layer in layers:
            layer.engine.blocking = _Still(layer.engine.blocking, self)  # type: ignore[assignment]
            layer.engine.asyncio = _Still(layer.engine.asyncio, self)  # type: ignore[assignment]

    def text(self, line: str) -> str:
        """Return a text with dates in place of `@-10` and the like."""
        return _RELATIVE.sub(lambda found: format_date(NOW + int(found[1])), line)

    def pairs(self, lines: Iterable[str]) -> Pairs:
        """Return the fields that lines name."""
        split = [self.text(line).partition(":") for line in lines]
        return tuple([(name, value.strip()) for name, _, value in split])


class _Still:
    """A port with the clock of a world."""

    def __init__(self, port: Any, clock: Clock) -> None:
        self._port = port
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    def now(self) -> float:
        return self._clock.now


@dataclass(slots=True)
class Origin:
    """The app: it answers from its script, and keeps what it was asked."""

    clock: Clock
    lazy: bool = False
    script: list[Says] = field(default_factory=list)
    seen: list[Got] = field(default_factory=list)
    closed: int = 0
    """How many bodies of WSGI were closed."""

    def next(self, line: str, pairs: Pairs) -> tuple[Says, Pairs, list[bytes]]:
        """Take a request; return what to answer, its fields, and the pieces of its body."""
        self.seen.append(Got(line, Fields(pairs)))
        says = self.script.pop(0) if self.script else Says(status=599, body=b"the app was asked for once too often")
        body = b"run %d" % len(self.seen) if says.body is None else says.body
        if line.startswith("HEAD ") or says.status in {204, 304}:
            body = b""
        size = max(1, -(-len(body) // says.pieces))
        pieces = [body[at : at + size] for at in range(0, len(body), size)] or [b""]
        return says, self.clock.pairs(says.lines), pieces

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer as an ASGI app."""
        target = scope["raw_path"].decode("latin-1") + ("?" + scope["query_string"].decode() if scope["query_string"] else "")
        pairs = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
        says, fields, pieces = self.next(f"{scope['method']} {target}", pairs)
        if says.gate is not None:
            await says.gate.passed()
        if says.fails == "first":
            raise AppFailed
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in fields]
        await send({"type": "http.response.start", "status": says.status, "headers": raw})
        for at, piece in enumerate(pieces):
            if says.fails and at == 1:
                raise AppFailed
            await send({"type": "http.response.body", "body": piece, "more_body": at + 1 < len(pieces) or bool(says.fails)})

    def wsgi(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer as a WSGI app."""
        target = environ["REQUEST_URI"]
        names = [name for name in environ if name.startswith("HTTP_")]
        pairs = tuple((name[5:].replace("_", "-").lower(), environ[name]) for name in names)
        body = self._wsgi(f"{environ['REQUEST_METHOD']} {target}", pairs, start_response)
        return _Closing(body, self) if self.lazy else list(body)

    def _wsgi(self, line: str, request: Pairs, start_response: Any) -> Iterator[bytes]:
        says, fields, pieces = self.next(line, request)
        if says.gate is not None:
            _drive(says.gate.passed())
        if says.fails == "first":
            raise AppFailed
        start_response(f"{says.status} Scripted", list(fields))
        for at, piece in enumerate(pieces):
            if says.fails and at == 1:
                raise AppFailed
            yield piece


class _Closing:
    """An iterator over a body that starts when it is asked for the first piece, and notes that it was closed."""

    def __init__(self, pieces: Iterator[bytes], origin: Origin) -> None:
        self._pieces = pieces
        self._origin = origin

    def __iter__(self) -> _Closing:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        self._origin.closed += 1


class World:
    """An app, the middleware in front of it, and a client.

    Args:
        front: one of `FRONTS`.
        layer: where is stored; its clock stands still from now on.
        options: of the middleware.
        clock: of the layer, if it has one already.
    """

    def __init__(self, front: str, layer: Layer, *, clock: Clock | None = None, **options: Any) -> None:
        self.front = front
        self.layer = layer
        self.clock = clock or Clock(layer)
        self.origin = Origin(self.clock, lazy=front == "wsgi-lazy")
        self.cache: Any = (
            holdfast.asgi.CacheMiddleware(self.origin.asgi, layer=layer, **options)
            if front == "asgi"
            else holdfast.wsgi.CacheMiddleware(self.origin.wsgi, layer=layer, **options)
        )

    async def ask(self, line: str, wants: Iterable[str] = (), *, scheme: str = "http") -> Got:
        """Send a request through the cache, such as `GET /a?b`, and return the answer."""
        method, _, target = line.partition(" ")
        pairs = self.clock.pairs(wants)
        if not any(name.lower() == "host" for name, _ in pairs):
            pairs = (("Host", HOST), *pairs)
        if self.front == "asgi":
            return await ask_asgi(self.cache, method, target, pairs, scheme=scheme)
        return ask_wsgi(self.cache, method, target, pairs, scheme=scheme)


def scope_of(method: str, target: str, pairs: Pairs, *, scheme: str = "http") -> dict[str, Any]:
    """Return the scope of a request, as a server makes it."""
    path, _, query = target.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": scheme,
        "path": path,
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs],
        "client": ("192.0.2.1", 40000),
        "server": ("192.0.2.2", 80),
    }


async def ask_asgi(app: Any, method: str, target: str, pairs: Pairs, *, scheme: str = "http") -> Got:
    """Send a request to an ASGI app, and check that its answer is one message after the other as it should be."""
    messages: list[dict[str, Any]] = []
    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if asked:
            await asyncio.Event().wait()
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        assert not messages or messages[-1].get("more_body", True), f"a message behind the last one: {message}"
        assert bool(messages) == (message["type"] == "http.response.body"), f"out of order: {message}"
        messages.append(message)

    error: BaseException | None = None
    try:
        await app(scope_of(method, target, pairs, scheme=scheme), receive, send)
    except Exception as raised:
        error = raised
    if error is None:
        assert messages, "no answer"
        assert messages[-1].get("more_body", False) is False, "no last message"
    if not messages:
        return Got("0", Fields(()), b"", error)
    fields = Fields((name.decode("latin-1"), value.decode("latin-1")) for name, value in messages[0]["headers"])
    body = b"".join(message.get("body", b"") for message in messages[1:])
    return Got(str(messages[0]["status"]), fields, body, error)


def environ_of(method: str, target: str, pairs: Pairs, *, scheme: str = "http") -> dict[str, Any]:
    """Return the environ of a request, as a server makes it."""
    path, _, query = target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "REQUEST_URI": target,
        "SERVER_NAME": "192.0.2.2",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in pairs:
        variable = "HTTP_" + name.upper().replace("-", "_")
        sign = "; " if variable == "HTTP_COOKIE" else ", "
        environ[variable] = f"{environ[variable]}{sign}{value}" if variable in environ else value
    return environ


def ask_wsgi(app: Any, method: str, target: str, pairs: Pairs, *, scheme: str = "http") -> Got:
    """Send a request to a WSGI app, and check that it starts its answer before its body, and once."""
    started: list[tuple[str, Fields]] = []
    written: list[bytes] = []

    def start_response(status: str, fields: list[tuple[str, str]], exc_info: Any = None) -> Any:
        assert not started or exc_info is not None, "start_response was called twice"
        assert type(fields) is list
        started.append((status, Fields(fields)))
        return written.append

    error: BaseException | None = None
    body: Any = ()
    try:
        body = app(environ_of(method, target, pairs, scheme=scheme), start_response)
        for piece in body:
            assert started, "a body before start_response"
            written.append(piece)
    except AppFailed as raised:
        error = raised
    finally:
        close = getattr(body, "close", None)
        if close is not None:
            close()
    if error is None:
        assert started, "no answer"
    if not started:
        return Got("0", Fields(()), b"", error)
    status, fields = started[-1]
    return Got(status[:3], fields, b"".join(written), error)
