"""Reading through the cache: one GET for a hit; on a miss one load a process, then one SET.

The order of a read is that of every path here:

1. A load of this key under way in this process: join it. One that brings nothing does not count.
2. GET. A usable entry is returned. A read that somebody else has already sent is never shared.
3. Look at the loads again, since the read took time: join one, or open one.

What a load brings is encoded at once, and every caller, the one that loaded included, gets a copy decoded from it: a
hit returns what a miss returned, and nobody shares a mutable object.
"""

from __future__ import annotations

from typing import Literal

from holdfast._calls import drive, original_error
from holdfast._flight import LOADING, Abandoned, CircularWait, Flight, Landing
from holdfast._flights import Flights
from holdfast.codec import NOT_PLAIN
from holdfast.commands import Command
from holdfast.core.filling import blocked_by
from holdfast.core.loading import Load, Loading, checked
from holdfast.core.plan import Outcome, Plan, Status
from holdfast.core.records import Recorder
from holdfast.errors import BackendError
from holdfast.events import Coalesced, EntryUnreadable, Hit, Miss, Refreshed
from holdfast.policy.frame import Frame, Unreadable
from holdfast.port import BlockingPort, Port, WaitOver

Reason = Literal["absent", "unreadable", "unavailable"]

_ATTEMPTS = 3
"""How often a caller takes part in a shared load that is abandoned before it loads for itself."""


