"""A small HTTP world: an app that answers from a script, a cache before it, a client, and a clock that stands still.

It is played in each of the fronts: the ASGI middleware, and the WSGI middleware over apps that return lists or
generators. `support.http_steps` has the words for what happens in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import holdfast.asgi
import holdfast.wsgi
from holdfast import Layer
from holdfast.policy.http.dates import format_date
from holdfast.policy.http.fields import Fields
from support.colours import Colour
from support.http_clients import AppError, Got, Pairs, ask_asgi, ask_wsgi

FRONTS: Final = ("asgi", "wsgi", "wsgi-lazy")
"""The ASGI middleware; the WSGI middleware and an app that returns lists; the same and one that returns generators."""
HOST: Final = "shop.example"
NOW: Final = 1_790_000_000.0
"""When each world begins, Unix seconds."""

_RELATIVE: Final = re.compile(r"@([+-]\d+)")


def colour_of(front: str) -> Colour:
    """Return the colour of a front's code."""
    return Colour("async" if front == "asgi" else "sync")


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
    takes: float = 0.0
    """Seconds that go by until it answers."""
    gate: Any = None
    """Where the app waits before it answers."""


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
    script: list[Says] = field(default_factory=list[Says])
    seen: list[Got] = field(default_factory=list[Got])
    closed: int = 0
    """How many bodies of WSGI were closed."""

    def next(self, line: str, pairs: Pairs) -> tuple[Says, Pairs, list[bytes]]:
        """Take a request; return what to answer, its fields, and the pieces of its body."""
        self.seen.append(Got(line, Fields(pairs)))
        says = self.script.pop(0) if self.script else Says(status=599, body=b"the app was asked for once too often")
        self.clock.now += says.takes
        body = b"run %d" % len(self.seen) if says.body is None else says.body
        if line.startswith("HEAD ") or says.status in {204, 304}:
            body = b""
        size = max(1, -(-len(body) // says.pieces))
        pieces = [body[at : at + size] for at in range(0, len(body), size)] or [b""]
        return says, self.clock.pairs(says.lines), pieces

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer as an ASGI app."""
        target = scope["raw_path"].decode("latin-1") + (
            "?" + scope["query_string"].decode() if scope["query_string"] else ""
        )
        pairs = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
        says, fields, pieces = self.next(f"{scope['method']} {target}", pairs)
        if says.gate is not None:
            await says.gate.passed()
        if says.fails == "first":
            raise AppError
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in fields]
        await send({"type": "http.response.start", "status": says.status, "headers": raw})
        for at, piece in enumerate(pieces):
            if says.fails and at == 1:
                raise AppError
            await send(
                {"type": "http.response.body", "body": piece, "more_body": at + 1 < len(pieces) or bool(says.fails)}
            )

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
            Colour("sync").run(says.gate.passed)
        if says.fails == "first":
            raise AppError
        start_response(f"{says.status} Scripted", list(fields))
        for at, piece in enumerate(pieces):
            if says.fails and at == 1:
                raise AppError
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
