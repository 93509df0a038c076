"""Promises of `fill` and `renew`: what was loaded is stored under its own lease only, and a lost lease stays lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from holdfast.scripts import cache as scripts
from support.colours import Colour
from support.entry import Entry, an_entry, frame, nonce
from support.topologies import Topology

Loss = Callable[[Entry], Awaitable[None]]
STRANGER = "s" * 32


async def _revoked(it: Entry) -> None:
    await it.call(scripts.invalidate(it.value, it.lease, channel=it.channel))


async def _expired(it: Entry) -> None:
    await it.lose(it.lease)


async def _taken(it: Entry) -> None:
    await it.call(scripts.acquire(it.lease, it.value, nonce=nonce(), seconds=30, replace="*"))


async def _overwritten(it: Entry) -> None:
    command = scripts.put_value(it.value, it.lease, frame=frame(STRANGER), seconds=60, channel=it.channel)
    await it.call(command)


LOSSES = pytest.mark.parametrize("lost", [_revoked, _expired, _taken, _overwritten])


def test_a_fill_stores_and_gives_the_lease_back(colour: Colour, topology: Topology, namespace: str) -> None:
    """The frame lies under the value's key for its time, the lease is free, and its waiters are told its token."""

    async def scenario() -> None:
        async with an_entry(colour, topology, namespace) as it:
            token = await it.granted()
            assert await it.call(it.fill(token, b"\0\r\n\xff", seconds=9.5)) == 1
            assert await it.get(it.value) == frame(token, b"\0\r\n\xff")
            assert 5 < await it.lasts(it.value) <= 9.5
            assert await it.get(it.lease) is None
            assert await it.heard() == [b"done " + token.encode()]

    colour.run(scenario)


@LOSSES
def test_a_fill_without_its_lease_stores_nothing(
    colour: Colour, topology: Topology, namespace: str, lost: Loss
) -> None:
    """Whether the lease was revoked, has expired, or is another's: the value and the lease stay as they are."""

    async def scenario() -> None:
        async with an_entry(colour, topology, namespace) as it:
            token = await it.granted()
            await lost(it)
            before = await it.get(it.value), await it.get(it.lease)
            await it.heard()
            assert await it.call(it.fill(token)) == 0
            assert (await it.get(it.value), await it.get(it.lease)) == before
            assert await it.heard() == []

    colour.run(scenario)


def test_a_repeated_fill_is_answered_as_the_first(colour: Colour, topology: Topology, namespace: str) -> None:
    """Sent again, a fill says stored while its value is there, and lost after that; it never stores or tells twice."""

    async def scenario() -> None:
        async with an_entry(colour, topology, namespace) as it:
            token = await it.granted()
            fill = it.fill(token)
            assert fill.repeatable
            assert await it.call(fill) == 1
            await it.call(scripts.expire_value(it.value, seconds=9, fresh_until=b"\0" * 8, channel=it.channel))
            changed = await it.get(it.value)
            await it.heard()
            assert await it.call(fill) == 1
            assert await it.get(it.value) == changed
            assert await it.lasts(it.value) <= 9

            next_token = (await it.call(scripts.acquire(it.lease, None, nonce=nonce(), seconds=30)))[1]
            assert await it.call(fill) == 1, "another load is under way, but this fill did store"
            assert await it.get(it.lease) == next_token
            await it.call(scripts.invalidate(it.value, it.lease, channel=it.channel))
            assert await it.call(fill) == 0
            assert await it.get(it.value) is None
            assert await it.heard() == [b"gone"]

    colour.run(scenario)


def test_a_fill_says_lost_when_another_value_is_there(colour: Colour, topology: Topology, namespace: str) -> None:
    """A value with another id, or too short to have one, does not pass for the fill's own."""

    async def scenario() -> None:
        async with an_entry(colour, topology, namespace) as it:
            token = await it.granted()
            for other in (frame(STRANGER), b"", b"\1\0" + token.encode()[:31], token.encode()):
                await it.call(
                    scripts.put_value(it.value, it.lease, frame=other, seconds=60, channel=it.channel),
                )
                assert await it.call(it.fill(token)) == 0
                assert await it.get(it.value) == other

    colour.run(scenario)


def test_a_renewed_lease_lasts_from_now(colour: Colour, topology: Topology, namespace: str) -> None:
    """Renewing gives the lease its time again, changes nothing else, and tells nobody."""

    async def scenario() -> None:
        async with an_entry(colour, topology, namespace) as it:
            token = await it.granted(seconds=5)
            renew = scripts.renew(it.lease, token=token, seconds=30)
            assert renew.repeatable
            assert await it.call(renew) == 1
            assert 29 < await it.lasts(it.lease) <= 30
            assert await it.get(it.lease) == token.encode()
            assert await it.call(renew) == 1
            assert await it.heard() == []

    colour.run(scenario)


@LOSSES
def test_renewing_a_lost_lease_never_brings_it_back(
    colour: Colour, topology: Topology, namespace: str, lost: Loss
) -> None:
    """Who has lost the lease is told so; the key is neither created nor prolonged for the other holder."""

    async def scenario() -> None:
        async with an_entry(colour, topology, namespace) as it:
            token = await it.granted()
            await lost(it)
            before = await it.get(it.lease)
            assert await it.call(scripts.renew(it.lease, token=token, seconds=90)) == 0
            assert await it.get(it.lease) == before
            assert await it.lasts(it.lease) <= 30

    colour.run(scenario)
