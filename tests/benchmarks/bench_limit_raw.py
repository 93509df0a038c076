"""The baseline: a plain GCRA script, sent with `evalsha` through redis-py, and nothing around it.

The script is as small as one that answers a caller's questions can be: the server's clock, one GET, one SET with a
lifetime; it returns whether the hit was admitted, what remains, when to come again and when all is forgotten. Its keys
and arguments are ready-made before a hit is timed.
"""

from __future__ import annotations

from typing import Any, Final

from bench_limit_trial import AsyncLimiter, SyncLimiter
from bench_product import IDS

RAW: Final = "redis-py `evalsha`"
PERIOD: Final = 3600
"""Seconds in which a limit may be used up. All subjects are given the same period."""
USER: Final = "user:{}"
"""The key of a user's bucket. All subjects but this one format it in each hit."""

GCRA: Final = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local emission, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local due = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local later = due + emission * cost
local wait = later - now - emission * burst
if wait > 0 then
  return {0, math.floor((emission * burst - due + now) / emission), wait, due - now}
end
redis.call('SET', KEYS[1], string.format('%.0f', later), 'PX', math.ceil((later - now) / 1000))
return {1, math.floor(-wait / emission), 0, later - now}
"""
"""Arguments: microseconds that one unit takes to drain, units at once, cost. Returns admitted, remaining, retry after
and reset, the times in microseconds."""


def build_one(port: int, limit: int) -> SyncLimiter:
    """Send one script with redis-py's own client and its default pool."""
    import redis

    client = redis.Redis(port=port)
    sha, emission = client.script_load(GCRA), _emission(limit)
    keys = _keys()

    def hit(number: int) -> Any:
        return client.evalsha(sha, 1, keys[number], emission, limit, 1)

    return SyncLimiter(hit, _admits, client.close)


def build_three(port: int, limit: int) -> SyncLimiter:
    """Send three scripts, one after the other, until one refuses."""
    import redis

    client = redis.Redis(port=port)
    sha = client.script_load(GCRA)
    everybody = ("all", _emission(100 * limit), 100 * limit)
    tenants = [(f"tenant:{number}", _emission(10 * limit), 10 * limit) for number in range(8)]
    users = [(key, _emission(limit), limit) for key in _keys()]
    plans = [(everybody, tenants[number % 8], users[number]) for number in IDS]

    def hit(number: int) -> Any:
        reply: Any = None
        for key, emission, burst in plans[number]:
            reply = client.evalsha(sha, 1, key, emission, burst, 1)
            if reply[0] == 0:
                break
        return reply

    return SyncLimiter(hit, _admits, client.close)


def build_function(port: int, limit: int) -> SyncLimiter:
    """Call a function that begins with the script."""
    raw = build_one(port, limit)

    def act(number: int) -> int:
        if not _admits(raw.hit(number)):
            raise PermissionError
        return number

    return SyncLimiter(act, None, raw.close, refusal=PermissionError)


async def abuild_one(port: int, limit: int) -> AsyncLimiter:
    """Send one script with redis-py's own asyncio client and its default pool."""
    import redis.asyncio

    client = redis.asyncio.Redis(port=port)
    sha, emission = await client.script_load(GCRA), _emission(limit)
    keys = _keys()

    async def hit(number: int) -> Any:
        return await client.evalsha(sha, 1, keys[number], emission, limit, 1)

    return AsyncLimiter(hit, _admits, client.aclose)


async def abuild_function(port: int, limit: int) -> AsyncLimiter:
    """Await a function that begins with the script."""
    raw = await abuild_one(port, limit)

    async def act(number: int) -> int:
        if not _admits(await raw.hit(number)):
            raise PermissionError
        return number

    return AsyncLimiter(act, None, raw.close, refusal=PermissionError)


def _keys() -> list[str]:
    return [USER.format(number) for number in IDS]


def _emission(limit: int) -> int:
    return PERIOD * 1_000_000 // limit


def _admits(reply: Any) -> bool:
    return bool(reply[0] == 1)
