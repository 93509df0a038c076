"""Hits of limits: the order in which the process, Redis and the failure policy are asked.

    known to be refused here        refuse, without a round trip
    Redis answers                   as it says; a refusal is remembered for a moment
    Redis does not answer in time   the rule's `on_failure` decides, and the decision says `degraded`

A hit is sent once and never again, so that it is charged at most once. On a cluster, buckets that lie in several slots
cannot be charged at one instant: each slot's are charged all or none, and if one slot refuses, the others are refunded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from holdfast._denials import LONGEST, Denial, Denials, shifted
from holdfast._local_limits import LocalLimits
from holdfast.commands import Command, Word
from holdfast.core.limit_checks import Charge, Charged, Check, Rule, ask, figures_of, part
from holdfast.core.records import Recorder
from holdfast.errors import BackendError
from holdfast.events import LimitDegraded, Limited
from holdfast.policy.buckets import MILLION, policies_of, refused, unlimited
from holdfast.policy.decision import LimitDecision
from holdfast.port import Port
from holdfast.scripts import limits as scripts

_TRY_AGAIN: Final = 1.0
"""Seconds after which who was refused for want of Redis may try again."""


class Limiting:
    """Admits hits, and remembers who was refused."""

    def __init__(self, recorder: Recorder, denials: Denials, local: LocalLimits) -> None:
        self.recorder = recorder
        self.denials = denials
        self.local = local

    def known(self, check: Check, cost: int, rule: Rule, now: float, patience: float = 0.0) -> LimitDecision | None:
        """Return the refusal of a hit if this process knows it; None if Redis has to be asked.

        Args:
            check: its buckets.
            cost: units.
            rule: what its caller says.
            now: seconds of the clock that never jumps.
            patience: seconds for which the caller is ready to wait.
        """
        if not self.denials.known:
            return None
        quotas = check.buckets.quotas
        denial = self.denials.find(check.keys, quotas, cost, now + patience)
        if denial is None:
            return None
        told = denial.policies
        if denial.quotas is not quotas and denial.quotas != quotas:
            told = (told[denial.quotas.index(denial.quota)],)
        since = now - denial.since
        policies = tuple([shifted(policy, since) for policy in told])
        return self._refuse(check, LimitDecision(False, policies, False, False, cost), rule, local=True)

    async def hit(
        self, port: Port, check: Check, cost: int, rule: Rule, patience: float = 0.0
    ) -> tuple[LimitDecision, float]:
        """Return the decision about a hit, and the seconds that its caller has to wait before going on.

        Args:
            port: where to ask.
            check: its buckets.
            cost: units.
            rule: what its caller says.
            patience: seconds for which the caller is ready to wait.
        """
        generation, asked = self.denials.generation, port.monotonic()
        microseconds = int(patience * MILLION)
        try:
            at, figures, admitted = await self._charge(port, check, cost, microseconds, rule.budget)
        except BackendError as error:
            self.recorder.backend_failed(check.tally, "hit", error)
            return self._without_redis(check, cost, rule, asked, patience)
        policies = policies_of(check.buckets.quotas, figures, microseconds)
        if admitted:
            wait = max(figures[::3]) / MILLION if patience else 0.0
            return LimitDecision(True, policies, False, False, cost, Charge(check, rule, at)), wait
        decision = LimitDecision(False, policies, False, False, cost)
        self._remember(check, decision, asked, generation)
        return self._refuse(check, decision, rule), 0.0

    def forget(self, check: Check) -> None:
        """Forget what is known of buckets: somebody changes them."""
        self.denials.forget(check.keys)
        self.local.forget(check.keys)

    async def _charge(
        self, port: Port, check: Check, cost: int, patience: int, budget: float
    ) -> tuple[tuple[int, ...], Sequence[int], bool]:
        """Return when each bucket was charged, the figures of all, and whether the hit is admitted."""
        script = check.buckets.hit
        if len(check.keys) == 1 or not any(port.slots(check.keys)):
            command = scripts.hit(script, check.keys, check.buckets.constants, cost=cost, patience=patience)
            admitted, at, *figures = await port.call(command._replace(patience=budget))
            return (at,) * len(check.keys), figures, bool(admitted)

        def charge(keys: Sequence[str], constants: Sequence[Word]) -> Command:
            return scripts.hit(script, keys, constants, cost=cost, patience=patience)

        charged = await ask(port, check, budget, charge)
        if not all(each.admitted for each in charged):
            await self._refund(port, check, charged, cost, budget)
            return (), figures_of(charged), False
        return tuple(each.at for each in charged), figures_of(charged), True

    async def _refund(self, port: Port, check: Check, charged: Sequence[Charged], cost: int, budget: float) -> None:
        """Give back what some slots have charged for a hit that others refuse."""
        wrongly = [index for index, each in enumerate(charged) if each.admitted]
        at = {check.keys[index]: charged[index].at for index in wrongly}

        def refund(keys: Sequence[str], constants: Sequence[Word]) -> Command:
            return scripts.adjust(check.buckets.adjust, keys, constants, units=-cost, at=at[keys[0]])

        if not wrongly or not cost:
            return
        try:
            await ask(port, part(check, wrongly), budget, refund)
        except BackendError as error:
            self.recorder.backend_failed(check.tally, "refund", error)

    def _remember(self, check: Check, decision: LimitDecision, asked: float, generation: int) -> None:
        quotas = check.buckets.quotas
        for index, policy in enumerate(decision.policies):
            if not policy.allowed:
                until = asked + min(LONGEST, policy.retry_after)
                denial = Denial(until, decision.cost, quotas[index], asked, quotas, decision.policies)
                self.denials.note(check.keys[index], denial, generation)

    def _without_redis(
        self, check: Check, cost: int, rule: Rule, now: float, patience: float
    ) -> tuple[LimitDecision, float]:
        """Decide by the rule's failure policy."""
        quotas, wait = check.buckets.quotas, 0.0
        if rule.on_failure == "open":
            decision = unlimited(quotas, cost=cost, degraded=True)
        elif rule.on_failure == "closed":
            decision = refused(quotas, cost=cost, retry_after=_TRY_AGAIN)
        else:
            admitted_in, figures = self.local.hit(check.keys, quotas, cost, now, patience)
            policies = policies_of(quotas, figures, int(patience * MILLION))
            decision = LimitDecision(admitted_in is not None, policies, True, False, cost)
            wait = admitted_in or 0.0
        if self.recorder.hooks:
            self.recorder.emit(LimitDegraded(check.tally.pattern, rule.on_failure, decision.allowed or rule.shadow))
        return (decision if decision.allowed else self._refuse(check, decision, rule)), wait

    def _refuse(self, check: Check, decision: LimitDecision, rule: Rule, *, local: bool = False) -> LimitDecision:
        """Count and tell a refusal; in shadow mode let the hit go on."""
        check.tally.limited += 1
        if self.recorder.hooks:
            self._tell(check, decision, rule, local=local)
        if rule.shadow:
            return LimitDecision(True, decision.policies, decision.degraded, True, decision.cost)
        return decision

    def _tell(self, check: Check, decision: LimitDecision, rule: Rule, *, local: bool) -> None:
        refusing = decision.refused_by
        names = [quota.name for quota in check.buckets.quotas]
        self.recorder.emit(
            Limited(
                check.tally.pattern,
                check.keys[names.index(refusing[0])],
                refusing,
                decision.cost,
                decision.retry_after,
                shadow=rule.shadow,
                degraded=decision.degraded,
                local=local,
            )
        )
