"""Leases of locks: renewed while a lock is held and its handle known, and no longer."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any

import pytest

from holdfast import BackendUnavailable, Layer, LockLost, LockNotAcquired
from holdfast import events as kinds
from support.colours import Colour
from support.lock_kinds import (
    ALONE,
    KINDS,
    Make,
    die,
    in_redis,
    is_free,
    key_of,
    noted,
    parts,
    stage_renewals,
    take_away,
)
from support.peeking import ask, told
from support.topologies import Topology

each_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
each_alone = pytest.mark.parametrize("make", ALONE.values(), ids=ALONE)


def left(layer: Layer, key: str) -> float:
    """Return the seconds for which Redis keeps a lock."""
    milliseconds: int = ask(layer, "PTTL", key, key=key)
    return milliseconds / 1000


@each_kind
def test_a_lock_is_renewed_each_third_of_its_lease(
    colour: Colour, topology: Topology, namespace: str, make: Make
) -> None:
    """Not before, all of one length together, and each in its own place; nothing more when all were given back."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            stage = stage_renewals(layer)
            held = await colour.of(make(layer, lease=30)).acquire()
            other = await colour.of(layer.lock("other", lease=30)).acquire()
            ((pause, renew),) = stage.recurring
            assert pause <= 30 / 9
            stage.sent.clear()
            stage.ahead = 9.9
            assert await renew()
            assert stage.sent == []
            stage.ahead = 10.1
            assert await renew()
            names = ["keep_share" if each._hold.claim.mode else "keep" for each in (*parts(held), other)]
            assert sorted(stage.sent) == sorted(names)
            assert held.remaining > 35  # by the staged clock it was renewed later
            await colour.of(held).release()
            await colour.of(other).release()
            stage.sent.clear()
            stage.ahead = 100
            while await renew():
                pass
            assert stage.sent == []

    colour.run(scenario)


@pytest.mark.parametrize("make", [KINDS["plain"], KINDS["permit"]], ids=["plain", "permit"])
def test_a_lock_outlasts_its_lease(colour: Colour, topology: Topology, namespace: str, make: Make) -> None:
    """However short that is; others are kept out all the time."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
            colour.using(make(layer, lease=0.4)) as held,
        ):
            with pytest.raises(LockNotAcquired):
                await colour.of(make(other, wait=0.5)).acquire()
            assert not held.lost
            assert held.remaining <= 0.4

    colour.run(scenario)


def test_a_busy_loop_does_not_lose_it(topology: Topology, namespace: str) -> None:
    """Renewals need no loop: a body that blocks it for longer than the lease still holds the lock."""

    async def scenario() -> None:
        async with Layer(topology.url, namespace=namespace) as layer, layer.lock("k", lease=0.4) as held:
            time.sleep(0.6)  # noqa: ASYNC251 - as a body does that computes
            assert not held.lost
            with pytest.raises(LockNotAcquired):
                layer.lock("k", wait=0).acquire()

    asyncio.run(scenario())


@each_alone
def test_a_lock_that_was_taken_away_is_lost(colour: Colour, topology: Topology, namespace: str, make: Make) -> None:
    """Within a third of its lease and before that is over; hooks hear it once, and the key is not made anew."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            lost, stage = told(layer, kinds.LockLost), stage_renewals(layer)
            held = await colour.of(make(layer, lease=30)).acquire()
            key = key_of(parts(held)[0])
            take_away(layer, held)
            ((_, renew),) = stage.recurring
            stage.ahead = 10.1
            await renew()
            assert held.lost
            assert held.remaining == 0
            with pytest.raises(LockLost, match="is held by another, or by nobody"):
                held.check()
            assert lost == [kinds.LockLost(parts(held)[0]._hold.claim.tally.pattern, key, "taken")]
            assert layer.stats().lost == 1
            stage.ahead = 20.5
            await renew()
            assert not in_redis(layer, key)
            with pytest.raises(LockLost):
                await colour.of(held).release()
            assert len(lost) == 1
            assert await is_free(colour, make(layer, wait=0))

    colour.run(scenario)


