"""Locks that are held: one at a time, given back once, in both colours and everywhere."""

from __future__ import annotations

import re
from typing import Any

import pytest

from holdfast import Held, Layer, LockLost, LockNotAcquired
from support.colours import Colour
from support.lock_kinds import ALONE, KINDS, Make, is_free, noted, parts
from support.topologies import Topology

each_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
each_alone = pytest.mark.parametrize("make", ALONE.values(), ids=ALONE)


def test_one_holds_it(colour: Colour, topology: Topology, namespace: str) -> None:
    """In whatever process; the next one has another token, and a greater fencing token."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            async with colour.using(layer.lock("k")) as held:
                assert isinstance(held, Held)
                assert (held.name, len(held.token), held.lost) == ("k", 16, False)
                assert 25 < held.remaining <= 30
                held.check()
                assert await colour.of(other.lock("k")).locked()
                with pytest.raises(LockNotAcquired):
                    await colour.of(other.lock("k", wait=0)).acquire()
                assert await is_free(colour, other.lock("another", wait=0))
            assert not await colour.of(other.lock("k")).locked()
            async with colour.using(other.lock("k", wait=0)) as again:
                assert again.token != held.token
                assert again.fencing_token > held.fencing_token

    colour.run(scenario)


@each_alone
def test_only_one_of_a_kind_holds_it(colour: Colour, topology: Topology, namespace: str, make: Make) -> None:
    """Each kind but readers; a block that ends gives it back, also by raising."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            with pytest.raises(LookupError):
                async with colour.using(make(layer)):
                    raise LookupError
            async with colour.using(make(layer)) as held:
                assert not await is_free(colour, make(other, wait=0))
                assert not held.lost
            assert await is_free(colour, make(other, wait=0))

    colour.run(scenario)


@each_kind
def test_a_handle_gives_it_back_once(colour: Colour, layer: Layer, make: Make) -> None:
    """A second release does nothing, also when another holds it by then; what was given back was not lost."""

    async def scenario() -> None:
        held = await colour.of(make(layer)).acquire()
        assert 25 < held.remaining <= 30
        await colour.of(held).release()
        assert (held.remaining, held.lost) == (0, False)
        with pytest.raises(LockLost, match="was given back already"):
            held.check()
        with pytest.raises(LockLost, match="was given back already"):
            await colour.of(held).extend()
        async with colour.using(make(layer)) as next_one:
            await colour.of(held).release()
            await colour.of(held).release()
            assert [each.lost for each in parts(next_one)] == [False] * len(parts(next_one))
            await colour.of(next_one).extend()

    colour.run(scenario)


@each_kind
def test_a_handle_is_a_context_manager(colour: Colour, layer: Layer, make: Make) -> None:
    """It is given back at the end of the block, unless that was done inside; the block's error passes."""

    async def scenario() -> None:
        async with colour.using(await colour.of(make(layer)).acquire()) as held:
            held.check()
        assert "given back" in repr(parts(held)[0])
        with pytest.raises(LookupError):
            async with colour.using(await colour.of(make(layer)).acquire()):
                raise LookupError
        async with colour.using(await colour.of(make(layer)).acquire()) as held:
            await colour.of(held).release()
        assert await is_free(colour, make(layer, wait=0))

    colour.run(scenario)


def test_one_may_be_left_inside_its_block(colour: Colour, layer: Layer) -> None:
    """Another may hold it from then on, and the end of the block leaves that one alone."""

    async def scenario() -> None:
        async with colour.using(layer.lock("k")) as held:
            await colour.of(held).release()
            other = await colour.of(layer.lock("k", wait=0)).acquire()
        await colour.of(other).extend()
        await colour.of(other).release()

    colour.run(scenario)


def test_blocks_of_different_locks_may_be_nested(colour: Colour, topology: Topology, namespace: str) -> None:
    """Each is given back when its own block ends, whatever their order."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            one, other = layer.lock("one", wait=0), layer.lock("other", wait=0)
            async with colour.using(one), colour.using(other):
                assert await colour.of(other).locked()
            assert not await colour.of(other).locked()
            first, second = await colour.of(one).acquire(), await colour.of(other).acquire()
            await colour.of(first).release()
            assert [await colour.of(each).locked() for each in (one, other)] == [False, True]
            await colour.of(second).release()

    colour.run(scenario)


def test_one_object_serves_many_at_once(colour: Colour, topology: Topology, namespace: str) -> None:
    """Twelve threads or tasks with one object: all get it, one at a time, each with a handle of its own."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            lock, inside, handles = layer.lock("k"), 0, []

            async def work() -> None:
                nonlocal inside
                async with colour.using(lock) as held:
                    inside += 1
                    await colour.sleep(0.001)
                    assert inside == 1
                    inside -= 1
                    handles.append((held.fencing_token, held.token))

            assert await colour.together(*[work] * 12) == [None] * 12
            assert handles == sorted(handles)
            assert len({token for _, token in handles}) == 12
            assert not lock._entered._known
            assert not noted()

    colour.run(scenario)


