"""What is done to limits beside hits: looking, taking back, charging more, forgetting."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.commands import Command, Word, unlink
from holdfast.core.limit_checks import Charge, Check, Instants, Rule, ask, changing, figures_of
from holdfast.core.limiting import Limiting
from holdfast.errors import BackendError
from holdfast.policy.buckets import policies_of, unlimited
from holdfast.policy.decision import LimitDecision
from holdfast.port import Port
from holdfast.scripts import limits as scripts


async def peek(limiting: Limiting, port: Port, check: Check, cost: int, rule: Rule) -> LimitDecision:
    """Return what a hit would get, and change nothing. Without Redis nothing is known, and all is admitted."""

    def look(keys: Sequence[str], constants: Sequence[Word]) -> Command:
        return scripts.peek(check.buckets.hit, keys, constants, cost=cost, patience=rule.budget)

    try:
        charged = await ask(port, check, look)
    except BackendError as error:
        limiting.recorder.backend_failed(check.tally, "peek", error)
        return unlimited(check.buckets.quotas, cost=cost, degraded=True)
    policies = policies_of(check.buckets.quotas, [0, 0, *figures_of(charged)])
    return LimitDecision(all(policy.allowed for policy in policies), policies, False, False, cost)


async def reset(limiting: Limiting, port: Port, check: Check) -> bool:
    """Forget what was consumed; say whether anything was.

    Raises:
        BackendError: Redis could not be used: what was consumed may still count.
    """
    limiting.forget(check)
    try:
        return bool(await port.call(unlink(check.keys)))
    finally:
        limiting.forget(check)


async def adjust(
    limiting: Limiting, port: Port, check: Check, units: int, rule: Rule, instants: Instants | None = None
) -> LimitDecision:
    """Charge more units, or take some back if `units` is negative, and return what is left then.

    The decision is always one that allows: what it is about is done.

    Args:
        limiting: what remembers who was refused.
        port: where to ask.
        check: the buckets.
        units: how many.
        rule: what the caller says.
        instants: as `Charge.instants` returned them; None if they are not known.
    """
    limiting.forget(check)
    try:
        charged = await ask(port, check, changing(check, units, rule, instants))
    except BackendError as error:
        limiting.recorder.backend_failed(check.tally, "refund" if units < 0 else "settle", error)
        return unlimited(check.buckets.quotas, cost=0, degraded=True)
    finally:
        limiting.forget(check)
    left = [figure for each in charged for figure in (0, each.remaining, each.reset)]
    return LimitDecision(True, policies_of(check.buckets.quotas, [0, 0, *left]), cost=0)


async def settle(limiting: Limiting, port: Port, decision: LimitDecision, actual: int) -> LimitDecision:
    """Charge what a hit has cost in truth instead of what was estimated.

    Where Redis could not be used, nobody knows whether that was done, so the decision cannot be settled again.
    """
    charge = decision.charge
    if not isinstance(charge, Charge):
        return decision
    after = await adjust(limiting, port, charge.check, actual - decision.cost, charge.rule, charge.instants(actual))
    return LimitDecision(
        True, after.policies, after.degraded, decision.shadow, actual, None if after.degraded else charge
    )
