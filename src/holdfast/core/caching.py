"""Reading through the cache: one GET for a hit; on a miss one load a process, then one SET.

The order of a read is that of every path here:

1. A load of this key under way in this process: join it.
2. GET. A usable entry is returned. A read that somebody else has already sent is never shared.
3. Look at the loads again, since the read took time: join one, or open one.

What a load brings is encoded at once, and every caller, the one that loaded included, gets a copy decoded from it: a
hit returns what a miss returned, and nobody shares a mutable object.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

from holdfast._calls import drive, original_error
from holdfast._flights import LOADING, Abandoned, CircularWait, Flight, Flights, Landing
from holdfast.codec import NOT_PLAIN
from holdfast.commands import Command, Reply, put
from holdfast.core.plan import Outcome, Plan, Status
from holdfast.core.records import Recorder
from holdfast.errors import BackendError
from holdfast.events import BackendFailed, Coalesced, EntryUnreadable, Fill, Hit, LoadFailed, Miss, Refreshed
from holdfast.policy.frame import Frame, Unreadable
from holdfast.port import BlockingPort, Port, WaitOver

Load = Callable[[], Awaitable[Any]]
Reason = Literal["absent", "unreadable", "unavailable"]

_ATTEMPTS = 3
"""How often a caller takes part in a shared load that is abandoned before it loads for itself."""


class Caching:
    """The cache of one layer, for both colours of callers."""

    def __init__(self, recorder: Recorder, *, bypass: bool) -> None:
        self.flights = Flights()
        self.recorder = recorder
        self._bypass = bypass

    def fetch_now(self, port: BlockingPort, plan: Plan, key: str, load: Load) -> Outcome:
        """Do what `fetch` does, for a blocking caller.

        This is `fetch` once more, without a coroutine where there is a hit: driving five nested ones takes a sixth of a
        hit's processor time. Whatever is not a hit goes the common way.
        """
        if self.flights.has(key):
            return drive(self._share(port, plan, key, load, store=True))
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
            return await self._share(port, plan, key, load, store=True)
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
        """Load and store anew, whatever is stored; a load already under way does not count and does not store."""
        flight = self.flights.replace(key, port.place())
        try:
            outcome = await self._ride(port, plan, flight, load, opened=True, store=True)
        except Abandoned:
            outcome = await self._alone(plan, key, load)
        if self.recorder.hooks:
            self.recorder.emit(Refreshed(plan.tally.pattern, key))
        return outcome[0], "refreshed", outcome[2]

    async def _miss(self, port: Port, plan: Plan, key: str, load: Load, reason: Reason) -> Outcome:
        if self.recorder.hooks:
            self.recorder.emit(Miss(plan.tally.pattern, key, reason))
        return await self._share(port, plan, key, load, store=reason != "unavailable")

    async def _share(self, port: Port, plan: Plan, key: str, load: Load, *, store: bool) -> Outcome:
        """Join the load of a key or begin it; load alone where joining would not end, or not in time."""
        plan.tally.misses += 1
        for _ in range(_ATTEMPTS):
            flight, opened = self.flights.join(key, port.place())
            try:
                return await self._ride(port, plan, flight, load, opened=opened, store=store)
            except Abandoned:
                continue
            except (WaitOver, CircularWait, Unreadable):
                break
        return await self._alone(plan, key, load)

    async def _ride(self, port: Port, plan: Plan, flight: Flight, load: Load, *, opened: bool, store: bool) -> Outcome:
        """Be a member of a flight until it lands."""
        waiter = None
        try:
            waiter = self.flights.await_inside(flight)
            if opened:
                work = self._lead(port, plan, flight, load, store=store)
                flight.cancel_with(port.start(work, lambda: self._ended(flight)))
            elif not (flight.future.done() or port.may_wait_for(flight.place)):
                raise CircularWait(flight.key)
            landing = await port.wait(flight.future, None if opened else plan.wait)
        except BaseException:
            self.flights.leave(flight)
            raise
        finally:
            self.flights.await_over(waiter, flight)
        if opened:
            return _taken(plan, flight, landing, "miss")
        plan.tally.coalesced += 1
        if self.recorder.hooks:
            self.recorder.emit(Coalesced(plan.tally.pattern, flight.key))
        return _taken(plan, flight, landing, "coalesced")

    def _ended(self, flight: Flight) -> None:
        self.flights.close(flight)
        flight.ended()

    async def _alone(self, plan: Plan, key: str, load: Load) -> Outcome:
        """Load for this caller only, and store nothing."""
        return plan.codec.copy_checked(key, await load()), "miss", None

    async def _lead(self, port: Port, plan: Plan, flight: Flight, load: Load, *, store: bool) -> None:
        """Load, store, and give the members what came of it."""
        started = port.monotonic()
        inside = LOADING.set((*LOADING.get(), flight))
        try:
            value = await load()
        except Exception as error:  # it belongs to the members, whatever it is
            await self._lead_failed(port, plan, flight, error, store=store)
            return
        finally:
            LOADING.reset(inside)
        try:
            landing, copy = await self._keep(port, plan, flight, value, port.monotonic() - started, store=store)
        except Exception as error:  # a value that cannot be stored, a `condition` or `ttl` of the user that raised
            self.flights.close(flight)
            flight.fail(error)
        else:
            flight.land(landing, copy)

    async def _keep(
        self, port: Port, plan: Plan, flight: Flight, value: object, load_time: float, *, store: bool
    ) -> tuple[Landing, object]:
        """Encode a loaded value, and store it if it is to be stored."""
        ttl = plan.seconds_for(value, port.random())
        now = port.now()
        raw, copy = plan.codec.encode_checked(
            flight.key, value, id=fill_id(port, now), created=now, fresh_until=now + ttl, load_time=load_time
        )
        self.flights.close(flight)
        if store and ttl:
            await self._fill(port, plan, flight, raw, ttl, load_time)
        return Landing(raw, plan.codec), copy

    async def _lead_failed(self, port: Port, plan: Plan, flight: Flight, error: Exception, *, store: bool) -> None:
        """Give the loader's error to the members, and store it if it is one that is stored."""
        self.flights.close(flight)
        cause = original_error(error)
        if self.recorder.hooks:
            self.recorder.emit(LoadFailed(plan.tally.pattern, flight.key, type(cause).__name__))
        try:
            if store and isinstance(cause, plan.errors):
                await self._keep_error(port, plan, flight, cause)
        except Exception as failure:  # of the user's `ttl` or `condition`, or of Redis
            flight.fail(failure)
        else:
            flight.fail(error)

    async def _keep_error(self, port: Port, plan: Plan, flight: Flight, error: BaseException) -> None:
        ttl = plan.lifetime.seconds_for(error, port.random())
        now = port.now()
        raw = plan.codec.encode_error(
            flight.key, error, plan.errors, id=fill_id(port, now), created=now, fresh_until=now + ttl, load_time=0.0
        )
        if raw is not None and ttl:
            await self._fill(port, plan, flight, raw, ttl, 0.0)

    async def _fill(self, port: Port, plan: Plan, flight: Flight, raw: bytes, ttl: float, load_time: float) -> None:
        if flight.revoked:
            return
        try:
            await port.call(put(flight.key, raw, ttl))
        except BackendError as error:
            self.failed("SET", plan, error)
            return
        plan.tally.fills += 1
        if self.recorder.hooks:
            self.recorder.emit(Fill(plan.tally.pattern, flight.key, len(raw), ttl, load_time))

    async def ask(self, port: Port, plan: Plan, command: Command) -> Reply:
        """Read from Redis; None where it could not be asked and the layer goes on without it."""
        try:
            return await port.call(command)
        except BackendError as error:
            self.failed(command.name, plan, error)
            return None

    def failed(self, operation: str, plan: Plan, error: BackendError) -> None:
        """Note that Redis could not be used; raise if the layer does not go on without it."""
        self.note_failure(operation, plan, error)
        if not self._bypass:
            raise error

    def note_failure(self, operation: str, plan: Plan, error: BackendError) -> None:
        """Note that Redis could not be used."""
        plan.tally.errors += 1
        if self.recorder.hooks:
            self.recorder.emit(BackendFailed(operation, f"{type(error).__name__}: {error}"))


def _taken(plan: Plan, flight: Flight, landing: Landing, status: Status) -> Outcome:
    """Return a member's own copy of what its flight brought."""
    codec = plan.codec
    if landing.reader is codec:
        try:
            return flight.copies.pop(), status, landing.raw
        except IndexError:  # another member has it
            pass
    return codec.value(codec.open(flight.key, landing.raw)), status, landing.raw


def fill_id(port: Port, now: float) -> str:
    """Return the name of one fill: random, then the time in microseconds; 32 characters."""
    return f"{port.token()}{int(now * 1_000_000):016d}"


def age_of(frame: Frame, now: float) -> float:
    """Return the seconds since a value was loaded; clocks that differ do not make it negative."""
    return max(0.0, now - frame.created)
