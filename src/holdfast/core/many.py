"""Many entries at a time, without loading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from holdfast.commands import mget, put
from holdfast.core.caching import Caching
from holdfast.core.plan import Plan
from holdfast.core.single import encode
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
        raws = await caching.ask(port, plan, mget(chunk))
        if raws is None:
            continue
        for key, raw in zip(chunk, raws, strict=True):
            outcome = None if raw is None else caching.use(plan, key, raw)
            if outcome is not None:
                values[key] = outcome[0]
    plan.tally.misses += len(keys) - len(values)
    return values


async def write_many(caching: Caching, port: Port, plan: Plan, values: Mapping[str, object], ttl: float) -> None:
    """Store values under their keys; nothing is stored if one of them cannot be."""
    raws = {key: encode(port, plan, key, value, ttl) for key, value in values.items()}
    for chunk in _chunks(list(raws)):
        for key in chunk:
            caching.flights.revoke(key)
        try:
            await port.pipeline([put(key, raws[key], ttl) for key in chunk])
        except BackendError as error:
            caching.note_failure("SET", plan, error)
            raise
        finally:
            for key in chunk:
                caching.flights.revoke(key)
        plan.tally.fills += len(chunk)


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]