@each_alone
@pytest.mark.parametrize(("wait", "least", "most"), [(0, 0, 0.6), (0.2, 0.2, 1.5), ("200ms", 0.2, 1.5)])
def test_how_long_it_is_waited_for(
    colour: Colour, layer: Layer, make: Make, wait: Any, least: float, most: float
) -> None:
    """Not at all, or as long as was said; the error tells which lock it was, and how long it was waited for."""

    async def scenario() -> None:
        clock = layer.engine.blocking.monotonic
        held = await colour.of(make(layer)).acquire()
        began = clock()
        with pytest.raises(LockNotAcquired) as caught:
            await colour.of(make(layer, wait=wait)).acquire()
        assert least <= clock() - began < most
        text = str(caught.value)
        assert re.match(r"the (write )?(lock|semaphore) 'k' is held by others", text), text
        assert ("s that it was waited for" in text) == bool(wait)
        assert text.endswith(": wait longer, or try again later" if wait else ", or say how long to wait: wait='5s'")
        await colour.of(held).extend()
        await colour.of(held).release()

    colour.run(scenario)


@each_alone
def test_it_is_waited_for_without_end(colour: Colour, topology: Topology, namespace: str, make: Make) -> None:
    """Unless something else is said: until it is given back, in this process or another, or its lease has run out."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            for holder in (other, layer):
                held = await colour.of(make(holder)).acquire()
                events: list[str] = []

                async def wait(events: list[str] = events) -> None:
                    async with colour.using(make(layer)):
                        events.append("taken")

                async def let_go(held: Any = held, events: list[str] = events) -> None:
                    await colour.until(lambda: layer.engine.locks.lobbies._lobbies, "it waits")
                    events.append("given back")
                    await colour.of(held).release()

                assert await colour.together(wait, let_go) == [None, None]
                assert events == ["given back", "taken"]

    colour.run(scenario)


@each_alone
def test_who_is_refused_harms_nobody(colour: Colour, topology: Topology, namespace: str, make: Make) -> None:
    """The holder goes on holding it: it is extended, found there and given back, through the very same object."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            lock = make(layer, wait=0)
            held = await colour.of(lock).acquire()
            for _ in range(3):
                with pytest.raises(LockNotAcquired):
                    await colour.of(lock).acquire()
            with pytest.raises(LockNotAcquired):
                await colour.of(make(layer, wait=0.01)).acquire()
            await colour.of(held).extend()
            assert not await is_free(colour, lock)
            await colour.of(held).release()
            assert await is_free(colour, lock)

    colour.run(scenario)


def test_what_is_shown_of_a_lock(layer: Layer) -> None:
    """Its name and state; never its token, with which another could give it back."""
    lock = layer.lock("k")
    held = lock.acquire()
    assert (repr(lock), repr(held)) == ("<Lock 'k'>", "<Held lock 'k', held>")
    held.release()
    assert repr(held) == "<Held lock 'k', given back>"
    assert repr(layer.read_write_lock("k").read()) == "<Read lock 'k'>"
    several = layer.multi_lock(["b", "a"])
    with several as held_all:
        assert (repr(several), repr(held_all)) == (
            "<MultiLock 'a', 'b'>",
            "<MultiHeld <Held lock 'a', held>, <Held lock 'b', held>>",
        )


def test_who_leaves_more_often_than_he_has_entered_is_told(colour: Colour, layer: Layer) -> None:
    """It is a mistake, and no lock of others is given back for it."""

    async def scenario() -> None:
        lock = layer.lock("k")
        async with colour.using(lock):
            pass
        held = await colour.of(lock).acquire()
        with pytest.raises(RuntimeError, match="left more often than it was entered"):
            await colour.call(lock.__aexit__ if colour.is_async else lock.__exit__, None, None, None)
        await colour.of(held).extend()
        await colour.of(held).release()

    colour.run(scenario)
