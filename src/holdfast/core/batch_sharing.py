"""Taking part in loads with many ids: each id is a member of its own flight, whoever has opened it.

A call opens the flights of the ids that nobody in this process loads yet, and has one work lead them. Then it rides all
of them, one after the other; that costs no time, for they go on meanwhile. What brings nothing is looked at again and
tried again, as in `sharing`; what is left in the end is loaded for this call alone, in one call of the loader.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from holdfast._calls import original_error
from holdfast._current import unkept
from holdfast._flight import LOADING, Abandoned, CircularWait, Flight
from holdfast._missing import MISSING
from holdfast.core.batch import Batch, Outcomes, Rider
from holdfast.core.batch_loading import BatchLoading
from holdfast.core.caching import Caching
from holdfast.core.call import Call, blocked_by, place_of_work
from holdfast.core.many import look_at
from holdfast.core.sending import chunks
from holdfast.events import Refreshed
from holdfast.policy.frame import Unreadable
from holdfast.port import Port, WaitOver

_ATTEMPTS: Final = 3
"""How often a caller takes part in loads that bring it nothing before it loads for itself."""


class BatchSharing:
    """The callers of one layer that have to wait for the values of many ids."""

    def __init__(self, caching: Caching) -> None:
        self._caching = caching
        self._flights = caching.flights
        self._sharing = caching.sharing
        self._loading = BatchLoading(caching.loading, caching.nearby)

    async def share(self, port: Port, batch: Batch, calls: Sequence[Call]) -> Outcomes:
        """Load values, or take part in their loads."""
        deadline = port.monotonic() + batch.plan.wait
        for call in calls:
            call.deadline = deadline
        outcomes: Outcomes = {}
        alone: list[Call] = []
        for _ in range(_ATTEMPTS):
            riders = self._board(port, calls)
            calls = await self._ride(port, batch, riders, outcomes, alone)
            if not calls or port.monotonic() >= deadline:
                break
            calls = await self._look_again(port, calls, outcomes)
        if port.monotonic() >= deadline:
            calls = await self._give_up(port, calls, outcomes)
        await self._alone(port, batch, [*alone, *calls], outcomes)
        return outcomes

    async def refresh(self, port: Port, batch: Batch, calls: Sequence[Call]) -> Outcomes:
        """Load and store anew; loads already under way do not count and do not store."""
        outcomes: Outcomes = {}
        riders = [Rider(call, self._flights.replace(call.key, port.place())) for call in calls]
        left = await self._ride(port, batch, riders, outcomes, [])
        await self._alone(port, batch, left, outcomes)
        if self._caching.recorder.hooks:
            for call in calls:
                self._caching.recorder.emit(Refreshed(call.plan.tally.pattern, call.key))
        return outcomes

    def refresh_behind(self, port: Port, batch: Batch, calls: Sequence[Call]) -> None:
        """Load in the background what nobody in this process loads already, unless too many do."""
        if not port.free_hands():
            return
        riders: list[Rider] = []
        for call in calls:
            flight = self._flights.open_unattended(call.key)
            if flight is not None:
                behind = Call(call.plan, call.key, call.load, call.tags, call.look, background=True)
                riders.append(Rider(behind, flight))
        if riders:
            self._begin(port, batch, riders, Flight("", 0), apart=True)

    def _board(self, port: Port, calls: Sequence[Call]) -> list[Rider]:
        return [Rider(call, *self._sharing.board(port, call)) for call in calls]

    def _begin(self, port: Port, batch: Batch, riders: Sequence[Rider], work: Flight, *, apart: bool) -> None:
        """Start the work of flights: never in the caller's thread, or where the port sees fit."""
        work.deadline = port.monotonic() + batch.plan.wait
        flights = [each.flight for each in riders]
        self._flights.tie(flights, work)
        lifeline, work.place = port.lifeline(), place_of_work(port, apart=apart)
        for flight in flights:
            flight.alive, flight.place = lifeline, work.place

        def ended() -> None:
            for flight in flights:
                self._flights.close(flight)
                flight.ended()

        begin = port.spawn if apart else port.start
        cancel = begin(self._loading.lead(port, batch, riders, work), ended)

        def left() -> None:
            if all(flight.cancelled or flight.future.done() for flight in reversed(flights)):
                cancel()

        for flight in flights:
            flight.cancel_with(left)

    async def _ride(
        self, port: Port, batch: Batch, riders: Sequence[Rider], outcomes: Outcomes, alone: list[Call]
    ) -> list[Call]:
        """Be a member of all flights until they land; return the calls for which they brought nothing.

        Those that must not wait are added to `alone`.
        """
        again: list[Call] = []
        opened = [each for each in riders if each.opened]
        ahead = deque([*opened, *(each for each in riders if not each.opened)])  # own ones first
        started = port.monotonic()
        try:
            if opened:
                self._lead(port, batch, opened)
            while ahead:
                call, flight, joined, mine = ahead.popleft()
                spent = port.monotonic() - started if batch.plan.in_background else 0.0
                try:
                    outcomes[call.key] = await self._sharing.ride(port, call, flight, joined, opened=mine, spent=spent)
                except (Abandoned, WaitOver):
                    again.append(call)
                except (CircularWait, Unreadable):
                    alone.append(call)
        finally:
            for each in ahead:
                self._flights.leave(each.flight)
        return again

    def _lead(self, port: Port, batch: Batch, opened: Sequence[Rider]) -> None:
        """Start the work of the flights that the caller has opened; on a blocking port, do it."""
        work = Flight("", port.place())
        blocked, inside = blocked_by(port), LOADING.get()
        self._flights.begin_wait(work, blocked, inside, opened=True)
        try:
            self._begin(port, batch, opened, work, apart=batch.plan.in_background)
        finally:
            self._flights.end_wait(work, blocked, inside)

    async def _look_again(self, port: Port, calls: Sequence[Call], outcomes: Outcomes) -> list[Call]:
        """Take what others may have stored since the loads that brought nothing; return the calls that are left."""
        left = [call for call in calls if not call.leased]
        for chunk in chunks([call for call in calls if call.leased]):
            for call in await look_at(self._caching, port, chunk):
                outcome = self._caching.serving.serve(port, call)
                if outcome is None:
                    left.append(call)
                else:
                    call.plan.tally.misses -= 1
                    outcomes[call.key] = outcome
        return left

    async def _give_up(self, port: Port, calls: Sequence[Call], outcomes: Outcomes) -> list[Call]:
        """Do what is to be done when others' loads have taken too long; return the calls that load for themselves."""
        left: list[Call] = []
        for call in calls:
            outcome = await self._sharing.give_up(port, call)
            if outcome is None:
                left.append(call)
            else:
                outcomes[call.key] = outcome
        return left

    async def _alone(self, port: Port, batch: Batch, calls: Sequence[Call], outcomes: Outcomes) -> None:
        """Load for this caller only, and store nothing."""
        if not calls:
            return
        try:
            with unkept():
                values = await batch.run([call.key for call in calls])
        except Exception as error:
            for call in calls:
                self._caching.loading.note_failure(call, original_error(error))
                outcome = await self._sharing.rescue(port, call, error)
                if outcome is None:
                    raise
                outcomes[call.key] = outcome
            return
        for call in calls:
            value = values[call.key]
            if value is not MISSING:
                value = batch.plan.codec.copy_checked(call.key, value)
            outcomes[call.key] = value, "miss", None