class Caching:
    """The cache of one layer, for both colours of callers."""

    def __init__(self, recorder: Recorder, *, bypass: bool) -> None:
        self.flights = Flights()
        self.recorder = recorder
        self._loading = Loading(self.flights, recorder, bypass=bypass)

    def fetch_now(self, port: BlockingPort, plan: Plan, key: str, load: Load) -> Outcome:
        """Do what `fetch` does, for a blocking caller.

        This is `fetch` once more, without a coroutine where there is a hit: driving five nested ones takes a sixth of a
        hit's processor time. Whatever is not a hit goes the common way.
        """
        if self.flights.has(key):
            joined = drive(self._follow(port, plan, key, load))
            if joined is not None:
                return joined
        try:
            raw = port.call_now(Command(("GET", key), (key,), True))
        except BackendError as error:
            self.failed("GET", plan, error)
            return drive(self._miss(port, plan, key, load, "unavailable"))
        if raw is None:
            return drive(self._miss(port, plan, key, load, "absent"))
        outcome = self.use(plan, key, raw)
        return drive(self._miss(port, plan, key, load, "unreadable")) if outcome is None else outcome

    async def fetch(self, port: Port, plan: Plan, key: str, load: Load) -> Outcome:
        """Return the value of an entry, loading it if there is none.

        Raises:
            BackendError: Redis could not be used, and the layer does not bypass it.
            SerializationError: the loaded value cannot be stored as it is.
        """
        if self.flights.has(key):
            joined = await self._follow(port, plan, key, load)
            if joined is not None:
                return joined
        try:
            raw = await port.call(Command(("GET", key), (key,), True))
        except BackendError as error:
            self.failed("GET", plan, error)
            return await self._miss(port, plan, key, load, "unavailable")
        if raw is None:
            return await self._miss(port, plan, key, load, "absent")
        outcome = self.use(plan, key, raw)
        return await self._miss(port, plan, key, load, "unreadable") if outcome is None else outcome

    def use(self, plan: Plan, key: str, raw: bytes) -> Outcome | None:
        """Return what an entry holds, or None if it cannot be used; raise the error that it holds."""
        codec = plan.codec
        error = None
        try:
            value = codec.quick(raw)
            if value is NOT_PLAIN:
                frame = codec.open(key, raw)
                if frame.is_error:
                    value = error = codec.error(frame, plan.errors)
                else:
                    value = codec.value(frame)
        except Unreadable as unreadable:
            plan.tally.errors += 1
            if self.recorder.hooks:
                self.recorder.emit(EntryUnreadable(plan.tally.pattern, key, unreadable.reason))
            return None
        plan.tally.hits += 1
        if self.recorder.hooks:
            self.recorder.emit(Hit(plan.tally.pattern, key))
        if error is not None:
            raise error
        return value, "hit", raw

    async def refresh(self, port: Port, plan: Plan, key: str, load: Load) -> Outcome:
        """Load and store anew, whatever is stored; a load already under way does not count and does not store.

        A result that is not to be stored removes what is; a loader that fails leaves it.

        Raises:
            BackendError: Redis could not be used, whatever the layer does about reads: the old entry is still there.
        """
        flight = self.flights.replace(key, port.place())
        try:
            outcome = await self._ride(port, plan, flight, load, opened=True, store=True)
        except Abandoned:
            outcome = await self._alone(plan, key, load)
        if self.recorder.hooks:
            self.recorder.emit(Refreshed(plan.tally.pattern, key))
        return outcome[0], "refreshed", outcome[2]

    async def _miss(self, port: Port, plan: Plan, key: str, load: Load, reason: Reason) -> Outcome:
        self.missed(plan, key, reason)
        return await self._share(port, plan, key, load, store=reason != "unavailable")

    async def _follow(self, port: Port, plan: Plan, key: str, load: Load) -> Outcome | None:
        """Join the load of a key; None if it has ended meanwhile or brings nothing, so that Redis has to be asked."""
        flight = self.flights.follow(key)
        if flight is None:
            return None
        plan.tally.misses += 1
        try:
            return await self._ride(port, plan, flight, load, opened=False, store=False)
        except Abandoned:
            plan.tally.misses -= 1
            return None
        except (WaitOver, CircularWait, Unreadable):
            return await self._alone(plan, key, load)

    async def _share(self, port: Port, plan: Plan, key: str, load: Load, *, store: bool) -> Outcome:
        """Join the load of a key or begin it; load alone where joining would not end, or not in time."""
        for _ in range(_ATTEMPTS):
            flight, opened = self.flights.join(key, port.place())
            try:
                return await self._ride(port, plan, flight, load, opened=opened, store=store)
            except Abandoned:
                outcome = await self._look_again(port, plan, key) if store else None
                if outcome is not None:
                    return outcome
            except (WaitOver, CircularWait, Unreadable):
                break
        return await self._alone(plan, key, load)

    async def _look_again(self, port: Port, plan: Plan, key: str) -> Outcome | None:
        """Return what another caller may have loaded and stored since the load that this one shared was abandoned."""
        try:
            raw = await port.call(Command(("GET", key), (key,), True))
        except BackendError:
            return None  # the next load will find out, too
        outcome = None if raw is None else self.use(plan, key, raw)
        if outcome is not None:
            plan.tally.misses -= 1
        return outcome

    async def _ride(self, port: Port, plan: Plan, flight: Flight, load: Load, *, opened: bool, store: bool) -> Outcome:
        """Be a member of a flight until it lands."""
        blocked, inside = blocked_by(port), LOADING.get()
        try:
            self.flights.begin_wait(flight, blocked, inside, opened=opened)
            try:
                if opened:
                    work = self._loading.lead(port, plan, flight, load, store=store)
                    flight.alive = port.lifeline()
                    flight.cancel_with(port.start(work, lambda: self._ended(flight)))
                landing = await port.wait(flight.future, None if opened else plan.wait)
            finally:
                self.flights.end_wait(flight, blocked, inside)
        except BaseException as error:
            self.flights.leave(flight)
            if opened and isinstance(error, Abandoned) and flight.interruption is not None:
                raise flight.interruption from None
            flight.untangle(error)
            raise
        if opened:
            return _taken(plan, flight, landing, "miss")
        outcome = _taken(plan, flight, landing, "coalesced")
        plan.tally.coalesced += 1
        if self.recorder.hooks:
            self.recorder.emit(Coalesced(plan.tally.pattern, flight.key))
        return outcome

    def _ended(self, flight: Flight) -> None:
        self.flights.close(flight)
        flight.ended()

    async def _alone(self, plan: Plan, key: str, load: Load) -> Outcome:
        """Load for this caller only, and store nothing."""
        try:
            value = checked(await load(), key)
        except Exception as error:
            self._loading.note_failure(plan, key, original_error(error))
            raise
        return plan.codec.copy_checked(key, value), "miss", None

    def missed(self, plan: Plan, key: str, reason: Reason) -> None:
        """Count and tell that there is no usable entry."""
        plan.tally.misses += 1
        if self.recorder.hooks:
            self.recorder.emit(Miss(plan.tally.pattern, key, reason))

    def failed(self, operation: str, plan: Plan, error: BackendError) -> None:
        """Note that Redis could not be used; raise if the layer does not go on without it."""
        self._loading.failed(operation, plan, error)


def _taken(plan: Plan, flight: Flight, landing: Landing, status: Status) -> Outcome:
    """Return a member's own copy of what its flight brought."""
    codec = plan.codec
    if landing.raw is None:
        return landing.value, status, None
    entry = landing.raw if landing.stored else None
    if landing.reader is codec:
        try:
            return flight.copies.pop(), status, entry
        except IndexError:  # another member has it
            pass
    return codec.value(codec.open(flight.key, landing.raw)), status, entry


def age_of(frame: Frame, now: float) -> float:
    """Return the seconds since a value was loaded; clocks that differ do not make it negative."""
    return max(0.0, now - frame.created)
