"""Functions that are called once for each key: what `@idempotent` makes of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias, TypedDict, TypeVar, Unpack

from holdfast._calls import drive, is_async
from holdfast._durations import seconds
from holdfast.call_names import compile_call
from holdfast.codec import Codec
from holdfast.core.idempotency import Errand
from holdfast.engine import Engine
from holdfast.errors import ConfigurationError
from holdfast.idempotent_calls import IdempotentCall, Terms
from holdfast.key_binding import describe
from holdfast.keybuilders import CompiledKey
from holdfast.options import KeyOption, check_names, refuse_unknown
from holdfast.policy.idempotency import digest_of
from holdfast.port import Port
from holdfast.serializers import return_kind
from holdfast.typing import Duration
from holdfast.wrapped import BoundFunction, DecoratedFunction, raw_function

F = TypeVar("F", bound=Callable[..., Any])
OnIdempotencyFailure: TypeAlias = Literal["raise", "run"]
"""What to do while Redis cannot be asked: raise, or call the function though it may have been called before."""


class IdempotentOptions(TypedDict, total=False):
    """The options of `idempotent`, which explains each."""

    ttl: Duration
    lease: Duration
    wait: Duration | None
    fingerprint: KeyOption
    serializer: str | None
    on_failure: OnIdempotencyFailure


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
        whole = getattr(self.function, "__qualname__", "") or describe(self.function)
        self._name = whole.rpartition("<locals>.")[2]  # with its class: methods of one name are not one function
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
            call.leave(before)
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
            call.leave(before)
        return await call.keep(result)

    def _open(
        self, engine: Engine, port: Port, instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> IdempotentCall:
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
        return IdempotentCall(engine, port, self._codec_of(engine), errand, name, self._terms)

    def _codec_of(self, engine: Engine) -> Codec:
        """Return what turns results into entries; not made when decorating, since a class may be defined later."""
        known = self._codec
        if known is None or known[0] is not engine:
            codec = engine.codec(self._terms.serializer, None, return_kind(self.function))
            known = self._codec = engine, codec
        return known[1]


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


def _checked(options: IdempotentOptions) -> Terms:
    failure: Any = options.get("on_failure", "raise")
    if failure not in ("raise", "run"):  # in a set, what has no hash would raise an error of its own
        msg = f"on_failure={failure!r} must be 'raise' (BackendError) or 'run' (without knowing whether it was done)"
        raise ConfigurationError(msg)
    serializer = options.get("serializer")
    check_names(optional=True, serializer=serializer)
    lease, wait = seconds(options.get("lease", "30s"), "lease"), options.get("wait")
    return Terms(
        seconds(options.get("ttl", "24h"), "ttl"),
        lease,
        lease if wait is None else seconds(wait, "wait", zero=True),
        serializer,
        failure == "run",
    )
