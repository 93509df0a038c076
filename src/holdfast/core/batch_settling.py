"""The end of a load of many ids: what `settling` does for one entry, for all of them in one pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from holdfast._current import CurrentEntry
from holdfast.core.encoding import After, Loaded, encode, weigh
from holdfast.core.leasing import Held, Leasing
from holdfast.core.nearby import Nearby
from holdfast.core.plan import Plan
from holdfast.core.sending import chunks
from holdfast.core.settling import Settling, as_read_again
from holdfast.errors import BackendError
from holdfast.policy.freshness import Versions
from holdfast.port import Port


@dataclass(slots=True)
class _Load:
    """One entry that was loaded."""

    held: Held
    value: object
    fresh: float = 0.0
    derived: tuple[str, ...] = ()
    end: Loaded | Exception | None = None
    """What is to be stored; or why it cannot be: no serializer takes it, or a function of the user's raised."""


class BatchSettling:
    """Stores what the loads of many ids bring."""

    def __init__(self, settling: Settling, leasing: Leasing, nearby: Nearby) -> None:
        self._settling = settling
        self._leasing = leasing
        self._nearby = nearby

    async def keep(
        self,
        port: Port,
        plan: Plan,
        held: Sequence[Held],
        entry: CurrentEntry,
        values: Mapping[str, Any],
        load_time: float,
    ) -> None:
        """Encode what was loaded, store what is to be stored, and give each member of each flight its own.

        Raises:
            BackendError: Redis could not be used, and the layer does not bypass it, or a refresh was asked for.
        """
        loads = [_Load(one, values[one.call.key]) for one in held]
        for load in loads:
            try:
                load.fresh, load.derived = weigh(port, load.held.call, entry, load.value)
            except Exception as error:  # of the user's `ttl`, `condition` or `tags`
                load.end = error
        after = await self._read_after(port, plan, loads)
        for load in loads:
            if load.end is None:
                self._encode(port, load, load_time, after)
        for chunk in chunks(loads):
            await self._settle(port, plan, chunk)

    async def _read_after(self, port: Port, plan: Plan, loads: Sequence[_Load]) -> After | None:
        """Read the tags that the loads have added, if there are any and it is of use."""
        known = [load for load in loads if load.fresh and load.held.lease.epoch is not None]
        tags = list(dict.fromkeys(tag for load in known for tag in load.derived))
        if not tags:
            return None
        longest = max(load.fresh for load in known)
        return await self._settling.read_after(port, plan, tags, plan.kept_for(longest))

    def _encode(self, port: Port, load: _Load, load_time: float, after: After | None) -> None:
        call, _, lease = load.held
        try:
            load.end = encode(port, call, lease, load.value, load.fresh, load_time, load.derived, after)
        except Exception as error:  # it cannot be stored
            load.end = error

    async def _settle(self, port: Port, plan: Plan, loads: Sequence[_Load]) -> None:
        """Store, or give back, in one pipeline, and land the flights."""
        for load in loads:
            self._settling.close(load.held.flight)
        ready = [(load.held, load.end) for load in loads if isinstance(load.end, Loaded) and load.held.lease.granted]
        sent = {held.call.key for held, _ in ready}
        lost = [(load.held.call, load.held.lease.token) for load in loads if load.held.call.key not in sent]
        await self._leasing.returning.give_back(port, [(call, token) for call, token in lost if token])
        ends = await self._send(port, plan, ready) if ready else {}
        for load in loads:
            call, flight, _ = load.held
            if isinstance(load.end, Loaded):
                stored, proven = ends.get(call.key, (False, True))  # without a lease, Redis is away
                self._settling.land(call, flight, load.end, stored=stored, proven=proven)
            elif load.end is not None:
                flight.fail(load.end)

    async def _send(self, port: Port, plan: Plan, ready: Sequence[tuple[Held, Loaded]]) -> dict[str, tuple[bool, bool]]:
        """End leases; return by key whether the value is stored, and whether it is proven for every member."""
        endings = [self._settling.ending(held.call, held.lease, loaded) for held, loaded in ready]
        fills = [loaded for (_, loaded), ending in zip(ready, endings, strict=True) if ending.does == "fill"]
        late = any(self._settling.needs_proof(plan, held.flight, loaded) for held, loaded in ready)
        again = self._settling.read_again(port, plan, *fills) if fills and late else []
        moment = self._nearby.moment(port) if plan.near else None
        tokens = [held.lease.token for held, _ in ready]
        for token in tokens:
            self._nearby.begin_fill(token)
        try:
            replies = await port.pipeline([*(ending.command for ending in endings), *again])
            versions: dict[str, Versions | None] | None = None
            if again:
                stamps = [stamp for loaded in fills for stamp in loaded.stamps]
                versions = as_read_again(stamps, replies[len(ready) :])
            ends: dict[str, tuple[bool, bool]] = {}
            for (held, loaded), ending, reply in zip(ready, endings, replies, strict=False):
                call, _, lease = held
                ends[call.key] = self._settling.ended(port, call, lease, loaded, ending, reply, versions, moment)
            return ends
        except BackendError as error:
            self._leasing.returning.renounce(port, [(held.call, held.lease.token) for held, _ in ready])
            self._leasing.reading.failed("fill", plan, error)
            if ready[0][0].call.force:
                raise  # a refresh was asked for; what it was to replace is still there
            return {held.call.key: (False, False) for held, _ in ready}
        finally:
            for token in tokens:
                self._nearby.end_fill(token)
