"""WSGI apps and clients for tests of what lies between a server and an app."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeAlias

from support.http_clients import Got, ask_wsgi, environ_of
from support.http_world import HOST

Start: TypeAlias = Callable[..., Callable[[bytes], object]]
PAIRS: Final = (("Host", HOST),)
FRESH: Final = ("Cache-Control", "max-age=60")


def ask(app: Any, method: str = "GET", *pairs: tuple[str, str]) -> Got:
    """Send a request and return the answer."""
    return ask_wsgi(app, method, "/", (*PAIRS, *pairs))


class Body:
    """An iterable that notes how far it was read, and how often it was closed."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces = list(pieces)
        self.read = 0
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            self.read += 1
            yield piece

    def close(self) -> None:
        """Note it."""
        self.closed += 1


class App:
    """Answers with a new `Body` each time."""

    def __init__(
        self, *pieces: bytes | Exception, status: str = "200 OK", fields: Iterable[tuple[str, str]] = (FRESH,)
    ) -> None:
        self.pieces = pieces
        self.status = status
        self.fields = list(fields)
        self.bodies: list[Body] = []
        self.environs: list[dict[str, Any]] = []

    def __call__(self, environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        """Answer."""
        self.environs.append(environ)
        start_response(self.status, list(self.fields))
        self.bodies.append(Body(*self.pieces))
        return self.bodies[-1]


def started() -> tuple[list[tuple[str, list[tuple[str, str]]]], Start]:
    """Return what a server notes of the heads it gets, and its `start_response`."""
    heads: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, fields: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        heads.append((status, fields))
        return bytes

    return heads, start_response


def environ(method: str = "GET", *pairs: tuple[str, str]) -> dict[str, Any]:
    """Return the environ of a request."""
    return environ_of(method, "/", (*PAIRS, *pairs))
