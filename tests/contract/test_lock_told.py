"""What locks send, count and tell, and what they do in a layer that is disabled or closed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast import BackendError, Held, Layer, LockNotAcquired, MultiHeld, current_lock
from holdfast.errors import LockLost as LockLostError
from holdfast.events import LockAcquired, LockBusy, LockEvent, LockLost
from support.calls import Sent, named, teach
from support.colours import Colour
from support.lock_kinds import ALONE, KINDS, Make, is_free, key_of, parts, take_away, waiting
from support.peeking import told
from support.topologies import Topology

each_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
each_alone = pytest.mark.parametrize("make", ALONE.values(), ids=ALONE)


@each_kind
def test_a_lock_that_nobody_else_wants_is_two_commands(
    colour: Colour, server_topology: Topology, namespace: str, make: Make
) -> None:
    """Taken and given back, as the servers see it, one after the other for each of several."""

    async def scenario() -> None:
        teach(server_topology.nodes)
        async with colour.using(Layer(server_topology.url, namespace=namespace)) as layer:
            async with colour.using(layer.lock("warm")):
                pass
            sent, lock = Sent(layer), make(layer)
            with server_topology.monitor(containing=namespace) as seen:
                async with colour.using(lock) as held:
                    held.check()
                    assert not held.lost
                    assert held.remaining
            takes, leaves = (
                [each for each in sent.names if "take" in each],
                [each for each in sent.names if "leave" in each],
            )
            assert len(takes) == len(leaves) == len(parts(held))
            assert sent.names == takes + leaves
            if server_topology.name != "cluster":
                assert [named(one) for one in seen.sent] == sent.names
            assert {one.name for one in seen.sent} == {"EVALSHA"}

    colour.run(scenario)


@each_alone
def test_who_is_refused_at_once_sends_one_command(colour: Colour, layer: Layer, make: Make) -> None:
    """And leaves nothing behind that would have to be taken back."""

    async def scenario() -> None:
        async with colour.using(make(layer)):
            sent = Sent(layer)

            async def refused() -> None:
                with pytest.raises(LockNotAcquired, match="by others"):
                    await colour.of(make(layer, wait=0)).acquire()

            assert await colour.together(refused) == [None]
            assert len(sent.names) == 1
            assert "take" in sent.names[0]

    colour.run(scenario)


@each_alone
def test_a_lock_goes_from_hand_to_hand_in_few_commands(
    colour: Colour, topology: Topology, namespace: str, make: Make
) -> None:
    """However long it was held before: who waits for a second asks a few times, and not again and again."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            held = await colour.of(make(other)).acquire()
            sent = [Sent(layer), Sent(other)]

            async def wait() -> None:
                async with colour.using(make(layer)):
                    pass

            async def let_go() -> None:
                await colour.until(lambda: waiting(layer), "it waits")
                await colour.sleep(0.04)
                await colour.of(held).release()

            assert await colour.together(wait, let_go) == [None, None]
            assert sum(len(each.names) for each in sent) <= 4 + 3 * len(parts(held))

    colour.run(scenario)


@each_alone
def test_waiting_costs_little(colour: Colour, layer: Layer, make: Make) -> None:
    """Five who wait for a second in one process: one of them looks now and then, of those in the queue each twice."""

    async def scenario() -> None:
        held = await colour.of(make(layer)).acquire()
        sent = Sent(layer)

        async def wait() -> None:
            with pytest.raises(LockNotAcquired):
                await colour.of(make(layer, wait=1)).acquire()

        assert await colour.together(*[wait] * 5) == [None] * 5
        looks = [each for each in sent.names if each.startswith("take")]
        assert len(looks) < (15 if make in (KINDS["plain"], KINDS["several"]) else 30)
        await colour.of(held).release()

    colour.run(scenario)


@pytest.mark.parametrize(
    ("make", "pattern"),
    [
        (KINDS[each], what)
        for each, what in (
            ("plain", "lock"),
            ("fair", "lock"),
            ("permit", "semaphore"),
            ("writer", "write lock"),
        )
    ],
    ids=["plain", "fair", "permit", "writer"],
)
def test_hooks_hear_and_counts_grow(colour: Colour, layer: Layer, make: Make, pattern: str) -> None:
    """Of each lock that was acquired, was not, or was lost: once, with kind, key and how long it was waited for."""

    async def scenario() -> None:
        events = told(layer, LockEvent)
        async with colour.using(make(layer)) as held:
            pass
        key = key_of(held)
        handle = await colour.of(make(layer)).acquire()
        with pytest.raises(LockNotAcquired):
            await colour.of(make(layer, wait=0.05)).acquire()
        with pytest.raises(LockNotAcquired):
            await colour.of(make(layer, wait=0)).acquire()
        take_away(layer, handle)
        with pytest.raises(LockLostError):
            await colour.of(handle).release()
        assert [type(event) for event in events] == [LockAcquired, LockAcquired, LockBusy, LockBusy, LockLost]
        assert {(event.pattern, event.key) for event in events} == {(pattern, key)}
        assert events[0].waited < 1
        assert events[2].waited >= 0.05 > events[3].waited
        assert events[4].reason == "taken"
        for stats in (layer.stats(), layer.stats().patterns[pattern]):
            assert (stats.acquired, stats.busy, stats.lost, stats.errors) == (2, 2, 1, 0)

    colour.run(scenario)


