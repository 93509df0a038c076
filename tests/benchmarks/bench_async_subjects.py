"""The asyncio subjects. Each is set up as its own documentation shows for production; see README.md beside this file.

Packages are imported where they are used, so that one that is missing takes only its own subject out of the run.
"""

from __future__ import annotations

import json
from typing import Any, cast

from bench_lineup import AsyncBuilder, AsyncSubject
from bench_product import IDS, PRODUCT, TTL, Product, Source
from bench_sync_subjects import BASELINE, OURS


async def build_raw(port: int) -> AsyncSubject:
    """Read with redis-py's own asyncio client and its default pool. The keys are ready-made; nothing is decorated."""
    import redis.asyncio

    client = redis.asyncio.Redis(port=port)
    keys = [f"raw:{number}" for number in IDS]
    for key in keys:
        await client.set(key, json.dumps(PRODUCT, separators=(",", ":")), ex=TTL)

    async def fetch(number: int) -> Product:
        return cast("Product", json.loads(cast("bytes", await client.get(keys[number]))))

    return AsyncSubject(fetch, Source(), client.aclose)


async def build_holdfast(port: int) -> AsyncSubject:
    """Await a decorated function: key, wrapper, frame and decoding included."""
    from holdfast import Layer, cached

    source = Source()
    layer = Layer(f"redis://127.0.0.1:{port}/0", namespace="bench")

    @cached(ttl=TTL, key="product:{product_id}", layer=layer)
    async def get_product(product_id: int) -> dict[str, Any]:
        return source.load()

    return AsyncSubject(get_product, source, layer.aclose)


async def build_aiocache(port: int) -> AsyncSubject:
    """Await a function under `cached`, with the serializer that its documentation pairs with Redis."""
    from aiocache import Cache, cached
    from aiocache.serializers import PickleSerializer

    source = Source()

    @cached(
        ttl=TTL,
        cache=Cache.REDIS,
        serializer=PickleSerializer(),
        endpoint="127.0.0.1",
        port=port,
        namespace="aiocache",
    )
    async def get_product(product_id: int) -> Product:
        return source.load()

    decorated = cast("Any", get_product)
    return AsyncSubject(decorated, source, decorated.cache.close)


async def build_cashews(port: int) -> AsyncSubject:
    """Await a function under `cache(ttl=..., key=...)` on a Redis URL."""
    from cashews import Cache

    source = Source()
    cache = Cache()
    cache.setup(f"redis://127.0.0.1:{port}/2")

    @cache(ttl="1h", key="product:{product_id}")
    async def get_product(product_id: int) -> Product:
        return source.load()

    return AsyncSubject(cast("Any", get_product), source, cache.close)


ASYNC_SUBJECTS: dict[str, AsyncBuilder] = {
    BASELINE: build_raw,
    OURS: build_holdfast,
    "aiocache": build_aiocache,
    "cashews": build_cashews,
}
