"""Functions that run one at a time: what `@locked` makes of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, TypeVar, Unpack

from holdfast._calls import is_async
from holdfast.call_names import compile_call, value_of
from holdfast.engine import Engine
from holdfast.errors import ConfigurationError, LockNotAcquired, LockNotReplicated
from holdfast.key_binding import describe
from holdfast.lock_terms import LockOptions, checked_terms
from holdfast.locks import Lock, claim_of
from holdfast.options import KeyOption, refuse_unknown
from holdfast.wrapped import BoundFunction, DecoratedFunction, raw_function

F = TypeVar("F", bound=Callable[..., Any])
OnBusy: TypeAlias = Literal["raise", "skip"] | Callable[..., Any]
"""What to do instead of a call whose lock is held by others: raise, return None, or call this with its arguments."""


class LockedOptions(LockOptions, total=False):
    """The options of `locked`, which explains each."""

    on_busy: OnBusy


class LockRecipe:
    """How the calls of one function are locked, on whichever layer it finds when it is called."""

    def __init__(
        self, function: Callable[..., Any], key: KeyOption, find_engine: Callable[[], Engine], options: LockedOptions
    ) -> None:
        self.function = raw_function(
            function, "lock", "@locked('name')", "write `with layer.lock(...)` inside, around what needs the lock"
        )
        self.is_async = is_async(function)
        self._find_engine = find_engine
        given: Any = function
        self._binds = inspect.isfunction(given) or isinstance(given, classmethod)
        self._key = compile_call(self.function, _checked_key(key, self.function), "lock")
        self._on_busy = _checked_on_busy(options.get("on_busy", "raise"), self.function, plain=not self.is_async)
        terms: Any = {name: value for name, value in options.items() if name != "on_busy"}
        self._terms = checked_terms(terms)
        if self._terms.cancel_on_loss and not self.is_async:
            msg = (
                f"cancel_on_loss=True of {describe(self.function)}: a plain function cannot be cancelled; "
                "call current_lock().check() inside, where it may stop"
            )
            raise ConfigurationError(msg)

    def call(self, wrapped: Callable[..., Any], instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Answer a call of a plain function."""
        given = args if instance is None else self._arguments(instance, args)
        lock = self._lock(given, kwargs)
        try:
            lock.__enter__()
        except LockNotAcquired as error:
            if self._on_busy == "raise" or isinstance(error, LockNotReplicated):
                raise
            return self._instead(given, kwargs)
        try:
            result = wrapped(*args, **kwargs)
        except BaseException as error:
            lock.__exit__(type(error), error, error.__traceback__)
            raise
        lock.__exit__(None, None, None)
        return result

    async def acall(
        self, wrapped: Callable[..., Any], instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Answer a call of an async function."""
        given = args if instance is None else self._arguments(instance, args)
        lock = self._lock(given, kwargs)
        try:
            await lock.__aenter__()
        except LockNotAcquired as error:
            if self._on_busy == "raise" or isinstance(error, LockNotReplicated):
                raise
            return await value_of(self._instead(given, kwargs))
        try:
            result = await wrapped(*args, **kwargs)
        except BaseException as error:
            await lock.__aexit__(type(error), error, error.__traceback__)
            raise
        await lock.__aexit__(None, None, None)
        return result

    def _lock(self, given: tuple[Any, ...], kwargs: dict[str, Any]) -> Lock:
        engine = self._find_engine()
        name = self._key.name_of(*given, **kwargs)  # the function's own TypeError comes before anything is locked
        return Lock(engine, claim_of(engine, name, self._terms, pattern=self._key.pattern), self._terms)

    def _arguments(self, instance: object, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (instance, *args) if self._binds or self._key.takes_instance else args

    def _instead(self, given: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._on_busy(*given, **kwargs) if callable(self._on_busy) else None


class BoundLockedFunction(BoundFunction):
    """A locked function as it comes from an instance or a class."""


class LockedFunction(DecoratedFunction):
    """A function whose calls are locked."""

    __bound_function_wrapper__ = BoundLockedFunction


def lock_calls(find_engine: Callable[[], Engine], key: KeyOption, **options: Unpack[LockedOptions]) -> Callable[[F], F]:
    """Return the decorator that locks a function's calls, in the engine found at each call."""
    refuse_unknown("locked", options, LockedOptions.__optional_keys__)

    def wrap(*given: Any, **more: Any) -> Any:
        if len(given) != 1 or more:
            msg = "@locked decorates one function, and needs the name of the lock first: write @locked('import')"
            raise ConfigurationError(msg)
        return LockedFunction(given[0], LockRecipe(given[0], key, find_engine, options))

    return wrap


def _checked_key(key: KeyOption, function: Callable[..., Any]) -> KeyOption:
    if key is None or key == "":
        msg = f"{describe(function)} needs the name of its lock: write @locked('import') or @locked('invoice:{{id}}')"
        raise ConfigurationError(msg)
    return key


def _check_stand_in(on_busy: Callable[..., Any], function: Callable[..., Any]) -> None:
    """Refuse a function that cannot be called with the arguments of another, as far as signatures tell."""
    try:
        wanted, offered = inspect.signature(on_busy), inspect.signature(function)
    except (TypeError, ValueError):  # there is no signature to look at
        return
    kinds = inspect.Parameter
    plain = [
        each
        for each in offered.parameters.values()
        if each.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)
    ]
    named = {each.name: None for each in offered.parameters.values() if each.kind is kinds.KEYWORD_ONLY}
    try:
        wanted.bind(*plain, **named)
    except TypeError as error:
        msg = f"on_busy= of {describe(function)} is called with its arguments, {offered}, and takes {wanted}: {error}"
        raise ConfigurationError(msg) from None


def _checked_on_busy(on_busy: Any, function: Callable[..., Any], *, plain: bool) -> Any:
    if callable(on_busy):
        if plain and is_async(on_busy):
            msg = f"on_busy= of {describe(function)} is async, and the function is not: nobody would await it"
            raise ConfigurationError(msg)
        _check_stand_in(on_busy, function)
        return on_busy
    if on_busy not in ("raise", "skip"):
        msg = f"on_busy={on_busy!r} must be 'raise', 'skip' (return None), or a function to call instead"
        raise ConfigurationError(msg)
    return on_busy
