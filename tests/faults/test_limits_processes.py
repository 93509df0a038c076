"""Promises of limits to many processes at once: together they get the quota, no unit more and none less."""

from __future__ import annotations

from typing import Final

import pytest

from faults.limit_crowds import LONG, crowd
from holdfast.policy.quota import ALGORITHMS, Algorithm
from support.programs import oldest
from support.standalone import Standalone
from support.topologies import Servers

SECONDS: Final = 5.0 if LONG else 0.5
PROCESSES: Final = 8
LIMIT: Final = 1000

HAMMER: Final = """
# One key with costs that change, so that Redis decides each time; and one whose refusals the process remembers.
quota = Quota(given["limit"], "1d", algorithm=given["algorithm"])
KEYS = "asked", "remembered"

class Count:
    def __init__(self):
        self.units, self.calls, self.full = dict.fromkeys(KEYS, 0), 0, set()
        self.until = time.monotonic() + given["seconds"]

    def goes_on(self):
        return time.monotonic() < self.until or len(self.full) < 2

    def next(self):
        self.calls += 1
        key = KEYS[self.calls % 2]
        return key, 1 + self.calls // 2 % 2 if key == "asked" else 1

    def note(self, key, cost, decision):
        assert not decision.degraded
        self.units[key] += cost * decision.allowed
        if cost == 1 and not decision.allowed:
            self.full.add(key)

def threads(layer, count):
    while count.goes_on():
        key, cost = count.next()
        count.note(key, cost, layer.limiter.hit(quota, key, cost=cost, budget=50))
    layer.close()

async def tasks(layer, count):
    async def task():
        while count.goes_on():
            key, cost = count.next()
            count.note(key, cost, await layer.limiter.ahit(quota, key, cost=cost, budget=50))
            await asyncio.sleep(0)
    async with layer:
        await asyncio.gather(*(task() for _ in range(4)))

def work(number):
    layer, count = Layer(url, namespace=NAMESPACE), Count()
    if number % 2:
        asyncio.run(tasks(layer, count))
    else:
        threads(layer, count)
    return [count.units["asked"], count.units["remembered"], count.calls]

print(json.dumps(crowd(given["processes"], work)))
"""


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_many_processes_get_exactly_the_quota(algorithm: Algorithm) -> None:
    """Processes of both colours that hammer at a key get all units of a period, and not one more."""
    with Standalone(oldest()) as server:
        given = {"limit": LIMIT, "algorithm": algorithm, "seconds": SECONDS, "processes": PROCESSES}
        said = crowd(HAMMER, server.url, **given)
        asked, remembered, calls = map(sum, zip(*said, strict=True))
        print(f"\n{algorithm}: {calls} calls, {asked} and {remembered} units of {LIMIT}, each {said}")
        assert (asked, remembered) == (LIMIT, LIMIT)
        assert all(0 < server.client.pttl(key) <= 2 * 86_400_000 + 1 for key in server.client.scan_iter())


REFILL: Final = """
# Who has emptied the bucket knows what has flowed into it since: whoever took it, all is accounted for.
quota = Quota(given["rate"], "1s", burst=given["burst"])

def instant():
    seconds, micros = drive(b.blocking.call(Command(("TIME",), ())))
    return int(seconds) + int(micros) / 1e6

def work(number):
    layer, units, until = Layer(url, namespace=NAMESPACE), 0, time.monotonic() + given["seconds"]
    async def tasks():
        nonlocal units
        async with layer:
            while time.monotonic() < until:
                units += (await layer.limiter.ahit(quota, "k", budget=50)).allowed
    if number % 2:
        asyncio.run(tasks())
        return units
    while time.monotonic() < until:
        units += layer.limiter.hit(quota, "k", budget=50).allowed
    layer.close()
    return units

b = Backend(url, print)
with Layer(url, namespace=NAMESPACE) as layer:
    before = instant()
    assert layer.limiter.hit(quota, "k", cost=given["burst"], budget=50).allowed
    after = instant()
    units = sum(crowd(given["processes"], work))
    begin = instant()
    left = layer.limiter.peek(quota, "k", budget=50).remaining
    end = instant()
b.close()
print(json.dumps([units, left, begin - after, end - before]))
"""


def test_many_processes_get_what_flows_in() -> None:
    """What a bucket has admitted and what is left are together what has flowed into it, whoever asked and how often."""
    rate = 400
    with Standalone(oldest()) as server:
        given = {"rate": rate, "burst": 10 * rate, "seconds": SECONDS, "processes": PROCESSES}
        units, left, least, most = crowd(REFILL, server.url, **given)
    print(f"\n{units} units admitted, {left} left, {rate * least:.1f} to {rate * most:.1f} have flowed in")
    assert rate * least - 1 <= units + left <= rate * most
    assert units >= rate * SECONDS / 2


APART: Final = """
quotas = [(Quota(given["limit"], "1d"), "global"), ("30/day", "second"), ("20/day", "third")]

def work(number):
    hits = [quotas[0], quotas[1 + number % 2]]
    layer, units = Layer(url, namespace=NAMESPACE), 0
    async def tasks():
        nonlocal units
        async with layer:
            for _ in range(given["calls"]):
                units += (await layer.limiter.ahit_all(hits, colocate=given["colocate"], budget=50)).allowed
    if number > 3:
        asyncio.run(tasks())
        return units
    for _ in range(given["calls"]):
        units += layer.limiter.hit_all(hits, colocate=given["colocate"], budget=50).allowed
    layer.close()
    return units

units = sum(crowd(8, work))
with Layer(url, namespace=NAMESPACE) as layer:
    left = [layer.limiter.peek(*each, colocate=given["colocate"], budget=50).remaining for each in quotas]
print(json.dumps([units, left]))
"""


@pytest.mark.parametrize("colocate", ["tenant:7", None], ids=["together", "apart"])
def test_many_processes_on_several_keys(colocate: str | None, servers: Servers) -> None:
    """On a cluster no quota is exceeded and nothing is lost: what is left of each is what no admitted hit has taken.

    Apart, those who are refused may keep others out for a moment; in the end all is there again.
    """
    cluster = servers.cluster()
    owners = {cluster.owner(key).port for key in ("global", "second", "third")}
    assert len(owners) > 1
    given = {"limit": 1000, "calls": 40, "colocate": colocate}
    units, (left, second, third) = crowd(
        APART.replace("NAMESPACE", "given['namespace']"), cluster.url, **given, namespace=f"crowd-{colocate}"
    )
    assert units == 1000 - left == 30 - second + 20 - third
    assert (second, third) == (0, 0)
