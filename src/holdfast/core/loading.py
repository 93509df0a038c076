"""What a flight does: get the lease, call the user's function, and settle what came of it."""

from __future__ import annotations

from contextlib import suppress
from types import CoroutineType
from typing import Any

from holdfast._calls import original_error
from holdfast._current import CURRENT, CurrentEntry
from holdfast._flight import LOADING, Flight
from holdfast._missing import MISSING
from holdfast.core.call import Call
from holdfast.core.leasing import NO_LEASE, Held, Lease, Leasing
from holdfast.core.nearby import Nearby
from holdfast.core.records import Recorder
from holdfast.core.settling import Settling
from holdfast.errors import ConfigurationError
from holdfast.events import LoadFailed
from holdfast.policy.frame import Unreadable
from holdfast.port import Port


class Loading:
    """The loads of one layer."""

    def __init__(self, leasing: Leasing, nearby: Nearby, recorder: Recorder) -> None:
        self.leasing = leasing
        self._flights = leasing.flights
        self.settling = Settling(leasing, nearby, recorder)
        self._recorder = recorder

    async def lead(self, port: Port, call: Call, flight: Flight) -> None:
        """Do the work of a flight; report through its future."""
        flight.place = port.place()
        lease: Lease | None = NO_LEASE
        if call.leased:
            try:
                lease = await self.leasing.obtain(port, call, flight)
            except Exception as error:  # Redis, where the layer does not go on without it
                self._flights.close(flight)
                flight.fail(error)
                return
        if lease is None:
            return
        stop = self.leasing.keep(port, Held(call, flight, lease)) if lease.granted else _nothing
        try:
            await self._load(port, call, flight, lease)
        finally:
            stop()

    async def _load(self, port: Port, call: Call, flight: Flight, lease: Lease) -> None:
        entry = CurrentEntry(lambda: stale_value(call))
        started = port.monotonic()
        self._flights.load(flight, leased=lease.granted)
        try:
            with Inside(flight, entry, background=call.background):
                value = checked(await call.load(), flight.key)
        except Exception as error:  # it belongs to the members, whatever it is
            await self._failed(port, call, flight, lease, entry, error)
            return
        except BaseException as error:  # it belongs to the caller that opened the flight; the others start again
            flight.interruption = error
            self._flights.close(flight)
            if lease.token:
                await self.leasing.returning.give_back_at_last(port, [(call, lease.token)], error)
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise  # the program is to end, even if that caller has left
            return
        try:
            await self.settling.keep(port, call, flight, lease, entry, value, port.monotonic() - started)
        except Exception as error:  # a value that cannot be stored, a `condition` or `ttl` of the user that raised
            await self._give_up(port, call, flight, lease, error)
        except BaseException as error:
            if lease.token:
                await self.leasing.returning.give_back_at_last(port, [(call, lease.token)], error)
            raise

    async def _failed(
        self, port: Port, call: Call, flight: Flight, lease: Lease, entry: CurrentEntry, error: Exception
    ) -> None:
        """Give the loader's error to the members, and store it if it is one that is stored."""
        cause = original_error(error)
        self.note_failure(call, cause)
        try:
            if isinstance(cause, call.plan.errors) and lease.granted:
                kept = await self.settling.keep_error(port, call, flight, lease, entry, cause)
                lease = NO_LEASE if kept else lease
        except Exception as failure:  # of the user's `ttl`, or of Redis
            error = failure
        await self._give_up(port, call, flight, lease, error, failed=True)

    async def _give_up(
        self, port: Port, call: Call, flight: Flight, lease: Lease, error: Exception, *, failed: bool = False
    ) -> None:
        """Give the lease back, and an error to the members."""
        self._flights.close(flight)
        if lease.token:
            await self.leasing.returning.give_back(port, [(call, lease.token)], port.now() if failed else None)
        if not flight.future.done():
            flight.fail(error)

    def note_failure(self, call: Call, error: BaseException) -> None:
        """Tell that the user's function raised."""
        if self._recorder.hooks:
            self._recorder.emit(LoadFailed(call.plan.tally.pattern, call.key, type(error).__name__))


class Inside:
    """Marks the code around which a flight's loader runs, and the entry that it loads."""

    __slots__ = ("_background", "_entry", "_flight", "_tokens")

    def __init__(self, flight: Flight, entry: CurrentEntry, *, background: bool) -> None:
        self._flight = flight
        self._entry = entry
        self._background = background

    def __enter__(self) -> None:
        around = () if self._background else LOADING.get()
        self._tokens = LOADING.set((*around, self._flight)), CURRENT.set(self._entry)

    def __exit__(self, *_: object) -> None:
        inside, current = self._tokens
        with suppress(ValueError):  # closed in another context, by the garbage collector
            CURRENT.reset(current)
            LOADING.reset(inside)


def checked(value: object, key: str) -> object:
    """Return what a function gave, unless it is a coroutine, which only its caller's event loop could run.

    Raises:
        ConfigurationError: it is one.
    """
    if isinstance(value, CoroutineType):
        value.close()
        msg = f"the function for {key!r} returned a coroutine: define it with async def, or await the verb's async twin"
        raise ConfigurationError(msg)
    return value


def stale_value(call: Call) -> Any:
    """Return the value that a load is to replace, or MISSING if there is none that may still be seen."""
    frame = call.look.candidate
    if frame is None or frame.is_error:
        return MISSING
    try:
        return call.plan.codec.value(frame)
    except Unreadable:
        return MISSING


def _nothing() -> None:
    """There is nothing to end."""
