"""The mixtures of locks, callers and troubles that are worth trying."""

from __future__ import annotations

from typing import Final

from support.lock_world_scenario import LockScenario

_BAD: Final = ("kill", "freeze", "cancel", "cancel", "fail", "hold_up", "twin", "cut")
_SLOW: Final = ("hold_up", "hold_up", "fail", "cancel", "twin")
_LEASES: Final = (3.0, 3.0, 8.0)
_MIXED: Final = ("loop", "thread")

SCENARIOS: Final = {
    scenario.name: scenario
    for scenario in (
        LockScenario("plain: calm", loss=0.2, lifetimes=(None, None, 2.0)),
        LockScenario("plain: bad", troubles=_BAD, loss=0.2, leases=_LEASES, places=_MIXED),
        LockScenario("plain: stopped", troubles=("freeze", "freeze", "kill", "cancel"), rate=0.06, most_troubles=4),
        LockScenario("plain: slow", troubles=_SLOW, rate=0.06, most_troubles=5, leases=_LEASES),
        LockScenario("plain: slow, stopped", troubles=("hold_up", "hold_up", "freeze"), rate=0.06, most_troubles=5),
        LockScenario("plain: writers", troubles=("freeze",), rate=0.08, most_troubles=4, rounds=6, stays=(0.01,)),
        LockScenario("plain: failover", troubles=("failover", "failover", "cancel", "kill"), rate=0.02, leases=_LEASES),
        LockScenario("plain: numbers", troubles=("failover", "evict", "cancel"), rate=0.03, waits=(None,)),
        LockScenario("plain: cancelled", troubles=("cancel",), rate=0.08, most_troubles=6, places=_MIXED),
        LockScenario("fair: calm", ("fair",), loss=0.2, users=4),
        LockScenario("fair: bad", ("fair",), troubles=_BAD, loss=0.2, leases=_LEASES, places=_MIXED, users=4),
        LockScenario("fair: stopped", ("fair",), troubles=("freeze", "freeze", "kill", "cancel"), rate=0.06,
                     most_troubles=4, processes=3, users=4),
        LockScenario("fair: slow", ("fair",), troubles=_SLOW, rate=0.06, most_troubles=5),
        LockScenario("fair: failover", ("fair",), troubles=("failover", "cancel", "kill"), rate=0.02),
        LockScenario("fair: cancelled", ("fair",), troubles=("cancel",), rate=0.08, most_troubles=6, users=4),
        LockScenario("plain and fair", ("plain", "fair"), troubles=_BAD, loss=0.1, places=_MIXED),
        LockScenario("permits: bad", ("permit",), 2, troubles=_BAD, loss=0.2, users=4, places=_MIXED),
        LockScenario("permits: cancelled", ("permit",), 1, troubles=("cancel", "hold_up"), rate=0.06, users=4,
                     most_troubles=5),
        LockScenario("permits: slow", ("permit",), 2, troubles=(*_SLOW, "freeze"), rate=0.06, most_troubles=5),
        LockScenario("permits: failover", ("permit",), 2, troubles=("failover", "cancel", "freeze"), rate=0.02),
        LockScenario("readers: bad", ("reader", "reader", "writer"), troubles=_BAD, loss=0.2, users=4),
        LockScenario("readers: stopped", ("reader", "writer"), troubles=("freeze", "kill", "cancel"), rate=0.06,
                     processes=3, users=4, most_troubles=4),
        LockScenario("readers: slow", ("reader", "writer"), troubles=_SLOW, rate=0.06, most_troubles=5),
        LockScenario("several: bad", ("several", "several", "plain"), troubles=_BAD, loss=0.2),
        LockScenario("several: cancelled", ("several", "plain"), troubles=("cancel", "fail"), rate=0.06,
                     most_troubles=5, places=_MIXED),
    )
}  # fmt: skip
