"""The blocking subjects. Each is set up as its own documentation shows for production; see README.md beside this file.

Packages are imported where they are used, so that one that is missing takes only its own subject out of the run.
"""

from __future__ import annotations

import json
from typing import Any, cast

from bench_lineup import SyncBuilder, SyncSubject
from bench_product import IDS, PRODUCT, TTL, Product, Source

BASELINE = "redis-py `get` + `json.loads`"
OURS = "holdfast"


def build_raw(port: int) -> SyncSubject:
    """Read with redis-py's own client and its default pool. The keys are ready-made; nothing is decorated."""
    import redis

    client = redis.Redis(port=port)
    keys = [f"raw:{number}" for number in IDS]
    for key in keys:
        client.set(key, json.dumps(PRODUCT, separators=(",", ":")), ex=TTL)

    def fetch(number: int) -> Product:
        return cast("Product", json.loads(cast("bytes", client.get(keys[number]))))

    return SyncSubject(fetch, Source(), client.close)


def build_holdfast(port: int) -> SyncSubject:
    """Call a decorated function: key, wrapper, frame and decoding included."""
    from holdfast import Layer, cached

    source = Source()
    layer = Layer(f"redis://127.0.0.1:{port}/0", namespace="bench")

    @cached(ttl=TTL, key="product:{product_id}", layer=layer)
    def get_product(product_id: int) -> dict[str, Any]:
        return source.load()

    return SyncSubject(get_product, source, layer.close)


def build_dogpile(port: int) -> SyncSubject:
    """Call a function under `cache_on_arguments`, with the distributed lock that its documentation shows."""
    from dogpile.cache import make_region

    source = Source()
    arguments = {
        "host": "127.0.0.1",
        "port": port,
        "db": 0,
        "redis_expiration_time": TTL * 2,
        "distributed_lock": True,
        "thread_local_lock": False,
    }
    region = make_region().configure("dogpile.cache.redis", expiration_time=TTL, arguments=arguments)

    @region.cache_on_arguments()
    def get_product(product_id: int) -> Product:
        return source.load()

    return SyncSubject(cast("Any", get_product), source, cast("Any", region.backend).writer_client.close)


def build_flask_caching(port: int) -> SyncSubject:
    """Call a function under `memoize`, inside an application context as in a view."""
    from flask import Flask
    from flask_caching import Cache

    source = Source()
    app = Flask("benchmark")
    options = {
        "CACHE_TYPE": "RedisCache",
        "CACHE_REDIS_HOST": "127.0.0.1",
        "CACHE_REDIS_PORT": port,
        "CACHE_DEFAULT_TIMEOUT": TTL,
    }
    cache = Cache(app, config=options)

    @cache.memoize(timeout=TTL)
    def get_product(product_id: int) -> Product:
        return source.load()

    def close() -> None:
        with app.app_context():
            backend = cast("Any", cache.cache)
            backend._write_client.close()

    return SyncSubject(cast("Any", get_product), source, close, app.app_context)


def build_django_redis(port: int) -> SyncSubject:
    """Use the cache of Django's settings by hand: make a key, get, and load where nothing was found."""
    from django.conf import settings

    if not settings.configured:
        backend = {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": f"redis://127.0.0.1:{port}/1",
            "OPTIONS": {"CLIENT_CLASS": "django_redis.client.DefaultClient"},
        }
        settings.configure(CACHES={"default": backend})
    from django.core.cache import cache

    source = Source()

    def fetch(product_id: int) -> Product:
        key = f"product:{product_id}"
        found = cache.get(key)
        if found is None:
            found = source.load()
            cache.set(key, found, TTL)
        return cast("Product", found)

    return SyncSubject(fetch, source, cache.close)


SYNC_SUBJECTS: dict[str, SyncBuilder] = {
    BASELINE: build_raw,
    OURS: build_holdfast,
    "dogpile.cache": build_dogpile,
    "Flask-Caching": build_flask_caching,
    "django-redis": build_django_redis,
}
