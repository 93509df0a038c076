"""Many entries at a time, without loading."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holdfast.commands import Reply, mget
from holdfast.core.caching import Caching
from holdfast.core.call import Call, Look, no_load
from holdfast.core.plan import Plan
from holdfast.core.reading import as_versions
from holdfast.core.sending import chunks
from holdfast.errors import BackendError
from holdfast.policy.freshness import Versions
from holdfast.port import Port


async def read_many(caching: Caching, port: Port, plan: Plan, keys: Sequence[str]) -> dict[str, Any]:
    """Return the values of those entries that may be returned, by key.

    `plan` must have no `errors`, so that an entry that holds an error counts as unreadable instead of being raised.
    """
    values: dict[str, Any] = {}
    for chunk in chunks(keys):
        for call in await look_at(caching, port, [Call(plan, key, no_load) for key in chunk]):
            outcome = caching.serving.serve(port, call)
            if outcome is None:
                caching.serving.count_miss(plan, call.key, call.look.reason)
            else:
                values[call.key] = outcome[0]
    return values


async def look_at(caching: Caching, port: Port, calls: Sequence[Call]) -> Sequence[Call]:
    """Look at the entries of several calls of one plan: one MGET, and one more for tags that only the entries name."""
    plan = calls[0].plan
    keys = [call.key for call in calls]
    declared = list(dict.fromkeys(tag for call in calls for tag in call.tags))
    try:
        raws, versions = await read_raw(caching, port, keys, declared)
        looks = await caching.reading.examine_all(port, plan, keys, raws, [call.tags for call in calls], versions)
    except BackendError as error:
        caching.reading.failed("MGET", plan, error)
        looks = [Look("unavailable")] * len(calls)
    for call, look in zip(calls, looks, strict=True):
        call.look = look
    return calls


async def read_raw(
    caching: Caching, port: Port, keys: Sequence[str], tags: Sequence[str]
) -> tuple[list[Reply], dict[str, Versions | None]]:
    """Read entries and the versions of tags in one round trip.

    Raises:
        BackendError: Redis could not be used.
    """
    if not tags:
        return await port.call(mget(keys)), {}
    raws, found = await port.pipeline([mget(keys), caching.reading.read_tags(tags)])
    return raws, as_versions(tags, found)
