"""Promises of limits to servers that fork: a layer that was used before is right in parent and children."""

from __future__ import annotations

from typing import Final

import pytest

from faults.limit_crowds import crowd
from faults.programs import run
from faults.test_fork import IN_CHILD
from support.topologies import Servers

KINDS: Final = ["redis62", "cluster", "sentinel"]
HITS: Final = """
# The layer was used in both colours, by a thread and by a loop that is over, before the workers are forked.
layer = Layer(url, namespace=given["namespace"])
quota = Quota(given["limit"], "1d", algorithm=given["algorithm"])

async def ahits(count):
    return [await layer.limiter.ahit(quota, "k", cost=1 + each % 2, budget=50) for each in range(count)]

def hits(count):
    return [layer.limiter.hit(quota, "k", cost=1 + each % 2, budget=50) for each in range(count)]

def units(decisions):
    assert not any(each.degraded for each in decisions)
    return sum(each.cost for each in decisions if each.allowed)

def work(number):
    mine = units(hits(60)) + units(asyncio.run(ahits(60))) + units(hits(60))
    assert not layer.limiter.hit(quota, "k", cost=1, budget=50).allowed
    return mine

before = units(hits(5)) + units(asyncio.run(ahits(5)))
with layer.limiter.concurrency(5, "slots", budget=50):
    workers = crowd(4, work)
    after = units(hits(5)) + units(asyncio.run(ahits(5)))
    with layer.limiter.concurrency(5, "slots", budget=50) as slot:
        slots = slot.decision.remaining
left = layer.limiter.peek(quota, "k", budget=50).remaining
layer.close()
print(json.dumps([before, workers, after, left, slots]))
"""


@pytest.mark.parametrize("kind", KINDS)
def test_workers_share_the_quota(kind: str, servers: Servers, namespace: str) -> None:
    """Parent and workers get the quota together; the workers' end takes nothing from the parent, nor gives it away."""
    given = {"limit": 200, "algorithm": "fixed_window", "namespace": namespace}
    before, workers, after, left, slots = crowd(HITS, servers.topology(kind).url, **given)
    assert before + sum(workers) + after == 200
    assert left == 0
    assert slots == 3, "the parent's slot was kept, and it is one"


SLOTS: Final = """
    from holdfast import Layer, RateLimited
    layer = Layer(url, namespace=os.environ["SLOTS_OF"])
    limit = layer.limiter.concurrency(2, "k", lease=5, budget=50)

    def free():
        try:
            with limit as slot:
                return 1 + slot.decision.remaining
        except RateLimited:
            return 0

    def inner():
        assert free() == 1
        with limit:
            assert free() == 0
        assert free() == 1

    async def ainner():
        async with limit:
            assert free() == 0
        assert free() == 1

    async def main():
        async with limit:
            good(child(inner))
            good(child(lambda: asyncio.run(ainner())))
            assert free() == 1
        assert free() == 2

    with limit:
        good(child(inner))
        good(child(lambda: asyncio.run(ainner())))
        assert free() == 1
    assert free() == 2

    def leave():
        pid = child(lambda: None)  # a copy of the slot dies with it
        good(pid)

    with limit:
        leave()
        assert free() == 1
    asyncio.run(main())
    assert free() == 2
    layer.close()
    print("done")
"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_child_has_slots_of_its_own(
    kind: str, servers: Servers, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a child takes it gives back, and what its parent holds it leaves alone, in both colours."""
    monkeypatch.setenv("SLOTS_OF", namespace)
    assert run(f"{IN_CHILD}{SLOTS}", servers.topology(kind).url).strip() == "done"


COPIES: Final = """
    from holdfast import Layer
    layer = Layer(url, namespace=os.environ["SLOTS_OF"])
    limit = layer.limiter.concurrency(1, "k", lease=5, budget=50)

    def leaves_the_block(entered):
        # As a worker that was forked inside the block and comes to its end.
        entered.__exit__(None, None, None)

    with limit as slot:
        good(child(lambda: leaves_the_block(limit)))
        try:
            with layer.limiter.concurrency(1, "k", budget=50):
                raise SystemExit("the child gave its parent's slot away")
        except Exception as error:
            assert type(error).__name__ == "RateLimited", error
    layer.close()
    print("done")
"""


def test_a_child_that_leaves_its_parents_block(
    servers: Servers, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that was forked inside a block, and leaves it, too, does not give the parent's slot back."""
    monkeypatch.setenv("SLOTS_OF", namespace)
    assert run(f"{IN_CHILD}{COPIES}", servers.topology("redis62").url).strip() == "done"
