"""One entry at a time, looked at without loading."""

from __future__ import annotations

from typing import Any

from holdfast._missing import MISSING, Missing
from holdfast.commands import get, pttl
from holdfast.core.caching import Caching
from holdfast.core.plan import CallInfo, EntryInfo, Outcome, Plan
from holdfast.errors import BackendError
from holdfast.policy.frame import Frame, Unreadable
from holdfast.port import Port


async def read(caching: Caching, port: Port, plan: Plan, key: str, tags: tuple[str, ...] = ()) -> Any | Missing:
    """Return the value of an entry that is fresh, or stale within its grace; otherwise MISSING.

    Raises the error that the entry holds.
    """
    outcome, reason = await caching.find(port, plan, key, tags)
    if outcome is not None:
        return outcome[0]
    caching.serving.count_miss(plan, key, reason)
    return MISSING


async def info(caching: Caching, port: Port, plan: Plan, key: str, tags: tuple[str, ...] = ()) -> EntryInfo | None:
    """Describe an entry; None if there is none that may be returned to anybody."""
    if not plan.keeps:
        return None
    try:
        raw, left = await port.pipeline([get(key), pttl(key)])
        look = await caching.reading.examine(port, plan, key, raw, tags, {})
    except BackendError as error:
        caching.recorder.backend_failed(plan.tally, "GET", error)
        raise
    frame = look.candidate
    if frame is None:
        return None
    remaining = max(0, int(left)) / 1000
    names = tuple(stamp.tag for stamp in frame.stamps)
    fresh = look.verdict == "fresh" and remaining > 0
    size = len(raw)
    return EntryInfo(frame.created, _age(frame, port.now()), remaining, fresh, names, frame.serializer, size)


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
    return CallInfo(status, _age(frame, now), max(0.0, frame.fresh_until - now))


def _age(frame: Frame, now: float) -> float:
    """Return the seconds since a value was loaded; clocks that differ do not make it negative."""
    return max(0.0, now - frame.created)
