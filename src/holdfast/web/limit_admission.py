"""One request that is let in: what it holds until its response is complete, and what it is charged then."""

from __future__ import annotations

import logging

from holdfast._calls import drive
from holdfast.call_names import value_of
from holdfast.core.held_slot import Slot
from holdfast.core.limit_changes import settle
from holdfast.core.slots import Gate
from holdfast.engine import Engine
from holdfast.limit_rules import checked_cost
from holdfast.policy.decision import LimitDecision
from holdfast.policy.http.fields import Pairs
from holdfast.port import Port, promise
from holdfast.web.limit_options import EdgePlan
from holdfast.web.limit_writing import RawPairs

_log = logging.getLogger("holdfast")


class Admission:
    """What was decided about one request, and what is left to do when its response is complete."""

    __slots__ = ("_decision", "_decisions", "_engine", "_plan", "_port", "_settles", "_slots", "_watched")

    def __init__(self, engine: Engine, port: Port, plan: EdgePlan, decision: LimitDecision | None = None) -> None:
        self._engine = engine
        self._port = port
        self._plan = plan
        self._decisions: list[LimitDecision] = [] if decision is None else [decision]
        self._watched: list[LimitDecision] = []
        self._decision = decision
        self._slots: list[tuple[Gate, Slot]] = []
        self._settles = plan.settle is not None

    @property
    def goes_on(self) -> bool:
        """Whether nothing has refused it so far."""
        return all(decision.allowed for decision in self._decisions)

    @property
    def holds(self) -> bool:
        """Whether something is left to do when the response is complete."""
        return self._settles or bool(self._slots)

    @property
    def settles(self) -> bool:
        """Whether it has to be told of the response, for its cost."""
        return self._settles

    @property
    def decision(self) -> LimitDecision:
        """What all rules together say; of those that only watch, only if there are no others."""
        if self._decision is None:
            told = self._decisions or self._watched
            self._decision = told[0] if len(told) == 1 else _together(told)
        return self._decision

    def fields(self) -> Pairs:
        """Return the fields that tell of it."""
        return self._plan.writer.write(self.decision)

    def raw_fields(self) -> RawPairs:
        """Return them as ASGI has them."""
        return self._plan.writer.write_raw(self.decision)

    def note(self, decision: LimitDecision) -> None:
        """Note what was decided under some rules; a refusal is all that counts."""
        if decision.shadow:
            self._watched.append(decision)
        elif decision.allowed:
            self._decisions.insert(0, decision)
        else:
            self._decisions = [decision]

    async def take(self, gate: Gate) -> bool:
        """Take a slot; say whether the request may go on."""
        slot = await self._engine.slots.take(self._port, gate)
        if slot.decision.allowed:
            self._slots.append((gate, slot))
        self.note(slot.decision)
        return slot.decision.allowed

    async def give_back(self) -> None:
        """Give back the slots; those that it holds no more are nothing to it. Being interrupted loses none."""
        error: BaseException | None = None
        while self._slots:
            gate, slot = self._slots.pop()
            try:
                await self._engine.slots.give_back(self._port, gate, slot)
            except BaseException as raised:  # it is raised below, when all are given back
                error = raised
        if error is not None:
            raise error

    async def settle(self, status: int, pairs: Pairs, size: int) -> None:
        """Charge what the request has cost in truth, once, also if the caller is cancelled meanwhile.

        Args:
            status: of the response.
            pairs: its fields.
            size: bytes of the body that were sent.
        """
        if not self._settles:
            return
        self._settles = False
        done = promise()
        self._port.start(self._charge(status, pairs, size), lambda: done.set_result(None))
        await self._port.wait(done, None)

    async def _charge(self, status: int, pairs: Pairs, size: int) -> None:
        """Ask the user what the request has cost, and charge that. What the user's function raises is logged."""
        function = self._plan.settle
        try:
            actual = None if function is None else await value_of(function(status, pairs, size))
            units = checked_cost(actual, "what settle= returns") if actual is not None else None
        except Exception:
            _log.exception("settle= has failed, so that the estimate stays charged")
            return
        for decision in (*self._decisions, *self._watched):
            if units is not None and decision.charge is not None and decision.cost != units:
                await settle(self._engine.limiting, self._port, decision, units)

    def finish(self, status: int | None = None, pairs: Pairs = (), size: int = 0) -> None:
        """Give everything back, and charge what the request has cost. For blocking callers.

        Args:
            status: of the response; None if there was none, and then the estimate stays charged.
            pairs: its fields.
            size: bytes of the body that were sent.
        """
        drive(self.afinish(status, pairs, size))

    async def afinish(self, status: int | None = None, pairs: Pairs = (), size: int = 0) -> None:
        """Do what `finish` does, for async callers."""
        try:
            await self.give_back()
        finally:
            if status is not None:
                await self.settle(status, pairs, size)


def _together(decisions: list[LimitDecision]) -> LimitDecision:
    """Return what several decisions about one request say."""
    return LimitDecision(
        all(each.allowed for each in decisions),
        tuple(policy for each in decisions for policy in each.policies),
        any(each.degraded for each in decisions),
        any(each.shadow for each in decisions),
        max(each.cost for each in decisions),
        next((each.charge for each in decisions if each.charge is not None), None),
    )
