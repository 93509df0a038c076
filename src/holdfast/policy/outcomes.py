"""What the answers to a client need to know of a decision.

The values are in `decision`, which makes the answers from them, so it cannot be imported here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Named(Protocol):
    """Something with a name."""

    @property
    def name(self) -> str:
        """The name."""
        ...


class Outcome(Protocol):
    """What a decision, or one policy's part in it, says about waiting."""

    @property
    def allowed(self) -> bool:
        """Whether it admits the call."""
        ...

    @property
    def limit(self) -> int:
        """Units that it permits in its period."""
        ...

    @property
    def remaining(self) -> int:
        """Units that are left."""
        ...

    @property
    def reset(self) -> float:
        """Seconds until all of them are back."""
        ...

    @property
    def retry_after(self) -> float:
        """Seconds to wait after a refusal; infinite if waiting does not help."""
        ...


class PolicyOutcome(Outcome, Protocol):
    """One policy's part in a decision."""

    @property
    def name(self) -> str:
        """The policy's name."""
        ...

    @property
    def per(self) -> float:
        """The period in seconds; infinite for what is counted at the same time."""
        ...


class Decided(Outcome, Protocol):
    """A decision, with the numbers of the policy that decides."""

    @property
    def policies(self) -> Sequence[PolicyOutcome]:
        """What each policy says."""
        ...

    @property
    def degraded(self) -> bool:
        """Whether it was made without Redis."""
        ...

    @property
    def shadow(self) -> bool:
        """Whether the call goes on although it was refused."""
        ...
