"""An HTTP cache in front of a WSGI app."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Unpack

from holdfast._calls import drive
from holdfast.core.http_exchange import Exchange, Outcome
from holdfast.engine import Engine
from holdfast.layer import Layer
from holdfast.web.app_kinds import wsgi_app
from holdfast.web.http_answers import answer, timeout
from holdfast.web.http_options import HttpCacheOptions, WebCache
from holdfast.wsgi.http_environs import Environ, copied, relayed, request_of
from holdfast.wsgi.http_run import App, Run, StartResponse, close_body, start_answer

_log = logging.getLogger("holdfast")


class CacheMiddleware:
    """An HTTP cache by RFC 9111 in front of any WSGI app: one that all its clients share, in the layer's Redis.

    What the app permits to be stored is stored and served by its own fields: `Cache-Control` or `CDN-Cache-Control`,
    `Expires`, `Vary`, `ETag`, `Last-Modified`, `Set-Cookie`; `holdfast.cache_response` sets them for one view. What may
    change something (POST, PUT, DELETE ...) removes what is stored of its URL. While Redis is away, every request goes
    to the app.

    Put it outermost: around all that adds Vary or Set-Cookie, such as sessions and compression, for what these add has
    to be seen here. Outside of it stands only what has to see every request, such as limits and logs, and what corrects
    the scheme and host that a proxy tells.

    Args:
        app: the app.
        layer: where responses are stored; without it, the default layer of the moment.
        options: those of `holdfast.asgi.CacheMiddleware`, which explains each.

    Raises:
        ConfigurationError: an option cannot work; the message names it.

    Example:
        >>> from flask import Flask
        >>> from holdfast.wsgi import CacheMiddleware
        >>> app = Flask(__name__)
        >>> app.wsgi_app = CacheMiddleware(app.wsgi_app, ignore_query=["utm_*"])
    """

    def __init__(self, app: App, *, layer: Layer | None = None, **options: Unpack[HttpCacheOptions]) -> None:
        self.app = wsgi_app(app, "CacheMiddleware")
        self._cache = WebCache(layer, options)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request from what is stored, or let the app answer."""
        cache = self._cache
        opened = cache.open(environ["REQUEST_METHOD"])
        request = None if opened is None else request_of(environ, cache.keying, opened[2])
        if opened is None or request is None:
            return self.app(environ, start_response)
        engine, caching, _ = opened
        found = drive(caching.open(engine.blocking, request, partial(self._prepare, environ)))
        if isinstance(found, Exchange):
            return self._forward(engine, found, environ, start_response)
        if isinstance(found, Outcome):
            return start_answer(start_response, answer(cache, request, found, engine.blocking.now()))
        return start_answer(start_response, timeout(cache, request))

    def _forward(
        self, engine: Engine, exchange: Exchange, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Let the app answer, as often as that is needed."""
        while True:
            run = Run(self._cache, exchange, start_response)
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
        return start_answer(start_response, answer(self._cache, exchange.request, outcome, engine.blocking.now()))

    def _prepare(self, environ: Environ) -> Callable[[Exchange], Any]:
        """Return what sends a copy of a request to the app, without a client."""
        return partial(self._rerun, copied(environ))

    async def _rerun(self, environ: Environ, exchange: Exchange) -> None:
        opened = self._cache.open(environ["REQUEST_METHOD"])
        if opened is None:
            return
        body = self._forward(opened[0], exchange, environ, _start_nothing)
        try:
            for _ in body:
                pass
        finally:
            close_body(body)


def _start_nothing(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
    """Start the response of a request without a client."""
    return bytes
