"""Many entries at a time, without loading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from holdfast.commands import mget, put
from holdfast.core.caching import Caching, Reason
from holdfast.core.plan import Plan
from holdfast.core.single import change, encode, note_write
from holdfast.errors import BackendError
from holdfast.port import Port

T = TypeVar("T")

_CHUNK = 500
"""Entries a command or pipeline: Redis serves nobody else while it executes one command."""


async def read_many(caching: Caching, port: Port, plan: Plan, keys: Sequence[str]) -> dict[str, Any]:
    """Return the values of those entries that are there, by key.

    `plan` must have no `errors`, so that an entry that holds an error counts as unreadable instead of being raised.
    """
    values: dict[str, Any] = {}
    for chunk in _chunks(keys):
        barred = {key for key in chunk if caching.flights.barred(key)}
        reason: Reason = "absent"
        try:
            raws = await port.call(mget(chunk))
        except BackendError as error:
            caching.failed("MGET", plan, error)
            raws, reason = [None] * len(chunk), "unavailable"
        for key, raw in zip(chunk, raws, strict=True):
            if raw is None or key in barred:
                caching.missed(plan, key, reason)
                continue
            outcome = caching.use(plan, key, raw)
            if outcome is None:
                caching.missed(plan, key, "unreadable")
            else:
                values[key] = outcome[0]
    return values


async def write_many(caching: Caching, port: Port, plan: Plan, values: Mapping[str, object], ttl: float) -> None:
    """Store values under their keys; nothing is stored if one of them cannot be."""
    raws = {key: encode(port, plan, key, value, ttl) for key, value in values.items()}
    for chunk in _chunks(list(raws)):
        await change(caching, port, plan, chunk, [put(key, raws[key], ttl) for key in chunk])
        for key in chunk:
            note_write(caching, plan, key, raws[key], ttl)


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]
