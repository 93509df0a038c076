"""Promises of locks over connections that lose replies: taken once, given back once, and nothing else is believed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

from holdfast import BackendError, BackendTimeout, Layer
from holdfast.events import BackendFailed, LockAcquired, LockLost
from support.backends import beside
from support.calls import teach
from support.colours import Colour
from support.lock_kinds import KINDS, Make, is_free, parts
from support.peeking import told
from support.programs import oldest
from support.proxy import Proxy
from support.standalone import Standalone

SOON: Final = 0.4
"""Seconds after which a reply is too late."""
ALONE: Final = {name: KINDS[name] for name in ("plain", "fair", "permit", "writer")}
each_kind = pytest.mark.parametrize("make", ALONE.values(), ids=ALONE)


class Bench:
    """A layer behind a proxy, and one that asks the server directly, as another process would."""

    def __init__(self, colour: Colour, proxy: Proxy, layer: Layer, direct: Layer, make: Make) -> None:
        self.colour = colour
        self.proxy = proxy
        self.layer = layer
        self.lost = told(layer, LockLost)
        self.failed = told(layer, BackendFailed)
        self.acquired = told(layer, LockAcquired)
        self.direct = direct
        self._make = make

    def lock(self, **options: Any) -> Any:
        """Make the lock of the layer behind the proxy."""
        return self._make(self.layer, **options)

    async def is_free(self) -> bool:
        """Say whether another could have it now."""
        return await is_free(self.colour, self._make(self.direct, wait=0))

    async def is_free_soon(self) -> None:
        """Wait until another gets it, long before the lease is over."""
        async with self.colour.using(self._make(self.direct, wait=10)):
            return

    async def give_back(self, held: Any) -> None:
        """Give a lock back, again as long as Redis cannot be reached."""
        for _ in range(100):
            try:
                await self.colour.of(held).release()
            except BackendError:
                await self.colour.sleep(0.05)
            else:
                return
        raise AssertionError


@asynccontextmanager
async def bench(colour: Colour, make: Make) -> AsyncIterator[Bench]:
    with Standalone(oldest()) as server, Proxy(server.address) as proxy:
        teach([server])
        async with (
            colour.using(Layer(f"{proxy.url}?socket_timeout={SOON}&socket_connect_timeout={SOON}")) as layer,
            colour.using(Layer(server.url)) as direct,
        ):
            async with colour.using(layer.lock("warm")):
                pass
            made = Bench(colour, proxy, layer, direct, make)
            try:
                yield made
            finally:
                await beside(colour, proxy.restore)


@each_kind
def test_the_answer_comes_too_late(colour: Colour, make: Make) -> None:
    """Redis has granted it, and nobody has heard: whoever waits asks again and has it, once; others never had it."""

    async def scenario() -> None:
        async with bench(colour, make) as it:
            it.proxy.hold_replies()

            async def take() -> Any:
                return await colour.of(it.lock()).acquire()

            async def let_go() -> None:
                await colour.until(lambda: it.failed, "the answer is too late")
                assert not await it.is_free()
                await beside(colour, it.proxy.release)

            held, done = await colour.together(take, let_go)
            assert done is None
            held.check()
            await colour.of(held).extend()
            assert not await it.is_free()
            assert len(it.acquired) == 1
            await colour.of(held).release()
            assert await it.is_free()
            assert it.lost == []

    colour.run(scenario)


@each_kind
def test_who_does_not_wait_for_a_late_answer_holds_nothing(colour: Colour, make: Make) -> None:
    """It gets the error, and what Redis has granted is given back long before its lease is over."""

    async def scenario() -> None:
        async with bench(colour, make) as it:
            it.proxy.hold_replies()
            with pytest.raises(BackendTimeout):
                await colour.of(it.lock(wait=0)).acquire()
            await beside(colour, it.proxy.release)
            await it.is_free_soon()
            assert it.acquired == []

    colour.run(scenario)


@each_kind
def test_the_answer_is_lost_with_its_connection(colour: Colour, make: Make) -> None:
    """To take is repeatable: it is sent again at once, and is no refusal by oneself, also for who does not wait."""

    async def scenario() -> None:
        async with bench(colour, make) as it:
            it.proxy.cut_after(0)
            held = await colour.of(it.lock(wait=0)).acquire()
            assert not await it.is_free()
            await colour.of(held).release()
            assert await it.is_free()
            assert it.lost == []

    colour.run(scenario)


@each_kind
def test_giving_back_whose_answer_is_lost(colour: Colour, make: Make) -> None:
    """It was given back, and that is no loss: neither by hand nor at the end of a block."""

    async def scenario() -> None:
        async with bench(colour, make) as it:
            held = await colour.of(it.lock()).acquire()
            it.proxy.cut_after(0)
            await colour.of(held).release()
            assert await it.is_free()
            async with colour.using(it.lock()):
                it.proxy.cut_after(0)
            assert await it.is_free()
            await colour.of(held).release()
            assert it.lost == []
            assert it.layer.stats().lost == 0

    colour.run(scenario)


@pytest.mark.parametrize("make", [KINDS["plain"], KINDS["permit"]], ids=["plain", "permit"])
def test_giving_back_again_after_an_error(colour: Colour, make: Make) -> None:
    """The token is kept: a second release works, whether the first has arrived or not, and is no loss."""

    async def scenario() -> None:
        async with bench(colour, make) as it:
            for hold in ("hold_replies", "hold_requests"):
                held = await colour.of(it.lock()).acquire()
                getattr(it.proxy, hold)()
                with pytest.raises(BackendError):
                    await colour.of(held).release()
                with pytest.raises(BackendError):
                    await colour.of(held).release()
                await beside(colour, it.proxy.release)
                await it.give_back(held)
                await it.is_free_soon()
                for each in parts(held):
                    assert not each.lost
            assert it.lost == []

    colour.run(scenario)


@each_kind
def test_a_block_whose_end_nobody_answers(colour: Colour, make: Make) -> None:
    """What the body raised comes out, or nothing; the lock is given back when Redis is there again."""

    async def scenario() -> None:
        async with bench(colour, make) as it:
            for error in (None, LookupError("body")):
                raised = None
                try:
                    async with colour.using(it.lock()):
                        await beside(colour, it.proxy.refuse)
                        await beside(colour, it.proxy.cut_all)
                        if error is not None:
                            raise error
                except LookupError as caught:
                    raised = caught
                assert raised is error
                assert [event for event in it.failed if "leave" in event.operation]
                await beside(colour, it.proxy.accept)
                await it.is_free_soon()
                await it.give_back(await colour.of(it.lock()).acquire())
            assert it.lost == []

    colour.run(scenario)


def test_a_late_release_that_finds_the_next_holder(colour: Colour) -> None:
    """In doubt whether it was given back: a second release leaves whoever holds it by then alone."""

    async def scenario() -> None:
        async with bench(colour, KINDS["plain"]) as it:
            held = await colour.of(it.lock()).acquire()
            it.proxy.hold_replies()
            with pytest.raises(BackendError):
                await colour.of(held).release()
            async with colour.using(it.direct.lock("k", wait=5)) as next_one:
                await beside(colour, it.proxy.release)
                await it.give_back(held)
                await colour.of(next_one).extend()
            assert it.lost == []

    colour.run(scenario)


def test_renewals_outlive_a_short_outage(colour: Colour) -> None:
    """A Redis that is back before the lease is over was never away for the holder."""

    async def scenario() -> None:
        async with bench(colour, KINDS["plain"]) as it:
            async with colour.using(it.lock(lease=3)) as held:
                await beside(colour, it.proxy.refuse)
                await beside(colour, it.proxy.cut_all)
                before = held._hold.until
                await colour.until(lambda: [each for each in it.failed if "keep" in each.operation], "it fails once")
                await beside(colour, it.proxy.accept)
                await colour.until(lambda: held._hold.until > before, "it is renewed")
                held.check()
            assert it.lost == []

    colour.run(scenario)
