"""One run of a WSGI app behind the cache: its `start_response`, its `write`, its body."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from holdfast._calls import drive
from holdfast.core.http_exchange import Exchange, Next
from holdfast.policy.http.answering import Answer
from holdfast.policy.http.fields import Pairs
from holdfast.web.http_answers import relayed_status
from holdfast.web.http_options import WebCache
from holdfast.wsgi.http_environs import Environ

StartResponse: TypeAlias = Callable[..., Callable[[bytes], object]]
App: TypeAlias = Callable[[Any, Any], Iterable[bytes]]

_PHRASES: Final = {each.value: each.phrase for each in HTTPStatus}


class Run:
    """One run of the app: its `start_response`, its `write`, and the iterator over its body."""

    def __init__(self, cache: WebCache, exchange: Exchange, start_response: StartResponse) -> None:
        self._cache = cache
        self._exchange = exchange
        self._start_response = start_response
        self._head: tuple[str, list[tuple[str, str]]] | None = None
        self._done: Next | None = None
        self._write: Callable[[bytes], object] | None = None
        self.begun = False
        """Whether the client may have got something."""

    @property
    def again(self) -> bool:
        """Whether the app is to be asked once more."""
        return self._done is not None and self._done.does == "again"

    def begin(self, app: App, environ: Environ) -> Iterable[bytes] | None:
        """Run the app up to its head, and return the body for the client; None if it gets another response."""
        produced = app(environ, self.start)
        try:
            if isinstance(produced, list | tuple):
                return self._begin_whole(produced)
            if self._head is not None:
                self._judge(None)
                if self._is_relayed and self._exchange.is_over and not self._bodiless:
                    return produced
            chunks = iter(produced)
            first = self._pull(chunks)
            if self._done is None:
                self._judge(None)
            if not self._is_relayed:
                for _ in chunks:
                    pass
                close_body(produced)
                return None
        except BaseException:
            close_body(produced)
            raise
        return RelayedBody(self._exchange, produced, chunks, first, bodiless=self._bodiless)

    def _begin_whole(self, produced: list[bytes] | tuple[bytes, ...]) -> list[bytes] | None:
        """Do what `begin` does, for a body that is there already."""
        pieces = list(produced)
        if self._done is None:
            self._judge(pieces)
        return self._whole(pieces) if self._is_relayed else None

    def _pull(self, chunks: Iterator[bytes]) -> list[bytes]:
        """Return the first pieces of a body, up to one that is not empty, or the first behind the head.

        Until then a server sends nothing, so that the app may still change its mind (PEP 3333).
        """
        first: list[bytes] = []
        while self._head is None or (self._done is None and not any(first)):
            chunk = next(chunks, None)
            if chunk is None:
                break
            first.append(chunk)
        return first

    @property
    def _is_relayed(self) -> bool:
        return self._done is not None and self._done.does == "relay"

    @property
    def _bodiless(self) -> bool:
        return self._done is not None and self._done.bodiless

    def _whole(self, pieces: list[bytes]) -> list[bytes]:
        """Return a body that is there already: what is to be stored is, before the client has any of it."""
        for piece in pieces:
            drive(self._exchange.take(piece))
        drive(self._exchange.complete())
        return [] if self._bodiless else pieces

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        """Take the head of the app's answer, as `start_response` does (PEP 3333)."""
        if exc_info is not None and self.begun:
            try:  # the server knows whether the client has got anything; then this raises
                self._write = self._start_response(status, headers, exc_info)
            finally:
                exc_info = None
            drive(self._exchange.broken(None, begun=True))
        elif exc_info is None and self._head is not None:
            raise AssertionError("start_response was called twice without exc_info")
        self._head = status, headers
        return self.write

    def write(self, data: bytes) -> None:
        """Take a piece of the body that the app writes instead of returning it (PEP 3333)."""
        if self._done is None:
            self._judge(None)
        if self._done is None or self._done.does != "relay":
            return
        drive(self._exchange.take(data))
        if self._write is not None and not self._bodiless:
            self._write(data)

    def _judge(self, pieces: list[bytes] | None) -> None:
        """Show the head to the exchange, and start the client's response if it is for the client.

        Args:
            pieces: the whole body, if it is there already.
        """
        if self._head is None:
            raise AssertionError("the app returned without calling start_response")
        line, headers = self._head
        exchange, status = self._exchange, int(line[:3])
        pairs: Pairs = tuple(headers)
        done = self._done = drive(exchange.head(status, pairs))
        if done.does != "relay":
            return
        fields = list(done.fields)
        told = relayed_status(self._cache, exchange, done, status)
        if told is not None:
            fields.append(("Cache-Status", told))
        etag = None if pieces is None else exchange.etag_of(b"".join(pieces))
        if etag is not None:
            fields.append(("ETag", etag))
        self.begun = True
        self._write = self._start_response(line if done.status == status else status_line(done.status), fields)


class RelayedBody:
    """The app's body on its way to the client: what is to be stored is, before the client has the end of it."""

    def __init__(
        self,
        exchange: Exchange,
        produced: Iterable[bytes],
        chunks: Iterator[bytes],
        first: list[bytes],
        *,
        bodiless: bool,
    ) -> None:
        self._exchange = exchange
        self._produced = produced
        self._chunks = chunks
        self._first = first
        self._bodiless = bodiless
        self._left = exchange.declared_size
        """Bytes that are still to come, if the response says how long it is."""
        self._complete = False

    def __iter__(self) -> RelayedBody:
        return self

    def __next__(self) -> bytes:
        while True:
            try:
                chunk = self._first.pop(0) if self._first else next(self._chunks)
            except StopIteration:
                self._finish()
                raise
            except BaseException as error:
                self._complete = True
                drive(self._exchange.broken(error, begun=True))
                raise
            self._take(chunk)
            if not self._bodiless:
                return chunk

    def _take(self, chunk: bytes) -> None:
        drive(self._exchange.take(chunk))
        if self._left is not None:
            self._left -= len(chunk)
            if self._left == 0:  # the client knows that this is the end
                self._finish()

    def _finish(self) -> None:
        if not self._complete:
            self._complete = True
            drive(self._exchange.complete())

    def close(self) -> None:
        """Close the app's body, on whatever path (PEP 3333)."""
        try:
            close_body(self._produced)
        finally:
            if not self._complete:
                self._complete = True
                drive(self._exchange.broken(None, begun=True))


def close_body(body: object) -> None:
    """Close the body of a response, if it can be closed (PEP 3333)."""
    close = getattr(body, "close", None)
    if close is not None:
        close()


def start_answer(start_response: StartResponse, answer: Answer) -> list[bytes]:
    """Start a whole response, and return its body."""
    start_response(status_line(answer.status), [*answer.fields, *answer.more])
    return [answer.body] if answer.body else []


def status_line(status: int) -> str:
    """Return a status as WSGI wants it."""
    return f"{status} {_PHRASES.get(status, 'Unknown')}"