def test_what_is_counted_of_others(colour: Colour, layer: Layer) -> None:
    """Each of several counts; entering again does not; a decorated function counts by its key."""

    async def scenario() -> None:
        async with colour.using(layer.multi_lock(["a", "b"])), colour.using(layer.read_write_lock("k").read()):
            pass
        lock = layer.lock("k", reentrant=True)
        async with colour.using(lock), colour.using(lock):
            pass

        async def work(number: int) -> None:
            return None

        await colour.call(layer.locked("work:{number}")(colour.function(work)), 7)
        counts = {pattern: each.acquired for pattern, each in layer.stats().patterns.items()}
        assert counts == {"lock": 3, "read lock": 1, "work:{number}": 1}
        assert layer.stats().acquired == 5

    colour.run(scenario)


def test_a_hook_that_raises_harms_no_lock(colour: Colour, layer: Layer, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged; the lock is taken and given back."""

    async def scenario() -> None:
        def hook(event: object) -> None:
            raise LookupError

        layer.add_hook(hook)
        async with colour.using(layer.lock("k")):
            pass
        assert await is_free(colour, layer.lock("k", wait=0))

    colour.run(scenario)
    assert "LookupError" in caplog.text


@each_kind
def test_a_disabled_layer_pretends(colour: Colour, layer: Layer, make: Make) -> None:
    """Nothing is asked or told; whoever wants it has it, and every verb does as if."""

    async def scenario() -> None:
        events, real = told(layer, LockEvent), await colour.of(make(layer)).acquire()
        events.clear()
        with layer.disabled():
            sent = Sent(layer)
            async with colour.using(make(layer, wait=0)) as held, colour.using(make(layer, wait=0)) as again:
                assert isinstance(held, Held | MultiHeld)
                assert current_lock() is parts(again)[-1]
                assert not held.lost
                assert held.remaining > 0
                held.check()
                assert all(one.token != other.token for one, other in zip(parts(held), parts(again), strict=True))
                assert all(each.fencing_token > 10**15 for each in parts(held))
            handle = await colour.of(make(layer)).acquire()
            await colour.of(handle).release()
            await colour.of(handle).release()
            assert sent.names == []
        assert events == []
        await colour.of(real).extend()
        await colour.of(real).release()

    colour.run(scenario)


def test_extending_what_is_pretended(colour: Colour, layer: Layer) -> None:
    """It sends nothing, and is no loss."""

    async def scenario() -> None:
        with layer.disabled():
            async with colour.using(layer.lock("k")) as held:
                sent = Sent(layer)
                await colour.of(held).extend()
                await colour.of(held).extend("1m")
                assert sent.names == []
                assert not held.lost
                held.check()

    colour.run(scenario)


def test_a_real_lock_in_a_disabled_block(colour: Colour, layer: Layer) -> None:
    """What was taken before is given back inside; what is pretended inside may be left after it."""

    async def scenario() -> None:
        real = await colour.of(layer.lock("k")).acquire()
        with layer.disabled():
            pretended = await colour.of(layer.lock("k")).acquire()
            await colour.of(real).release()
        assert await is_free(colour, layer.lock("k", wait=0))
        await colour.of(pretended).release()

    colour.run(scenario)


def test_a_closed_layer_says_so(colour: Colour, layer: Layer, namespace: str) -> None:
    """At once, however long it would be waited for: nothing mends that. A block that was entered ends quietly."""

    async def scenario() -> None:
        other = Layer(namespace=f"{namespace}-2")
        async with colour.using(other.lock("k")):
            await colour.of(other).close()
        for wait in (0, 2):
            clock = layer.engine.blocking.monotonic
            began = clock()
            with pytest.raises(BackendError, match="closed"):
                await colour.of(other.lock("k", wait=wait)).acquire()
            assert clock() - began < 1

    colour.run(scenario)


def test_closing_while_others_wait(namespace: str) -> None:
    """They are told, soon."""

    async def scenario() -> None:
        layer = Layer(namespace=namespace)
        held = await layer.lock("k").aacquire()
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(layer.lock("k", fair=fair, wait=4).aacquire()) for fair in (False, True)
        ]
        await Colour("async").until(lambda: waiting(layer) == 2, "they wait")
        await layer.aclose()
        began = layer.engine.blocking.monotonic()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, BackendError) for each in results)
        assert layer.engine.blocking.monotonic() - began < 2
        del held

    asyncio.run(scenario())
