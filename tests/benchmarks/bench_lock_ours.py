"""holdfast's locks, as the rows use them."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from bench_lock_trial import LEASE, NAME, AsyncBuilder, AsyncLock, SyncBuilder, SyncLock
from bench_product import IDS
from bench_sync_subjects import OURS

ONCE: Final = f"{OURS}, lock made once"
FAIR: Final = f"{OURS}, fair"
ALL_OURS: Final = (OURS, ONCE, FAIR)


def _layer(port: int) -> Any:
    from holdfast import Layer

    return Layer(f"redis://127.0.0.1:{port}/0", namespace="bench")


def build(fair: bool, port: int) -> SyncLock:
    """Make a lock of the layer each time."""
    layer = _layer(port)
    return SyncLock(
        lambda number: layer.lock(NAME.format(number), lease=LEASE, fair=fair),
        partial(_attempt, layer, fair),
        layer.close,
    )


def build_once(port: int) -> SyncLock:
    """Make the locks beforehand, as an application does whose locks have fixed names."""
    layer = _layer(port)
    locks = [layer.lock(NAME.format(number), lease=LEASE) for number in IDS]
    return SyncLock(locks.__getitem__, partial(_attempt, layer, False), layer.close)


async def abuild(fair: bool, port: int) -> AsyncLock:
    """Make a lock of the layer each time."""
    layer = _layer(port)
    return AsyncLock(
        lambda number: layer.lock(NAME.format(number), lease=LEASE, fair=fair),
        partial(_aattempt, layer, fair),
        layer.aclose,
    )


async def abuild_once(port: int) -> AsyncLock:
    """Make the locks beforehand."""
    layer = _layer(port)
    locks = [layer.lock(NAME.format(number), lease=LEASE) for number in IDS]
    return AsyncLock(locks.__getitem__, partial(_aattempt, layer, False), layer.aclose)


def _attempt(layer: Any, fair: bool, number: int) -> bool:
    from holdfast import LockNotAcquired

    try:
        with layer.lock(NAME.format(number), lease=LEASE, wait=0, fair=fair):
            return True
    except LockNotAcquired:
        return False


async def _aattempt(layer: Any, fair: bool, number: int) -> bool:
    from holdfast import LockNotAcquired

    try:
        async with layer.lock(NAME.format(number), lease=LEASE, wait=0, fair=fair):
            return True
    except LockNotAcquired:
        return False


PLAIN: SyncBuilder = partial(build, False)
QUEUED: SyncBuilder = partial(build, True)
APLAIN: AsyncBuilder = partial(abuild, False)
AQUEUED: AsyncBuilder = partial(abuild, True)
