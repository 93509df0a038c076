"""One run of a WSGI app that holds something until its response is complete: its `start_response` and its body."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from holdfast import _forgotten
from holdfast.policy.http.fields import Pairs, declared_length
from holdfast.web.limit_admission import Admission
from holdfast.web.limit_answers import STARTS
from holdfast.wsgi.http_environs import Environ
from holdfast.wsgi.http_run import App, StartResponse, close_body


def add_fields(headers: list[tuple[str, str]], fields: Pairs) -> list[tuple[str, str]]:
    """Return the fields of a response with those about limits, unless the app has set such fields itself."""
    for name, _ in headers:
        if name[:1] in "rRxX" and name.lower().startswith(STARTS):
            return headers
    return [*headers, *fields]


class HeldRun:
    """One run of the app: its `start_response`, its `write`, and the iterator over its body."""

    def __init__(self, admission: Admission, start_response: StartResponse) -> None:
        self._admission = admission
        self._start_response = start_response
        self._write: Callable[[bytes], object] | None = None
        self._status: int | None = None
        self._pairs: Pairs = ()
        self._size = 0
        self._declared: int | None = None
        self.is_over = False
        """Whether everything was given back and charged."""

    def begin(self, app: App, environ: Environ) -> Iterable[bytes]:
        """Run the app, and return the body for the client."""
        try:
            produced = app(environ, self.start)
        except BaseException:
            self.fail()
            raise
        if isinstance(produced, list | tuple):  # all is done: what is left is the server's
            self._size += sum(map(len, produced))
            self.finish()
            return produced
        _forgotten.expect()
        return HeldBody(self, produced)

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        """Start the response with the app's fields and ours, as `start_response` does (PEP 3333)."""
        told = add_fields(headers, self._admission.fields())
        try:
            given = (status, told) if exc_info is None else (status, told, exc_info)
            self._write = self._start_response(*given)
        finally:
            exc_info = None
        self._status, self._pairs = int(status[:3]), tuple(told)
        self._declared = declared_length(self._pairs)
        return self.write

    def write(self, data: bytes) -> None:
        """Send a piece of the body that the app writes instead of returning it (PEP 3333)."""
        if self._write is not None:
            self._write(data)
            self._size += len(data)

    def note(self, chunk: bytes) -> None:
        """Count a piece of the body; finish with the last that the response has announced."""
        self._size += len(chunk)
        if self._size == self._declared:
            self.finish()

    def fail(self) -> None:
        """Give back what is held: the app has raised. If nothing was sent, the server answers instead of it."""
        if not self._size:
            self._status = None  # so the estimate stays charged
        self.finish()

    def finish(self) -> None:
        """Give back what is held, and charge what the response has cost, unless that is done."""
        self._admission.finish(self._status, self._pairs, self._size)
        self.is_over = True


class HeldBody:
    """The app's body on its way to the client: with its end, what the request holds is given back."""

    __slots__ = ("__weakref__", "_chunks", "_produced", "_run")

    def __init__(self, run: HeldRun, produced: Iterable[bytes]) -> None:
        self._run = run
        self._produced = produced
        self._chunks: Iterator[bytes] | None = None

    def __iter__(self) -> HeldBody:
        return self

    def __next__(self) -> bytes:
        try:
            if self._chunks is None:
                self._chunks = iter(self._produced)
            chunk = next(self._chunks)
        except StopIteration:
            self._run.finish()
            raise
        except BaseException:
            self._run.fail()
            raise
        self._run.note(chunk)
        return chunk

    def close(self) -> None:
        """Close the app's body, on whatever path (PEP 3333)."""
        try:
            close_body(self._produced)
        finally:
            self._run.finish()

    def __del__(self) -> None:
        """Have given back what nobody has closed: a server that forgets a body shall not keep a slot for it.

        Not here: this may be called inside of any lock of this thread, which what talks to Redis may need.
        """
        if not self._run.is_over:
            _forgotten.leave(self._run.finish)
