"""The rows about locks: who competes in which. The order is that of the published page."""

from __future__ import annotations

import sys

import bench_lock_async_peers as apeer
import bench_lock_ours as our
import bench_lock_raw as raw
import bench_lock_sync_peers as peer
from bench_lineup import Load
from bench_lock_lineup import LockRow
from bench_lock_ours import FAIR, ONCE
from bench_lock_raw import RAW
from bench_lock_trial import AsyncBuilder, SyncBuilder
from bench_sync_subjects import OURS

_PEERS: dict[str, SyncBuilder] = {
    "redis-py Lock": peer.build_redis_py,
    "python-redis-lock": peer.build_redis_lock,
    "pottery Redlock": peer.build_pottery,
    "redlock-py": peer.build_redlock_py,
    "portalocker RedisLock": peer.build_portalocker,
    "py-redis-semaphore": peer.build_semaphore,
}
_APEERS: dict[str, AsyncBuilder] = {
    "redis-py Lock": apeer.abuild_redis_py,
    "coredis Lock": apeer.abuild_coredis,
    "pottery AIORedlock": apeer.abuild_pottery,
    "py-redis-semaphore": apeer.abuild_semaphore,
    "cashews": apeer.abuild_cashews,
}
if sys.version_info < (3, 12):  # it imports distutils
    _APEERS["aioredlock"] = apeer.abuild_aioredlock
_FREE: dict[str, SyncBuilder] = {RAW: raw.build, OURS: our.PLAIN, ONCE: our.build_once, **_PEERS}
_AFREE: dict[str, AsyncBuilder] = {RAW: raw.abuild, OURS: our.APLAIN, ONCE: our.abuild_once, **_APEERS}

ROWS = (
    LockRow(Load("a free lock, sync", "sync", 1), _FREE),
    LockRow(Load("a free lock, async, 1 task", "async", 1), _AFREE),
    LockRow(Load("64 free locks, async, 64 tasks", "async", 64), _AFREE),
)
HANDOVERS = (
    LockRow(Load("a lock handed over, sync", "sync", 2), {OURS: our.PLAIN, FAIR: our.QUEUED, **_PEERS}),
    LockRow(Load("a lock handed over, async", "async", 2), {OURS: our.APLAIN, FAIR: our.AQUEUED, **_APEERS}),
)
CROWD = LockRow(Load("a crowd at one lock, async", "async", 1000), {OURS: our.APLAIN, FAIR: our.AQUEUED, **_APEERS})
EVERYBODY = {name for row in (*ROWS, *HANDOVERS, CROWD) for name in row.builders}
