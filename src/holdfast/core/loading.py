"""What a flight does: call the user's function, encode what it returns, store it, and give it to the members."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import CoroutineType
from typing import Any

from holdfast._calls import original_error
from holdfast._flight import LOADING, Flight, Landing
from holdfast._flights import Flights
from holdfast.commands import put, unlink
from holdfast.core.filling import send_fill
from holdfast.core.plan import Plan
from holdfast.core.records import Recorder
from holdfast.errors import BackendError, ConfigurationError, SerializationError
from holdfast.events import Fill, Invalidated, LoadFailed
from holdfast.port import Port

Load = Callable[[], Awaitable[Any]]


class Loading:
    """The loads of one layer."""

    def __init__(self, flights: Flights, recorder: Recorder, *, bypass: bool) -> None:
        self._flights = flights
        self._recorder = recorder
        self._bypass = bypass

    async def lead(self, port: Port, plan: Plan, flight: Flight, load: Load, *, store: bool) -> None:
        """Load, store, and give the members what came of it."""
        started = port.monotonic()
        inside = LOADING.set((*LOADING.get(), flight))
        try:
            value = checked(await load(), flight.key)
        except Exception as error:  # it belongs to the members, whatever it is
            await self._lead_failed(port, plan, flight, error, store=store)
            return
        except BaseException as error:  # it belongs to the caller that opened the flight; the others start again
            flight.interruption = error
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise  # the program is to end, even if that caller has left
            return
        finally:
            with suppress(ValueError):  # closed in another context, by the garbage collector
                LOADING.reset(inside)
        try:
            landing, copy = await self._keep(port, plan, flight, value, port.monotonic() - started, store=store)
        except Exception as error:  # a value that cannot be stored, a `condition` or `ttl` of the user that raised
            self._flights.close(flight)
            flight.fail(error)
        else:
            flight.land(landing, copy)

    async def _keep(
        self, port: Port, plan: Plan, flight: Flight, value: object, load_time: float, *, store: bool
    ) -> tuple[Landing, object]:
        """Encode a loaded value, and store it if it is to be stored."""
        ttl = plan.seconds_for(value, port.random())
        now = port.now()
        raw: bytes | None = None
        copy = value
        try:
            raw, copy = plan.codec.encode_checked(
                flight.key, value, id=fill_id(port, now), created=now, fresh_until=now + ttl, load_time=load_time
            )
        except SerializationError:
            if ttl:
                raise  # what is not to be stored need not be storable; its callers share it as it is
        stored = await self._store(port, plan, flight, raw, ttl, load_time) if store else False
        self._flights.close(flight)
        return Landing(raw, plan.codec, stored, value if raw is None else None), copy

    async def _lead_failed(self, port: Port, plan: Plan, flight: Flight, error: Exception, *, store: bool) -> None:
        """Give the loader's error to the members, and store it if it is one that is stored."""
        cause = original_error(error)
        self.note_failure(plan, flight.key, cause)
        try:
            if store and isinstance(cause, plan.errors):
                await self._keep_error(port, plan, flight, cause)
        except Exception as failure:  # of the user's `ttl`, or of Redis
            error = failure
        self._flights.close(flight)
        flight.fail(error)

    async def _keep_error(self, port: Port, plan: Plan, flight: Flight, error: BaseException) -> None:
        ttl = plan.lifetime.seconds_for(error, port.random())
        now = port.now()
        raw = plan.codec.encode_error(
            flight.key, error, plan.errors, id=fill_id(port, now), created=now, fresh_until=now + ttl, load_time=0.0
        )
        if raw is not None:
            await self._store(port, plan, flight, raw, ttl, 0.0)

    async def _store(
        self, port: Port, plan: Plan, flight: Flight, raw: bytes | None, ttl: float, load_time: float
    ) -> bool:
        """Store an entry, unless its key was changed meanwhile; say whether Redis has it now."""
        entry = raw if ttl else None
        if entry is None and not flight.replaces:
            return False
        command = unlink([flight.key]) if entry is None else put(flight.key, entry, ttl)
        try:
            stays = await send_fill(self._flights, port, flight, command)
        except BackendError as error:
            self.failed(command.name, plan, error)
            if flight.replaces:
                raise  # a refresh was asked for; what it was to replace is still there
            return False
        if not stays:
            return False
        pattern, key = plan.tally.pattern, flight.key
        if entry is None:
            self._recorder.emit(Invalidated(pattern, key))
            return False
        plan.tally.fills += 1
        if self._recorder.hooks:
            self._recorder.emit(Fill(pattern, key, len(entry), ttl, load_time))
        return True

    def note_failure(self, plan: Plan, key: str, error: BaseException) -> None:
        """Tell that the user's function raised."""
        if self._recorder.hooks:
            self._recorder.emit(LoadFailed(plan.tally.pattern, key, type(error).__name__))

    def failed(self, operation: str, plan: Plan, error: BackendError) -> None:
        """Note that Redis could not be used; raise if the layer does not go on without it."""
        self._recorder.backend_failed(plan.tally, operation, error)
        if not self._bypass:
            raise error


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


def fill_id(port: Port, now: float) -> str:
    """Return the name of one fill: random, then the time in microseconds; 32 characters."""
    return f"{port.token()}{int(now * 1_000_000):016d}"
