"""holdfast's limiter, as the rows use it."""

from __future__ import annotations

from functools import partial
from typing import Any

from bench_limit_raw import PERIOD, USER
from bench_limit_trial import AsyncBuilder, AsyncLimiter, SyncBuilder, SyncLimiter


def _layer(port: int) -> Any:
    from holdfast import Layer

    return Layer(f"redis://127.0.0.1:{port}/0", namespace="bench")


def _quota(limit: int, algorithm: str = "gcra") -> Any:
    import holdfast

    package: Any = holdfast
    return package.Quota(limit, PERIOD, algorithm=algorithm)


def _admits(decision: Any) -> bool:
    """Say whether Redis admitted a hit: what was decided without it does not count here."""
    return bool(decision.allowed) and not decision.degraded


def build_one(algorithm: str, port: int, limit: int) -> SyncLimiter:
    """Hit one quota of one key."""
    layer, quota = _layer(port), _quota(limit, algorithm)
    limiter = layer.limiter
    return SyncLimiter(lambda number: limiter.hit(quota, USER.format(number)), _admits, layer.close)


def build_three(port: int, limit: int) -> SyncLimiter:
    """Hit three quotas of three keys, all or nothing."""
    layer = _layer(port)
    limiter = layer.limiter
    everybody, tenant, user = (_quota(amount) for amount in (100 * limit, 10 * limit, limit))

    def hit(number: int) -> Any:
        return limiter.hit_all(
            [(everybody, "all"), (tenant, f"tenant:{number % 8}"), (user, USER.format(number))],
        )

    return SyncLimiter(hit, _admits, layer.close)


def build_function(port: int, limit: int) -> SyncLimiter:
    """Call a decorated function; each user has a bucket."""
    from holdfast import RateLimited, rate_limited

    layer = _layer(port)

    @rate_limited(_quota(limit), key="user:{number}", layer=layer)
    def act(number: int) -> int:
        return number

    return SyncLimiter(act, None, layer.close, refusal=RateLimited)


async def abuild_one(algorithm: str, port: int, limit: int) -> AsyncLimiter:
    """Hit one quota of one key."""
    layer, quota = _layer(port), _quota(limit, algorithm)
    limiter = layer.limiter
    return AsyncLimiter(lambda number: limiter.ahit(quota, USER.format(number)), _admits, layer.aclose)


async def abuild_function(port: int, limit: int) -> AsyncLimiter:
    """Await a decorated function; each user has a bucket."""
    from holdfast import RateLimited, rate_limited

    layer = _layer(port)

    @rate_limited(_quota(limit), key="user:{number}", layer=layer)
    async def act(number: int) -> int:
        return number

    return AsyncLimiter(act, None, layer.aclose, refusal=RateLimited)


GCRA: SyncBuilder = partial(build_one, "gcra")
FIXED: SyncBuilder = partial(build_one, "fixed_window")
COUNTER: SyncBuilder = partial(build_one, "sliding_counter")
LOG: SyncBuilder = partial(build_one, "sliding_log")
AGCRA: AsyncBuilder = partial(abuild_one, "gcra")
AFIXED: AsyncBuilder = partial(abuild_one, "fixed_window")
ACOUNTER: AsyncBuilder = partial(abuild_one, "sliding_counter")
ALOG: AsyncBuilder = partial(abuild_one, "sliding_log")
