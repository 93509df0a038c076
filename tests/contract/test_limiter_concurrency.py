"""Concurrency limits: how many blocks run at once, in both colours and everywhere."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from holdfast import ConfigurationError, Layer, RateLimited
from holdfast.events import Limited, SlotLost
from support.colours import Colour
from support.peeking import ask, told
from support.staged import Stage
from support.topologies import Topology

pytestmark = pytest.mark.usefixtures("patient_limits")


async def free(colour: Colour, layer: Layer, limit: int = 2, key: str = "k") -> int:
    """Return how many slots are free now."""
    async with colour.using(layer.limiter.concurrency(limit + 1, key)) as slot:
        left: int = slot.decision.remaining
        return left


def test_no_more_blocks_run_at_once_than_the_limit(colour: Colour, topology: Topology, namespace: str) -> None:
    """Who finds it full is refused at once, in whatever process; a block that ends makes room, also by raising."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            here, there = layer.limiter.concurrency(2, "k"), other.limiter.concurrency(2, "k")
            with pytest.raises(LookupError):
                async with colour.using(here):
                    raise LookupError
            async with colour.using(here) as first:
                async with colour.using(there) as second:
                    assert [slot.decision.remaining for slot in (first, second)] == [1, 0]
                    for full in (here, there):
                        with pytest.raises(RateLimited) as caught:
                            async with colour.using(full):
                                raise AssertionError
                    decision = caught.value.decision
                    assert (decision.allowed, decision.limit, decision.remaining) == (False, 2, 0)
                    assert (decision.refused_by, decision.degraded) == (("concurrency",), False)
                    assert 0 < decision.retry_after <= 1
                async with colour.using(here) as again:
                    assert again.decision.allowed
                    assert not again.lost
                async with colour.using(other.limiter.concurrency(2, "another")) as slot:
                    assert slot.decision.remaining == 1
            assert await free(colour, layer) == 2

    colour.run(scenario)


def test_many_enter_one_object_at_once(colour: Colour, topology: Topology, namespace: str) -> None:
    """Of twelve threads or tasks with one object, four are inside at any time, and all slots come back."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            gate, limit = colour.gate(), layer.limiter.concurrency(4, "k")
            refused = 0

            async def work() -> str:
                nonlocal refused
                try:
                    async with colour.using(limit):
                        await gate.passed()
                        return "done"
                except RateLimited:
                    refused += 1
                    return "refused"

            async def let_go() -> None:
                await colour.until(lambda: gate.waiting + refused == 12, "all have asked")
                gate.open()

            results = await colour.together(*[work] * 12, let_go)
            assert sorted(results[:-1]) == ["done"] * 4 + ["refused"] * 8
            assert await free(colour, layer, 4) == 4
            assert not limit._entered

    colour.run(scenario)


def test_one_object_may_be_entered_inside_itself(colour: Colour, layer: Layer) -> None:
    """Each entry takes a slot of its own, and leaving gives that one back."""

    async def scenario() -> None:
        limit = layer.limiter.concurrency(3, "k")
        async with colour.using(limit) as outer, colour.using(limit) as inner:
            assert (outer.decision.remaining, inner.decision.remaining) == (2, 1)
            assert outer.token != inner.token
            async with colour.using(limit):
                with pytest.raises(RateLimited):
                    async with colour.using(limit):
                        raise AssertionError
        assert await free(colour, layer, 3) == 3

    colour.run(scenario)


def test_a_slot_is_kept_for_as_long_as_the_block_runs(colour: Colour, topology: Topology, namespace: str) -> None:
    """Each third of its lease it is renewed from then on; that ends with the block."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            stage, key = Stage(layer, timeless=True), f"{namespace}:limit:{{k}}:concurrency"
            async with colour.using(layer.limiter.concurrency(1, "k", lease=30)) as slot:
                ((pause, renew),) = stage.recurring
                assert pause == 10
                before = float(ask(layer, "ZSCORE", key, slot.token, key=key))
                await colour.sleep(0.005)
                assert await renew()
                assert float(ask(layer, "ZSCORE", key, slot.token, key=key)) >= before + 5
                assert not slot.lost
            assert stage.recurring == []

    colour.run(scenario)


