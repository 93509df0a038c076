"""One concurrency slot, as whoever holds it sees it."""

from __future__ import annotations

from holdfast.policy.decision import LimitDecision
from holdfast.port import Cancel


class Slot:
    """One slot that is held, or that nobody can say anything about, as long as Redis is away."""

    __slots__ = (
        "__weakref__",
        "_doubted_until",
        "_is_left",
        "_process",
        "_renewal",
        "_until",
        "decision",
        "lost",
        "token",
    )

    def __init__(self, token: str, decision: LimitDecision, process: object = None, doubted_until: float = 0.0) -> None:
        self.token = token
        """What it is called in Redis."""
        self.decision = decision
        """What was decided when it was taken."""
        self.lost = False
        """Whether its lease has run out while it was held, so that another may have it, too."""
        self._process = process
        self._doubted_until = doubted_until
        self._until = 0.0
        self._is_left = False
        self._renewal: Cancel | None = None

    def __repr__(self) -> str:
        held = "left" if self._is_left else "lost" if self.lost else "held"
        return f"<Slot {held}{', taken without Redis' if self.decision.degraded else ''}>"

    @property
    def is_left(self) -> bool:
        """Whether it was given back, or is being given back."""
        return self._is_left

    @property
    def doubted_until(self) -> float:
        """Until when it may be taken late in Redis, which has not answered; 0 if that cannot happen."""
        return self._doubted_until

    def is_of(self, process: object) -> bool:
        """Say whether it was taken in this process: in a forked child it is the parent's."""
        return self._process is process

    def prolong(self, until: float) -> None:
        """Note when its lease has run out for certain, on the clock that never jumps."""
        self._until = until

    def has_run_out(self, now: float) -> bool:
        """Say whether nobody can know any more that it is still held."""
        return now >= self._until

    def renew_by(self, renewal: Cancel) -> None:
        """Note what ends the renewals."""
        self._renewal = renewal
        if self._is_left:  # meanwhile, by another thread
            self.end_renewals()

    def end_renewals(self) -> None:
        """Renew no more."""
        self._is_left = True
        renewal, self._renewal = self._renewal, None
        if renewal is not None:
            renewal()
