"""What a scenario is: who takes part and how likely, what troubles them, and how entries are kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, Literal

from holdfast.codec import Codec
from holdfast.core.plan import Derivation, Plan
from holdfast.core.records import Tally
from holdfast.policy.freshness import Leeway
from holdfast.policy.lifetime import Lifetime
from holdfast.serializers import Serializers

KEY: Final = "m:cache:{k}"
OUTER: Final = "m:cache:{o}"
"""An entry that is made of the other, or of nothing in common with it."""
PURE: Final = "m:flight:{k}"
TAG: Final = "t"
ALL_PLACES: Final = ("loop", "loop", "other loop", "thread", "sync in loop")
TTL: Final = 60.0
GRACE: Final = 40.0
LEASE: Final = 30.0
WAIT: Final = 50.0


class Refused(Exception):  # noqa: N818 - what happened
    """A loader fails with what is stored like a result: the value that it saw."""


@cache
def _codec() -> Codec:
    return Codec(Serializers(), "json", Any)


def _tags_of(value: object) -> tuple[str, ...]:
    return (TAG,)


@dataclass(frozen=True)
class Scenario:
    """A mixture. Chance takes from it."""

    name: str
    callers: tuple[str, ...] = ("fetch",)
    changes: tuple[str, ...] = ("invalidate",)
    late: tuple[str, ...] = ()
    """Those that begin when a change has returned; the same as the others if there are none."""
    processes: int = 2
    least_callers: int = 1
    most_callers: int = 3
    """How many more than that, at most, and one less; as many begin late."""
    most_changes: int = 1
    places: tuple[str, ...] = ("loop", "thread")
    troubles: tuple[str, ...] = ()
    most_troubles: int = 2
    rate: float = 0.03
    """How likely there is trouble at each step."""
    evicted: bytes = b""
    """What the keys begin with that may be lost."""
    layout: tuple[float, float, float] = (0.7, 0.4, 0.6)
    """How likely callers, changes and late callers are in the first process."""
    eager: float = 0.7
    """How likely late callers begin as soon as a change has returned, and not when everybody else is through."""
    sent_twice: tuple[str, ...] = (
        "acquire",
        "fill",
        "tag_versions",
        "tag_invalidate",
        "invalidate",
        "abandon",
        "renew",
    )
    cluster: float = 0.3
    loss: float = 0.0
    failing: float = 0.0
    """How likely a load fails."""
    refusing: float = 0.0
    """How likely it fails with what is stored."""
    slow: float = 0.5
    """How likely it takes long."""
    tags: Literal["", "declared", "derived", "entry"] = ""
    keeps: bool = True
    near: float = 0.0
    bypass: bool = True
    filled: float = 0.3
    """How likely there is an entry at the beginning."""
    aged: float = 0.0
    """How likely time passes then."""
    options: dict[str, Any] = field(default_factory=dict)
    leaps: tuple[float, ...] = (TTL + 1, TTL / 2)

    @property
    def may_time_out(self) -> bool:
        """Whether callers may get an error because a load takes long."""
        return "hard_timeout" in self.options or self.options.get("on_wait_timeout") == "raise"

    def plan(self) -> Plan:
        """Return how the entries are kept, for one process."""
        given = dict(self.options)
        if self.tags == "derived":
            given["tags_of"] = _tags_of
        if self.tags in {"derived", "entry"}:
            given["derivation"] = Derivation(given.pop("derives", True))
        if given.get("errors"):
            given["errors"] = (Refused,)
        leeway = given.pop("leeway", Leeway())
        return Plan(
            _codec(), Lifetime.of(TTL), Tally(self.name), keeps=self.keeps, leeway=leeway, lease=LEASE, near=self.near,
            **{"wait": WAIT, **given},
        )  # fmt: skip

    def bare_plan(self) -> Plan:
        """Return the plan of who knows only the name: nothing stale, no tags."""
        return Plan(_codec(), Lifetime.of(TTL), Tally("bare"))
