"""From what users say about a limit to its decision: shared by `layer.limiter` and `@rate_limited`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, get_args

from holdfast._calls import drive
from holdfast._durations import seconds
from holdfast.core.limit_checks import Buckets, Check, OnLimitFailure, Rule, buckets_of
from holdfast.core.limiting import Limiting
from holdfast.core.records import Tally
from holdfast.engine import Engine
from holdfast.errors import ConfigurationError, RateLimited
from holdfast.policy.buckets import unlimited
from holdfast.policy.decision import LimitDecision
from holdfast.policy.keys import guard
from holdfast.policy.quota import Quota, Quotas, quotas_of
from holdfast.typing import Duration

_MOST_COST: Final = 10**12
_MOST_KNOWN: Final = 4096
"""Texts of quotas, and keys, that are remembered: some are made up anew for each call."""
_LONGEST_KNOWN: Final = 200
"""Characters of a key that is remembered: whoever sends ten kilobytes shall not fill the memory with them."""


class LimitRules:
    """Finds the buckets of hits and decides about them, on one layer."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.limiting: Limiting = engine.limiting
        self._prefix = engine.caching.names.limits
        self._buckets: dict[str | Quota, Buckets] = {}
        self._rules: dict[tuple[object, ...], Rule] = {}
        self._starts: dict[tuple[str, str | None], str] = {}
        self._combined: dict[tuple[Quotas, ...], Buckets] = {}

    def rule(self, on_failure: OnLimitFailure, budget: Duration, shadow: bool = False) -> Rule:
        """Return what a caller says beside the quotas, checked."""
        given = on_failure, budget, type(budget), shadow  # True would be found where 1 is
        try:
            return self._rules[given]
        except (KeyError, TypeError):
            rule = checked_rule(on_failure, budget, shadow)
        if len(self._rules) < _MOST_KNOWN:
            self._rules[given] = rule
        return rule

    def buckets(self, quota: Quotas) -> Buckets:
        """Return what all buckets of some quotas have in common."""
        if type(quota) is not str and type(quota) is not Quota:
            return buckets_of(quotas_of(quota))
        found = self._buckets.get(quota)
        if found is None:
            found = buckets_of(quotas_of(quota))
            if len(self._buckets) < _MOST_KNOWN:
                self._buckets[quota] = found
        return found

    def check(self, quota: Quotas, key: str, colocate: str | None = None) -> Check:
        """Return the buckets of a hit on one key.

        Args:
            quota: one or more.
            key: as the user gives it.
            colocate: what names the cluster's slot instead of the key.

        Raises:
            ConfigurationError: one of them cannot work.
        """
        return self.check_named(self.buckets(quota), self._start_of(key, colocate))

    def check_named(self, buckets: Buckets, start: str, pattern: str = "") -> Check:
        """Return the buckets of a hit, from what their keys begin with.

        Args:
            buckets: what they have in common.
            start: what their keys begin with.
            pattern: under which hits are counted; the names of the policies, unless given.
        """
        names = buckets.names
        keys = (start + names[0],) if len(names) == 1 else tuple([start + name for name in names])
        return Check(buckets, keys, self._tally(buckets, pattern))

    def check_all(self, hits: Iterable[tuple[Quotas, str]], colocate: str | None = None) -> Check:
        """Return the buckets of a hit on several keys."""
        quotas: list[Quotas] = []
        keys: list[str] = []
        for quota, key in _pairs(hits):
            start, names = self._start_of(key, colocate), self.buckets(quota).names
            quotas.append(quota)
            if len(names) == 1:
                keys.append(start + names[0])
            else:
                keys += [start + name for name in names]
        if not 1 <= len(keys) == len(set(keys)):
            msg = "hit_all takes one or more (quota, key), and no two that count in one bucket: give one a name"
            raise ConfigurationError(msg)
        buckets = self._combine(tuple(quotas))
        return Check(buckets, tuple(keys), self._tally(buckets))

    def _tally(self, buckets: Buckets, pattern: str = "") -> Tally:
        """Return what counts hits; quotas may be made up for each call, and then most of them count together."""
        recorder = self.engine.recorder
        return recorder.tally(pattern) if pattern else recorder.tally_of_many(buckets.title, "other quotas")

    def _combine(self, quotas: tuple[Quotas, ...]) -> Buckets:
        """Return what the buckets of several quotas have in common."""
        try:
            found = self._combined.get(quotas)
        except TypeError:  # there are lists among them
            quotas = tuple(each for quota in quotas for each in quotas_of(quota))
            found = None
        if found is None:
            found = buckets_of(tuple(each for quota in quotas for each in quotas_of(quota)))
            if len(self._combined) < _MOST_KNOWN:
                self._combined[quotas] = found
        return found

    def _start_of(self, key: str, colocate: str | None) -> str:
        """Return what the keys of a key's buckets begin with; the key is as the user gives it."""
        known = type(key) is str and (colocate is None or type(colocate) is str)  # a subclass may hash as it likes
        start = self._starts.get((key, colocate)) if known else None
        if start is None:
            start = self.start(guard(key, "a limit's key"), colocate)
            if known and len(self._starts) < _MOST_KNOWN and len(key) + len(colocate or "") <= _LONGEST_KNOWN:
                self._starts[key, colocate] = start
        return start

    def start(self, name: str, colocate: str | None = None) -> str:
        """Return what the keys of a name's buckets begin with; the name is escaped."""
        if colocate is None:
            return f"{self._prefix}{name}}}:"
        return f"{self._prefix}{guard(colocate, 'colocate=')}}}:{name}:"

    def decide(self, check: Check, cost: int, rule: Rule, patience: float = 0.0) -> LimitDecision:
        """Decide about a hit, and wait until it is admitted, if the caller has the patience.

        Args:
            check: the buckets.
            cost: units.
            rule: what the caller says.
            patience: seconds for which the caller is ready to wait.
        """
        engine = self.engine
        if engine.off.get():
            return unlimited(check.buckets.quotas, cost=cost)
        known = self.limiting.known(check, cost, rule, engine.blocking.monotonic(), patience)
        if known is not None:
            return known
        if patience and not rule.shadow:
            return drive(engine.booking.admit(engine.blocking, check, cost, rule, patience))
        return self.limiting.hit_now(engine.blocking, check, cost, rule)

    async def adecide(self, check: Check, cost: int, rule: Rule, patience: float = 0.0) -> LimitDecision:
        """Do what `decide` does, for async callers."""
        engine = self.engine
        if engine.off.get():
            return unlimited(check.buckets.quotas, cost=cost)
        known = self.limiting.known(check, cost, rule, engine.asyncio.monotonic(), patience)
        if known is not None:
            return known
        if patience and not rule.shadow:
            return await engine.booking.admit(engine.asyncio, check, cost, rule, patience)
        return (await self.limiting.hit(engine.asyncio, check, cost, rule))[0]


