"""Functions that are called only so often: what `@rate_limited` makes of them.

All that is done once a function is done when decorating; a call adds one key and one hit to it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypedDict, TypeVar, Unpack

from holdfast._calls import is_async
from holdfast._durations import seconds
from holdfast.call_names import compile_call, value_of
from holdfast.core.limit_checks import Buckets, Check, OnLimitFailure, Rule, buckets_of
from holdfast.engine import Engine
from holdfast.errors import ConfigurationError, RateLimited
from holdfast.key_binding import describe
from holdfast.limit_rules import LimitRules, checked_cost, checked_rule
from holdfast.options import KeyOption, refuse_unknown
from holdfast.policy.decision import LimitDecision
from holdfast.policy.quota import Quotas, quotas_of
from holdfast.typing import Duration
from holdfast.wrapped import BoundFunction, DecoratedFunction, raw_function

F = TypeVar("F", bound=Callable[..., Any])
QuotaOption: TypeAlias = Quotas | Callable[..., Any]
"""One or more quotas, or a function of the call's arguments that gives them; None: this call is not limited."""


class LimitOptions(TypedDict, total=False):
    """The options of `rate_limited`, which explains each."""

    key: KeyOption
    cost: int | Callable[..., Any]
    wait: Duration | None
    on_failure: OnLimitFailure
    budget: Duration
    shadow: bool
    exempt: Callable[..., Any] | None
    on_refused: Callable[[LimitDecision], Any] | None


@dataclass(frozen=True, slots=True)
class _Said:
    """What a user said about the limit of one function, checked."""

    buckets: Buckets | None
    quota_of: Callable[..., Any] | None
    cost: int
    cost_of: Callable[..., Any] | None
    patience: float
    rule: Rule
    exempt: Callable[..., Any] | None
    on_refused: Callable[[LimitDecision], Any] | None


class LimitRecipe:
    """How the calls of one function are limited, on whichever layer it finds when it is called."""

    def __init__(
        self, function: Callable[..., Any], quota: QuotaOption, find_engine: Callable[[], Engine], options: LimitOptions
    ) -> None:
        self.function = raw_function(
            function,
            "limit",
            "@rate_limited('100/minute')",
            "limit the function that starts it, or call layer.limiter.hit inside",
        )
        self.is_async = is_async(function)
        self._find_engine = find_engine
        given: Any = function
        self._binds = inspect.isfunction(given) or isinstance(given, classmethod)
        self._key = compile_call(self.function, options.get("key"), "quota")
        self._said = _said(quota, options, self.function, plain=not self.is_async)
        self._rules: LimitRules | None = None

    def _find_rules(self) -> LimitRules:
        engine = self._find_engine()
        rules = self._rules
        if rules is None or rules.engine is not engine:
            rules = self._rules = LimitRules(engine)
        return rules

    def call(self, wrapped: Callable[..., Any], instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Answer a call of a plain function."""
        rules, said = self._find_rules(), self._said
        given = args if instance is None else self._arguments(instance, args)
        name = self._key.name_of(*given, **kwargs)  # the function's own TypeError comes before anything is consumed
        if rules.engine.off.get() or (said.exempt is not None and said.exempt(*given, **kwargs)):
            return wrapped(*args, **kwargs)
        quota = None if said.quota_of is None else said.quota_of(*given, **kwargs)
        if said.quota_of is not None and quota is None:
            return wrapped(*args, **kwargs)
        cost = said.cost if said.cost_of is None else checked_cost(said.cost_of(*given, **kwargs))
        check = self._check(rules, name, quota)
        decision = rules.decide(check, cost, said.rule, said.patience)
        if decision.allowed:
            return wrapped(*args, **kwargs)
        return self._refused(decision)

    async def acall(
        self, wrapped: Callable[..., Any], instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Answer a call of an async function."""
        rules, said = self._find_rules(), self._said
        given = args if instance is None else self._arguments(instance, args)
        name = self._key.name_of(*given, **kwargs)
        if rules.engine.off.get() or (said.exempt is not None and await value_of(said.exempt(*given, **kwargs))):
            return await wrapped(*args, **kwargs)
        quota = None if said.quota_of is None else await value_of(said.quota_of(*given, **kwargs))
        if said.quota_of is not None and quota is None:
            return await wrapped(*args, **kwargs)
        cost = said.cost if said.cost_of is None else checked_cost(await value_of(said.cost_of(*given, **kwargs)))
        check = self._check(rules, name, quota)
        decision = await rules.adecide(check, cost, said.rule, said.patience)
        if decision.allowed:
            return await wrapped(*args, **kwargs)
        return await value_of(self._refused(decision))

    def _arguments(self, instance: object, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (instance, *args) if self._binds or self._key.takes_instance else args

    def _check(self, rules: LimitRules, name: str, quota: Any) -> Check:
        buckets = self._said.buckets
        if buckets is None:
            buckets = rules.buckets(quota)
        return rules.check_named(buckets, rules.start(name), self._key.pattern)

    def _refused(self, decision: LimitDecision) -> Any:
        if self._said.on_refused is None:
            raise RateLimited(decision, self._key.pattern)
        return self._said.on_refused(decision)


class BoundLimitedFunction(BoundFunction):
    """A limited function as it comes from an instance or a class."""


class LimitedFunction(DecoratedFunction):
    """A function whose calls are limited."""

    __bound_function_wrapper__ = BoundLimitedFunction


def limit(find_engine: Callable[[], Engine], quota: QuotaOption, **options: Unpack[LimitOptions]) -> Callable[[F], F]:
    """Return the decorator that limits a function's calls, in the engine found at each call."""
    refuse_unknown("rate_limited", options, LimitOptions.__optional_keys__)

    def wrap(*given: Any, **more: Any) -> Any:
        if len(given) != 1 or more:
            msg = "@rate_limited decorates one function, and needs its quota first: write @rate_limited('100/minute')"
            raise ConfigurationError(msg)
        return LimitedFunction(given[0], LimitRecipe(given[0], quota, find_engine, options))

    return wrap


def _said(quota: QuotaOption, options: LimitOptions, function: Callable[..., Any], *, plain: bool) -> _Said:
    given: dict[str, Any] = {"quota": quota, **options}
    for name in ("quota", "cost", "exempt", "on_refused"):
        if plain and callable(given.get(name)) and is_async(given[name]):
            msg = f"{name}= of {describe(function)} is async, and the function is not: nobody would await it"
            raise ConfigurationError(msg)
    for name in ("exempt", "on_refused"):
        if given.get(name) is not None and not callable(given[name]):
            msg = f"{name}= of {describe(function)} must be a function, not {type(given[name]).__name__}"
            raise ConfigurationError(msg)
    cost, wait = options.get("cost", 1), options.get("wait")
    rule = checked_rule(options.get("on_failure", "open"), options.get("budget", "100ms"), options.get("shadow", False))
    return _Said(
        None if callable(quota) else buckets_of(quotas_of(quota)),
        quota if callable(quota) else None,
        1 if callable(cost) else checked_cost(cost),
        cost if callable(cost) else None,
        0.0 if wait is None else seconds(wait, "wait", zero=True),
        rule,
        options.get("exempt"),
        options.get("on_refused"),
    )
