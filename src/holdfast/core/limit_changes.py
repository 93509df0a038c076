"""What is done to limits beside hits: looking, taking back, charging more, forgetting, waiting."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.commands import Command, Word, unlink
from holdfast.core.limit_checks import Charge, Check, Rule, ask, figures_of
from holdfast.core.limiting import Limiting
from holdfast.errors import BackendError
from holdfast.policy.buckets import policies_of, unlimited
from holdfast.policy.decision import LimitDecision
from holdfast.port import Port
from holdfast.scripts import limits as scripts


async def peek(limiting: Limiting, port: Port, check: Check, cost: int, rule: Rule) -> LimitDecision:
    """Return what a hit would get, and change nothing. Without Redis nothing is known, and all is admitted."""

    def look(keys: Sequence[str], constants: Sequence[Word]) -> Command:
        return scripts.peek(check.buckets.hit, keys, constants, cost=cost)

    try:
        charged = await ask(port, check, rule.budget, look)
    except BackendError as error:
        limiting.recorder.backend_failed(check.tally, "peek", error)
        return unlimited(check.buckets.quotas, cost=cost, degraded=True)
    policies = policies_of(check.buckets.quotas, figures_of(charged))
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
    limiting: Limiting, port: Port, check: Check, units: int, rule: Rule, at: Sequence[int] | None = None
) -> LimitDecision:
    """Charge more units, or take some back if `units` is negative, and return what a hit of 1 would get then.

    Args:
        limiting: what remembers who was refused.
        port: where to ask.
        check: the buckets.
        units: how many.
        rule: what the caller says.
        at: when the hit was charged, for each bucket; None if that is not known.
    """
    when = dict(zip(check.keys, at, strict=True)) if at else {}

    def change(keys: Sequence[str], constants: Sequence[Word]) -> Command:
        return scripts.adjust(check.buckets.adjust, keys, constants, units=units, at=when.get(keys[0], 0))

    limiting.forget(check)
    try:
        charged = await ask(port, check, rule.budget, change)
    except BackendError as error:
        limiting.recorder.backend_failed(check.tally, "refund" if units < 0 else "settle", error)
        return unlimited(check.buckets.quotas, cost=0, degraded=True)
    finally:
        limiting.forget(check)
    policies = policies_of(check.buckets.quotas, figures_of(charged))
    return LimitDecision(all(policy.allowed for policy in policies), policies)


async def settle(limiting: Limiting, port: Port, decision: LimitDecision, actual: int) -> LimitDecision:
    """Charge what a hit has cost in truth instead of what was estimated."""
    charge = decision.charge
    if not isinstance(charge, Charge):
        return decision
    after = await adjust(limiting, port, charge.check, actual - decision.cost, charge.rule, charge.at)
    return LimitDecision(after.allowed, after.policies, after.degraded, False, actual, charge)


async def pause(limiting: Limiting, port: Port, decision: LimitDecision, seconds: float) -> None:
    """Wait until an admitted hit may go on; give it back if the wait is cut short."""
    if seconds <= 0:
        return
    try:
        await port.sleep(seconds)
    except BaseException:
        charge = decision.charge
        if isinstance(charge, Charge):
            given_back = charge

            async def give_back() -> None:
                cost = -decision.cost
                await adjust(limiting, port, given_back.check, cost, given_back.rule, given_back.at)

            port.afterwards(give_back)
        raise
