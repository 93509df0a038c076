"""Hits of limits: the order in which the process, Redis and the failure policy are asked.

    known to be refused here        refuse, without a round trip
    Redis answers                   as it says; a refusal is remembered for a moment
    Redis does not answer in time   the rule's `on_failure` decides, and the decision says `degraded`

A hit is sent once and never again, so that it is charged at most once. Buckets that no one script can see together are
charged in `limit_apart`.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias

from holdfast._calls import drive
from holdfast._denials import LONGEST, Denial, Denials, shifted
from holdfast._local_limits import LocalLimits
from holdfast.commands import Command
from holdfast.core.limit_apart import Apart
from holdfast.core.limit_checks import Charge, Charged, Check, Rule, figures_of
from holdfast.core.records import Recorder
from holdfast.errors import BackendError
from holdfast.events import LimitDegraded, Limited
from holdfast.policy.buckets import MILLION, policies_of, refused, unlimited
from holdfast.policy.decision import LimitDecision
from holdfast.port import BlockingPort, Port
from holdfast.scripts import limits as scripts

Answer: TypeAlias = list[Any]
"""What the script answers: admitted or not, when, then wait, remaining and reset of each bucket."""
_MOST_KNOWN: Final = 4096
"""Commands that are remembered."""
_LONGEST_KNOWN: Final = 300
"""Characters of the keys in one that is."""
_TRY_AGAIN: Final = 1.0
"""Seconds after which who was refused for want of Redis may try again."""


class Asking(NamedTuple):
    """When Redis was asked, on the port's monotonic clock."""

    generation: int
    """Of the denials, before."""
    asked: float
    heard: float


