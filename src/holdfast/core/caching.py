"""Reading through the cache: one GET for a hit; on a miss one load among all processes.

The order of a read is that of every path here:

1. A load of this key under way in this process: join it. One that brings nothing does not count.
2. GET, with the versions of the tags in the same pipeline. What is fresh is returned; what is stale and within its
   grace is returned, too, while it is refreshed behind. A read that somebody else has already sent is never shared.
3. Look at the loads again, since the read took time: join one, or open one and ask for the lease.

What a load brings is encoded at once, and every caller, the one that loaded included, gets a copy decoded from it: a
hit returns what a miss returned, and nobody shares a mutable object.
"""

from __future__ import annotations

from holdfast._calls import drive
from holdfast._flights import Flights
from holdfast._near import Near
from holdfast.codec import NOT_PLAIN
from holdfast.commands import Command
from holdfast.core.call import Call, Load, Look, Reason, no_load
from holdfast.core.leasing import Leasing
from holdfast.core.loading import Loading
from holdfast.core.nearby import Kept, Nearby
from holdfast.core.plan import Outcome, Plan
from holdfast.core.reading import Reading
from holdfast.core.records import Recorder
from holdfast.core.serving import Serving
from holdfast.core.sharing import Sharing
from holdfast.errors import BackendError
from holdfast.events import Hit
from holdfast.policy.frame import Unreadable
from holdfast.policy.freshness import may_retry, should_refresh_early
from holdfast.policy.names import Names
from holdfast.port import BlockingPort, Port

_UNAVAILABLE = Look("unavailable")


