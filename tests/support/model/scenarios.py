"""The mixtures of callers, changes and troubles that are worth trying.

Each is small: two or three callers and one or two changes show nearly every mistake, and the fewer there are, the more
of their orders are tried.
"""

from __future__ import annotations

from typing import Final

from holdfast.policy.freshness import Leeway
from support.model.scenario import ALL_PLACES, GRACE, LEASE, Scenario

_LOOPS: Final = ("loop", "loop", "other loop")
_STALE: Final = Leeway(GRACE, GRACE)
_NEAR: Final = 5.0
_NEAR_LEAPS: Final = (_NEAR, _NEAR / 2, 0.01)

_KEY: Final = (
    Scenario("key: two processes", places=("loop", "loop", "thread")),
    Scenario("key: threads and loops", processes=1, places=ALL_PLACES, most_changes=2),
    Scenario("key: followers", processes=1, places=_LOOPS, troubles=("cancel", "evict"), late=("fetch",)),
    Scenario("key: troubles", troubles=("kill", "cancel", "evict", "leap", "twin"), failing=0.15, most_changes=2),
    Scenario("key: closed loops", places=("loop", "other loop", "thread"), troubles=("close_loop", "cancel"),
             processes=1),
    Scenario("key: sent twice", troubles=("twin",), rate=0.1, sent_twice=("acquire",), most_callers=2),
    Scenario("key: slow loads", troubles=("leap",), most_troubles=4, rate=0.06, leaps=(LEASE / 3 + 1,)),
    Scenario("key: waiting", slow=0.8, places=("loop",), least_callers=2, most_callers=2, layout=(0.0, 1.0, 0.0),
             filled=0.0),
    Scenario("key: failing", failing=0.6, places=("loop", "thread"), most_callers=4),
    Scenario("key: many", callers=("fetch_many", "fetch_many", "fetch"), changes=("delete",),
             places=("loop", "thread")),
    Scenario("key: many, troubles", callers=("fetch_many", "fetch"), changes=("invalidate",), failing=0.1,
             troubles=("kill", "cancel", "evict", "leap")),
    Scenario("key: readers", callers=("fetch", "fetch", "info"), late=("read", "read_many", "info"), most_changes=2),
    Scenario("key: refresh", callers=("fetch", "commit", "refresh"), changes=("refresh", "invalidate"),
             most_changes=2),
    Scenario("key: refresh many", callers=("fetch_many", "fetch", "commit"), changes=("refresh_many", "delete"),
             most_changes=2),
    Scenario("key: refresh, troubles", callers=("fetch", "refresh"), changes=("refresh",),
             troubles=("leap", "evict")),
    Scenario("key: set", callers=("fetch", "fetch", "read"), changes=("write", "write_many")),
    Scenario("key: nested", callers=("nested", "nested", "fetch"), changes=("delete",), late=("nested",),
             cluster=0.0, processes=1, places=ALL_PLACES, options={"wait": float("inf")}),
    Scenario("key: nested, apart", callers=("nested", "nested", "fetch"), changes=("delete",),
             late=("nested", "read_many"), cluster=0.0, troubles=("cancel", "kill")),
)  # fmt: skip
_TAG: Final = (
    Scenario("tag: two processes", changes=("hard",), tags="declared"),
    Scenario("tag: followers", changes=("hard",), tags="declared", processes=1, places=_LOOPS),
    Scenario("tag: and key", changes=("hard", "invalidate", "soft"), tags="declared", most_changes=3),
    Scenario("tag: lost", changes=("hard",), tags="declared", most_changes=2, troubles=("evict", "leap", "twin")),
    Scenario("tag: sent twice", changes=("hard",), tags="declared", troubles=("twin",), rate=0.1,
             sent_twice=("tag_versions",), filled=0.0),
    Scenario("tag: followers, lost", changes=("hard",), tags="declared", troubles=("evict",), rate=0.2,
             most_callers=4, most_troubles=1, evicted=b"m:tag", filled=0.0, processes=1, places=("loop",)),
    Scenario("tag: many", callers=("fetch_many", "fetch"), changes=("hard",), tags="declared", troubles=("evict",)),
    Scenario("tag: derived, many", callers=("fetch_many", "fetch"), changes=("hard",), tags="derived", cluster=0.5),
    Scenario("tag: set", callers=("fetch", "read"), changes=("write",), tags="declared"),
    Scenario("tag: derived", changes=("hard",), tags="derived", cluster=0.5),
    Scenario("tag: derived, followers", changes=("hard", "invalidate"), tags="derived", processes=1, places=_LOOPS),
    Scenario("tag: derived, lost", changes=("hard",), tags="derived", troubles=("evict",), rate=0.06,
             evicted=b"m:tag", cluster=0.5),
    Scenario("tag: of the entry", changes=("hard",), tags="entry", options={"derives": False}, most_changes=2),
)  # fmt: skip
_STALE_ONES: Final = (
    Scenario("stale: soft", filled=0.8, aged=0.6, changes=("soft", "hard"), tags="declared", most_changes=2,
             options={"leeway": _STALE}),
    Scenario("stale: old", filled=0.8, aged=0.6, changes=("invalidate", "expire"), troubles=("leap", "evict"),
             options={"leeway": _STALE}),
    Scenario("stale: if error", filled=0.8, aged=0.6, changes=("soft", "hard"), tags="declared", failing=0.4,
             most_changes=2, troubles=("leap", "cancel", "kill"), options={"leeway": Leeway(0.0, GRACE)}),
    Scenario("stale: key, if error", filled=1.0, aged=0.8, failing=0.5, places=("loop",), troubles=("leap",),
             options={"leeway": Leeway(0.0, GRACE)}),
    Scenario("stale: followers", filled=0.8, aged=0.6, changes=("soft", "hard"), tags="declared", failing=0.3,
             processes=1, places=_LOOPS, troubles=("leap",), options={"leeway": _STALE}),
    Scenario("stale: early refresh", filled=0.8, aged=0.6, changes=("invalidate",), troubles=("leap",),
             options={"beta": 1000.0}),
    Scenario("stale: many", callers=("fetch_many", "fetch"), filled=0.8, aged=0.6, changes=("soft", "hard"),
             tags="declared", failing=0.2, most_changes=2, troubles=("leap", "cancel"), options={"leeway": _STALE}),
    Scenario("stale: slow loads", filled=0.8, aged=0.6, changes=("hard", "invalidate"), tags="declared",
             troubles=("leap", "cancel"), options={"leeway": _STALE, "soft_timeout": 0.01, "hard_timeout": 0.5}),
)  # fmt: skip
_NEAR_ONES: Final = (
    Scenario("near: key", callers=("fetch", "fetch", "read"), near=_NEAR, filled=0.8, leaps=_NEAR_LEAPS,
             most_changes=2),
    Scenario("near: own process", callers=("fetch", "read"), near=_NEAR, filled=0.8, processes=1, leaps=_NEAR_LEAPS),
    Scenario("near: tag", changes=("hard", "soft"), tags="declared", near=_NEAR, filled=0.8, leaps=_NEAR_LEAPS,
             options={"leeway": _STALE}),
    Scenario("near: cut off", near=_NEAR, filled=0.8, troubles=("cut",), rate=0.1, layout=(0.9, 0.1, 0.9),
             leaps=_NEAR_LEAPS),
    Scenario("near: lost messages", near=_NEAR, filled=0.8, loss=0.8, troubles=("leap",), rate=0.1, most_troubles=4,
             layout=(0.8, 0.1, 0.9), eager=0.2, leaps=(_NEAR / 2 + 0.1,) * 5),
    Scenario("near: many", callers=("fetch_many", "fetch"), near=_NEAR, filled=0.8, leaps=_NEAR_LEAPS,
             changes=("invalidate",)),
    Scenario("near: refresh", callers=("fetch", "refresh"), near=_NEAR, filled=0.8, leaps=_NEAR_LEAPS),
)  # fmt: skip
_PURE: Final = (
    Scenario("pure: two processes", keeps=False),
    Scenario("pure: followers", keeps=False, most_callers=4, most_changes=2),
    Scenario("pure: many", keeps=False, most_callers=5, most_changes=2, troubles=("leap", "evict"), rate=0.1,
             most_troubles=4, places=("loop",), leaps=(0.6, 0.6, 5.1), least_callers=2, layout=(0.3, 0.9, 0.2),
             filled=0.0, eager=0.4),
    Scenario("pure: troubles", keeps=False, failing=0.15, troubles=("kill", "cancel", "leap", "evict", "twin")),
)  # fmt: skip
_FAILURES: Final = (
    Scenario("failures: commands", troubles=("fail", "fail", "twin"), most_changes=2, most_troubles=4),
    Scenario("failures: tags", troubles=("fail",), changes=("hard", "invalidate"), tags="declared", most_troubles=3),
    Scenario("failures: many", callers=("fetch_many", "fetch"), troubles=("fail",), most_troubles=3,
             changes=("hard", "delete"), tags="declared"),
    Scenario("failures: raised", troubles=("fail",), bypass=False, most_troubles=3, most_changes=2),
    Scenario("failures: near", troubles=("fail", "cut"), near=_NEAR, most_troubles=3, leaps=_NEAR_LEAPS),
    Scenario("failures: stored", failing=0.5, refusing=0.7, options={"errors": True}, tags="declared",
             changes=("hard", "invalidate")),
    Scenario("failures: no deadline", troubles=("kill", "leap", "cancel"), loss=0.5, options={"wait": float("inf")}),
    Scenario("failures: short waits", troubles=("leap", "fail"), options={"wait": 0.05}, changes=("invalidate",)),
    Scenario("failures: no waits", callers=("fetch", "refresh"), options={"wait": 0.02, "on_wait_timeout": "raise"}),
)  # fmt: skip
SCENARIOS: Final = {
    scenario.name: scenario for scenario in (*_KEY, *_TAG, *_STALE_ONES, *_NEAR_ONES, *_PURE, *_FAILURES)
}
