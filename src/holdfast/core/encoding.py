"""What a loader brought, made ready to be stored: how long it is fresh, which tags it has, and its entry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from holdfast._current import CurrentEntry, checked_tags
from holdfast._missing import MISSING
from holdfast.codec import Facts
from holdfast.core.call import Call
from holdfast.core.leasing import Lease
from holdfast.core.plan import Plan
from holdfast.errors import SerializationError
from holdfast.policy.freshness import Versions, stamps_of
from holdfast.policy.keys import guard
from holdfast.policy.stamps import Stamp
from holdfast.port import Port

TAGS_FUNCTION: Final = "what the function of tags= returns"


class Loaded(NamedTuple):
    """What a loader brought, ready to be stored."""

    raw: bytes | None
    copy: Any
    fresh: float
    """Seconds for which it is fresh; 0 = it is not to be stored."""
    kept: float
    """Seconds for which Redis keeps it."""
    load_time: float
    stamps: tuple[Stamp, ...] = ()
    fresh_until: float = 0.0
    """Unix seconds; 0 for what is not to be kept in the process."""
    derived: bool = False
    """Whether it has, or may have, tags that only the load gave it."""


class After(NamedTuple):
    """What was read of tags after a load, and then of the epoch."""

    versions: Mapping[str, Versions | None]
    epoch: Versions | None


def weigh(port: Port, call: Call, entry: CurrentEntry, value: object) -> tuple[float, tuple[str, ...]]:
    """Return for how many seconds a loaded value is fresh, 0 if it is not to be stored, and the tags it adds."""
    fresh = _freshness(port, call, entry, value)
    return fresh, added_tags(call, entry, value, stored=bool(fresh)) if call.plan.keeps else ()


def encode(
    port: Port,
    call: Call,
    lease: Lease,
    value: object,
    fresh: float,
    load_time: float,
    derived: tuple[str, ...],
    after: After | None,
) -> Loaded:
    """Return a loaded value ready to be stored.

    A value whose derived tags may have been invalidated since its load is not to be stored.

    Raises:
        SerializationError: it cannot be stored. What is not to be stored need not be storable: its callers share
            it as it is.
    """
    plan = call.plan
    stamps = stamps_of({tag: lease.versions[tag] for tag in call.tags if tag in lease.versions})
    if derived:
        more = stamps_after(plan, lease, derived, after)
        fresh = fresh if more is not None else 0.0
        stamps += more or ()
    now = port.now()
    nothing = value is MISSING and plan.codec.nothing
    facts = Facts(
        id=lease.token if lease.granted else "",
        created=now,
        fresh_until=now + fresh,
        load_time=load_time,
        stamps=stamps,
        lingers=plan.leeway.extra > 0 and not nothing,
    )
    kept = fresh if nothing else plan.kept_for(fresh)
    raw: bytes | None = None
    copy = value
    try:
        if nothing:
            raw = plan.codec.encode_nothing(call.key, **facts)
        else:
            raw, copy = plan.codec.encode_checked(call.key, value, **facts)
    except SerializationError:
        if fresh and plan.keeps:
            raise
    return Loaded(raw, copy, fresh, kept, load_time, stamps, now + fresh, bool(derived) or plan.tags_of is not None)


def _freshness(port: Port, call: Call, entry: CurrentEntry, value: object) -> float:
    """Return for how many seconds a result is fresh; 0 means not to store it."""
    plan = call.plan
    if value is MISSING and plan.codec.nothing:
        return plan.missing.seconds_for(value, port.random()) if plan.missing is not None and entry.storing else 0.0
    if not entry.storing or (plan.condition is not None and not plan.condition(value)):
        return 0.0
    return plan.lifetime.seconds_for(value, port.random(), instead=entry.ttl)


def stamps_after(plan: Plan, lease: Lease, tags: tuple[str, ...], after: After | None) -> tuple[Stamp, ...] | None:
    """Return stamps of tags that were not known before the load, or None if an invalidation may have come between."""
    if lease.epoch is None:
        plan.derivation.expected = True  # from the next load on, it is read
        return None
    if after is None or after.epoch != lease.epoch:
        return None
    return stamps_of({tag: after.versions[tag] for tag in tags})


def derived_tags(given: object, source: str) -> tuple[str, ...]:
    """Return tags that a user's code gave, as they stand in keys.

    Raises:
        ConfigurationError: they are no tags.
    """
    return tuple(dict.fromkeys(guard(tag, "a tag") for tag in checked_tags(given, source)))


def added_tags(call: Call, entry: CurrentEntry, value: object, *, stored: bool) -> tuple[str, ...]:
    """Return the tags that the loader adds to those of the call, and the result if it is to be stored."""
    plan = call.plan
    there = stored and (value is not MISSING or not plan.codec.nothing)
    given = plan.tags_of(value) if plan.tags_of is not None and there else ()
    tags = (*derived_tags(given, TAGS_FUNCTION), *derived_tags(entry.tags, "tags"))
    return tuple(dict.fromkeys(tag for tag in tags if tag not in call.tags))