class Caching:
    """The cache of one layer, for both colours of callers."""

    def __init__(self, names: Names, recorder: Recorder, near: Near, *, bypass: bool) -> None:
        self.names = names
        self.recorder = recorder
        self.nearby = Nearby(near, names, recorder)
        self.flights = Flights()
        self.reading = Reading(names, recorder, bypass=bypass)
        self.serving = Serving(self.reading, recorder)
        self.loading = Loading(Leasing(self.flights, self.reading), self.nearby, recorder)
        self.sharing = Sharing(self.flights, self.reading, self.loading, self.serving, recorder)

    def fetch_now(self, port: BlockingPort, plan: Plan, key: str, load: Load, tags: tuple[str, ...] = ()) -> Outcome:
        """Do what `fetch` does, for a blocking caller.

        The commonest hit once more, without a coroutine: driving five nested ones takes a sixth of its processor time.
        Whatever is not such a hit goes the common way.
        """
        if not plan.plain or tags or self.flights.has(key):
            return drive(self.fetch(port, plan, key, load, tags))
        try:
            raw = port.call_now(Command(("GET", key), (key,), True))
        except BackendError as error:
            self.reading.failed("GET", plan, error)
            return drive(self._judged(port, Call(plan, key, load, tags, _UNAVAILABLE)))
        outcome = None if raw is None else self.quick(plan, key, raw)
        return drive(self._examined(port, Call(plan, key, load, tags), raw)) if outcome is None else outcome

    async def fetch(self, port: Port, plan: Plan, key: str, load: Load, tags: tuple[str, ...] = ()) -> Outcome:
        """Return the value of an entry, loading it if there is none.

        Args:
            port: of the caller's colour.
            plan: how the entry is kept.
            key: of the entry.
            load: gets the value from its source.
            tags: those that the call gives to its entry.

        Raises:
            BackendError: Redis could not be used, and the layer does not bypass it.
            SerializationError: the loaded value cannot be stored as it is.
            LoadTimeout: the value was not there in time, and the plan says to raise then.
        """
        if plan.near:
            outcome = self.near_hit(port, plan, key)
            if outcome is not None:
                return outcome
        if plan.soft_timeout is None and self.flights.has(key):  # otherwise it has to know what it may fall back on
            joined = await self.sharing.follow(port, Call(plan, key, load, tags))
            if joined is not None:
                return joined
        if not plan.plain or tags:
            return await self._judged(port, await self._looked(port, Call(plan, key, load, tags)))
        try:
            raw = await port.call(Command(("GET", key), (key,), True))
        except BackendError as error:
            self.reading.failed("GET", plan, error)
            return await self._judged(port, Call(plan, key, load, tags, _UNAVAILABLE))
        outcome = None if raw is None else self.quick(plan, key, raw)
        return await self._examined(port, Call(plan, key, load, tags), raw) if outcome is None else outcome

    async def refresh(self, port: Port, plan: Plan, key: str, load: Load, tags: tuple[str, ...] = ()) -> Outcome:
        """Load and store anew, whatever is stored; a load already under way does not count and does not store.

        A result that is not to be stored removes what is; a loader that fails leaves it.

        Raises:
            BackendError: Redis could not be used, whatever the layer does about reads: the old entry is still there.
        """
        return await self.sharing.refresh(port, Call(plan, key, load, tags, force=True))

    async def find(self, port: Port, plan: Plan, key: str, tags: tuple[str, ...]) -> tuple[Outcome | None, Reason]:
        """Return what is kept if it may be returned, and why not; load nothing."""
        outcome = self.near_hit(port, plan, key) if plan.near else None
        if outcome is not None:
            return outcome, "absent"
        call = await self._looked(port, Call(plan, key, no_load, tags))
        return self.served(port, call), call.look.reason

    def near_hit(self, port: Port, plan: Plan, key: str) -> Outcome | None:
        """Return what this process keeps of an entry, with the entry, if it may be served."""
        return self.nearby.hit(port, plan, key)

    async def _looked(self, port: Port, call: Call) -> Call:
        """Let a caller look at its entry, if it is of a kind that is kept."""
        if call.plan.near:
            call.moment = self.nearby.moment(port)
        if call.plan.keeps:
            call.look = await self.reading.look(port, call.plan, call.key, call.tags)
        return call

    def quick(self, plan: Plan, key: str, raw: bytes) -> Outcome | None:
        """Return what the commonest kind of entry holds; None for any other, and for one that cannot be decoded."""
        try:
            value = plan.codec.quick(raw)
        except Unreadable:
            return None  # it will be found and told again
        if value is NOT_PLAIN:
            return None
        plan.tally.hits += 1
        if self.recorder.hooks:
            self.recorder.emit(Hit(plan.tally.pattern, key))
        return value, "hit", raw

    async def _examined(self, port: Port, call: Call, raw: bytes | None) -> Outcome:
        try:
            call.look = await self.reading.examine(port, call.plan, call.key, raw, call.tags, {})
        except BackendError as error:  # the versions of its tags could not be read
            self.reading.failed("MGET", call.plan, error)
            call.look = _UNAVAILABLE
        return await self._judged(port, call)

    async def _judged(self, port: Port, call: Call) -> Outcome:
        """Return what was found if it may be, and load otherwise."""
        try:
            outcome = self.served(port, call)
        except Exception:  # the one that the entry holds: it is served like a value
            self._refresh_if_due(port, call)
            raise
        if outcome is None:
            self.serving.count_miss(call.plan, call.key, call.look.reason)
            return await self.sharing.share(port, call)
        self._refresh_if_due(port, call)
        return outcome

    def _refresh_if_due(self, port: Port, call: Call) -> None:
        if self.is_to_be_refreshed(port, call):
            self.sharing.refresh_behind(port, call)

    def served(self, port: Port, call: Call) -> Outcome | None:
        """Return what was found if it may be, and keep it in this process if it is fresh."""
        outcome, look = self.serving.serve(port, call), call.look
        if outcome is not None and call.moment and look.verdict == "fresh" and look.raw is not None and look.frame:
            tags = tuple(stamp.tag for stamp in look.frame.stamps)
            found = Kept(look.raw, outcome[0], look.frame.fresh_until, tags)
            self.nearby.keep(port, call.plan, call.key, found, call.moment)
        return outcome

    def is_to_be_refreshed(self, port: Port, call: Call) -> bool:
        """Say whether what is being returned is stale, or about to be."""
        plan, frame = call.plan, call.look.frame
        if frame is None or not (plan.beta or call.look.verdict == "stale"):
            return False
        now = port.now()
        if not may_retry(frame, now):
            return False
        return call.look.verdict == "stale" or should_refresh_early(frame, now, plan.beta, port.random())
