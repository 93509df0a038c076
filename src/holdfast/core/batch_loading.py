"""The work of a call with many ids: leases for all, one call of the loader for what was granted, one pipeline to store.

Rules, besides those of `_flights`.

1. One work leads all the flights that a call has opened. It is cancelled when the last member of the last one has left.
2. What was granted is loaded and stored before anybody's load is waited for: nobody waits while holding a lease.
3. The loader's error is that of every flight in its call. A value that cannot be stored is an error of its own only.
"""

from __future__ import annotations

from collections.abc import Sequence

from holdfast._calls import original_error
from holdfast._current import CurrentEntry
from holdfast._flight import Flight
from holdfast._missing import MISSING
from holdfast.core.batch import Batch, Rider
from holdfast.core.batch_asking import BatchAsking
from holdfast.core.batch_settling import BatchSettling
from holdfast.core.call import Call
from holdfast.core.leasing import NO_LEASE, Held
from holdfast.core.loading import Inside, Loading
from holdfast.core.nearby import Nearby
from holdfast.port import Port


class BatchLoading:
    """The loads of many ids of one layer."""

    def __init__(self, loading: Loading, nearby: Nearby) -> None:
        self._loading = loading
        self._leasing = loading.leasing
        self._flights = loading.leasing.flights
        self._settling = BatchSettling(loading.settling, loading.leasing, nearby)

    async def lead(self, port: Port, batch: Batch, riders: Sequence[Rider], work: Flight) -> None:
        """Do the work of flights; report through their futures.

        Args:
            port: of the caller.
            batch: what it asks for.
            riders: the flights that it has opened.
            work: stands for this work where somebody might wait for it.
        """
        work.place = port.place()
        for each in riders:
            each.flight.place = work.place
        asking = BatchAsking(self._leasing, port, batch.plan, [each for each in riders if each.call.leased])
        held = [Held(each.call, each.flight, NO_LEASE) for each in riders if not each.call.leased]
        try:
            while True:
                held += await asking.ask()
                if held:
                    await self._load(port, batch, held, work)
                held = []
                if not await asking.wait(work.deadline):
                    return
        except Exception as error:  # Redis, where the layer does not go on without it
            await self._leasing.returning.give_back(port, _left(riders))
            self._fail(riders, error)
        except BaseException as error:  # it belongs to the caller that opened the flights; the others start again
            for each in riders:
                self._flights.close(each.flight)
            await self._leasing.returning.give_back_at_last(port, _left(riders), error)
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise  # the program is to end, even if that caller has left
        finally:
            asking.hang_up()

    async def _load(self, port: Port, batch: Batch, held: Sequence[Held], work: Flight) -> None:
        """Call the loader for what may be loaded, and settle what comes of it."""
        entry = CurrentEntry(lambda: MISSING)
        granted = [one for one in held if one.lease.granted]
        stop = self._leasing.keep(port, *granted) if granted else _nothing
        started = port.monotonic()
        for one in held:
            self._flights.load(one.flight, leased=one.lease.granted)
        try:
            try:
                with Inside(work, entry, background=held[0].call.background):
                    values = await batch.run([one.call.key for one in held])
            except Exception as error:  # it belongs to the members, whatever it is
                for one in held:
                    self._loading.note_failure(one.call, original_error(error))
                await self._give_up(port, held, error, port.now())
                return
            try:
                await self._settling.keep(port, batch.plan, held, entry, values, port.monotonic() - started)
            except Exception as error:  # Redis, where the layer does not go on without it
                await self._give_up(port, held, error)
        except BaseException as error:
            for one in held:
                one.flight.interruption = error
            raise
        finally:
            stop()

    async def _give_up(self, port: Port, held: Sequence[Held], error: Exception, failed: float | None = None) -> None:
        """Give leases back, and an error to the members of all flights that have not landed."""
        left = [one for one in held if not one.flight.future.done()]
        for one in left:
            self._flights.close(one.flight)
        await self._leasing.returning.give_back(
            port, [(one.call, one.lease.token) for one in left if one.lease.token], failed
        )
        for one in left:
            one.flight.fail(error)

    def _fail(self, riders: Sequence[Rider], error: Exception) -> None:
        for each in riders:
            self._flights.close(each.flight)
            if not each.flight.future.done():
                each.flight.fail(error)


def _left(riders: Sequence[Rider]) -> list[tuple[Call, str]]:
    """Return the leases that flights may still have."""
    return [(each.call, each.flight.nonce) for each in riders if each.flight.nonce and not each.flight.future.done()]


def _nothing() -> None:
    """There is nothing to end."""
