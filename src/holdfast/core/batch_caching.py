"""Reading many entries through the cache: one MGET for all, and one load for what is missing.

What is fresh is returned; what is stale and within its grace is, too, while all of it is refreshed behind, in one load.
What is missing is shared with everybody who loads it, id by id; see `batch_sharing`.
"""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.core.batch import Batch, Outcomes
from holdfast.core.batch_sharing import BatchSharing
from holdfast.core.caching import Caching
from holdfast.core.call import Call, Look
from holdfast.core.many import look_at, read_raw
from holdfast.core.nearby import NOTHING
from holdfast.core.sending import chunks
from holdfast.errors import BackendError
from holdfast.port import Port


class BatchCaching:
    """The cache of one layer for calls with many ids, of both colours."""

    def __init__(self, caching: Caching) -> None:
        self._caching = caching
        self._sharing = BatchSharing(caching)

    async def fetch(self, port: Port, batch: Batch) -> Outcomes:
        """Return the values of entries, loading those that there are none of.

        Raises:
            BackendError: Redis could not be used, and the layer does not bypass it.
            SerializationError: a loaded value cannot be stored as it is.
            LoadTimeout: a value was not there in time, and the plan says to raise then.
        """
        outcomes, calls = await self._find(port, batch)
        misses = [call for call in calls if call.key not in outcomes]
        stale = [call for call in calls if call.key in outcomes and self._caching.is_to_be_refreshed(port, call)]
        if stale:
            self._sharing.refresh_behind(port, batch, stale)
        for call in misses:
            self._caching.serving.count_miss(batch.plan, call.key, call.look.reason)
        return outcomes | await self._sharing.share(port, batch, misses) if misses else outcomes

    async def refresh(self, port: Port, batch: Batch) -> Outcomes:
        """Load and store anew, whatever is stored; loads already under way do not count and do not store.

        Raises:
            BackendError: Redis could not be used, whatever the layer does about reads: old entries are still there.
        """
        return await self._sharing.refresh(port, batch, [batch.call(key, force=True) for key in batch.ids])

    async def find(self, port: Port, batch: Batch) -> Outcomes:
        """Return what is kept and may be returned; load nothing."""
        outcomes, calls = await self._find(port, batch)
        for call in calls:
            if call.key not in outcomes:
                self._caching.serving.count_miss(batch.plan, call.key, call.look.reason)
        return outcomes

    async def _find(self, port: Port, batch: Batch) -> tuple[Outcomes, list[Call]]:
        """Return what is kept, and the calls that took more than the shortest way to it, or found nothing."""
        outcomes: Outcomes = {}
        keys = list(batch.ids)
        if batch.plan.near:
            value_of = self._caching.nearby.reader(batch.plan, port.monotonic)
            for key in keys:
                value = value_of(key)
                if value is not NOTHING:
                    outcomes[key] = value, "near", None
            keys = [key for key in keys if key not in outcomes]
        calls: list[Call] = []
        for chunk in chunks(keys):
            quick = batch.plan.plain and not batch.tags
            calls += await (self._find_quickly if quick else self._look)(port, batch, chunk, outcomes)
        return outcomes, calls

    async def _find_quickly(self, port: Port, batch: Batch, keys: Sequence[str], outcomes: Outcomes) -> list[Call]:
        """Do what `_look` does; a hit of the commonest kind costs little more than decoding its value."""
        plan = batch.plan
        calls: list[Call] = []
        raws: dict[str, bytes | None] = {}
        try:
            found, _ = await read_raw(self._caching, port, keys, ())
        except BackendError as error:
            self._caching.reading.failed("MGET", plan, error)
            return self._unavailable(batch, keys)
        for key, raw in zip(keys, found, strict=True):
            outcome = None if raw is None else self._caching.quick(plan, key, raw)
            if outcome is None:
                raws[key] = raw
            else:
                outcomes[key] = outcome
        calls = [batch.call(key) for key in raws]
        try:
            looks = await self._caching.reading.examine_all(
                port, plan, list(raws), list(raws.values()), [()] * len(raws), {}
            )
        except BackendError as error:  # the tags that only the entries name could not be read
            self._caching.reading.failed("MGET", plan, error)
            return self._unavailable(batch, list(raws))
        for call, look in zip(calls, looks, strict=True):
            call.look = look
        return self._serve(port, calls, outcomes)

    async def _look(self, port: Port, batch: Batch, keys: Sequence[str], outcomes: Outcomes) -> list[Call]:
        """Read entries with their tags in one round trip, and take what may be returned; return all the calls."""
        calls = [batch.call(key) for key in keys]
        if batch.plan.near:
            moment = self._caching.nearby.moment(port)
            for call in calls:
                call.moment = moment
        await look_at(self._caching, port, calls)
        return self._serve(port, calls, outcomes)

    def _serve(self, port: Port, calls: Sequence[Call], outcomes: Outcomes) -> list[Call]:
        for call in calls:
            outcome = self._caching.served(port, call)
            if outcome is not None:
                outcomes[call.key] = outcome
        return list(calls)

    def _unavailable(self, batch: Batch, keys: Sequence[str]) -> list[Call]:
        calls = [batch.call(key) for key in keys]
        for call in calls:
            call.look = Look("unavailable")
        return calls
