"""Functions that are called once for each key: what `@idempotent` makes of them.

The function has run by the time that its result is to be stored. So nothing that goes wrong then is raised: the caller
gets the result, and later calls with its key hear that it was done.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, TypedDict, TypeVar, Unpack

from holdfast._calls import drive, is_async
from holdfast._durations import seconds
from holdfast.call_names import compile_call
from holdfast.codec import Codec
from holdfast.core.idempotency import Done, Errand, Found, Running
from holdfast.core.idempotency_renewing import Run
from holdfast.engine import Engine
from holdfast.errors import (
    AlreadyRunning,
    BackendError,
    ConfigurationError,
    IdempotencyError,
    KeyReused,
    SerializationError,
)
from holdfast.key_binding import describe
from holdfast.keybuilders import CompiledKey
from holdfast.options import KeyOption, check_names, refuse_unknown
from holdfast.policy.frame import Unreadable
from holdfast.policy.idempotency import digest_of
from holdfast.port import Port
from holdfast.serializers import return_kind
from holdfast.typing import Duration
from holdfast.wrapped import BoundFunction, DecoratedFunction, raw_function

F = TypeVar("F", bound=Callable[..., Any])
OnIdempotencyFailure: TypeAlias = Literal["raise", "run"]
"""What to do while Redis cannot be asked: raise, or call the function though it may have been called before."""

_log = logging.getLogger("holdfast")


@dataclass(frozen=True, slots=True)
class IdempotentRun:
    """What is being done once."""

    key: str
    """The key that it was asked for with."""
    fencing_token: int | None
    """Greater than that of each earlier run for the same key, as long as the clock of Redis is not set back; None if
    Redis could not be asked, or the layer is disabled."""


_current: ContextVar[tuple[tuple[IdempotentRun, Run | None], ...]] = ContextVar("holdfast_idempotent", default=())
"""What runs around the current code, outermost first; without a run if Redis was not asked."""


class IdempotentOptions(TypedDict, total=False):
    """The options of `idempotent`, which explains each."""

    ttl: Duration
    lease: Duration
    wait: Duration | None
    fingerprint: KeyOption
    serializer: str | None
    on_failure: OnIdempotencyFailure


def current_idempotency() -> IdempotentRun:
    """Return what the decorated function that runs around the caller does once.

    Raises:
        IdempotencyError: none does.

    Example:
        >>> from holdfast import Layer, current_idempotency, idempotent
        >>> @idempotent("order:{order_id}", layer=Layer("memory://current-idempotency-example"))
        ... def pay(order_id: int) -> str:
        ...     return current_idempotency().key
        >>> pay(7)
        'order:7'
    """
    running = _current.get()
    if not running:
        raise IdempotencyError("no function under @idempotent runs here")
    return running[-1][0]


class IdempotentRecipe:
    """How one function is called once for each key, on whichever layer it finds when it is called."""

    def __init__(
        self,
        function: Callable[..., Any],
        key: KeyOption,
        find_engine: Callable[[], Engine],
        options: IdempotentOptions,
    ) -> None:
        self.function = raw_function(function, "make idempotent", "@idempotent('order:{order_id}')", _INSTEAD)
        self.is_async = is_async(function)
        self._find_engine = find_engine
        given: Any = function
        self._binds = inspect.isfunction(given) or isinstance(given, classmethod)
        if key is None or key == "":
            msg = f"{describe(self.function)} needs the key of its calls: write @idempotent('order:{{order_id}}')"
            raise ConfigurationError(msg)
        self._key = compile_call(self.function, key, "results")
        self._fingerprint = _compiled_fingerprint(self.function, options.get("fingerprint"))
        self._name = getattr(self.function, "__name__", "") or describe(self.function)
        self._terms = _checked(options)
        self._codec: tuple[Engine, Codec] | None = None

    def call(self, wrapped: Callable[..., Any], instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Answer a call of a plain function."""
        engine = self._find_engine()
        call = self._open(engine, engine.blocking, instance, args, kwargs)
        if not engine.off.get():
            drive(call.begin())
        if call.is_done:
            return call.result
        before = call.enter()
        try:
            result = wrapped(*args, **kwargs)
        except Exception:
            drive(call.fail())
            raise
        except BaseException:
            call.fail_at_last()
            raise
        finally:
            _current.reset(before)
        return drive(call.keep(result))

    async def acall(
        self, wrapped: Callable[..., Any], instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Answer a call of an async function."""
        engine = self._find_engine()
        call = self._open(engine, engine.asyncio, instance, args, kwargs)
        if not engine.off.get():
            await call.begin()
        if call.is_done:
            return call.result
        before = call.enter()
        try:
            result = await wrapped(*args, **kwargs)
        except Exception:
            await call.fail()
            raise
        except BaseException:
            call.fail_at_last()
            raise
        finally:
            _current.reset(before)
        return await call.keep(result)

    def _open(
        self, engine: Engine, port: Port, instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> _Call:
        given = args if instance is None or not (self._binds or self._key.takes_instance) else (instance, *args)
        name = self._key.name_of(*given, **kwargs)  # the function's own TypeError comes before anything else
        asked = "" if self._fingerprint is None else self._fingerprint.name_of(*given, **kwargs)
        errand = Errand(
            engine.caching.names.once(name),
            digest_of(self._name, asked),
            self._terms.lease,
            self._terms.wait,
            engine.recorder.tally(self._key.pattern),
        )
        return _Call(engine, port, self._codec_of(engine), errand, name, self._terms)

    def _codec_of(self, engine: Engine) -> Codec:
        """Return what turns results into entries; not made when decorating, since a class may be defined later."""
        known = self._codec
        if known is None or known[0] is not engine:
            codec = engine.codec(self._terms.serializer, None, return_kind(self.function))
            known = self._codec = engine, codec
        return known[1]


@dataclass(frozen=True, slots=True)
class _Terms:
    """What a user said of one function, checked."""

    ttl: float
    lease: float
    wait: float
    serializer: str | None
    runs_without: bool
    """Whether the function is called while Redis cannot be asked."""


class _Call:
    """One call, from its key to its result."""

    def __init__(self, engine: Engine, port: Port, codec: Codec, errand: Errand, name: str, terms: _Terms) -> None:
        self._engine = engine
        self._port = port
        self._codec = codec
        self._errand = errand
        self._name = name
        self._terms = terms
        self._run: Run | None = None
        self._began = port.now()
        self.is_done = False
        """Whether it was done before, with this `result`."""
        self.result: Any = None

    async def begin(self) -> None:
        """See whether it is to be done.

        Raises:
            AlreadyRunning: an earlier call still runs.
            KeyReused: the key stands for something else.
            IdempotencyError: it was done, and its result was not kept.
            BackendError: Redis could not be asked, and the function is not to be called then.
        """
        # A task that was started meanwhile has the context still when the run is over.
        if any(run is not None and run.key == self._errand.key and not run.is_over for _, run in _current.get()):
            raise AlreadyRunning(f"the call for the key {self._name!r} calls itself, and would wait for its own end")
        try:
            found = await self._engine.idempotency.begin(self._port, self._errand)
        except BackendError:
            if not self._terms.runs_without:
                raise
            return
        if isinstance(found, Run):
            self._run = found
        else:
            self.result, self.is_done = self._earlier(found), True

    def _earlier(self, found: Found) -> Any:
        """Return the result of an earlier call, or raise what is to be said of it."""
        if isinstance(found, Running):
            msg = f"an earlier call for the key {self._name!r} is still running: try again later, or wait longer"
            raise AlreadyRunning(msg)
        if not isinstance(found, Done):
            msg = f"the key {self._name!r} stands for another function or fingerprint: take a new key for a new thing"
            raise KeyReused(msg)
        if found.result:
            try:
                return self._codec.value(self._codec.open(self._errand.key, found.result))
            except Unreadable as error:
                reason = f"cannot be read ({error})"
        else:
            reason = "could not be stored"
        msg = f"the call for the key {self._name!r} was done, and is not done again, but its result {reason}"
        raise IdempotencyError(msg)

    def enter(self) -> Any:
        """Note that it runs around what is called now; return what ends that."""
        run = IdempotentRun(self._name, None if self._run is None else self._run.fence)
        return _current.set((*_current.get(), (run, self._run)))

    async def keep(self, result: Any) -> Any:
        """Store what the function returned; return the copy that later calls get, or itself if none can be made."""
        if self._run is None:
            return result
        engine, key, raw = self._engine, self._errand.key, b""
        now = self._port.now()
        try:
            raw, result = self._codec.encode_checked(
                key,
                result,
                id="",
                created=now,
                fresh_until=now + self._terms.ttl,
                load_time=max(0.0, now - self._began),
            )
        except SerializationError as error:
            _log.warning("a function under @idempotent returned what cannot be kept: %s", error)
            engine.idempotency.unkept(self._run, "unstorable")
        except BaseException:  # the user's code, interrupted: it was done all the same
            engine.idempotency.finish_at_last(self._port, self._run, b"", self._terms.ttl)
            raise
        await engine.idempotency.finish(self._port, self._run, raw, self._terms.ttl)
        return result

    async def fail(self) -> None:
        """Let the next call run: this one came to nothing."""
        if self._run is not None:
            await self._engine.idempotency.free(self._port, self._run)

    def fail_at_last(self) -> None:
        """Do what `fail` does for a caller who was cancelled or interrupted."""
        if self._run is not None:
            self._engine.idempotency.free_at_last(self._port, self._run)


class BoundIdempotentFunction(BoundFunction):
    """A function that is called once, as it comes from an instance or a class."""


class IdempotentFunction(DecoratedFunction):
    """A function that is called once for each key."""

    __bound_function_wrapper__ = BoundIdempotentFunction


def run_once(
    find_engine: Callable[[], Engine], key: KeyOption, **options: Unpack[IdempotentOptions]
) -> Callable[[F], F]:
    """Return the decorator that calls a function once for each key, in the engine found at each call."""
    refuse_unknown("idempotent", options, IdempotentOptions.__optional_keys__)

    def wrap(*given: Any, **more: Any) -> Any:
        if len(given) != 1 or more:
            msg = "@idempotent decorates one function, and needs its key first: write @idempotent('order:{order_id}')"
            raise ConfigurationError(msg)
        return IdempotentFunction(given[0], IdempotentRecipe(given[0], key, find_engine, options))

    return wrap


_INSTEAD: Final = "what it yields cannot be stored; return a list instead"


def _compiled_fingerprint(function: Callable[..., Any], fingerprint: KeyOption) -> CompiledKey | None:
    if fingerprint is None:
        return None
    if not isinstance(fingerprint, str) and (not callable(fingerprint) or is_async(fingerprint)):
        msg = f"fingerprint= of {describe(function)} must be a template or a plain function that returns text"
        raise ConfigurationError(msg)
    return compile_call(function, fingerprint, "results")


def _checked(options: IdempotentOptions) -> _Terms:
    failure: Any = options.get("on_failure", "raise")
    if failure not in ("raise", "run"):  # in a set, what has no hash would raise an error of its own
        msg = f"on_failure={failure!r} must be 'raise' (BackendError) or 'run' (without knowing whether it was done)"
        raise ConfigurationError(msg)
    serializer = options.get("serializer")
    check_names(optional=True, serializer=serializer)
    lease, wait = seconds(options.get("lease", "30s"), "lease"), options.get("wait")
    return _Terms(
        seconds(options.get("ttl", "24h"), "ttl"),
        lease,
        lease if wait is None else seconds(wait, "wait", zero=True),
        serializer,
        failure == "run",
    )
