"""Returning what was found: fresh, or stale where that is allowed. Here calls are counted and told of."""

from __future__ import annotations

from typing import Any, Literal

from holdfast.core.call import Call, Look, Reason
from holdfast.core.plan import Outcome, Plan
from holdfast.core.reading import Reading
from holdfast.core.records import Recorder
from holdfast.events import Hit, Miss, Stale
from holdfast.policy.frame import Frame, Unreadable
from holdfast.policy.freshness import may_retry
from holdfast.port import Port

WhyStale = Literal["grace", "error", "retry", "timeout", "wait"]


class Serving:
    """Turns what was found into what a caller gets."""

    def __init__(self, reading: Reading, recorder: Recorder) -> None:
        self._reading = reading
        self._recorder = recorder

    def serve(self, port: Port, call: Call) -> Outcome | None:
        """Return what was found if it may be returned as it is; None if it has to be loaded."""
        plan, frame = call.plan, call.look.candidate
        if frame is None:
            return None
        if call.look.verdict == "fresh":
            return self._hit(call, frame)
        now = port.now()
        if plan.leeway.within_grace(frame, now):
            return self.stale(call, "grace")
        if plan.leeway.within_error_window(frame, now) and not may_retry(frame, now):
            return self.stale(call, "retry")
        return None

    def _hit(self, call: Call, frame: Frame) -> Outcome | None:
        value, error = self._decode(call, frame)
        if call.look.verdict != "fresh":
            return None
        self.count_hit(call.plan, call.key)
        if error is not None:
            raise error
        return value, "hit", call.look.raw

    def stale(self, call: Call, why: WhyStale) -> Outcome | None:
        """Return the stale value that this caller has read for itself; None if it has none that can be decoded."""
        plan, frame = call.plan, call.look.candidate
        if frame is None:
            return None
        value, error = self._decode(call, frame)
        if call.look.candidate is None:
            return None
        plan.tally.stale += 1
        if why in {"grace", "retry"}:
            plan.tally.hits += 1
        if self._recorder.hooks:
            self._recorder.emit(Stale(plan.tally.pattern, call.key, why))
        if error is not None:
            raise error
        return value, "stale", call.look.raw

    def _decode(self, call: Call, frame: Frame) -> tuple[Any, BaseException | None]:
        """Return the value in a frame, and the error that it holds instead; note in `call` if there is neither."""
        codec = call.plan.codec
        try:
            if frame.is_error:
                return None, codec.error(frame, call.plan.errors)
            return codec.value(frame), None
        except Unreadable as unreadable:
            self._reading.unreadable(call.plan, call.key, unreadable)
            call.look = Look("unreadable", call.look.raw)
            return None, None

    def count_hit(self, plan: Plan, key: str) -> None:
        """Count and tell that a fresh entry was returned."""
        plan.tally.hits += 1
        if self._recorder.hooks:
            self._recorder.emit(Hit(plan.tally.pattern, key))

    def count_miss(self, plan: Plan, key: str, reason: Reason) -> None:
        """Count and tell that there is no usable entry."""
        plan.tally.misses += 1
        if self._recorder.hooks:
            self._recorder.emit(Miss(plan.tally.pattern, key, reason))
