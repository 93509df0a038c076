"""Concurrency slots: how many may do something at the same time, over all processes.

A slot is a lease: who holds one renews it, and the slot of a holder that died comes back when its lease has run out.
Taking and giving back may be sent twice, since the token says whose it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final

from holdfast._local_slots import LocalSlots
from holdfast.core.limit_checks import Rule
from holdfast.core.records import Recorder, Tally
from holdfast.core.slot_leaving import Leaving
from holdfast.errors import BackendError
from holdfast.events import LimitDegraded, Limited, SlotLost
from holdfast.policy.decision import LimitDecision, PolicyDecision
from holdfast.port import Cancel, Port
from holdfast.scripts import limits as scripts

_POLICY: Final = "concurrency"
_SOON: Final = 1.0
"""Seconds after which it is worth trying again: a holder may give its slot back at any time."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What is limited, and how."""

    key: str
    limit: int
    lease: float
    rule: Rule
    tally: Tally


class Slot:
    """One slot that is held, or that nobody can say anything about, as long as Redis is away."""

    __slots__ = ("_renewal", "decision", "lost", "process", "token", "until")

    def __init__(self, token: str, decision: LimitDecision, process: object = None) -> None:
        self.token = token
        self.process = process
        """What is another object in a forked child, whose parent holds the slot."""
        self.decision = decision
        """What was decided when it was taken."""
        self.until = 0.0
        """When its lease has run out for certain, on the clock that never jumps."""
        self.lost = False
        """Whether its lease has run out while it was held, so that another may have it, too."""
        self._renewal: Cancel | None = None

    def renew_by(self, renewal: Cancel) -> None:
        """Note what ends the renewals."""
        self._renewal = renewal

    def end_renewals(self) -> None:
        """Renew no more."""
        renewal, self._renewal = self._renewal, None
        if renewal is not None:
            renewal()


class Slots:
    """Takes slots, keeps them, and gives them back."""

    def __init__(self, recorder: Recorder, local: LocalSlots) -> None:
        self.recorder = recorder
        self._local = local
        self._leaving = Leaving(recorder)
        self._process = object()

    def after_fork(self) -> None:
        """In a child process: every slot so far is the parent's."""
        self._process = object()
        self._local.after_fork()
        self._leaving.after_fork()

    async def take(self, port: Port, gate: Gate) -> Slot:
        """Return a slot; its decision says whether it may be used."""
        token = port.token()
        command = scripts.take_slot(gate.key, token=token, limit=gate.limit, seconds=gate.lease)
        asked = port.monotonic()
        try:
            taken, left, first = await port.call(command._replace(patience=gate.rule.budget))
        except BackendError as error:
            self.recorder.backend_failed(gate.tally, "take", error)
            slot = self._slot(token, self._without_redis(gate, token))
            if not slot.decision.allowed:  # nobody will give it back, and it may have been taken all the same
                self._leaving.renounce(port, gate.key, token, gate.lease)
            return slot
        except BaseException:
            self._leaving.renounce_at_last(port, gate.key, token, gate.lease)
            raise
        if not taken:
            return self._slot(token, self._refuse(gate, _decision(gate, allowed=False, wait=min(_SOON, first / 1000))))
        slot = self._slot(token, _decision(gate, allowed=True, left=left))
        slot.until = asked + gate.lease
        slot.renew_by(port.every(gate.lease / 3, lambda: self._renew(port, gate, slot)))
        return slot

    def _slot(self, token: str, decision: LimitDecision) -> Slot:
        return Slot(token, decision, self._process)

    def pretend(self, gate: Gate) -> Slot:
        """Return a slot that was not asked for: the layer is disabled."""
        return Slot("", _decision(gate, allowed=True, left=gate.limit))

    async def give_back(self, port: Port, gate: Gate, slot: Slot) -> None:
        """Give a slot back, also one that may have been taken without our hearing of it."""
        if slot.process is not self._process:
            return
        slot.end_renewals()
        if slot.decision.refused_by and not slot.decision.degraded:
            return  # only watched: it has none
        self._local.leave(gate.key, slot.token)
        await self._leaving.leave(port, gate.key, slot.token, gate.lease, gate.rule.budget, gate.tally)

    async def _renew(self, port: Port, gate: Gate, slot: Slot) -> bool:
        """Renew a slot; say whether to go on."""
        asked = port.monotonic()
        command = scripts.keep_slot(gate.key, token=slot.token, seconds=gate.lease)
        try:
            kept = await port.call(command._replace(patience=gate.lease / 3))
        except BackendError as error:
            self.recorder.backend_failed(gate.tally, "keep", error)
            kept = port.monotonic() < slot.until  # then the next try may still be in time
        else:
            slot.until = asked + gate.lease
        if not kept:
            slot.lost = True
            self.recorder.emit(SlotLost(gate.tally.pattern, gate.key))
        return bool(kept)

    def _without_redis(self, gate: Gate, token: str) -> LimitDecision:
        rule = gate.rule
        left = gate.limit if rule.on_failure == "open" else None
        if rule.on_failure == "local":
            left = self._local.take(gate.key, token, gate.limit)
        allowed = left is not None
        decision = _decision(gate, allowed=allowed, left=left or 0, wait=_SOON, degraded=True)
        if self.recorder.hooks:
            self.recorder.emit(LimitDegraded(gate.tally.pattern, rule.on_failure, allowed or rule.shadow))
        return decision if allowed else self._refuse(gate, decision)

    def _refuse(self, gate: Gate, decision: LimitDecision) -> LimitDecision:
        gate.tally.limited += 1
        if self.recorder.hooks:
            self.recorder.emit(
                Limited(
                    gate.tally.pattern,
                    gate.key,
                    decision.refused_by,
                    1,
                    decision.retry_after,
                    shadow=gate.rule.shadow,
                    degraded=decision.degraded,
                )
            )
        if gate.rule.shadow:
            return LimitDecision(True, decision.policies, decision.degraded, True)
        return decision


def _decision(gate: Gate, *, allowed: bool, left: int = 0, wait: float = 0.0, degraded: bool = False) -> LimitDecision:
    pause = 0.0 if allowed else wait
    policy = PolicyDecision(_POLICY, allowed, gate.limit, left if allowed else 0, pause, pause, inf)
    return LimitDecision(allowed, (policy,), degraded, gate.rule.shadow)
