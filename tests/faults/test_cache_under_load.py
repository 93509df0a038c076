"""Redis goes away and comes back while threads and tasks call cached functions all the time."""

from __future__ import annotations

import time
from typing import Any

import pytest

from holdfast import Layer
from support.programs import oldest
from support.sentinel import Sentinel
from support.standalone import Standalone
from support.traffic import Traffic, traffic
from support.waiting import until


def busy(layer: Layer) -> Any:
    """Let threads and tasks call two functions that share ten entries, whose source takes a millisecond."""

    @layer.cached("100ms", key="busy:{number}")
    def plain(number: int) -> int:
        time.sleep(0.001)
        return number

    @layer.cached("100ms", key="busy:{number}")
    async def awaited(number: int) -> int:
        time.sleep(0.001)  # noqa: ASYNC251 - what a source costs
        return number

    return traffic(plain, awaited)


def report(seen: Traffic, what: str, **spans: tuple[float, float]) -> None:
    """Show the figures with -s or a failure."""
    figures = {name: f"{seen.slowest_percent(*span) * 1000:.1f} ms" for name, span in spans.items()}
    print(f"\n{what}: {len(seen.calls)} calls, {len(seen.errors)} errors, slowest percent {figures}")


@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_an_outage_under_load(how: str) -> None:
    """No call fails; a second later even the slowest percent costs what the function costs; then hits come back."""
    with Standalone(oldest()) as server, Layer(f"{server.url}?socket_timeout=0.3") as layer:
        with busy(layer) as seen:
            time.sleep(0.5)
            lost = time.monotonic()
            if how == "killed":
                server.kill()
            else:
                server.pause()
            time.sleep(2.0)
            back = time.monotonic()
            if how == "killed":
                server.start()
            else:
                server.resume()
            hits = layer.stats().hits
            until(lambda: layer.stats().hits > hits + 200, "hits come back", within=15)
        report(seen, how, before=(lost - 0.3, lost), during=(lost + 1, back), all=(0, time.monotonic()))
        assert not seen.errors
        assert seen.slowest_percent(lost + 1, back) < 0.15
        assert max(took for _, took in seen.calls) < 3


def test_a_failover_under_load() -> None:
    """The primary is killed and a replica takes over: no call fails, none waits long, and the cache is used again."""
    with Sentinel(oldest(), down_after=1500) as sentinel, Layer(f"{sentinel.url}?socket_timeout=0.3") as layer:
        with busy(layer) as seen:
            time.sleep(0.3)
            lost = time.monotonic()
            sentinel.kill_primary()
            back = time.monotonic()
            hits = layer.stats().hits
            until(lambda: layer.stats().hits > hits + 200, "the new primary serves hits", within=15)
        report(seen, "failover", before=(lost - 0.2, lost), during=(lost + 1, back), all=(0, time.monotonic()))
        assert not seen.errors
        assert seen.slowest_percent(lost + 1, back) < 0.25