class Limiting:
    """Admits hits, and remembers who was refused."""

    def __init__(self, recorder: Recorder, denials: Denials, local: LocalLimits) -> None:
        self.recorder = recorder
        self.denials = denials
        self.local = local
        self._apart = Apart(recorder, denials)
        self._commands: dict[tuple[object, ...], Command] = {}

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
        key, denial = self.denials.find(check.keys, quotas, cost, now + patience)
        if denial is None:
            return None
        since = now - denial.heard
        policies = tuple([shifted(policy, since) for policy in denial.told(check.keys, quotas)])
        decision = LimitDecision(False, policies, False, rule.shadow, cost)
        return self._refuse(check, decision, rule, check.keys.index(key), local=True)

    async def hit(
        self, port: Port, check: Check, cost: int, rule: Rule, patience: float = 0.0
    ) -> tuple[LimitDecision, float]:
        """Return the decision about a hit, and the seconds that its caller has to wait.

        A hit on one bucket is booked ahead if its caller has the patience: then it is admitted, and goes on after the
        wait. A hit on several is not, since the bucket that is free sooner would be blocked meanwhile for all who
        want nothing else: then it is refused, and is to be tried again after the wait.

        Args:
            port: where to ask.
            check: its buckets.
            cost: units.
            rule: what its caller says.
            patience: seconds for which the caller is ready to wait.
        """
        generation, asked = self.denials.generation, port.monotonic()
        try:
            if len(check.keys) > 1 and any(port.slots(check.keys)):
                charged = await self._apart.charge(port, check, cost, rule)
                answer: Answer = [int(all(each.admitted for each in charged)), 0, *figures_of(charged)]
            else:
                answer, charged = await port.call(self._command(check, cost, rule, patience)), None
        except BackendError as error:
            return self._without_redis(check, cost, rule, asked, patience, error)
        return self._judge(port, check, cost, rule, patience, answer, generation, asked, charged)

    def hit_now(self, port: BlockingPort, check: Check, cost: int, rule: Rule) -> LimitDecision:
        """Do what `hit` does without patience, and without its coroutines: they take a sixth of a hit's time."""
        if len(check.keys) > 1 and any(port.slots(check.keys)):
            return drive(self.hit(port, check, cost, rule))[0]
        generation, asked = self.denials.generation, port.monotonic()
        try:
            answer: Answer = port.call_now(self._command(check, cost, rule, 0.0))
        except BackendError as error:
            return self._without_redis(check, cost, rule, asked, 0.0, error)[0]
        return self._judge(port, check, cost, rule, 0.0, answer, generation, asked)[0]

    def _command(self, check: Check, cost: int, rule: Rule, patience: float) -> Command:
        """Return what asks Redis. The same clients come again, and the same is sent for them: it is made once."""
        constants = check.buckets.constants
        known = check.keys, constants, cost, patience, rule.budget
        command = self._commands.get(known)
        if command is None:
            wait = int(patience * MILLION)
            command = scripts.hit(check.buckets.hit, check.keys, constants, cost=cost, wait=wait, patience=rule.budget)
            if sum(map(len, check.keys)) <= _LONGEST_KNOWN:
                if len(self._commands) >= _MOST_KNOWN:
                    self._commands.clear()
                command = self._commands[known] = command._replace(packed=[])
        return command

    def _judge(
        self,
        port: Port,
        check: Check,
        cost: int,
        rule: Rule,
        patience: float,
        answer: Answer,
        generation: int,
        asked: float,
        charged: list[Charged] | None = None,
    ) -> tuple[LimitDecision, float]:
        """Return what an answer means, and remember a refusal."""
        booked = int(patience * MILLION) if len(check.keys) == 1 else 0
        policies = policies_of(check.buckets.quotas, answer, booked)
        if answer[0]:
            wait = answer[2] / MILLION if booked else 0.0
            return LimitDecision(
                True, policies, False, rule.shadow, cost, Charge(check, rule, cost, charged or answer)
            ), wait
        decision = LimitDecision(False, policies, False, rule.shadow, cost)
        self._remember(check, decision, Asking(generation, asked, port.monotonic()))
        return self._refuse_or_wait(check, decision, rule, patience)

    def _refuse_or_wait(
        self, check: Check, decision: LimitDecision, rule: Rule, patience: float
    ) -> tuple[LimitDecision, float]:
        """Refuse a hit, unless its caller is ready to wait until it may be tried again."""
        if patience and len(check.keys) > 1 and decision.retry_after <= patience:
            return decision, decision.retry_after
        first = next(index for index, policy in enumerate(decision.policies) if not policy.allowed)
        return self._refuse(check, decision, rule, first), 0.0

    def forget(self, check: Check) -> None:
        """Forget what is known of buckets: somebody changes them."""
        self.denials.forget(check.keys)
        self.local.forget(check.keys)

    def _remember(self, check: Check, decision: LimitDecision, asking: Asking) -> None:
        quotas = check.buckets.quotas
        for index, policy in enumerate(decision.policies):
            if not policy.allowed:
                until = asking.asked + min(LONGEST, policy.retry_after)
                denial = Denial(
                    until,
                    decision.cost,
                    quotas[index],
                    asking.asked,
                    asking.heard,
                    check.keys,
                    quotas,
                    decision.policies,
                )
                self.denials.note(check.keys[index], denial, asking.generation)

    def _without_redis(
        self, check: Check, cost: int, rule: Rule, now: float, patience: float, error: BackendError
    ) -> tuple[LimitDecision, float]:
        """Decide by the rule's failure policy."""
        self.recorder.backend_failed(check.tally, "hit", error)
        quotas, wait = check.buckets.quotas, 0.0
        booked = patience if len(check.keys) == 1 else 0.0
        if rule.on_failure == "open":
            decision = unlimited(quotas, cost=cost, degraded=True, shadow=rule.shadow)
        elif rule.on_failure == "closed":
            decision = refused(quotas, cost=cost, retry_after=_TRY_AGAIN)
        else:
            admitted_in, figures = self.local.hit(check.keys, quotas, cost, now, booked)
            policies = policies_of(quotas, [0, 0, *figures], int(booked * MILLION))
            decision = LimitDecision(admitted_in is not None, policies, True, rule.shadow, cost)
            wait = admitted_in or 0.0
        if self.recorder.hooks:
            self.recorder.emit(LimitDegraded(check.tally.pattern, rule.on_failure, decision.allowed or rule.shadow))
        if decision.allowed:
            return decision, wait
        return self._refuse_or_wait(check, decision, rule, 0.0 if rule.on_failure == "closed" else patience)

    def _refuse(
        self, check: Check, decision: LimitDecision, rule: Rule, first: int, *, local: bool = False
    ) -> LimitDecision:
        """Count and tell a refusal; in shadow mode let the hit go on.

        Args:
            check: the buckets.
            decision: what refuses.
            rule: what the caller says.
            first: which bucket refuses.
            local: whether this process knew it.
        """
        check.tally.limited += 1
        if self.recorder.hooks:
            self.recorder.emit(
                Limited(
                    check.tally.pattern,
                    check.keys[first],
                    decision.refused_by,
                    decision.cost,
                    decision.retry_after,
                    shadow=rule.shadow,
                    degraded=decision.degraded,
                    local=local,
                )
            )
        if rule.shadow:
            return LimitDecision(True, decision.policies, decision.degraded, True, decision.cost)
        return decision
