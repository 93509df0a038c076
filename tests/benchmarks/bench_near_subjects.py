"""What answers from the process: caches in front of a function, each set up as its own documentation shows.

Packages are imported where they are used, so that one that is missing takes only its own subject out of the run.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

from bench_lineup import AsyncBuilder, AsyncSubject, SyncBuilder, SyncSubject
from bench_product import PRODUCT, TTL, Product, Source
from bench_sync_subjects import OURS

BARE = "the bare call"
_SETTLING = 0.2
"""Seconds after which no news of the entries that were just stored is under way any more."""


def _nothing() -> None:
    """There is nothing to close."""


async def _anothing() -> None:
    """There is nothing to close."""


def build_bare(port: int) -> SyncSubject:
    """Call a plain function that has the product at hand."""
    del port

    def get_product(product_id: int) -> Product:
        return PRODUCT

    return SyncSubject(get_product, Source(), _nothing)


def build_holdfast(port: int) -> SyncSubject:
    """Call a function under `cached` with `near=`; every caller gets a copy of its own."""
    from holdfast import Layer

    source = Source()
    layer = Layer(f"redis://127.0.0.1:{port}/0", namespace="bench", near="1h")

    @layer.cached(ttl=TTL, key="product:{product_id}")
    def get_product(product_id: int) -> dict[str, Any]:
        return source.load()

    _listen(layer)
    return SyncSubject(get_product, source, layer.close)


def _listen(layer: Any) -> None:
    """Wait until the layer hears what happens to its entries: it keeps nothing before."""
    layer.cache.get("nothing")
    until = time.monotonic() + 5
    while layer.engine.caching.nearby.near.snapshot().epoch is None and time.monotonic() < until:
        time.sleep(0.01)


def build_cachetools(port: int) -> SyncSubject:
    """Call a function under `cachetools.cached` with a `TTLCache` and the lock that threads need."""
    del port
    from threading import Lock

    from cachetools import TTLCache, cached

    source = Source()

    @cached(TTLCache(maxsize=10_000, ttl=TTL), lock=Lock())
    def get_product(product_id: int) -> Product:
        return source.load()

    return SyncSubject(cast("Any", get_product), source, _nothing)


def build_dogpile_memory(port: int) -> SyncSubject:
    """Call a function under `cache_on_arguments` over the memory backend."""
    del port
    from dogpile.cache import make_region

    source = Source()
    region = make_region().configure("dogpile.cache.memory", expiration_time=TTL)

    @region.cache_on_arguments()
    def get_product(product_id: int) -> Product:
        return source.load()

    return SyncSubject(cast("Any", get_product), source, _nothing)


async def build_bare_async(port: int) -> AsyncSubject:
    """Await a plain coroutine function that has the product at hand."""
    del port

    async def get_product(product_id: int) -> Product:
        return PRODUCT

    return AsyncSubject(get_product, Source(), _anothing)


async def build_holdfast_async(port: int) -> AsyncSubject:
    """Await a function under `cached` with `near=`; every caller gets a copy of its own."""
    from holdfast import Layer

    source = Source()
    layer = Layer(f"redis://127.0.0.1:{port}/0", namespace="bench", near="1h")

    @layer.cached(ttl=TTL, key="product:{product_id}")
    async def get_product(product_id: int) -> dict[str, Any]:
        return source.load()

    await asyncio.to_thread(_listen, layer)
    return AsyncSubject(get_product, source, layer.aclose)


async def build_cashews_client_side(port: int) -> AsyncSubject:
    """Await a function under `cache(ttl=..., key=...)` on a Redis URL with `client_side=True`."""
    from cashews import Cache

    source = Source()
    cache = Cache()
    cache.setup(f"redis://127.0.0.1:{port}/2", client_side=True)

    @cache(ttl="1h", key="product:{product_id}")
    async def get_product(product_id: int) -> Product:
        return source.load()

    return AsyncSubject(cast("Any", get_product), source, cache.close)


async def build_aiocache_memory(port: int) -> AsyncSubject:
    """Await a function under `cached` over the memory backend."""
    del port
    from aiocache import Cache, cached

    source = Source()

    @cached(ttl=TTL, cache=Cache.MEMORY)
    async def get_product(product_id: int) -> Product:
        return source.load()

    return AsyncSubject(cast("Any", get_product), source, _anothing)


SYNC_NEAR: dict[str, SyncBuilder] = {
    BARE: build_bare,
    OURS: build_holdfast,
    "cachetools": build_cachetools,
    "dogpile.cache, memory": build_dogpile_memory,
}
ASYNC_NEAR: dict[str, AsyncBuilder] = {
    BARE: build_bare_async,
    OURS: build_holdfast_async,
    "cashews, client_side": build_cashews_client_side,
    "aiocache, memory": build_aiocache_memory,
}
