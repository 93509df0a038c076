"""One entry at a time, without loading: read, write, invalidate, look at it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holdfast._missing import MISSING, Missing
from holdfast.commands import Command, Reply, get, pexpire, pttl, put, unlink
from holdfast.core.caching import Caching, Reason, age_of
from holdfast.core.filling import hold
from holdfast.core.loading import fill_id
from holdfast.core.plan import CallInfo, EntryInfo, Outcome, Plan
from holdfast.errors import BackendError
from holdfast.events import Fill, Invalidated
from holdfast.policy.frame import Unreadable
from holdfast.port import Port


async def read(caching: Caching, port: Port, plan: Plan, key: str) -> Any | Missing:
    """Return the value of an entry, or MISSING; raise the error that it holds."""
    reason: Reason = "absent"
    if not caching.flights.barred(key):
        try:
            raw = await port.call(get(key))
        except BackendError as error:
            caching.failed("GET", plan, error)
            raw, reason = None, "unavailable"
        if raw is not None:
            outcome = caching.use(plan, key, raw)
            if outcome is not None:
                return outcome[0]
            reason = "unreadable"
    caching.missed(plan, key, reason)
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
    await change(caching, port, plan, [key], [put(key, raw, kept)])
    note_write(caching, plan, key, raw, kept)


def note_write(caching: Caching, plan: Plan, key: str, raw: bytes, ttl: float) -> None:
    """Count and tell that a value that somebody brought was stored."""
    plan.tally.fills += 1
    if caching.recorder.hooks:
        caching.recorder.emit(Fill(plan.tally.pattern, key, len(raw), ttl, 0.0))


async def invalidate(caching: Caching, port: Port, plan: Plan, key: str) -> bool:
    """Remove an entry, and keep loads of it that are under way in this process from storing."""
    return bool(await remove(caching, port, plan, [key]))


async def remove(caching: Caching, port: Port, plan: Plan, keys: list[str]) -> int:
    """Remove entries; return how many there were."""
    (count,) = await change(caching, port, plan, keys, [unlink(keys)])
    if caching.recorder.hooks:
        for key in keys:
            caching.recorder.emit(Invalidated(plan.tally.pattern, key))
    return int(count)


async def change(
    caching: Caching, port: Port, plan: Plan, keys: Sequence[str], commands: Sequence[Command]
) -> list[Reply]:
    """Send commands that change entries on request, while no load of them stores anything.

    Loads that begin meanwhile do not store either: they may have read another entry that is being changed.

    Raises:
        BackendError: Redis could not be used, whatever the layer does about reads.
    """
    await hold(caching.flights, port, keys)
    try:
        return await port.pipeline(commands) if len(commands) > 1 else [await port.call(commands[0])]
    except BackendError as error:
        caching.recorder.backend_failed(plan.tally, commands[0].name, error)
        raise
    finally:
        caching.flights.release(keys)


async def expire(caching: Caching, port: Port, plan: Plan, key: str, ttl: float) -> bool:
    """Give an entry another time to live; say whether there is one."""
    command = pexpire(key, ttl)
    try:
        return bool(await port.call(command))
    except BackendError as error:
        caching.recorder.backend_failed(plan.tally, command.name, error)
        raise


async def info(caching: Caching, port: Port, plan: Plan, key: str) -> EntryInfo | None:
    """Describe an entry."""
    if caching.flights.barred(key):
        return None
    try:
        raw, left = await port.pipeline([get(key), pttl(key)])
    except BackendError as error:
        caching.recorder.backend_failed(plan.tally, "GET", error)
        raise
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
    try:
        frame = None if raw is None else plan.codec.open(key, raw)
    except Unreadable:  # a hit does not look at what is only told here
        frame = None
    if frame is None:
        return CallInfo(status, 0.0, 0.0)
    now = port.now()
    return CallInfo(status, age_of(frame, now), max(0.0, frame.fresh_until - now))