def admitted(decision: LimitDecision, what: str) -> LimitDecision:
    """Return a decision that admits; raise any other."""
    if not decision.allowed:
        raise RateLimited(decision, what)
    return decision


def checked_rule(on_failure: OnLimitFailure, budget: Duration, shadow: bool) -> Rule:
    """Return what a caller says beside the quotas.

    Raises:
        ConfigurationError: one of them cannot work.
    """
    if on_failure not in get_args(OnLimitFailure):
        msg = f"on_failure={on_failure!r} must be 'open' (admit), 'closed' (refuse) or 'local' (count in this process)"
        raise ConfigurationError(msg)
    if shadow not in (True, False):  # callers are often untyped
        msg = f"shadow={shadow!r} must be True (only count and report) or False (refuse)"
        raise ConfigurationError(msg)
    return Rule(on_failure, seconds(budget, "budget"), bool(shadow))


def checked_cost(cost: int, name: str = "cost") -> int:
    """Return a number of units.

    Raises:
        ConfigurationError: it is none.
    """
    if type(cost) is int and 0 <= cost <= _MOST_COST:
        return cost
    # Callers are often untyped.
    if isinstance(cost, bool) or not isinstance(cost, int) or not 0 <= cost <= _MOST_COST:  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = f"{name}={cost!r} must be a whole number of units, 0 or more"
        raise ConfigurationError(msg)
    return int(cost)


def _pairs(hits: Iterable[tuple[Quotas, str]]) -> list[tuple[Quotas, str]]:
    # Callers are often untyped.
    given = list(hits) if isinstance(hits, Iterable) else [hits]  # pyright: ignore[reportUnnecessaryIsInstance]
    try:
        return [(quota, key) for quota, key in given]
    except (TypeError, ValueError):
        msg = "hit_all takes several (quota, key), such as [('10/second', 'address:10.0.0.7'), ('9/hour', 'user:42')]"
        raise ConfigurationError(msg) from None
