"""One entry at a time, without loading: read, write, invalidate, look at it."""

from __future__ import annotations

from typing import Any

from holdfast._missing import MISSING, Missing
from holdfast.commands import get, pexpire, pttl, put, unlink
from holdfast.core.caching import Caching, age_of, fill_id
from holdfast.core.plan import CallInfo, EntryInfo, Outcome, Plan
from holdfast.errors import BackendError
from holdfast.events import Fill, Invalidated, Miss
from holdfast.policy.frame import Unreadable
from holdfast.port import Port


async def read(caching: Caching, port: Port, plan: Plan, key: str) -> Any | Missing:
    """Return the value of an entry, or MISSING; raise the error that it holds."""
    raw = await caching.ask(port, plan, get(key))
    if raw is not None:
        outcome = caching.use(plan, key, raw)
        if outcome is not None:
            return outcome[0]
    plan.tally.misses += 1
    caching.recorder.emit(Miss(plan.tally.pattern, key, "absent" if raw is None else "unreadable"))
    return MISSING


def encode(port: Port, plan: Plan, key: str, value: object, ttl: float) -> bytes:
    """Return an entry for a value that somebody else brought."""
    now = port.now()
    raw, _ = plan.codec.encode_checked(
        key, value, id=fill_id(port, now), created=now, fresh_until=now + ttl, load_time=0.0
    )
    return raw


async def write(caching: Caching, port: Port, plan: Plan, key: str, value: object, ttl: float | None = None) -> None:
    """Store a value; loads of the key that are under way must not overwrite it."""
    kept = plan.seconds_for(value, port.random()) if ttl is None else ttl
    if not kept:
        await invalidate(caching, port, plan, key)
        return
    raw = encode(port, plan, key, value, kept)
    caching.flights.revoke(key)
    try:
        await port.call(put(key, raw, kept))
    except BackendError as error:
        caching.note_failure("SET", plan, error)
        raise
    finally:
        caching.flights.revoke(key)
    plan.tally.fills += 1
    caching.recorder.emit(Fill(plan.tally.pattern, key, len(raw), kept, 0.0))


async def invalidate(caching: Caching, port: Port, plan: Plan, key: str) -> bool:
    """Remove an entry, and keep loads of it that are under way in this process from storing."""
    return bool(await remove(caching, port, plan, [key]))


async def remove(caching: Caching, port: Port, plan: Plan, keys: list[str]) -> int:
    """Remove entries; return how many there were."""
    _revoke(caching, keys)
    try:
        count = int(await port.call(unlink(keys)))
    except BackendError as error:
        caching.note_failure("UNLINK", plan, error)
        raise
    finally:
        _revoke(caching, keys)  # a load that began between the first time and the deletion may have read the old source
    if caching.recorder.hooks:
        for key in keys:
            caching.recorder.emit(Invalidated(plan.tally.pattern, key))
    return count


def _revoke(caching: Caching, keys: list[str]) -> None:
    for key in keys:
        caching.flights.revoke(key)


async def expire(port: Port, key: str, ttl: float) -> bool:
    """Give an entry another time to live; say whether there is one."""
    return bool(await port.call(pexpire(key, ttl)))


async def info(port: Port, plan: Plan, key: str) -> EntryInfo | None:
    """Describe an entry."""
    raw, left = await port.pipeline([get(key), pttl(key)])
    if raw is None:
        return None
    try:
        frame = plan.codec.open(key, raw)
    except Unreadable:
        return None
    remaining = max(0, int(left)) / 1000
    tags = tuple(stamp[0] for stamp in frame.stamps)
    age = age_of(frame, port.now())
    return EntryInfo(frame.created, age, remaining, remaining > 0, tags, frame.serializer, len(raw))


def describe(port: Port, plan: Plan, key: str, outcome: Outcome) -> CallInfo:
    """Say where the value of a call came from."""
    _, status, raw = outcome
    if raw is None:
        return CallInfo(status, 0.0, 0.0)
    frame = plan.codec.open(key, raw)
    now = port.now()
    return CallInfo(status, age_of(frame, now), max(0.0, frame.fresh_until - now))
