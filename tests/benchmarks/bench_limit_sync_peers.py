"""The blocking peers that limit rates, each set up as its own documentation shows for production.

Packages are imported where they are used, so that one that is missing takes only its own subject out of the run.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from bench_limit_raw import PERIOD, USER
from bench_limit_trial import SyncBuilder, SyncLimiter
from bench_product import IDS


def build_limits(strategy: str, port: int, limit: int) -> SyncLimiter:
    """Hit one limit of the library limits, with the strategy of this name."""
    from limits import RateLimitItemPerHour
    from limits.storage import RedisStorage
    from limits.strategies import STRATEGIES

    storage = RedisStorage(f"redis://127.0.0.1:{port}/0")
    limiter, item = STRATEGIES[strategy](storage), RateLimitItemPerHour(limit)
    return SyncLimiter(lambda number: limiter.hit(item, "user", str(number)), bool, _client_close(storage.storage))


def build_limits_three(port: int, limit: int) -> SyncLimiter:
    """Hit three limits in turn, until one refuses: those before it stay charged."""
    from limits import RateLimitItemPerHour
    from limits.storage import RedisStorage
    from limits.strategies import FixedWindowRateLimiter

    storage = RedisStorage(f"redis://127.0.0.1:{port}/0")
    limiter = FixedWindowRateLimiter(storage)
    everybody, tenant, user = (RateLimitItemPerHour(amount) for amount in (100 * limit, 10 * limit, limit))

    def hit(number: int) -> bool:
        return (
            limiter.hit(everybody, "all")
            and limiter.hit(tenant, "tenant", str(number % 8))
            and limiter.hit(user, "user", str(number))
        )

    return SyncLimiter(hit, bool, _client_close(storage.storage))


def build_limits_function(port: int, limit: int) -> SyncLimiter:
    """Call a function that begins with a hit: the library has no decorator for plain functions."""
    made = build_limits("fixed-window", port, limit)

    def act(number: int) -> int:
        if not made.hit(number):
            raise PermissionError
        return number

    return SyncLimiter(act, None, made.close, refusal=PermissionError)


def _throttled(using: Any, port: int, limit: int, key: str | None = None) -> tuple[Any, Callable[[], object]]:
    """Return a limiter of throttled-py, and what closes it. A burst of the limit is its own default."""
    from throttled import RedisStore, Throttled, per_hour

    store = RedisStore(server=f"redis://127.0.0.1:{port}/0")
    made = Throttled(key=key, using=using, quota=per_hour(limit), store=store)
    return made, _client_close(store._backend.get_client())


def build_throttled(using: str, port: int, limit: int) -> SyncLimiter:
    """Ask throttled-py about one key, with the algorithm of this name."""
    made, close = _throttled(using, port, limit)
    return SyncLimiter(lambda number: made.limit(USER.format(number)), lambda answer: not answer.limited, close)


def build_throttled_three(port: int, limit: int) -> SyncLimiter:
    """Ask about three keys in turn, until one refuses: those before it stay charged."""
    everybody, close = _throttled("gcra", port, 100 * limit)
    tenant, _ = _throttled("gcra", port, 10 * limit)
    user, _ = _throttled("gcra", port, limit)

    def hit(number: int) -> bool:
        return not (
            everybody.limit("all").limited
            or tenant.limit(f"tenant:{number % 8}").limited
            or user.limit(USER.format(number)).limited
        )

    return SyncLimiter(hit, bool, close)


def build_throttled_function(port: int, limit: int) -> SyncLimiter:
    """Call a decorated function; the decorator knows one key for all its calls."""
    from throttled.exceptions import LimitedError

    made, close = _throttled("gcra", port, limit, "users")

    @made
    def act(number: int) -> int:
        return number

    return SyncLimiter(act, None, close, refusal=LimitedError, keyed=False)


def _pyrate(buckets: dict[str, Any], clock: Any) -> Any:
    """Return a limiter of pyrate-limiter with a bucket for each name, made beforehand."""
    from pyrate_limiter import BucketFactory, Limiter, RateItem

    class Buckets(BucketFactory):
        def wrap_item(self, name: str, weight: int = 1) -> RateItem:
            return RateItem(name, clock.now(), weight=weight)

        def get(self, item: RateItem) -> Any:
            return buckets[item.name]

    return Limiter(Buckets())


def _pyrate_limiter(algorithm: str, port: int, limits: dict[str, int]) -> tuple[Any, Callable[[], object]]:
    """Return a limiter with a bucket and a limit for each name, and what closes it."""
    import pyrate_limiter
    import redis

    client = redis.Redis(port=port)
    clock = pyrate_limiter.WallClock()
    made: dict[str, Any] = {}
    for name, limit in limits.items():
        rates = [pyrate_limiter.Rate(limit, PERIOD * 1000)]
        chosen = getattr(pyrate_limiter, algorithm)()
        if algorithm == "GCRA":
            store = pyrate_limiter.buckets.RedisStateStore(client, f"{algorithm}:{name}")
            made[name] = pyrate_limiter.StateBucket(rates, algorithm=chosen, store=store)
        else:
            made[name] = pyrate_limiter.RedisBucket.init(rates, client, f"{algorithm}:{name}", chosen)
    return _pyrate(made, clock), client.close


def build_pyrate(algorithm: str, port: int, limit: int) -> SyncLimiter:
    """Try to acquire one unit, with the algorithm of this name; GCRA is kept as state, the others as a log."""
    limiter, close = _pyrate_limiter(algorithm, port, {USER.format(number): limit for number in IDS})
    return SyncLimiter(lambda number: limiter.try_acquire(USER.format(number), blocking=False), bool, close)


def build_pyrate_three(port: int, limit: int) -> SyncLimiter:
    """Try three buckets in turn, until one refuses: those before it stay charged."""
    bounds = {"all": 100 * limit, **{f"tenant:{number}": 10 * limit for number in range(8)}}
    limiter, close = _pyrate_limiter("GCRA", port, {**bounds, **{USER.format(number): limit for number in IDS}})

    def hit(number: int) -> bool:
        return bool(
            limiter.try_acquire("all", blocking=False)
            and limiter.try_acquire(f"tenant:{number % 8}", blocking=False)
            and limiter.try_acquire(USER.format(number), blocking=False)
        )

    return SyncLimiter(hit, bool, close)


def build_pyrate_function(port: int, limit: int) -> SyncLimiter:
    """Call a decorated function; the decorator knows one name for all its calls, and waits instead of refusing."""
    limiter, close = _pyrate_limiter("GCRA", port, {"users": limit})

    @limiter.as_decorator(name="users")
    def act(number: int) -> int:
        return number

    def probe(number: int) -> bool:
        return bool(limiter.try_acquire("users", blocking=False))

    return SyncLimiter(act, None, close, probe=probe, keyed=False)


def _client_close(client: Any) -> Callable[[], object]:
    """Return what closes the connections of a client whose pool was given to it: its own `close` leaves them open."""
    disconnect: Callable[[], object] = client.connection_pool.disconnect
    return disconnect


LIMITS_FIXED: SyncBuilder = partial(build_limits, "fixed-window")
LIMITS_COUNTER: SyncBuilder = partial(build_limits, "sliding-window-counter")
LIMITS_LOG: SyncBuilder = partial(build_limits, "moving-window")
THROTTLED_GCRA: SyncBuilder = partial(build_throttled, "gcra")
THROTTLED_FIXED: SyncBuilder = partial(build_throttled, "fixed_window")
THROTTLED_COUNTER: SyncBuilder = partial(build_throttled, "sliding_window")
PYRATE_GCRA: SyncBuilder = partial(build_pyrate, "GCRA")
PYRATE_FIXED: SyncBuilder = partial(build_pyrate, "FixedWindow")
PYRATE_LOG: SyncBuilder = partial(build_pyrate, "SlidingWindowLog")