def test_the_loss_is_noticed_in_time(colour: Colour, topology: Topology, namespace: str) -> None:
    """By the renewals that run by themselves, while the lease would still last."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            lost = told(layer, kinds.LockLost)
            held = await colour.of(layer.lock("k", lease=0.9)).acquire()
            take_away(layer, held)
            await colour.until(lambda: held.lost, "it is noticed")
            await colour.until(lambda: lost, "it is told")
            assert [event.reason for event in lost] == ["taken"]

    colour.run(scenario)


@each_alone
def test_the_lock_of_the_next_is_not_renewed(colour: Colour, layer: Layer, make: Make) -> None:
    """A holder that was overtaken neither prolongs nor gives back what another holds now."""

    async def scenario() -> None:
        stage = stage_renewals(layer)
        held = await colour.of(make(layer, lease=30)).acquire()
        for each in parts(held):
            take_away(layer, each)
        next_one = await colour.of(make(layer, lease=5, wait=0)).acquire()
        key = key_of(parts(next_one)[0])
        stage.ahead = 10.1
        await stage.recurring[0][1]()
        assert held.lost
        assert left(layer, key) <= 5.1
        with pytest.raises(LockLost):
            await colour.of(held).release()
        assert 3 < left(layer, key) <= 5.1
        await colour.of(next_one).release()

    colour.run(scenario)


def test_a_lock_that_cannot_be_renewed_is_lost_when_its_lease_is_over(colour: Colour, layer: Layer) -> None:
    """While Redis is away it may still come back in time, and then nothing was lost; after that nobody can say."""

    async def scenario() -> None:
        lost, stage = told(layer, kinds.LockLost), stage_renewals(layer)
        failed = told(layer, kinds.BackendFailed)
        held = await colour.of(layer.lock("k", lease=30)).acquire()
        ((_, renew),) = stage.recurring
        with stage.away():
            stage.ahead = 10.1
            assert await renew()
            assert len(failed) == 1
            assert not held.lost
        assert await renew()
        assert not held.lost
        with stage.away():
            stage.ahead = 40.2
            await renew()
        assert held.lost
        with pytest.raises(LockLost, match="was not renewed before its lease ran out"):
            held.check()
        assert [event.reason for event in lost] == ["expired"]

    colour.run(scenario)


def test_renewals_end_with_the_last_lock(colour: Colour, layer: Layer) -> None:
    """And begin again with the next one."""

    async def scenario() -> None:
        stage, rounds = stage_renewals(layer), layer.engine.locks.renewing._renewals
        for count in (1, 2):
            async with colour.using(layer.lock("k", lease=30)):
                assert len(stage.recurring) == count
                assert await stage.recurring[-1][1]()
            while await stage.recurring[-1][1]():
                pass
            assert not rounds._rounds

    colour.run(scenario)


@each_alone
def test_a_forgotten_handle_is_not_renewed(colour: Colour, layer: Layer, make: Make) -> None:
    """Whoever drops it can never give it back: others get the lock when its lease has run out."""

    async def scenario() -> None:
        stage = stage_renewals(layer)
        await colour.of(make(layer, lease=0.2)).acquire()
        gc.collect()
        stage.sent.clear()
        stage.ahead = 0.1
        await stage.recurring[0][1]()
        assert stage.sent == []
        stage.timeless = False
        async with colour.using(make(layer)):
            pass

    colour.run(scenario)


def test_a_forgotten_handle_of_a_reentrant_lock_is_not_renewed(colour: Colour, layer: Layer) -> None:
    """Nor does its owner hold it any more: it waits for the lease, as others do."""

    async def scenario() -> None:
        stage, lock = stage_renewals(layer), layer.lock("k", reentrant=True, wait=0)
        await colour.of(lock).acquire()
        gc.collect()
        stage.sent.clear()
        stage.ahead = 10.1
        await stage.recurring[0][1]()
        assert stage.sent == []
        with pytest.raises(LockNotAcquired, match="by others"):
            await colour.of(lock).acquire()
        assert not noted()

    colour.run(scenario)


@each_kind
def test_the_lock_of_who_died_comes_back(colour: Colour, layer: Layer, make: Make) -> None:
    """After its lease, and not before; who comes back from the dead is told."""

    async def scenario() -> None:
        clock = layer.engine.blocking.monotonic
        before = clock()
        held = await colour.of(make(layer, lease=0.2)).acquire()
        die(layer, held)
        writer = layer.read_write_lock("k").write() if make is KINDS["reader"] else make(layer)
        async with colour.using(writer) as next_one:
            assert clock() - before >= 0.19
            assert held.lost
            with pytest.raises(LockLost):
                held.check()
            with pytest.raises(LockLost):
                await colour.of(held).release()
            await colour.of(next_one).extend()

    colour.run(scenario)


@each_kind
def test_a_lock_can_be_extended(colour: Colour, topology: Topology, namespace: str, make: Make) -> None:
    """For longer, for shorter, or for as long as before; renewals go by the new length."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            stage = stage_renewals(layer)
            held = await colour.of(make(layer, lease=30)).acquire()
            for lease, length in ((100, 100), ("5s", 5), (None, 5), (20, 20)):
                await (colour.of(held).extend() if lease is None else colour.of(held).extend(lease))
                assert length - 3 < held.remaining <= length
                for each in parts(held):
                    assert length - 3 < left(layer, key_of(each)) <= length + 0.1
            pause, renew = stage.recurring[-1]
            assert pause <= 20 / 9
            stage.sent.clear()
            stage.ahead = 7
            assert await renew()
            assert len(stage.sent) == len(parts(held))
            await colour.of(held).release()

    colour.run(scenario)


