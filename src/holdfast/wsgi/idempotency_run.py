"""One run of a WSGI app under idempotency: its `start_response`, its `write`, its body.

collecting   nothing was sent to the client yet; at the end the response is stored, then sent
streaming    it is too long to keep: what was collected was sent, the rest passes through
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from holdfast import _forgotten
from holdfast._calls import drive
from holdfast.policy.http.fields import Pairs, declared_length
from holdfast.web.idempotency import WebRun
from holdfast.wsgi.http_environs import Environ
from holdfast.wsgi.http_run import App, StartResponse, close_body


class CollectedRun:
    """One run of the app."""

    def __init__(self, run: WebRun, start_response: StartResponse) -> None:
        self._run = run
        self._start_response = start_response
        self._head: tuple[str, list[tuple[str, str]]] | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._write: Callable[[bytes], object] | None = None
        """That of the server, once the response streams."""

    def begin(self, app: App, environ: Environ) -> Iterable[bytes]:
        """Run the app, and return the body for the client: whole, or on its way if it is too long to keep."""
        try:
            produced = app(environ, self.start)
        except BaseException as error:
            self.fail(error)
            raise
        try:
            chunks = iter(produced)
            for chunk in chunks:
                self._take(chunk)
                if self._streams:
                    return StreamedBody(self, produced, chunks)
        except BaseException as error:
            self.fail(error)
            close_body(produced)
            raise
        return self._complete(produced)

    def _complete(self, produced: Iterable[bytes]) -> Iterable[bytes]:
        """Store a response that is there as a whole, and start it."""
        try:
            close_body(produced)
            if self._head is None:
                raise AssertionError("the app returned without calling start_response")
            if self._write is not None:  # it was too long, and written
                self.finish()
                return []
            body = b"".join(self._pieces)
            drive(self._run.finish(self.status, tuple(self._head[1]), body))
        except BaseException as error:
            self.fail(error)
            raise
        self._start_response(*self._head)
        return [body] if body else []

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        """Take the head of the app's answer, as `start_response` does (PEP 3333)."""
        if exc_info is not None and self._write is not None:
            try:  # the client has got the other head already: then this raises
                self._write = self._start_response(status, headers, exc_info)
            finally:
                exc_info = None
        elif exc_info is None and self._head is not None:
            raise AssertionError("start_response was called twice without exc_info")
        if exc_info is not None:  # what was collected belongs to the response that this one replaces
            self._pieces, self._size, exc_info = [], 0, None
        self._head = status, headers
        return self.write

    def write(self, data: bytes) -> None:
        """Take a piece of the body that the app writes instead of returning it (PEP 3333)."""
        if self._write is not None:
            self._write(data)
            return
        self._take(data)
        if self._streams:
            collected = self.collected()
            if self._write is not None:
                self._write(collected)

    def _take(self, piece: bytes) -> None:
        if self._write is None:
            self._size += len(piece)
        self._pieces.append(piece)

    @property
    def _streams(self) -> bool:
        """Whether the response does not wait any more to be complete: it is too long, or says that it will be."""
        if self._head is None:
            return False
        length = declared_length(self._fields)
        most = self._run.max_body
        return self._write is not None or self._size > most or (length is not None and length > most)

    def collected(self) -> bytes:
        """Start the client's response if it has not begun, and return what it is to get first."""
        if self._write is None and self._head is not None:
            self._write = self._start_response(*self._head)
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)

    @property
    def status(self) -> int:
        """The status of the response."""
        return 0 if self._head is None else int(self._head[0][:3])

    @property
    def _fields(self) -> Pairs:
        return () if self._head is None else tuple(self._head[1])

    def finish(self) -> None:
        """Note that a response was given that is not kept."""
        drive(self._run.finish_unkept(self.status, self._fields))

    def fail(self, error: BaseException) -> None:
        """Let the next request run: the app has raised."""
        if isinstance(error, Exception):
            drive(self._run.free())
        else:
            self._run.free_at_last()


class StreamedBody:
    """The rest of a response that is too long to keep, on its way to the client.

    Its run ends with it. A client that leaves ends it, too: the app has answered.
    """

    _is_over = True  # until it is made

    def __init__(self, run: CollectedRun, produced: Iterable[bytes], chunks: Iterator[bytes]) -> None:
        self._run = run
        self._produced = produced
        self._chunks = chunks
        self._first: bytes | None = run.collected()
        self._is_over = False
        _forgotten.expect()

    def __iter__(self) -> StreamedBody:
        return self

    def __next__(self) -> bytes:
        first, self._first = self._first, None
        if first is not None:
            return first
        try:
            return next(self._chunks)
        except StopIteration:
            self._end()
            raise
        except BaseException as error:
            self._is_over = True
            self._run.fail(error)
            raise

    def _end(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._run.finish()

    def close(self) -> None:
        """Close the app's body, on whatever path (PEP 3333)."""
        try:
            close_body(self._produced)
        finally:
            self._end()

    def __del__(self) -> None:
        """Have noted what a server has dropped: its app has answered, and shall not do so again.

        Not here: this may be called inside of any lock of this thread, which what talks to Redis may need.
        """
        if not self._is_over:
            self._is_over = True
            _forgotten.leave(self._run.finish)
