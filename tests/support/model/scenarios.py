"""The mixtures of callers, changes and troubles that are worth trying."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, Literal

from holdfast.codec import Codec
from holdfast.core.plan import Derivation, Plan
from holdfast.core.records import Tally
from holdfast.policy.freshness import Leeway
from holdfast.policy.lifetime import Lifetime
from holdfast.serializers import Serializers

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
    return ("t",)


@dataclass(frozen=True)
class Scenario:
    """A mixture. Chance takes from it."""

    name: str
    callers: tuple[str, ...] = ("fetch",)
    changes: tuple[str, ...] = ("invalidate",)
    late: tuple[str, ...] = ()
    """Those that begin when a change has returned; the same as the others if there are none."""
    processes: int = 2
    most_callers: int = 3
    most_changes: int = 1
    places: tuple[str, ...] = ("loop", "thread")
    troubles: tuple[str, ...] = ()
    most_troubles: int = 2
    cluster: float = 0.3
    loss: float = 0.0
    failing: float = 0.0
    """How likely a load fails."""
    refusing: float = 0.0
    """How likely it fails with what is stored."""
    tags: Literal["", "declared", "derived", "entry"] = ""
    keeps: bool = True
    near: float = 0.0
    options: dict[str, Any] = field(default_factory=dict)
    leaps: tuple[float, ...] = (TTL + 1, TTL / 2)

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


_LOOPS: Final = ("loop", "loop", "other loop")
_STALE: Final = Leeway(GRACE, GRACE)
_NEAR: Final = 5.0
_NEAR_LEAPS: Final = (_NEAR, _NEAR / 2, 0.01)

_KEY: Final = (
    Scenario("key: two processes", places=("loop", "loop", "thread")),
    Scenario("key: threads and loops", processes=1, places=ALL_PLACES, most_changes=2),
    Scenario("key: followers", processes=1, places=_LOOPS, troubles=("cancel", "evict"), late=("fetch",)),
    Scenario("key: troubles", troubles=("kill", "cancel", "evict", "leap", "twin"), failing=0.15, most_changes=2),
    Scenario("key: sent twice", troubles=("twin",), most_troubles=3),
    Scenario("key: slow loads", troubles=("leap",), most_troubles=4, most_changes=2),
    Scenario("key: readers", callers=("fetch", "fetch", "info"), late=("read", "read_many", "info"), most_changes=2),
    Scenario("key: refresh", callers=("fetch", "commit", "refresh"), changes=("refresh", "invalidate"), most_changes=2),
    Scenario("key: refresh, troubles", callers=("fetch", "refresh"), changes=("refresh",), troubles=("leap", "evict")),
    Scenario("key: set", callers=("fetch", "fetch", "read"), changes=("write",)),
    Scenario("key: delete", callers=("fetch",), changes=("delete",), late=("fetch", "read_many")),
)
_TAG: Final = (
    Scenario("tag: two processes", changes=("hard",), tags="declared"),
    Scenario("tag: followers", changes=("hard",), tags="declared", processes=1, places=_LOOPS),
    Scenario("tag: and key", changes=("hard", "invalidate", "soft"), tags="declared", most_changes=3),
    Scenario("tag: lost", changes=("hard",), tags="declared", most_changes=2, troubles=("evict", "leap", "twin")),
    Scenario("tag: sent twice", changes=("hard",), tags="declared", troubles=("twin",), most_troubles=3),
    Scenario("tag: followers, lost", changes=("hard",), tags="declared", troubles=("evict",), most_callers=4,
             processes=1, places=("loop",)),
    Scenario("tag: set", callers=("fetch", "read"), changes=("write",), tags="declared"),
    Scenario("tag: derived", changes=("hard",), tags="derived", cluster=0.5),
    Scenario("tag: derived, followers", changes=("hard", "invalidate"), tags="derived", processes=1, places=_LOOPS),
    Scenario("tag: derived, lost", changes=("hard",), tags="derived", troubles=("evict", "twin", "leap"), cluster=0.5),
    Scenario("tag: of the entry", changes=("hard",), tags="entry", options={"derives": False}, most_changes=2),
)
_STALE_ONES: Final = (
    Scenario("stale: soft", changes=("soft", "hard"), tags="declared", most_changes=2, options={"leeway": _STALE}),
    Scenario("stale: old", changes=("invalidate", "expire"), troubles=("leap", "evict"), options={"leeway": _STALE}),
    Scenario("stale: if error", changes=("soft", "hard"), tags="declared", failing=0.4, most_changes=2,
             troubles=("leap", "cancel", "kill"), options={"leeway": Leeway(0.0, GRACE)}),
    Scenario("stale: key, if error", failing=0.5, places=("loop",), troubles=("leap",),
             options={"leeway": Leeway(0.0, GRACE)}),
    Scenario("stale: followers", changes=("soft", "hard"), tags="declared", failing=0.3, processes=1, places=_LOOPS,
             troubles=("leap",), options={"leeway": _STALE}),
    Scenario("stale: early refresh", changes=("invalidate",), troubles=("leap",), options={"beta": 1000.0}),
    Scenario("stale: slow loads", changes=("hard", "invalidate"), tags="declared", troubles=("leap", "cancel"),
             options={"leeway": _STALE, "soft_timeout": 0.01, "hard_timeout": 0.5}),
)
_NEAR_ONES: Final = (
    Scenario("near: key", callers=("fetch", "fetch", "read"), near=_NEAR, leaps=_NEAR_LEAPS, most_changes=2),
    Scenario("near: own process", callers=("fetch", "read"), near=_NEAR, processes=1, leaps=_NEAR_LEAPS),
    Scenario("near: tag", changes=("hard", "soft"), tags="declared", near=_NEAR, leaps=_NEAR_LEAPS,
             options={"leeway": _STALE}),
    Scenario("near: cut off", near=_NEAR, troubles=("cut", "leap"), most_troubles=3, leaps=_NEAR_LEAPS),
    Scenario("near: lost messages", near=_NEAR, loss=0.7, troubles=("leap",), most_troubles=3, leaps=_NEAR_LEAPS),
    Scenario("near: refresh", callers=("fetch", "refresh"), near=_NEAR, leaps=_NEAR_LEAPS),
)
_PURE: Final = (
    Scenario("pure: two processes", keeps=False),
    Scenario("pure: followers", keeps=False, most_callers=4, most_changes=2),
    Scenario("pure: many", keeps=False, most_callers=5, most_changes=2, troubles=("leap",), places=("loop",)),
    Scenario("pure: troubles", keeps=False, failing=0.15, troubles=("kill", "cancel", "leap", "evict", "twin")),
)
_FAILURES: Final = (
    Scenario("failures: commands", troubles=("fail", "fail", "twin"), most_changes=2, most_troubles=4),
    Scenario("failures: tags", troubles=("fail",), changes=("hard", "invalidate"), tags="declared", most_troubles=3),
    Scenario("failures: near", troubles=("fail", "cut"), near=_NEAR, most_troubles=3, leaps=_NEAR_LEAPS),
    Scenario("failures: stored", failing=0.5, refusing=0.7, options={"errors": True}, tags="declared",
             changes=("hard", "invalidate")),
    Scenario("failures: no deadline", troubles=("kill", "leap", "cancel"), loss=0.5, options={"wait": float("inf")}),
    Scenario("failures: short waits", troubles=("leap", "fail"), options={"wait": 0.05}, changes=("invalidate",)),
    Scenario("failures: no waits", callers=("fetch", "refresh"), options={"wait": 0.02, "on_wait_timeout": "raise"}),
)

SCENARIOS: Final = {
    scenario.name: scenario for scenario in (*_KEY, *_TAG, *_STALE_ONES, *_NEAR_ONES, *_PURE, *_FAILURES)
}
