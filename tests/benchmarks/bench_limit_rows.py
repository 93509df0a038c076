"""The rows about rate limits: who competes in which. The order is that of the published page."""

from __future__ import annotations

import bench_limit_async_peers as apeer
import bench_limit_ours as our
import bench_limit_raw as raw
import bench_limit_sync_peers as peer
from bench_limit_lineup import LimitRow
from bench_limit_raw import RAW
from bench_limit_trial import AsyncBuilder, SyncBuilder
from bench_lineup import Load
from bench_sync_subjects import OURS

ONE = f"{OURS}, one quota"

_GCRA: dict[str, SyncBuilder] = {
    RAW: raw.build_one,
    OURS: our.GCRA,
    "throttled-py": peer.THROTTLED_GCRA,
    "pyrate-limiter": peer.PYRATE_GCRA,
    "pyrate-limiter, RedisBucket": peer.PYRATE_LOG,
    "limits, fixed window": peer.LIMITS_FIXED,
}
_AGCRA: dict[str, AsyncBuilder] = {
    RAW: raw.abuild_one,
    OURS: our.AGCRA,
    "throttled-py": apeer.THROTTLED_GCRA,
    "pyrate-limiter": apeer.PYRATE_GCRA,
    "pyrate-limiter, RedisBucket": apeer.PYRATE_LOG,
    "limits, fixed window": apeer.LIMITS_FIXED,
    "cashews, fixed window": apeer.CASHEWS_FIXED,
}
_THREE: dict[str, SyncBuilder] = {
    RAW: raw.build_one,
    OURS: our.build_three,
    "redis-py `evalsha`, in turn (not atomic)": raw.build_three,
    "throttled-py, in turn (not atomic)": peer.build_throttled_three,
    "pyrate-limiter, in turn (not atomic)": peer.build_pyrate_three,
    "limits, in turn (not atomic)": peer.build_limits_three,
}
_BESIDE: dict[str, SyncBuilder] = {ONE: our.GCRA, OURS: our.build_three}
_FIXED: dict[str, SyncBuilder] = {
    RAW: raw.build_one,
    OURS: our.FIXED,
    "throttled-py": peer.THROTTLED_FIXED,
    "pyrate-limiter": peer.PYRATE_FIXED,
    "limits": peer.LIMITS_FIXED,
}
_AFIXED: dict[str, AsyncBuilder] = {
    RAW: raw.abuild_one,
    OURS: our.AFIXED,
    "throttled-py": apeer.THROTTLED_FIXED,
    "pyrate-limiter": apeer.PYRATE_FIXED,
    "limits": apeer.LIMITS_FIXED,
    "cashews": apeer.CASHEWS_FIXED,
}
_COUNTER: dict[str, SyncBuilder] = {
    RAW: raw.build_one,
    OURS: our.COUNTER,
    "throttled-py": peer.THROTTLED_COUNTER,
    "limits": peer.LIMITS_COUNTER,
}
_ACOUNTER: dict[str, AsyncBuilder] = {
    RAW: raw.abuild_one,
    OURS: our.ACOUNTER,
    "throttled-py": apeer.THROTTLED_COUNTER,
    "limits": apeer.LIMITS_COUNTER,
}
_LOG: dict[str, SyncBuilder] = {
    RAW: raw.build_one,
    OURS: our.LOG,
    "pyrate-limiter": peer.PYRATE_LOG,
    "limits": peer.LIMITS_LOG,
}
_ALOG: dict[str, AsyncBuilder] = {
    RAW: raw.abuild_one,
    OURS: our.ALOG,
    "pyrate-limiter": apeer.PYRATE_LOG,
    "limits": apeer.LIMITS_LOG,
    "cashews": apeer.CASHEWS_LOG,
}
_FUNCTION: dict[str, SyncBuilder] = {
    RAW: raw.build_function,
    OURS: our.build_function,
    "throttled-py, one key": peer.build_throttled_function,
    "pyrate-limiter, one key": peer.build_pyrate_function,
    "limits, by hand, fixed window": peer.build_limits_function,
}
_AFUNCTION: dict[str, AsyncBuilder] = {
    RAW: raw.abuild_function,
    OURS: our.abuild_function,
    "throttled-py, one key": apeer.abuild_throttled_function,
    "pyrate-limiter, one key": apeer.abuild_pyrate_function,
    "limits, by hand, fixed window": apeer.abuild_limits_function,
    "cashews, fixed window": apeer.CASHEWS_FIXED,
}

ROWS = (
    LimitRow(Load("one hit, GCRA, sync", "sync", 1), _GCRA, RAW),
    LimitRow(Load("one hit, GCRA, async, 64 tasks", "async", 64), _AGCRA, RAW),
    LimitRow(Load("three quotas on three keys, sync", "sync", 1), _THREE, RAW),
    LimitRow(Load("three quotas beside one, sync", "sync", 1), _BESIDE, ONE),
    LimitRow(Load("a refused key, sync", "sync", 1, hot=True), _GCRA, RAW, refused=True),
    LimitRow(Load("a refused key, async, 1 task", "async", 1, hot=True), _AGCRA, RAW, refused=True),
    LimitRow(Load("fixed window, sync", "sync", 1), _FIXED, RAW),
    LimitRow(Load("fixed window, async, 64 tasks", "async", 64), _AFIXED, RAW),
    LimitRow(Load("sliding counter, sync", "sync", 1), _COUNTER, RAW),
    LimitRow(Load("sliding counter, async, 64 tasks", "async", 64), _ACOUNTER, RAW),
    LimitRow(Load("sliding log, sync", "sync", 1), _LOG, RAW),
    LimitRow(Load("sliding log, async, 64 tasks", "async", 64), _ALOG, RAW),
    LimitRow(Load("a decorated function, sync", "sync", 1), _FUNCTION, RAW),
    LimitRow(Load("a decorated function, async, 64 tasks", "async", 64), _AFUNCTION, RAW),
)
