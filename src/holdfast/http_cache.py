"""``layer.http_cache``: what an app does to the responses that its cache middleware has stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import quote

from holdfast._calls import drive
from holdfast.core import changing
from holdfast.engine import Engine
from holdfast.errors import ConfigurationError
from holdfast.options import Options
from holdfast.policy.http.stored import Page
from holdfast.policy.http.target import Target, parse_url, select_query
from holdfast.policy.keys import guard
from holdfast.port import Port

NAMESPACE: Final = "http"
"""What the names of pages begin with, unless a middleware says otherwise."""


_ASCII: Final = "".join(map(chr, range(0x21, 0x7F)))
"""What stays as it is in a URL; other signs are sent as the percent-encoded bytes of their UTF-8."""


def page_key(engine: Engine, namespace: str, target: Target) -> str:
    """Return the key in Redis of what is stored of a URL."""
    return f"{engine.prefix}{guard(f'{namespace}:{target.url}')}}}"


def stripped(target: Target, ignored: Sequence[str]) -> Target:
    """Return a target without the query parameters that do not matter."""
    if target.query is None or not ignored:
        return target
    return target._replace(query=select_query(target.query, ignored) or None)


class HttpCache:
    """The stored responses of a layer. Every method has an async twin with an ``a`` in front of its name.

    Example:
        >>> from holdfast import Layer
        >>> layer = Layer("memory://http-cache-example")
        >>> layer.http_cache.purge("https://shop.example/products/7")
        0
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def purge(self, *urls: str, namespace: str = NAMESPACE, ignore_query: Iterable[str] = ()) -> int:
        """Remove the stored responses of URLs, all variants, in all processes; return how many URLs had some.

        A request that begins after this has returned is not answered with what was fetched before. To remove what is
        not known by its URL, give responses tags, and use `layer.cache.invalidate_tags`.

        Args:
            urls: absolute, as clients ask for them: with the scheme, host, path and query that reach the app.
            namespace: that of the middleware.
            ignore_query: that of the middleware.

        Raises:
            ConfigurationError: one of them is no absolute URL of http or https.
            BackendError: Redis could not be used, whatever the layer's `on_failure`: they may still be there.
        """
        return drive(self._purge(self._engine.blocking, urls, namespace, ignore_query))

    async def apurge(self, *urls: str, namespace: str = NAMESPACE, ignore_query: Iterable[str] = ()) -> int:
        """Do what `purge` does, for async callers."""
        return await self._purge(self._engine.asyncio, urls, namespace, ignore_query)

    async def _purge(self, port: Port, urls: tuple[str, ...], namespace: str, ignored: Iterable[str]) -> int:
        patterns = tuple(ignored)
        targets = dict.fromkeys(stripped(_checked(url), patterns) for url in urls)
        keys = [page_key(self._engine, namespace, target) for target in targets]
        if not keys:
            return 0
        plan = self._engine.plan(Options.of(1, serializer="msgpack"), namespace, Page)
        return await changing.remove(self._engine.caching, port, plan, keys)


def _checked(url: str) -> Target:
    text = quote(url, safe=_ASCII) if isinstance(url, str) else ""  # pyright: ignore[reportUnnecessaryIsInstance] - callers are often untyped
    target = parse_url(text)
    if target is None:
        msg = f"purge({url!r}) takes absolute URLs, such as 'https://shop.example/products/7'"
        raise ConfigurationError(msg)
    return target
