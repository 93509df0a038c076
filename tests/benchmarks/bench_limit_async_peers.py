"""The asyncio peers that limit rates, each set up as its own documentation shows for production.

Packages are imported where they are used, so that one that is missing takes only its own subject out of the run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from bench_limit_raw import PERIOD, USER
from bench_limit_sync_peers import _pyrate
from bench_limit_trial import AsyncBuilder, AsyncLimiter
from bench_product import IDS


async def abuild_limits(strategy: str, port: int, limit: int) -> AsyncLimiter:
    """Hit one limit of limits.aio over redis-py, with the strategy of this name."""
    from limits import RateLimitItemPerHour
    from limits.aio.storage import RedisStorage
    from limits.aio.strategies import STRATEGIES

    storage = RedisStorage(f"async+redis://127.0.0.1:{port}/0", implementation="redispy")
    strategies: dict[str, Any] = {**STRATEGIES}
    limiter, item = strategies[strategy](storage), RateLimitItemPerHour(limit)
    bridge: Any = storage.bridge
    return AsyncLimiter(lambda number: limiter.hit(item, "user", str(number)), bool, bridge.get_connection().aclose)


async def abuild_limits_function(port: int, limit: int) -> AsyncLimiter:
    """Await a function that begins with a hit: the library has no decorator for plain functions."""
    made = await abuild_limits("fixed-window", port, limit)

    async def act(number: int) -> int:
        if not await made.hit(number):
            raise PermissionError
        return number

    return AsyncLimiter(act, None, made.close, refusal=PermissionError)


def _throttled(
    using: Any, port: int, limit: int, key: str | None = None
) -> tuple[Any, Callable[[], Awaitable[object]]]:
    """Return a limiter of throttled-py, and what closes it. A burst of the limit is its own default."""
    from throttled.asyncio import RedisStore, Throttled, rate_limiter

    store = RedisStore(server=f"redis://127.0.0.1:{port}/0")
    made = Throttled(key=key, using=using, quota=rate_limiter.per_hour(limit), store=store)
    client: Any = store._backend.get_client()
    return made, client.connection_pool.disconnect


async def abuild_throttled(using: str, port: int, limit: int) -> AsyncLimiter:
    """Ask throttled-py about one key, with the algorithm of this name."""
    made, close = _throttled(using, port, limit)
    return AsyncLimiter(lambda number: made.limit(USER.format(number)), lambda answer: not answer.limited, close)


async def abuild_throttled_function(port: int, limit: int) -> AsyncLimiter:
    """Await a decorated function; the decorator knows one key for all its calls."""
    from throttled.exceptions import LimitedError

    made, close = _throttled("gcra", port, limit, "users")

    @made
    async def act(number: int) -> int:
        return number

    return AsyncLimiter(act, None, close, refusal=LimitedError, keyed=False)


async def _pyrate_limiter(algorithm: str, port: int, names: list[str], limit: int) -> tuple[Any, Any]:
    """Return a limiter with a bucket for each name, and what closes it."""
    import pyrate_limiter
    import redis.asyncio

    client = redis.asyncio.Redis(port=port)
    clock = pyrate_limiter.WallClock()
    made: dict[str, Any] = {}
    for name in names:
        rates = [pyrate_limiter.Rate(limit, PERIOD * 1000)]
        chosen = getattr(pyrate_limiter, algorithm)()
        if algorithm == "GCRA":
            store = pyrate_limiter.buckets.RedisStateStore(client, f"{algorithm}:{name}")
            made[name] = pyrate_limiter.StateBucket(rates, algorithm=chosen, store=store)
        else:
            made[name] = await pyrate_limiter.RedisBucket.init(rates, client, f"{algorithm}:{name}", chosen)
    return _pyrate(made, clock), client.aclose


async def abuild_pyrate(algorithm: str, port: int, limit: int) -> AsyncLimiter:
    """Try to acquire one unit, with the algorithm of this name; GCRA is kept as state, the others as a log."""
    limiter, close = await _pyrate_limiter(algorithm, port, [USER.format(number) for number in IDS], limit)
    return AsyncLimiter(lambda number: limiter.try_acquire_async(USER.format(number), blocking=False), bool, close)


async def abuild_pyrate_function(port: int, limit: int) -> AsyncLimiter:
    """Await a decorated function; the decorator knows one name for all its calls, and waits instead of refusing."""
    limiter, close = await _pyrate_limiter("GCRA", port, ["users"], limit)

    @limiter.as_decorator(name="users")
    async def act(number: int) -> int:
        return number

    async def probe(number: int) -> bool:
        return bool(await limiter.try_acquire_async("users", blocking=False))

    return AsyncLimiter(act, None, close, probe=probe, keyed=False)


async def abuild_cashews(decorator: str, port: int, limit: int) -> AsyncLimiter:
    """Await a function under `rate_limit` (a fixed window) or `slice_rate_limit` (a log) on a Redis URL."""
    from cashews import Cache, RateLimitError

    cache = Cache()
    cache.setup(f"redis://127.0.0.1:{port}/0")

    @getattr(cache, decorator)(limit=limit, period=PERIOD, key="user:{number}")
    async def act(number: int) -> int:
        return number

    return AsyncLimiter(act, None, cache.close, refusal=RateLimitError)


LIMITS_FIXED: AsyncBuilder = partial(abuild_limits, "fixed-window")
LIMITS_COUNTER: AsyncBuilder = partial(abuild_limits, "sliding-window-counter")
LIMITS_LOG: AsyncBuilder = partial(abuild_limits, "moving-window")
THROTTLED_GCRA: AsyncBuilder = partial(abuild_throttled, "gcra")
THROTTLED_FIXED: AsyncBuilder = partial(abuild_throttled, "fixed_window")
THROTTLED_COUNTER: AsyncBuilder = partial(abuild_throttled, "sliding_window")
PYRATE_GCRA: AsyncBuilder = partial(abuild_pyrate, "GCRA")
PYRATE_FIXED: AsyncBuilder = partial(abuild_pyrate, "FixedWindow")
PYRATE_LOG: AsyncBuilder = partial(abuild_pyrate, "SlidingWindowLog")
CASHEWS_FIXED: AsyncBuilder = partial(abuild_cashews, "rate_limit")
CASHEWS_LOG: AsyncBuilder = partial(abuild_cashews, "slice_rate_limit")
