"""An HTTP cache in front of an ASGI app."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias, Unpack

from holdfast.asgi.http_receive import Ears, Receive
from holdfast.asgi.http_relay import Message, Relay, Send, send_answer
from holdfast.asgi.http_scopes import Scope, ScopeFields, fields_of, is_usual, place_of, relayed
from holdfast.asgi.http_short import HotPage, PassingSend, Sight, send_hot
from holdfast.core.http_caching import HttpCaching
from holdfast.core.http_exchange import Exchange, Outcome
from holdfast.engine import Engine
from holdfast.layer import Layer
from holdfast.policy.http.request import Request
from holdfast.web.app_kinds import asgi_app
from holdfast.web.http_answers import answer, timeout
from holdfast.web.http_options import HttpCacheOptions, WebCache
from holdfast.web.http_requests import Place

App: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]

_log = logging.getLogger("holdfast")


class CacheMiddleware:
    """An HTTP cache by RFC 9111 in front of any ASGI app: one that all its clients share, in the layer's Redis.

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
            key: a function of a `holdfast.web.CacheRequest` whose text selects a response; with None it is not cached.
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
        >>> from holdfast.asgi import CacheMiddleware
        >>> from starlette.applications import Starlette
        >>> app = Starlette()
        >>> app.add_middleware(CacheMiddleware, ignore_query=["utm_*"])
    """

    def __init__(self, app: App, *, layer: Layer | None = None, **options: Unpack[HttpCacheOptions]) -> None:
        self.app = asgi_app(app, "CacheMiddleware")
        self._cache = WebCache(layer, options)
        self._sight = Sight(self._cache.rules)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request from what is stored, or let the app answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        cache = self._cache
        opened = cache.open(scope["method"])
        values = fields_of(scope)
        place = None if opened is None else place_of(scope, opened[2], values)
        if opened is None or place is None:
            await self.app(scope, receive, send)
            return
        engine, caching, _ = opened
        usual = is_usual(values)
        short = usual and cache.is_short and scope["method"] == "GET"
        if short and place.hot is not None:
            if await send_hot(place.hot, caching, engine.asyncio, send, cache.hit):
                return
            place.hot = None
        request = cache.keying.request(scope["method"], place, ScopeFields(values), usual=usual)
        if request is None:
            await self.app(scope, receive, send)
        elif short and caching.passes(engine.asyncio, request):
            await self._pass(engine, caching, request, scope, receive, send)
        else:
            await self._answer(engine, caching, request, place if short else None, scope, receive, send)

    async def _answer(
        self,
        engine: Engine,
        caching: HttpCaching,
        request: Request,
        place: Place | None,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer a request from what is stored, or let the app answer."""
        found = await caching.open(engine.asyncio, request, partial(self._prepare, scope))
        if isinstance(found, Exchange):
            await self._forward(engine, found, scope, receive, send)
        elif isinstance(found, Outcome):
            await send_answer(send, answer(self._cache, request, found, engine.asyncio.now()))
            if place is not None and not (found.stale or found.forwarded):
                place.hot = _hot(caching, place.key, found)
        else:
            await send_answer(send, timeout(self._cache, request))

    async def _pass(
        self, engine: Engine, caching: HttpCaching, request: Request, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Let the app answer what is known not to be stored."""

        def detour() -> Relay:
            return Relay(self._cache, engine, caching.passed(engine.asyncio, request), send)

        await self.app(relayed(scope, None), receive, PassingSend(send, self._sight, self._cache.passed, detour))

    async def _forward(
        self, engine: Engine, exchange: Exchange, scope: Scope, receive: Receive | None, send: Send
    ) -> None:
        """Let the app answer, as often as that is needed; without a client if there is no `receive`."""
        again = False
        while True:
            conditions = exchange.conditions
            # Only what was asked with a condition of ours may be swallowed before its end.
            swallows, bodiless = conditions is not None or again, again or receive is None
            heeds = swallows or bodiless or exchange.may_store
            ears = Ears(receive, answers=swallows, bodiless=bodiless) if heeds else None
            relay = Relay(self._cache, engine, exchange, send, ears)
            try:
                await self.app(relayed(scope, conditions), ears or receive, relay)
            except BaseException as error:
                relay.stop()
                outcome = await exchange.broken(error, begun=relay.begun or relay.ended)
                if outcome is None:
                    raise
                _log.warning("an app raised %s, and a stale response stood in", type(error).__name__, exc_info=error)
                await relay.send_outcome(outcome)
                return
            if relay.again:
                again = True
                continue
            if not relay.ended:
                await exchange.broken(None, begun=True)
                await relay.finish()
            return

    def _prepare(self, scope: Scope) -> Callable[[Exchange], Awaitable[None]]:
        """Return what sends a copy of a request to the app, without a client."""
        return partial(self._rerun, dict(scope))

    async def _rerun(self, scope: Scope, exchange: Exchange) -> None:
        opened = self._cache.open(scope["method"])
        if opened is not None:
            await self._forward(opened[0], exchange, scope, None, _drop)


def _hot(caching: HttpCaching, key: str, outcome: Outcome) -> HotPage | None:
    """Return what serves a page again by the short way, if it is one that only time can make stale."""
    variant, wire = outcome.variant, outcome.variant.wire
    raw = None if variant.stored.body is None else caching.simple_page(key, variant)
    return None if raw is None or wire is None else HotPage(key, raw, variant, wire, outcome.body)


async def _drop(message: Message) -> None:
    """Send nothing: nobody waits for it."""
