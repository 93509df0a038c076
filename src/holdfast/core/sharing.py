"""Taking part in loads: as the caller that opens one, as a member of one under way, or alone where that would not end.

A caller takes what a flight brings only if it is proven for callers that joined when it did. Otherwise it starts again:
it looks at Redis, and takes part in the next load.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, NoReturn

from holdfast._calls import original_error
from holdfast._current import CURRENT, CurrentEntry
from holdfast._flight import LOADING, Abandoned, CircularWait, Flight, Landing
from holdfast._flights import Flights
from holdfast.core.call import NOT_LOOKED, Call, blocked_by, place_of_work
from holdfast.core.loading import Loading, checked, stale_value
from holdfast.core.plan import Outcome
from holdfast.core.reading import Reading
from holdfast.core.records import Recorder
from holdfast.core.serving import Serving
from holdfast.errors import ConfigurationError, LoadTimeout, SerializationError
from holdfast.events import Coalesced, Refreshed
from holdfast.policy.frame import Unreadable
from holdfast.port import Port, WaitOver

_LATE = "|late"
"""Stands after the key of a flight of those that have waited too long. No key ends so."""
_ATTEMPTS = 3
"""How often a caller takes part in a load that brings it nothing before it loads for itself."""


class Sharing:
    """The callers of one layer that have to wait for a value."""

    def __init__(
        self, flights: Flights, reading: Reading, loading: Loading, serving: Serving, recorder: Recorder
    ) -> None:
        self._flights = flights
        self._reading = reading
        self._loading = loading
        self._serving = serving
        self._recorder = recorder

    async def share(self, port: Port, call: Call) -> Outcome:
        """Load a value, or take part in its load."""
        call.deadline = port.monotonic() + call.plan.wait
        for _ in range(_ATTEMPTS):
            flight, joined, opened = self.board(port, call)
            try:
                return await self._ride(port, call, flight, joined, opened=opened)
            except Abandoned:
                if port.monotonic() >= call.deadline:
                    return await self._waited(port, call)
                outcome = await self._look_again(port, call)
                if outcome is not None:
                    return outcome
            except WaitOver:
                return await self._waited(port, call)
            except (CircularWait, Unreadable):
                break
        return await self._alone(port, call)

    def board(self, port: Port, call: Call) -> tuple[Flight, int, bool]:
        """Join the flight of a key, or open one; return it, its count, and whether the caller opened it."""
        plan = call.plan
        found = self._flights.join(
            call.key, port.place(), unattended=plan.in_background, leased=call.leased and plan.keeps
        )
        if found[2]:
            found[0].deadline = call.deadline
        return found

    async def follow(self, port: Port, call: Call) -> Outcome | None:
        """Join the load of a key; None if it has ended meanwhile or brings nothing, so that Redis has to be asked."""
        found = self._flights.follow(call.key)
        if found is None:
            return None
        call.deadline = port.monotonic() + call.plan.wait
        tally = call.plan.tally
        tally.misses += 1
        try:
            return await self._ride(port, call, *found, opened=False)
        except Abandoned:
            tally.misses -= 1
            return None
        except WaitOver:
            return await self._waited(port, call)
        except (CircularWait, Unreadable):
            return await self._alone(port, call)

    async def refresh(self, port: Port, call: Call) -> Outcome:
        """Load and store anew; a load already under way does not count and does not store."""
        flight = self._flights.replace(call.key, port.place())
        try:
            value, _, raw = await self._ride(port, call, flight, 0, opened=True)
        except Abandoned:
            value, _, raw = await self._alone(port, call)
        if self._recorder.hooks:
            self._recorder.emit(Refreshed(call.plan.tally.pattern, call.key))
        return value, "refreshed", raw

    def refresh_behind(self, port: Port, call: Call) -> None:
        """Load in the background, unless somebody in this process loads already, or too many do."""
        if not port.free_hands():
            return
        flight = self._flights.open_unattended(call.key)
        if flight is None:
            return
        flight.deadline = port.monotonic() + call.plan.wait
        behind = Call(call.plan, call.key, call.load, call.tags, call.look, background=True)
        self._begin(port, behind, flight, apart=True)

    def _begin(self, port: Port, call: Call, flight: Flight, *, apart: bool) -> None:
        """Start the work of a flight: never in the caller's thread, or where the port sees fit."""
        work = self._loading.lead(port, call, flight)
        flight.alive, flight.place = port.lifeline(), place_of_work(port, apart=apart)
        flight.begun = port.monotonic()
        begin = port.spawn if apart else port.start
        flight.cancel_with(begin(work, lambda: self._ended(flight)))

    def _ended(self, flight: Flight) -> None:
        self._flights.close(flight)
        flight.ended()

    async def _ride(self, port: Port, call: Call, flight: Flight, joined: int, *, opened: bool) -> Outcome:
        """Be a member of a flight until it lands, or until patience is over."""
        begin = partial(self._begin, port, call, flight, apart=call.plan.in_background) if opened else None
        return await self.ride(port, call, flight, joined, opened=opened, begin=begin)

    async def ride(
        self,
        port: Port,
        call: Call,
        flight: Flight,
        joined: int,
        *,
        opened: bool,
        begin: Callable[[], object] | None = None,
        spent: float = 0.0,
    ) -> Outcome:
        """Be a member of a flight until it lands, or until patience is over.

        Args:
            port: of the caller.
            call: what it wants.
            flight: what it has joined.
            joined: the flight's count at that time.
            opened: whether it has opened the flight.
            begin: starts the work of the flight.
            spent: seconds of the plan's time-outs that are over already.
        """
        blocked, inside = blocked_by(port), LOADING.get()
        patience, then = _patience(port, call, opened=opened, spent=spent)
        try:
            self._flights.begin_wait(flight, blocked, inside, opened=opened)
            try:
                if begin is not None:
                    begin()
                landing = await port.wait(flight.future, patience)
            finally:
                self._flights.end_wait(flight, blocked, inside)
        except BaseException as error:
            self._flights.leave(flight)
            if opened and isinstance(error, Abandoned) and flight.interruption is not None:
                raise flight.interruption from None
            if isinstance(error, WaitOver) and then != "wait":
                return await self._too_slow(port, call, then, error)
            flight.untangle(error)
            if _is_the_loaders(error, flight):
                outcome = await self.rescue(port, call, error)
                if outcome is not None:
                    return outcome
            raise
        if joined >= landing.proof and flight.begun <= call.since:
            raise Abandoned
        return self._taken(call, flight, landing, opened=opened)

    def _taken(self, call: Call, flight: Flight, landing: Landing, *, opened: bool) -> Outcome:
        """Return a member's own copy of what its flight brought."""
        plan = call.plan
        entry = landing.raw if landing.stored else None
        status = landing.status if opened else "coalesced"
        value, mine = landing.value, landing.raw is None
        if landing.raw is not None and landing.reader is plan.codec:
            try:
                value, mine = flight.copies.pop(), True
            except IndexError:  # another member has it
                mine = False
        error = None
        if landing.raw is not None and not mine:
            frame = plan.codec.open(call.key, landing.raw)
            if frame.is_error:
                error = plan.codec.error(frame, plan.errors)
            else:
                value = plan.codec.value(frame)
        if status == "coalesced":
            plan.tally.coalesced += 1
            if self._recorder.hooks:
                self._recorder.emit(Coalesced(plan.tally.pattern, call.key))
        if error is not None:
            raise error
        return value, status, entry

    async def _look_again(self, port: Port, call: Call) -> Outcome | None:
        """Return what another caller may have loaded and stored since the load that this one shared brought nothing."""
        if not call.plan.keeps or not call.leased:
            return None
        call.look = await self._reading.look(port, call.plan, call.key, call.tags)
        outcome = self._serving.serve(port, call)
        if outcome is not None:
            call.plan.tally.misses -= 1
        return outcome

    async def _candidate(self, port: Port, call: Call) -> None:
        """See to it that the caller has looked at the entry itself: what others have read may be too old for it."""
        if call.look is NOT_LOOKED and call.plan.keeps:
            call.look = await self._reading.look(port, call.plan, call.key, call.tags)

    async def rescue(self, port: Port, call: Call, error: BaseException) -> Outcome | None:
        """Return a stale value instead of the loader's error, where that is allowed."""
        leeway = call.plan.leeway
        if not leeway.stale_if_error or isinstance(original_error(error), call.plan.errors):
            return None
        await self._candidate(port, call)
        frame = call.look.candidate
        if frame is None or not leeway.within_error_window(frame, port.now()):
            return None
        return self._serving.stale(call, "error")

    async def _too_slow(self, port: Port, call: Call, then: Literal["soft", "hard"], error: WaitOver) -> Outcome:
        """Return the stale value of a caller whose load takes longer than its patience, or raise."""
        outcome = self._serving.stale(call, "timeout") if then == "soft" else await self.rescue(port, call, error)
        if outcome is None:
            _fail_in_time(call, f"took longer than hard_timeout={call.plan.hard_timeout:g} s")
        return outcome

    async def _waited(self, port: Port, call: Call) -> Outcome:
        """Do what is to be done when another's load has taken too long.

        All who load now, and would otherwise do so at the same time, share that, too.
        """
        outcome = await self.give_up(port, call)
        if outcome is not None:
            return outcome
        late = Call(call.plan, call.key, call.load, call.tags, call.look, late=True, since=port.monotonic())
        for _ in range(_ATTEMPTS):
            flight, joined, opened = self._flights.join(f"{call.key}{_LATE}", port.place(), leased=False)
            try:
                return await self._ride(port, late, flight, joined, opened=opened)
            except Abandoned:
                continue
            except (WaitOver, CircularWait, Unreadable):
                break
        return await self._alone(port, call)

    async def give_up(self, port: Port, call: Call) -> Outcome | None:
        """Return what a caller takes when another's load has taken too long, or raise; None if it loads for itself."""
        outcome = await self._look_again(port, call)  # it may have been stored in spite of all
        if outcome is not None:
            return outcome
        policy = call.plan.on_wait_timeout
        if policy == "raise":
            _fail_in_time(call, f"is being loaded elsewhere for longer than wait={call.plan.wait:g} s")
        if policy == "stale":
            await self._candidate(port, call)
            outcome = self._serving.stale(call, "wait")
            if outcome is not None:
                return outcome
        return None

    async def _alone(self, port: Port, call: Call) -> Outcome:
        """Load for this caller only, and store nothing."""
        current = CURRENT.set(CurrentEntry(lambda: stale_value(call)))
        try:
            value = checked(await call.load(), call.key)
        except Exception as error:
            self._loading.note_failure(call, original_error(error))
            outcome = await self.rescue(port, call, error)
            if outcome is None:
                raise
            return outcome
        finally:
            CURRENT.reset(current)
        if not call.plan.keeps:
            return self._own_copy(call, value), "miss", None
        return call.plan.codec.copy_checked(call.key, value), "miss", None

    def _own_copy(self, call: Call, value: object) -> object:
        try:
            return call.plan.codec.copy_checked(call.key, value)
        except SerializationError:
            return value  # nobody shares it


def _patience(
    port: Port, call: Call, *, opened: bool, spent: float
) -> tuple[float | None, Literal["wait", "soft", "hard"]]:
    """Return for how long to wait, and what is the reason to stop then."""
    plan = call.plan
    limits: list[tuple[float, Literal["wait", "soft", "hard"]]] = []
    if not opened and not call.late:  # who is late would load for as long by itself
        limits.append((max(0.0, call.deadline - port.monotonic()), "wait"))
    if plan.soft_timeout is not None and call.look.candidate is not None:
        limits.append((max(0.0, plan.soft_timeout - spent), "soft"))
    if plan.hard_timeout is not None:
        limits.append((max(0.0, plan.hard_timeout - spent), "hard"))
    return min(limits) if limits else (None, "wait")


def _is_the_loaders(error: BaseException, flight: Flight) -> bool:
    """Say whether a flight failed because the user's function did, not holdfast."""
    mine = (Abandoned, CircularWait, WaitOver, SerializationError, ConfigurationError)
    return isinstance(error, Exception) and not isinstance(error, mine) and flight.loaded_from > 0


def _fail_in_time(call: Call, what: str) -> NoReturn:
    raise LoadTimeout(f"{call.key!r} {what}; the load goes on: try again, or allow more time")
