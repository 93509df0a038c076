"""Redis goes away, forgets or changes while threads and tasks hit limits: each rule answers by its policy, in time."""

from __future__ import annotations

import time
from functools import partial
from typing import Final

import pytest

from faults.limit_callers import BUDGET, POLICIES, SHARE, Callers, calling, check_charges, check_policies
from holdfast import Layer
from holdfast.backend.breaker import LONGEST_PAUSE
from support.programs import oldest
from support.sentinel import Sentinel
from support.standalone import Standalone
from support.waiting import until

SLOW: Final = "?socket_timeout=20&socket_connect_timeout=20"
"""All other time-outs are so long that only the budget can be what callers are held to."""


@pytest.mark.parametrize("how", ["frozen", "killed"])
def test_an_outage_under_load(how: str) -> None:
    """Each rule answers by its policy, within its budget and soon at once; when Redis is back, it decides again."""
    with Standalone(oldest()) as server, Layer(f"{server.url}{SLOW}", replicas=2) as layer:
        callers = Callers(layer)
        with calling(callers) as seen:
            lost = time.monotonic()
            server.pause() if how == "frozen" else server.kill()
            time.sleep(3.0 if how == "frozen" else 1.2)
            server.resume() if how == "frozen" else server.start()
            back = time.monotonic()
            took = callers.recovered(back, within=LONGEST_PAUSE + 10)
        assert not seen.errors
        check_policies(callers)
        if how == "frozen":
            check_charges(callers, layer)
        # A refusal that was known before the outage is believed for a second; then this process counts by itself.
        assert sum(decision.allowed for decision in callers.degraded("local")) == SHARE
        during = [each for each in callers.told if lost + 0.3 < each.began and each.began + each.took < back]
        assert all(each.decision.degraded for each in during if each.policy != "local")
        assert {each.policy for each in during if each.decision.degraded} == set(POLICIES)
        slow, soon = seen.slowest_percent(lost, back), seen.slowest_percent(lost + 0.3, back)
        most = max(took for began, took in seen.calls if began < back)
        print(f"\n{how}: {len(during)} hits, slowest percent {slow:.3f} s, later {soon:.3f} s, slowest {most:.3f} s;")
        print(f"back after {took:.2f} s")
        assert slow < BUDGET + 0.2
        assert most < 1.5
        assert took < LONGEST_PAUSE + 1.5


def test_what_redis_forgets_under_load() -> None:
    """SCRIPT FLUSH is not noticed; after FLUSHALL limits count from 0; Redis decides about every hit."""
    with Standalone(oldest()) as server, Layer(server.url) as layer:
        callers = Callers(layer, budget=20)
        with calling(callers) as seen:
            for times in range(1, 5):
                until(partial(callers.has_admitted, 50 * times), "all is used up")
                server.ask("SCRIPT", "FLUSH")
                callers.recovered(time.monotonic(), within=10)
                server.ask("FLUSHALL")
                layer.engine.limiting.denials.known.clear()  # this process would believe them for a second
        assert not seen.errors
        assert not any(each.decision.degraded for each in callers.told)


def test_connections_that_are_closed_by_redis_under_load() -> None:
    """CLIENT KILL costs at most the hits that were under way, each decided by its policy."""
    with Standalone(oldest()) as server, Layer(server.url, replicas=2) as layer:
        callers = Callers(layer, budget=20)
        with calling(callers) as seen:
            for _ in range(5):
                server.ask("CLIENT", "KILL", "TYPE", "normal")
                callers.recovered(time.monotonic(), within=10)
        assert not seen.errors
        check_policies(callers)
        check_charges(callers, layer)


def test_a_failover_under_load() -> None:
    """The primary is killed and its replica takes over: no error, each policy holds, and the new one decides."""
    with Sentinel(oldest()) as sentinel, Layer(f"{sentinel.url}{SLOW}", replicas=2) as layer:
        callers = Callers(layer)
        with calling(callers) as seen:
            lost = time.monotonic()
            sentinel.kill_primary()
            took = callers.recovered(time.monotonic(), within=LONGEST_PAUSE + 10)
        assert not seen.errors
        check_policies(callers)
        print(f"\nback {took:.2f} s after the failover, {time.monotonic() - lost:.2f} s after the death")
        assert seen.slowest_percent(lost, time.monotonic()) < BUDGET + 0.2
        assert took < LONGEST_PAUSE + 1.5