@pytest.mark.parametrize("lease", [0, -1, True, "soon", [], 0.0001, "2d"])
def test_a_lock_is_extended_by_a_duration(colour: Colour, layer: Layer, lease: Any) -> None:
    """Anything else is refused, and the lock is held as before."""

    async def scenario() -> None:
        async with colour.using(layer.lock("k")) as held:
            with pytest.raises(ValueError, match="lease="):
                await colour.of(held).extend(lease)
            assert held.remaining > 25

    colour.run(scenario)


@each_kind
def test_what_was_lost_cannot_be_extended(colour: Colour, layer: Layer, make: Make) -> None:
    """It is not taken anew, and the loss is told once."""

    async def scenario() -> None:
        lost = told(layer, kinds.LockLost)
        held = await colour.of(make(layer)).acquire()
        take_away(layer, held)
        for _ in range(2):
            with pytest.raises(LockLost):
                await colour.of(held).extend()
        assert held.lost
        assert not in_redis(layer, key_of(parts(held)[0]))
        assert [event.reason for event in lost] == ["taken"]

    colour.run(scenario)


def test_extending_while_redis_is_away(colour: Colour, layer: Layer) -> None:
    """The error says so; the lock is not lost by that, and nobody believes that it lasts longer than it may."""

    async def scenario() -> None:
        stage = stage_renewals(layer)
        held = await colour.of(layer.lock("k", lease=30)).acquire()
        with stage.away():
            with pytest.raises(BackendUnavailable):
                await colour.of(held).extend(5)
            assert held.remaining <= 5
            assert not held.lost
        await colour.of(held).extend(60)
        assert held.remaining > 50
        await colour.of(held).release()

    colour.run(scenario)


@each_kind
def test_a_lock_is_renewed_no_more_after_its_longest_lifetime(colour: Colour, layer: Layer, make: Make) -> None:
    """Then it is lost, and others get it; it says how long it certainly lasts before that."""

    async def scenario() -> None:
        lost, stage = told(layer, kinds.LockLost), stage_renewals(layer)
        held = await colour.of(make(layer, lease=30, max_lifetime=40)).acquire()
        ((_, renew),) = stage.recurring
        stage.ahead = 15
        await renew()
        assert 39 - 3 < held.remaining <= 40
        assert left(layer, key_of(parts(held)[0])) <= 25.1
        stage.sent.clear()
        stage.ahead = 39
        await renew()
        assert stage.sent == []
        assert not held.lost
        stage.ahead = 40.5
        await renew()
        assert held.lost
        with pytest.raises(LockLost, match="was held for as long as it may be"):
            held.check()
        assert [event.reason for event in lost] == ["lifetime"] * len(parts(held))

    colour.run(scenario)


def test_hung_code_gives_it_free(colour: Colour, topology: Topology, namespace: str) -> None:
    """`max_lifetime` shorter than the lease counts from the beginning, by itself."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            lost = told(layer, kinds.LockLost)
            with pytest.raises(LockLost):
                async with colour.using(layer.lock("k", lease=30, max_lifetime=0.4)):
                    await colour.until(lambda: lost, "its lifetime is over")
            assert [event.reason for event in lost] == ["lifetime"]
            assert await is_free(colour, layer.lock("k", wait=2))

    colour.run(scenario)
