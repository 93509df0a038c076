"""Concurrency slots: how many may do something at the same time, over all processes.

A slot is a lease: who holds one renews it, and the slot of a holder that died comes back when its lease has run out.
Taking and giving back may be sent twice, since the token says whose it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Final
from weakref import ref

from holdfast._local_slots import LocalSlots
from holdfast.core.held_slot import Slot
from holdfast.core.leaving import Leaving, Left
from holdfast.core.limit_checks import Rule
from holdfast.core.records import Recorder, Tally
from holdfast.errors import BackendError, BackendTimeout
from holdfast.events import LimitDegraded, Limited, SlotLost
from holdfast.policy.decision import LimitDecision, PolicyDecision
from holdfast.port import Port
from holdfast.scripts import limits as scripts

_POLICY: Final = "concurrency"
_SOON: Final = 1.0
"""Seconds after which it is worth trying again: a holder may give its slot back at any time."""
_RENEWED: Final = 1 / 3
_RENEWED_AGAIN: Final = 1 / 10
"""Of a lease: the pause before its next renewal, and before the next try of one that has failed."""
_LONGEST: Final = 0.1
"""Seconds that a renewal may take where Redis is not known to be slower: those of all threads follow one another."""
_SLOWER: Final = 4.0
"""How many times as long as taking a slot took keeping it may take."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What is limited, and how."""

    key: str
    limit: int
    lease: float
    rule: Rule
    tally: Tally
    policy: str = _POLICY
    """What it is called in decisions."""


class Slots:
    """Takes slots, keeps them, and gives them back."""

    def __init__(self, recorder: Recorder, local: LocalSlots) -> None:
        self.recorder = recorder
        self._local = local
        self._leaving = Leaving(recorder, scripts.leave_slot)
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
        doubted = Left(gate.key, token, gate.lease, doubted_until=asked + gate.lease)
        try:
            taken, left, first = await port.call(command._replace(patience=gate.rule.budget))
        except BackendError as error:
            self.recorder.backend_failed(gate.tally, "take", error)
            late = isinstance(error, BackendTimeout)  # else it was executed, or never will be
            lost = doubted if late else doubted._replace(doubted_until=0.0)
            slot = Slot(token, self._without_redis(gate, token), self._process, lost.doubted_until)
            if not slot.decision.allowed:  # nobody will give it back, and it may have been taken all the same
                self._leaving.renounce(port, lost)
            return slot
        except BaseException:
            self._leaving.renounce_at_last(port, doubted)
            raise
        if not taken:
            wait = min(_SOON, first / 1000)
            return Slot(token, self._refuse(gate, _decision(gate, allowed=False, wait=wait)), self._process)
        slot = Slot(token, _decision(gate, allowed=True, left=left), self._process)
        slot.prolong(asked + gate.lease)
        took = port.monotonic() - asked
        self._leaving.note_pace(took)
        patience = max(min(_LONGEST, gate.lease * _RENEWED_AGAIN), min(_SLOWER * took, gate.lease * _RENEWED))
        patience = min(patience, gate.rule.budget)
        self._renew_after(port, gate, slot, gate.lease * _RENEWED, patience)
        return slot

    def pretend(self, gate: Gate) -> Slot:
        """Return a slot that was not asked for: the layer is disabled."""
        return Slot("", _decision(gate, allowed=True, left=gate.limit))

    async def give_back(self, port: Port, gate: Gate, slot: Slot) -> None:
        """Give a slot back, also one that may have been taken without our hearing of it."""
        if not slot.is_of(self._process):
            return
        self.abandon(gate, slot)
        if slot.decision.refused_by and not slot.decision.degraded:
            return  # only watched: it has none
        left = Left(gate.key, slot.token, gate.lease, slot.doubted_until)
        await self._leaving.leave(port, left, gate.rule.budget, gate.tally)

    def abandon(self, gate: Gate, slot: Slot) -> None:
        """Renew a slot no more, so that it comes back when its lease has run out. It asks nobody."""
        slot.end_renewals()
        self._local.leave(gate.key, slot.token)

    def _renew_after(self, port: Port, gate: Gate, slot: Slot, pause: float, patience: float) -> None:
        """Renew a slot after a pause, and again, for as long as somebody has the object: it may have been forgotten."""
        work = partial(self._renew, port, gate, ref(slot), pause, patience)
        slot.renew_by(port.every(pause, work))

    async def _renew(self, port: Port, gate: Gate, held: ref[Slot], pause: float, patience: float) -> bool:
        """Renew a slot; say whether to go on with this pause."""
        slot = held()
        if slot is None or slot.is_left:
            return False
        asked = port.monotonic()
        command = scripts.keep_slot(gate.key, token=slot.token, seconds=gate.lease)
        next_pause = gate.lease * _RENEWED
        try:
            kept = await port.call(command._replace(patience=patience))
        except BackendError as error:
            if slot.is_left:
                return False
            self.recorder.backend_failed(gate.tally, "keep", error)
            kept = not slot.has_run_out(port.monotonic())  # then the next try may still be in time
            next_pause = gate.lease * _RENEWED_AGAIN
        else:
            slot.prolong(asked + gate.lease)
        if slot.is_left:  # it was given back meanwhile: what became of it is nobody's concern
            return False
        if not kept:
            slot.lost = True
            self.recorder.emit(SlotLost(gate.tally.pattern, gate.key))
            return False
        if next_pause != pause:
            self._renew_after(port, gate, slot, next_pause, patience)
        return next_pause == pause

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
    policy = PolicyDecision(gate.policy, allowed, gate.limit, left if allowed else 0, pause, pause, inf)
    return LimitDecision(allowed, (policy,), degraded, gate.rule.shadow)