def test_a_block_outlasts_its_lease(colour: Colour, layer: Layer) -> None:
    """Nobody else gets in meanwhile."""

    async def scenario() -> None:
        lost = told(layer, SlotLost)
        async with colour.using(layer.limiter.concurrency(1, "k", lease=1)) as slot:
            await colour.sleep(1.05)
            with pytest.raises(RateLimited):
                async with colour.using(layer.limiter.concurrency(1, "k")):
                    raise AssertionError
        assert not slot.lost
        assert lost == []

    colour.run(scenario)


def test_a_slot_that_is_lost_says_so(colour: Colour, topology: Topology, namespace: str) -> None:
    """Whoever holds a slot that another may have, too, finds `lost` set, and hooks hear of it; no other is freed."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            lost, key = told(layer, SlotLost), f"{namespace}:limit:{{k}}:concurrency"
            stage = Stage(layer, timeless=True)
            async with colour.using(layer.limiter.concurrency(1, "k")) as slot:
                ask(layer, "DEL", key, key=key)
                async with colour.using(layer.limiter.concurrency(1, "k")) as other:
                    assert [await renew() for _, renew in stage.recurring] == [False, True]
                    assert (slot.lost, other.lost) == (True, False)
            assert lost == [SlotLost("concurrency", key)]
            assert await free(colour, layer) == 2

    colour.run(scenario)


def test_a_slot_that_cannot_be_renewed_is_lost_when_its_lease_is_over(colour: Colour, layer: Layer) -> None:
    """While Redis is away it may still come back in time; after that nobody can say that the slot is held."""

    async def scenario() -> None:
        lost, stage = told(layer, SlotLost), Stage(layer, timeless=True)
        async with colour.using(layer.limiter.concurrency(1, "k", lease=20)) as slot:
            ((_, renew),) = stage.recurring
            with stage.away():
                assert not await renew()
                assert not slot.lost
                slot.prolong(0)
                assert not await stage.recurring[-1][1]()
            assert slot.lost
        assert len(lost) == 1

    colour.run(scenario)


def test_who_leaves_more_often_than_he_has_entered_is_told(colour: Colour, layer: Layer) -> None:
    """It is a mistake, and no slot of others is given back for it."""

    async def scenario() -> None:
        limit = layer.limiter.concurrency(2, "k")
        async with colour.using(limit):
            pass
        with pytest.raises(RuntimeError, match="left more often than it was entered"):
            await colour.call(limit.__aexit__ if colour.is_async else limit.__exit__, None, None, None)

    colour.run(scenario)


def test_a_slot_does_not_show_what_it_is_called(colour: Colour, layer: Layer) -> None:
    """Who knows the token could give the slot back. Whether it is held is told."""

    async def scenario() -> None:
        with Stage(layer).away():
            async with colour.using(layer.limiter.concurrency(1, "k")) as slot:
                assert repr(slot) == "<Slot held, taken without Redis>"
        async with colour.using(layer.limiter.concurrency(1, "k")) as slot:
            assert repr(slot) == "<Slot held>"
            slot.lost = True
            assert repr(slot) == "<Slot lost>"
        assert repr(slot) == "<Slot left>"

    colour.run(scenario)


@pytest.mark.parametrize("limit", [0, -1, True, "5", 2.0, 10**13])
def test_a_limit_is_a_number_of_slots(layer: Layer, limit: Any) -> None:
    """1 or more; anything else is a mistake that is told at once, with what was given."""
    with pytest.raises(ConfigurationError) as caught:
        layer.limiter.concurrency(limit, "k")
    assert str(caught.value) == f"limit={limit!r} must be a whole number of slots, 1 or more"


def test_the_slot_of_who_died_comes_back(colour: Colour, layer: Layer) -> None:
    """After its lease, and not before."""

    async def scenario() -> None:
        clock = layer.engine.blocking.monotonic
        before, limit = clock(), layer.limiter.concurrency(1, "k", lease=0.05)
        slot = await limit.__aenter__() if colour.is_async else limit.__enter__()
        slot.end_renewals()  # as death does
        while True:
            try:
                async with colour.using(layer.limiter.concurrency(1, "k")):
                    break
            except RateLimited as error:
                await colour.sleep(min(0.05, error.decision.retry_after))  # it promises no more than the lease
        assert clock() - before >= 0.049

    colour.run(scenario)


def test_in_shadow_nobody_is_kept_out(colour: Colour, layer: Layer) -> None:
    """Who finds it full goes in, is counted and told of, and takes or gives back no slot of others."""

    async def scenario() -> None:
        events, limit = told(layer, Limited), layer.limiter.concurrency(1, "k", shadow=True)
        stage = Stage(layer)
        async with colour.using(limit) as held:
            async with colour.using(limit) as over:
                assert over.decision.allowed
                assert over.decision.shadow
                assert over.decision.refused_by == ("concurrency",)
                assert held.decision.shadow
                assert held.decision.refused_by == ()
            with pytest.raises(RateLimited):
                async with colour.using(layer.limiter.concurrency(1, "k")):
                    raise AssertionError
        assert stage.sent == ["slot_take", "slot_take", "slot_take", "slot_leave"]
        assert [event.shadow for event in events] == [True, False]
        assert await free(colour, layer, 1) == 1

    colour.run(scenario)


def test_a_generator_holds_its_slot_until_it_is_closed(layer: Layer) -> None:
    """Exhausted, closed, raising, or dropped and closed by another thread or task: the slot comes back once."""
    limit, sync = layer.limiter.concurrency(2, "k"), Colour("sync")

    def numbers() -> Iterator[int]:
        with limit:
            yield from (1, 2)

    async def anumbers() -> AsyncIterator[int]:
        async with limit:
            for number in (1, 2):
                yield number

    async def scenario() -> None:
        ended, closed = anumbers(), anumbers()
        assert [number async for number in ended] == [1, 2]
        assert await anext(closed) == 1
        assert await free(Colour("async"), layer) == 1
        await asyncio.create_task(closed.aclose())  # type: ignore[attr-defined]
        raising = anumbers()
        await anext(raising)
        with pytest.raises(LookupError):
            await raising.athrow(LookupError)  # type: ignore[attr-defined]
        assert await free(Colour("async"), layer) == 2

    assert list(numbers()) == [1, 2]
    generator: Any = numbers()
    assert next(generator) == 1
    assert sync.run(lambda: free(sync, layer)) == 1
    thread = threading.Thread(target=generator.close)
    thread.start()
    thread.join()
    assert sync.run(lambda: free(sync, layer)) == 2
    asyncio.run(scenario())
    assert not limit._entered


def test_a_slot_may_be_left_by_another_than_entered(layer: Layer, threads: ThreadPoolExecutor) -> None:
    """By another thread or task, while the first is still inside with a slot of its own, or gone: each comes back."""
    limit = layer.limiter.concurrency(3, "k")

    async def scenario() -> None:
        await asyncio.create_task(limit.__aenter__())
        async with limit:
            await asyncio.create_task(limit.__aexit__(None, None, None))
            assert await free(Colour("async"), layer, 3) == 2

    threads.submit(limit.__enter__).result()
    with limit:
        threads.submit(limit.__exit__, None, None, None).result()
    asyncio.run(scenario())
    assert Colour("sync").run(lambda: free(Colour("sync"), layer, 3)) == 3
    assert not limit._entered
