"""An HTTP cache in front of a WSGI app."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from http import HTTPStatus
from typing import Any, Final, TypeAlias, Unpack

from holdfast._calls import drive
from holdfast.core.http_exchange import Exchange, Next, Outcome
from holdfast.engine import Engine
from holdfast.layer import Layer
from holdfast.policy.http.answering import Answer
from holdfast.policy.http.fields import Pairs
from holdfast.web.http_answers import answer, relayed_status, timeout
from holdfast.web.http_options import HttpCacheOptions, WebCache
from holdfast.wsgi.http_environs import Environ, copied, relayed, request_of

StartResponse: TypeAlias = Callable[..., Callable[[bytes], object]]
App: TypeAlias = Callable[[Any, Any], Iterable[bytes]]

_PHRASES: Final = {each.value: each.phrase for each in HTTPStatus}
_log = logging.getLogger("holdfast")


class CacheMiddleware:
    """An HTTP cache by RFC 9111 in front of any WSGI app: one that all its clients share, in the layer's Redis.

    What the app permits to be stored is stored and served by its own fields: `Cache-Control` or `CDN-Cache-Control`,
    `Expires`, `Vary`, `ETag`, `Last-Modified`, `Set-Cookie`; `holdfast.cache_response` sets them for one view. A request
    that may change something (POST, PUT, DELETE ...) removes what is stored of its URL. While Redis is away, every
    request goes to the app.

    Put it outside of everything that is the same for all clients, and inside of what tells who they are.

    Args:
        app: the app.
        layer: where responses are stored; without it, the default layer of the moment.
        options:
            namespace: what the names of stored responses begin with; apps that are not the same differ in it.
            targets: fields that replace Cache-Control and Expires, the most specific first (RFC 9213); by default
                CDN-Cache-Control.
            default_ttl: for how long a 200 is fresh that does not say, if its request has no cookie and no
                Authorization; None, the default, is not at all.
            heuristic: whether a response with Last-Modified that does not say is fresh for a tenth of its age, a day at
                most, under the same conditions.
            methods: GET and HEAD; with POST, an answer to a POST is stored for GET if it says how long it is fresh and
                names the URL in Content-Location.
            statuses: which ones may be stored; None is all that the RFC permits.
            max_body: bytes of the longest body that is stored (a mebibyte); longer ones stream through.
            private: paths, with all below them, or patterns with ``*``, of which nothing is stored.
            set_cookie: of responses that set cookies, which are stored: ``"public"`` those that say `public`,
                `s-maxage` or have a field of `targets`, ``"store"`` all that say how long they are fresh, ``"strip"``
                all, but without the field, ``"refuse"`` none.
            vary: request fields that select a response whatever its Vary says.
            ignore_vary: names that do not count in Vary.
            ignore_query: patterns of query parameters that do not matter, such as ``"utm_*"``.
            cookies: names of cookies whose values select a response.
            key: a function of a `holdfast.web.CacheRequest` whose text selects a response, too; None from it: not cached.
            tag_field: the response field that names tags for `layer.cache.invalidate_tags`; None: none does.
            stale_if_raises: for how long beyond its freshness a response is served when the app raises (5 minutes).
            honour_clients: whether the Cache-Control of requests is followed.
            etag: whether stored responses without an ETag are given one.
            wait: how long a request waits for another that fetches the same URL (10 s).
            lease: after which time another may fetch a URL if the process that does so died (30 s).
            name: what Cache-Status calls this cache; None: no such field.
            debug: whether Cache-Status tells the key, and why a response is not stored.

    Raises:
        ConfigurationError: an option cannot work; the message names it.

    Example:
        >>> from flask import Flask
        >>> from holdfast.wsgi import CacheMiddleware
        >>> app = Flask(__name__)
        >>> app.wsgi_app = CacheMiddleware(app.wsgi_app, ignore_query=["utm_*"])
    """

    def __init__(self, app: App, *, layer: Layer | None = None, **options: Unpack[HttpCacheOptions]) -> None:
        self.app = app
        self._cache = WebCache(layer, options)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request from what is stored, or let the app answer."""
        cache = self._cache
        opened = cache.open()
        request = None if opened is None else request_of(environ, cache.keying, opened[2])
        if opened is None or request is None:
            return self.app(environ, start_response)
        engine, caching, _ = opened
        found = drive(caching.open(engine.blocking, request, partial(self._prepare, environ)))
        if isinstance(found, Exchange):
            return self._forward(engine, found, environ, start_response)
        if isinstance(found, Outcome):
            return _start(start_response, answer(cache, request, found, engine.blocking.now()))
        return _start(start_response, timeout(cache, request))

    def _forward(
        self, engine: Engine, exchange: Exchange, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Let the app answer, as often as that is needed."""
        while True:
            run = _Run(self._cache, exchange, start_response)
            try:
                body = run.begin(self.app, relayed(environ, exchange.conditions))
            except BaseException as error:
                outcome = drive(exchange.broken(error, begun=run.begun))
                if outcome is None:
                    raise
                _log.warning("an app raised %s, and a stale response stood in", type(error).__name__, exc_info=error)
                return self._instead(engine, exchange, outcome, start_response)
            if body is not None:
                return body
            if run.again:
                continue
            outcome = exchange.conclude()
            return [] if outcome is None else self._instead(engine, exchange, outcome, start_response)

    def _instead(
        self, engine: Engine, exchange: Exchange, outcome: Outcome, start_response: StartResponse
    ) -> Iterable[bytes]:
        return _start(start_response, answer(self._cache, exchange.request, outcome, engine.blocking.now()))

    def _prepare(self, environ: Environ) -> Callable[[Exchange], Any]:
        """Return what sends a copy of a request to the app, without a client."""
        return partial(self._rerun, copied(environ))

    async def _rerun(self, environ: Environ, exchange: Exchange) -> None:
        opened = self._cache.open()
        if opened is None:
            return
        body = self._forward(opened[0], exchange, environ, _start_nothing)
        try:
            for _ in body:
                pass
        finally:
            _close(body)


class _Run:
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
            chunks = iter(produced)
            first: list[bytes] = []
            while self._head is None:  # a generator that starts its response when it is asked for the body
                chunk = next(chunks, None)
                if chunk is None:
                    break
                first.append(chunk)
            whole = isinstance(produced, list | tuple)
            pieces = first + list(chunks) if whole else first
            if self._done is None:
                self._judge(pieces if whole else None)
            if self._done is not None and self._done.does != "relay":
                for _ in chunks:
                    pass
                _close(produced)
                return None
            if whole:
                return self._whole(pieces)
            if self._exchange.is_over and not first and not self._bodiless:
                return produced
        except BaseException:
            _close(produced)
            raise
        return _Body(self._exchange, produced, chunks, first, bodiless=self._bodiless)

    @property
    def _bodiless(self) -> bool:
        return self._done is not None and self._done.bodiless

    def _whole(self, pieces: list[bytes]) -> list[bytes]:
        """Return a body that is there already: what is to be stored is, before the client has any of it."""
        for piece in pieces:
            self._exchange.feed(piece)
        if self._exchange.is_overlong:
            drive(self._exchange.give_up())
        drive(self._exchange.complete())
        return [] if self._bodiless else pieces

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        """Take the head of the app's answer, as `start_response` does (PEP 3333)."""
        if exc_info is not None:
            try:
                if self.begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self._head is not None:
            raise AssertionError("start_response was called twice without exc_info")
        self._head = status, headers
        return self.write

    def write(self, data: bytes) -> None:
        """Take a piece of the body that the app writes instead of returning it (PEP 3333)."""
        if self._done is None:
            self._judge(None)
        if self._done is None or self._done.does != "relay":
            return
        self._exchange.feed(data)
        if self._exchange.is_overlong:
            drive(self._exchange.give_up())
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
        self._write = self._start_response(line if done.status == status else _line(done.status), fields)


class _Body:
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

    def __iter__(self) -> _Body:
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
        exchange = self._exchange
        exchange.feed(chunk)
        if exchange.is_overlong:
            drive(exchange.give_up())
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
            _close(self._produced)
        finally:
            if not self._complete:
                self._complete = True
                drive(self._exchange.broken(None, begun=True))


def _close(body: object) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        close()


def _start(start_response: StartResponse, answer: Answer) -> list[bytes]:
    start_response(_line(answer.status), [*answer.fields, *answer.more])
    return [answer.body] if answer.body else []


def _start_nothing(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
    """Start the response of a request without a client."""
    return bytes


def _line(status: int) -> str:
    return f"{status} {_PHRASES.get(status, 'Unknown')}"
