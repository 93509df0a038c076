"""`layer.limiter`: the verbs of rate limits, in both colours.

Every verb here finds the buckets and the rule; what happens then is in `core/`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from holdfast._calls import drive
from holdfast._durations import seconds
from holdfast.core import limit_changes as changes
from holdfast.core.limit_checks import OnLimitFailure
from holdfast.core.slots import Gate
from holdfast.engine import Engine
from holdfast.errors import ConfigurationError
from holdfast.limit_rules import LimitRules, admitted, checked_cost, checked_rule
from holdfast.limit_slots import Concurrency
from holdfast.policy.buckets import unlimited
from holdfast.policy.decision import LimitDecision
from holdfast.policy.keys import guard
from holdfast.policy.quota import Quotas
from holdfast.port import Port
from holdfast.typing import Duration

_MOST_SLOTS: Final = 10**12


class Limiter:
    """Counts hits against quotas.

    What is counted is a bucket: a key, an algorithm and a policy's name. Buckets are shared by all processes that use
    the same Redis and namespace. A quota whose limit changes keeps what was consumed; another period is another policy,
    unless it has a `name`.

    Example:
        >>> from holdfast import Layer
        >>> layer = Layer("memory://limiter-example")
        >>> [layer.limiter.hit("2/minute", "user:42").allowed for _ in range(3)]
        [True, True, False]
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._rules = LimitRules(engine)

    def hit(
        self,
        quota: Quotas,
        key: str,
        *,
        cost: int = 1,
        on_failure: OnLimitFailure = "open",
        budget: Duration = "100ms",
        shadow: bool = False,
        colocate: str | None = None,
    ) -> LimitDecision:
        """Consume `cost` units of a key's quota if they are left, and say so. It costs one round trip, or none.

        All or nothing: a hit that one of several quotas refuses consumes nothing under any. Redis decides, by its own
        clock; a refusal is remembered for a moment, so that whoever hammers at a limit costs no further round trips.

        Args:
            quota: such as ``"100/minute"``, ``"10/second; burst=20, 1000/hour"``, or `Quota`.
            key: who or what is limited, such as ``"user:42"``.
            cost: units, 0 or more.
            on_failure: what to decide if Redis cannot be asked: ``"open"`` admits, ``"closed"`` refuses, ``"local"``
                counts in this process, with a fair share of the quota (see `Layer`'s `replicas`).
            budget: how long Redis may take before `on_failure` decides.
            shadow: only count and report, never refuse.
            colocate: a name that lets several keys share a slot of a cluster, see `hit_all`.

        Raises:
            ConfigurationError: an argument cannot work. It raises nothing for want of Redis.
        """
        check = self._rules.check(quota, key, colocate)
        rule = self._rules.rule(on_failure, budget, shadow)
        return self._rules.decide(check, checked_cost(cost), rule)

    async def ahit(
        self,
        quota: Quotas,
        key: str,
        *,
        cost: int = 1,
        on_failure: OnLimitFailure = "open",
        budget: Duration = "100ms",
        shadow: bool = False,
        colocate: str | None = None,
    ) -> LimitDecision:
        """Do what `hit` does, for async callers."""
        check = self._rules.check(quota, key, colocate)
        rule = self._rules.rule(on_failure, budget, shadow)
        return await self._rules.adecide(check, checked_cost(cost), rule)

    def hit_all(
        self,
        hits: Iterable[tuple[Quotas, str]],
        *,
        cost: int = 1,
        colocate: str | None = None,
        on_failure: OnLimitFailure = "open",
        budget: Duration = "100ms",
        shadow: bool = False,
    ) -> LimitDecision:
        """Consume units of several keys' quotas, of all or of none, in one round trip.

        On a cluster that is atomic only if the keys share a slot, which `colocate` makes them do. Without it, each
        slot's buckets are charged all or none, and refunded if another slot refuses; meanwhile others see them charged.

        Args:
            hits: quotas and their keys: ``[("10/second", "address:10.0.0.7"), ("1000/hour", "user:42")]``.
            cost: units, under every quota.
            colocate: what the keys have in common, such as ``"tenant:7"``: it names their slot. Buckets with and
                without it are different ones.
            on_failure: see `hit`.
            budget: see `hit`.
            shadow: see `hit`.

        Raises:
            ConfigurationError: an argument cannot work.
        """
        check = self._rules.check_all(hits, colocate)
        return self._rules.decide(check, checked_cost(cost), self._rules.rule(on_failure, budget, shadow))

    async def ahit_all(
        self,
        hits: Iterable[tuple[Quotas, str]],
        *,
        cost: int = 1,
        colocate: str | None = None,
        on_failure: OnLimitFailure = "open",
        budget: Duration = "100ms",
        shadow: bool = False,
    ) -> LimitDecision:
        """Do what `hit_all` does, for async callers."""
        check = self._rules.check_all(hits, colocate)
        return await self._rules.adecide(check, checked_cost(cost), self._rules.rule(on_failure, budget, shadow))

    def throttle(
        self,
        quota: Quotas,
        key: str,
        *,
        cost: int = 1,
        max_wait: Duration,
        on_failure: OnLimitFailure = "open",
        budget: Duration = "100ms",
        colocate: str | None = None,
    ) -> LimitDecision:
        """Wait until a hit is admitted, exactly as long as that takes, in the order of the callers.

        Under one quota the hit is booked ahead in one round trip, so nobody asks twice and nobody overtakes. Who is
        interrupted while waiting gives it back. Under several nothing is booked: the caller waits until all admit it,
        asks again, and may be refused late.

        Args:
            quota: see `hit`.
            key: see `hit`.
            cost: see `hit`.
            max_wait: the longest time to wait.
            on_failure: see `hit`.
            budget: see `hit`.
            colocate: see `hit`.

        Raises:
            RateLimited: at once, if the wait would be longer than `max_wait`.
        """
        check, rule = self._rules.check(quota, key, colocate), self._rules.rule(on_failure, budget)
        patience = seconds(max_wait, "max_wait", zero=True)
        return admitted(self._rules.decide(check, checked_cost(cost), rule, patience), "throttle")

    async def athrottle(
        self,
        quota: Quotas,
        key: str,
        *,
        cost: int = 1,
        max_wait: Duration,
        on_failure: OnLimitFailure = "open",
        budget: Duration = "100ms",
        colocate: str | None = None,
    ) -> LimitDecision:
        """Do what `throttle` does, for async callers."""
        check, rule = self._rules.check(quota, key, colocate), self._rules.rule(on_failure, budget)
        patience = seconds(max_wait, "max_wait", zero=True)
        return admitted(await self._rules.adecide(check, checked_cost(cost), rule, patience), "throttle")

    def peek(
        self,
        quota: Quotas,
        key: str,
        *,
        cost: int = 1,
        budget: Duration = "100ms",
        colocate: str | None = None,
    ) -> LimitDecision:
        """Return what a hit would get now, and consume nothing. Without Redis, it says that all is left, `degraded`.

        Args:
            quota: see `hit`.
            key: see `hit`.
            cost: see `hit`.
            budget: how long Redis may take.
            colocate: see `hit`.
        """
        return drive(self._peek(self._engine.blocking, quota, key, cost, budget, colocate))

    async def apeek(
        self,
        quota: Quotas,
        key: str,
        *,
        cost: int = 1,
        budget: Duration = "100ms",
        colocate: str | None = None,
    ) -> LimitDecision:
        """Do what `peek` does, for async callers."""
        return await self._peek(self._engine.asyncio, quota, key, cost, budget, colocate)

    async def _peek(
        self, port: Port, quota: Quotas, key: str, cost: int, budget: Duration, colocate: str | None
    ) -> LimitDecision:
        check, rule, units = (
            self._rules.check(quota, key, colocate),
            self._rules.rule("open", budget),
            checked_cost(cost),
        )
        if self._engine.off.get():
            return unlimited(check.buckets.quotas, cost=units)
        return await changes.peek(self._rules.limiting, port, check, units, rule)

    def reset(self, quota: Quotas, key: str, *, colocate: str | None = None) -> bool:
        """Forget what a key has consumed under these quotas; say whether there was anything.

        Other processes may go on refusing a hit that they know to be refused for up to a second.

        Raises:
            BackendError: Redis could not be used: repeat it.
        """
        check = self._rules.check(quota, key, colocate)
        return drive(changes.reset(self._rules.limiting, self._engine.blocking, check))

    async def areset(self, quota: Quotas, key: str, *, colocate: str | None = None) -> bool:
        """Do what `reset` does, for async callers."""
        check = self._rules.check(quota, key, colocate)
        return await changes.reset(self._rules.limiting, self._engine.asyncio, check)

    def refund(self, quota: Quotas, key: str, cost: int = 1, *, colocate: str | None = None) -> LimitDecision:
        """Give units back that were consumed for nothing, and return a decision that allows, with what is left now.

        Never more comes back than was consumed. If Redis cannot be used, the decision is `degraded`, and perhaps
        nothing was given back.
        """
        return drive(self._refund(self._engine.blocking, quota, key, cost, colocate))

    async def arefund(self, quota: Quotas, key: str, cost: int = 1, *, colocate: str | None = None) -> LimitDecision:
        """Do what `refund` does, for async callers."""
        return await self._refund(self._engine.asyncio, quota, key, cost, colocate)

    async def _refund(self, port: Port, quota: Quotas, key: str, cost: int, colocate: str | None) -> LimitDecision:
        check, rule, units = (
            self._rules.check(quota, key, colocate),
            self._rules.rule("open", "100ms"),
            checked_cost(cost),
        )
        if self._engine.off.get():  # nor was what is given back charged
            return unlimited(check.buckets.quotas, cost=0)
        return await changes.adjust(self._rules.limiting, port, check, -units, rule)

    def settle(self, decision: LimitDecision, actual: int) -> LimitDecision:
        """Charge what a hit has cost in truth, tokens or bytes say, instead of its estimate.

        What it cost less comes back, as far as it still counts; what it cost more is charged even beyond the limit, and
        delays later hits. A hit that was not charged (refused, or decided without Redis) is left alone.

        Args:
            decision: what the hit returned. Settle it once; to correct it again, settle what this returns.
            actual: units.

        Returns:
            A decision that allows, with what is left now; `degraded` if Redis could not be used. Then the estimate or
            the true cost is charged, nobody knows which, and to settle it again does nothing.
        """
        return drive(self._settle(self._engine.blocking, decision, actual))

    async def asettle(self, decision: LimitDecision, actual: int) -> LimitDecision:
        """Do what `settle` does, for async callers."""
        return await self._settle(self._engine.asyncio, decision, actual)

    async def _settle(self, port: Port, decision: LimitDecision, actual: int) -> LimitDecision:
        if not isinstance(decision, LimitDecision):  # pyright: ignore[reportUnnecessaryIsInstance] - callers are often untyped
            msg = f"settle takes the decision that a hit returned, not {type(decision).__name__}"
            raise ConfigurationError(msg)
        return await changes.settle(self._rules.limiting, port, decision, checked_cost(actual, "actual"))

    def concurrency(
        self,
        limit: int,
        key: str,
        *,
        lease: Duration = 30,
        on_failure: OnLimitFailure = "open",
        budget: Duration = "100ms",
        shadow: bool = False,
    ) -> Concurrency:
        """Return a context manager, for ``with`` and ``async with``, that holds one of `limit` slots of a key.

        It is held for as long as the block runs: the lease is renewed. If the process dies, its slot comes back when
        the lease has run out.

        Args:
            limit: how many blocks may run at the same time, in all processes.
            key: who or what is limited.
            lease: how long the slot of a process that died stays taken.
            on_failure: see `hit`; ``"local"`` lets a fair share of the blocks run in this process.
            budget: see `hit`.
            shadow: see `hit`.

        Raises:
            RateLimited: when entering: no slot is free.
        """
        name = f"{self._rules.start(guard(key, 'key'))}concurrency"
        tally = self._engine.recorder.tally("concurrency")
        rule = checked_rule(on_failure, budget, shadow)
        gate = Gate(name, _checked_slots(limit), seconds(lease, "lease"), rule, tally)
        return Concurrency(self._engine, gate)


def _checked_slots(limit: int) -> int:
    # Callers are often untyped.
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= _MOST_SLOTS:  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = f"limit={limit!r} must be a whole number of slots, 1 or more"
        raise ConfigurationError(msg)
    return int(limit)
