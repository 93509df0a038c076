"""The peers, each set up as its own documentation shows for production, on the same Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Annotated, Any, Final

import bench_edge_bare as bare
from bench_http_bare import greet

PERIOD: Final = 3600
"""Seconds of each quota."""
LIFETIME: Final = 14 * 24 * 3600
"""Seconds of a session."""


def slowapi(port: int, limit: str) -> Any:
    """Return the Starlette app under the ASGI middleware of slowapi, with a default limit."""
    from slowapi.middleware import SlowAPIASGIMiddleware

    app = bare.starlette(port)
    _with_slowapi(app, port, default_limits=[f"{limit}/hour"])
    app.add_middleware(SlowAPIASGIMiddleware)
    return app


def slowapi_decorator(port: int, limit: str) -> Any:
    """Return a Starlette app whose endpoint is under the decorator of slowapi."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse

    app = Starlette()
    limiter = _with_slowapi(app, port)

    @limiter.limit(f"{limit}/hour")
    async def hello(request: Request) -> JSONResponse:
        return JSONResponse(greet())

    app.add_route(bare.HELLO, hello)
    return app


def _with_slowapi(app: Any, port: int, **options: Any) -> Any:
    from slowapi import Limiter, _rate_limit_exceeded_handler
    from slowapi.errors import RateLimitExceeded
    from slowapi.util import get_remote_address

    limiter = Limiter(key_func=get_remote_address, storage_uri=f"redis://127.0.0.1:{port}/0", **options)
    app.state.limiter = limiter
    app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)
    return limiter


def fastapi_limiter(port: int, limit: str) -> Any:
    """Return a FastAPI app whose endpoint depends on fastapi-limiter, over pyrate-limiter with its state in Redis."""
    from fastapi import Depends, FastAPI
    from fastapi_limiter.depends import RateLimiter

    app = FastAPI()
    app.get(bare.HELLO, dependencies=[Depends(RateLimiter(limiter=_pyrate(port, int(limit))))])(bare.endpoint)
    return app


def _pyrate(port: int, limit: int) -> Any:
    import pyrate_limiter as pyrate
    from redis.asyncio import Redis

    client, clock = Redis(port=port), pyrate.WallClock()
    buckets: dict[str, Any] = {}

    class Buckets(pyrate.BucketFactory):
        def wrap_item(self, name: str, weight: int = 1) -> Any:
            return pyrate.RateItem(name, clock.now(), weight=weight)

        def get(self, item: Any) -> Any:
            if item.name not in buckets:
                store = pyrate.RedisStateStore(client, f"pyrate:{item.name}")
                rates = [pyrate.Rate(limit, PERIOD * 1000)]
                buckets[item.name] = pyrate.StateBucket(rates, algorithm=pyrate.GCRA(), store=store)
            return buckets[item.name]

    return pyrate.Limiter(Buckets())


def fastapi_limiter_redis(port: int, limit: str) -> Any:
    """Return the same with the fastapi-limiter of before, which has a Redis script of its own."""
    from fastapi import Depends, FastAPI
    from fastapi_limiter import FastAPILimiter
    from fastapi_limiter.depends import RateLimiter
    from redis.asyncio import from_url

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await FastAPILimiter.init(from_url(f"redis://127.0.0.1:{port}/0"))
        yield
        await FastAPILimiter.close()

    app = FastAPI(lifespan=lifespan)
    app.get(bare.HELLO, dependencies=[Depends(RateLimiter(times=int(limit), seconds=PERIOD))])(bare.endpoint)
    return app


def fastapi_redis_sdk(port: int, limit: str) -> Any:
    """Return the FastAPI app under the global limit of fastapi-redis-sdk."""
    app = bare.fastapi(port)
    _sdk(app, port).rate_limiting(global_rate=f"{limit}/hour")
    return app


def fastapi_redis_sdk_session(port: int) -> Any:
    """Return a FastAPI app with the sessions of fastapi-redis-sdk, without its idle clock."""
    from fastapi import Depends, FastAPI
    from redis_fastapi import Session, get_session

    async def begin(session: Any) -> dict[str, Any]:
        session.update(bare.SESSION)
        return greet()

    async def hello(session: Any) -> dict[str, Any]:
        return bare.greeting(session)

    async def seen(session: Any) -> dict[str, Any]:
        return bare.visit(session)

    for endpoint in (begin, hello, seen):
        # FastAPI reads annotations, and finds no name as text that is imported in here
        endpoint.__annotations__["session"] = Annotated[Session, Depends(get_session)]
    app = FastAPI()
    _sdk(app, port).sessions(store_factory=_store_without_hexpire, idle_ttl=0, absolute_ttl=LIFETIME)
    app.post(bare.BEGIN)(begin)
    app.get(bare.HELLO)(hello)
    app.get(bare.VISIT)(seen)
    return app


async def _store_without_hexpire(request: Any) -> Any:
    from redis_fastapi import get_async_redis

    return _store_class()(await get_async_redis(request), idle_ttl=0, absolute_ttl=LIFETIME)


@cache
def _store_class() -> Any:
    """Return its store for a Redis older than 7.4, where a field of a hash has no lifetime of its own.

    Reading is as many commands as on a newer one, in one round trip; writing is one less.
    """
    from redis_fastapi import RedisSessionStore
    from redis_fastapi.session_backend import FIELD_DATA

    class Store(RedisSessionStore):
        async def _read(self, session_id: str, *, refresh_idle: int | None) -> Any:
            return await super()._read(session_id, refresh_idle=None)

        async def _write(self, session_id: str, payload: str, *, idle: int, absolute: int | None) -> None:
            key = self.session_key(session_id)
            pipe = self._redis.pipeline(transaction=False)
            pipe.execute_command("HSET", key, FIELD_DATA, payload)
            if absolute is not None:
                pipe.execute_command("EXPIRE", key, absolute)
            await pipe.execute()

    return Store


def _sdk(app: Any, port: int) -> Any:
    from redis_fastapi import FastAPIRedis, get_settings

    get_settings().url = f"redis://127.0.0.1:{port}/0"
    return FastAPIRedis(app).lifespan()


def starsessions(port: int) -> Any:
    """Return the Starlette app with starsessions, loaded for each request."""
    from redis.asyncio import Redis
    from starsessions import SessionAutoloadMiddleware, SessionMiddleware
    from starsessions.stores.redis import RedisStore

    app = bare.starlette_session(port)
    app.add_middleware(SessionAutoloadMiddleware)
    app.add_middleware(SessionMiddleware, store=RedisStore(connection=Redis(port=port)), lifetime=LIFETIME)
    return app


def flask_limiter(port: int, limit: str) -> Any:
    """Return the Flask app under Flask-Limiter, with a default limit."""
    from flask_limiter import Limiter
    from flask_limiter.util import get_remote_address

    app = bare.flask(port)
    storage = f"redis://127.0.0.1:{port}/0"
    Limiter(get_remote_address, app=app, default_limits=[f"{limit} per hour"], storage_uri=storage)
    return app


def flask_session(port: int) -> Any:
    """Return the Flask app with Flask-Session."""
    from flask_session import Session
    from redis import Redis

    app = bare.flask_session()
    app.config.update(SESSION_TYPE="redis", SESSION_REDIS=Redis(port=port))
    Session(app)
    return app
