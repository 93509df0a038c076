"""How many bytes one bucket takes in Redis: after one hit, and when a limit of a thousand is used up.

Counted with MEMORY USAGE over all keys that a subject made on an empty server, the names of the keys included.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import bench_limit_async_peers as apeer
import bench_limit_ours as our
import bench_limit_raw as raw
import bench_limit_sync_peers as peer
import redis
from bench_frame import describe
from bench_limit_lineup import empty
from bench_limit_raw import RAW
from bench_limit_trial import AsyncBuilder, SyncBuilder
from bench_sync_subjects import OURS

FULL = 1000
_HEADER = "| bucket | keys | bytes after one hit | bytes when full |\n|---|--:|--:|--:|"

SYNC_BUCKETS: Mapping[str, SyncBuilder] = {
    f"{RAW}: GCRA": raw.build_one,
    f"{OURS}: GCRA": our.GCRA,
    "throttled-py: GCRA": peer.THROTTLED_GCRA,
    "pyrate-limiter: GCRA": peer.PYRATE_GCRA,
    f"{OURS}: fixed window": our.FIXED,
    "throttled-py: fixed window": peer.THROTTLED_FIXED,
    "pyrate-limiter: fixed window": peer.PYRATE_FIXED,
    "limits: fixed window": peer.LIMITS_FIXED,
    f"{OURS}: sliding counter": our.COUNTER,
    "throttled-py: sliding counter": peer.THROTTLED_COUNTER,
    "limits: sliding counter": peer.LIMITS_COUNTER,
    f"{OURS}: sliding log": our.LOG,
    "pyrate-limiter: sliding log": peer.PYRATE_LOG,
    "limits: sliding log": peer.LIMITS_LOG,
}
ASYNC_BUCKETS: Mapping[str, AsyncBuilder] = {
    "cashews: fixed window": apeer.CASHEWS_FIXED,
    "cashews: sliding log": apeer.CASHEWS_LOG,
}


@dataclass(frozen=True, slots=True)
class Bucket:
    """What one user's bucket takes."""

    name: str
    keys: int
    """Keys when it is full."""
    first: int
    """Bytes after one hit."""
    full: int
    """Bytes when the limit is used up."""


def weigh(port: int) -> tuple[list[Bucket], dict[str, str]]:
    """Return what buckets take, those that are of one kind beside each other, and those that could not be weighed."""
    found: list[Bucket] = []
    failures: dict[str, str] = {}
    for name in sorted([*SYNC_BUCKETS, *ASYNC_BUCKETS], key=_kind):
        empty(port)
        try:
            found.append(_weigh_one(name, port))
        except Exception as error:  # reported in the table; the others are weighed
            failures[name] = describe(error)
    return found, failures


def _kind(name: str) -> int:
    kinds = ("GCRA", "fixed window", "sliding counter", "sliding log")
    return kinds.index(name.rpartition(": ")[2])


def _weigh_one(name: str, port: int) -> Bucket:
    if name in SYNC_BUCKETS:
        limiter = SYNC_BUCKETS[name](port, FULL)
        try:
            limiter.hit(0)
            _, first = _take(port)
            for _ in range(FULL - 1):
                limiter.hit(0)
        finally:
            limiter.close()
    else:
        first = asyncio.run(_fill(ASYNC_BUCKETS[name], port))
    keys, full = _take(port)
    return Bucket(name, keys, first, full)


async def _fill(build: AsyncBuilder, port: int) -> int:
    limiter = await build(port, FULL)
    try:
        await limiter.hit(0)
        _, first = _take(port)
        for _ in range(FULL - 1):
            await limiter.hit(0)
    finally:
        await limiter.close()
    return first


def _take(port: int) -> tuple[int, int]:
    """Return how many keys there are, and how many bytes they take."""
    with redis.Redis(port=port) as client:
        client_any: Any = client
        sizes = [client_any.memory_usage(key, samples=0) for key in client_any.scan_iter()]
    return len(sizes), sum(sizes)


def render_buckets(buckets: Sequence[Bucket], failures: Mapping[str, str]) -> str:
    """Return the table as Markdown."""
    lines = ["**memory of one bucket**", "", _HEADER]
    lines += [f"| {each.name} | {each.keys} | {each.first} | {each.full} |" for each in buckets]
    lines += [f"| {name} | failed: {error.replace('|', '/')} | | |" for name, error in failures.items()]
    return "\n".join(lines)
