"""Concurrency slots: how many may do something at the same time, over all processes.

A slot is a lease: who holds one renews it, and the slot of a holder that died comes back when its lease has run out.
Taking and giving back may be sent twice, since the token says whose it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from holdfast.core.limit_checks import Rule
from holdfast.core.records import Recorder, Tally
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

    __slots__ = ("_renewal", "decision", "lost", "token")

    def __init__(self, token: str, decision: LimitDecision) -> None:
        self.token = token
        self.decision = decision
        """What was decided when it was taken."""
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

    def __init__(self, recorder: Recorder, replicas: int) -> None:
        self.recorder = recorder
        self._replicas = replicas
        self._here: dict[str, set[str]] = {}
        """Tokens of those that were granted without Redis, by key."""

    async def take(self, port: Port, gate: Gate) -> Slot:
        """Return a slot; its decision says whether it may be used."""
        token = port.token()
        command = scripts.take_slot(gate.key, token=token, limit=gate.limit, seconds=gate.lease)
        asked = port.monotonic()
        try:
            taken, left, first = await port.call(command._replace(patience=gate.rule.budget))
        except BackendError as error:
            self.recorder.backend_failed(gate.tally, "take", error)
            return Slot(token, self._without_redis(gate, token))
        except BaseException:
            port.afterwards(lambda: self._leave(port, gate, token))
            raise
        if not taken:
            return Slot(token, self._refuse(gate, _decision(gate, allowed=False, wait=min(_SOON, first / 1000))))
        slot = Slot(token, _decision(gate, allowed=True, left=left))
        slot.renew_by(port.every(gate.lease / 3, lambda: self._renew(port, gate, slot, asked)))
        return slot

    def pretend(self, gate: Gate) -> Slot:
        """Return a slot that was not asked for: the layer is disabled."""
        return Slot("", _decision(gate, allowed=True, left=gate.limit))

    async def give_back(self, port: Port, gate: Gate, slot: Slot) -> None:
        """Give a slot back, also one that may have been taken without our hearing of it."""
        slot.end_renewals()
        if not slot.token:
            return
        self._here.get(gate.key, set()).discard(slot.token)
        try:
            await self._leave(port, gate, slot.token)
        except BaseException:
            port.afterwards(lambda: self._leave(port, gate, slot.token))
            raise

    async def _leave(self, port: Port, gate: Gate, token: str) -> None:
        command = scripts.leave_slot(gate.key, token=token)
        try:
            await port.call(command._replace(patience=gate.rule.budget))
        except BackendError as error:  # its lease will run out
            self.recorder.backend_failed(gate.tally, "leave", error)

    async def _renew(self, port: Port, gate: Gate, slot: Slot, since: float) -> bool:
        """Renew a slot; say whether to go on."""
        try:
            kept = await port.call(scripts.keep_slot(gate.key, token=slot.token, seconds=gate.lease))
        except BackendError as error:
            self.recorder.backend_failed(gate.tally, "keep", error)
            return True  # it may come back in time; if not, the next answer says so
        if not kept:
            slot.lost = True
            self.recorder.emit(SlotLost(gate.tally.pattern, gate.key))
        return bool(kept)

    def _without_redis(self, gate: Gate, token: str) -> LimitDecision:
        rule = gate.rule
        allowed = rule.on_failure == "open"
        left = gate.limit
        if rule.on_failure == "local":
            share = max(1, gate.limit // self._replicas)
            here = self._here.setdefault(gate.key, set())
            allowed, left = len(here) < share, max(0, share - len(here) - 1)
            if allowed:
                here.add(token)
        decision = _decision(gate, allowed=allowed, left=left, wait=_SOON, degraded=True)
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
    policy = PolicyDecision(_POLICY, allowed, gate.limit, left if allowed else 0, pause, pause, gate.lease)
    return LimitDecision(allowed, (policy,), degraded)
