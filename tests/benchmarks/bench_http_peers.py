"""The peers, each set up as its own documentation shows for production, on the same Redis.

Those that cache at the endpoint are applied to the greeting alone, in the framework that they are made for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import bench_http_bare as bare


def hishel(port: int) -> Any:
    """Return the Starlette app under hishel's middleware, which follows RFC 9111."""
    from hishel import AsyncRedisStorage
    from hishel.asgi import ASGICacheMiddleware
    from redis.asyncio import Redis

    return ASGICacheMiddleware(bare.starlette(0), storage=AsyncRedisStorage(Redis(port=port)))


def asgi_caches(port: int) -> Any:
    """Return the Starlette app under the middleware of asgi-caches."""
    from asgi_caches.middleware import CacheMiddleware
    from caches import Cache

    cache = Cache(f"redis://127.0.0.1:{port}/0", ttl=bare.LIFETIME)
    app = bare.starlette(0)

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        await cache.connect()
        yield
        await cache.disconnect()

    app.router.lifespan_context = lifespan
    return CacheMiddleware(app, cache=cache)


def fastapi_cache(port: int) -> Any:
    """Return a FastAPI app with an endpoint under the decorator of fastapi-cache2."""
    from fastapi import FastAPI
    from fastapi_cache import FastAPICache
    from fastapi_cache.backends.redis import RedisBackend
    from fastapi_cache.decorator import cache
    from redis.asyncio import from_url

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        FastAPICache.init(RedisBackend(from_url(f"redis://127.0.0.1:{port}/0")), prefix="fastapi-cache")
        yield

    app = FastAPI(lifespan=lifespan)
    app.get(bare.GREETING)(cache(expire=bare.LIFETIME)(bare.endpoint))
    return app


def fastapi_redis_sdk(port: int) -> Any:
    """Return a FastAPI app with an endpoint that depends on the cache of fastapi-redis-sdk."""
    from fastapi import Depends, FastAPI
    from redis_fastapi import FastAPIRedis, cache, get_settings

    get_settings().url = f"redis://127.0.0.1:{port}/0"
    app = FastAPI()
    FastAPIRedis(app).lifespan().caching()
    app.get(bare.GREETING, dependencies=[Depends(cache(ttl=bare.LIFETIME))])(bare.endpoint)
    return app


def cashews(port: int) -> Any:
    """Return a FastAPI app with an endpoint under the decorator of cashews."""
    return _with_cashews(port)[0]


def cashews_etag(port: int) -> Any:
    """Return the same under the two middlewares of cashews that speak HTTP: Cache-Control and ETag."""
    from cashews.contrib.fastapi import CacheEtagMiddleware, CacheRequestControlMiddleware

    app, cache = _with_cashews(port)
    app.add_middleware(CacheEtagMiddleware, cache_instance=cache)
    app.add_middleware(CacheRequestControlMiddleware, cache_instance=cache)
    return app


def _with_cashews(port: int) -> tuple[Any, Any]:
    from cashews import Cache
    from fastapi import FastAPI

    cache = Cache()
    cache.setup(f"redis://127.0.0.1:{port}/0")
    app = FastAPI()
    app.get(bare.GREETING)(cache(ttl="1h", key="greeting:{q}")(bare.endpoint))
    return app, cache


def flask_caching(port: int) -> Any:
    """Return a Flask app whose greeting is under `cached` of Flask-Caching, with the query in the key."""
    from flask import Flask, Response, jsonify
    from flask_caching import Cache

    app = Flask("benchmark")
    options = {"CACHE_TYPE": "RedisCache", "CACHE_REDIS_HOST": "127.0.0.1", "CACHE_REDIS_PORT": port}
    cache = Cache(app, config=options)

    @app.get(bare.GREETING)
    @cache.cached(timeout=bare.LIFETIME, query_string=True)
    def hello() -> Response:
        response = jsonify(bare.greet())
        response.headers.update(bare.FRESH)
        return response

    return app
