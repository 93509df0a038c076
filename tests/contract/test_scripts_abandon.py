"""Promises of `abandon`: it frees the caller's own lease only, and may hand back what is stored."""

from __future__ import annotations

import pytest

from holdfast.policy.frame import instant
from holdfast.scripts import cache as scripts
from support.colours import Colour
from support.entry import FRESH_UNTIL, an_entry, frame, nonce, parsed
from support.topologies import Topology

LATER = 1_900_000_000.0


@pytest.mark.parametrize("length", [32, 16], ids=["token", "nonce"])
def test_an_abandoned_lease_is_free(colour: Colour, topology: Topology, namespace: str, length: int) -> None:
    """Its token frees a lease, and so does its nonce; the whole token is told, no value asked for, nothing repeated."""

    async def scenario() -> None:
        async with an_entry(colour, topology, namespace) as it:
            await it.filled()
            stored = await it.get(it.value)
            token = str((await it.call(scripts.acquire(it.lease, None, nonce=nonce(), seconds=30)))[1], "ascii")
            await it.heard()
            abandon = scripts.abandon(it.value, it.lease, token=token[:length], channel=it.channel)
            assert abandon.repeatable
            assert await it.call(abandon) == [1, None]
            assert await it.get(it.lease) is None
            assert await it.heard() == [b"failed " + token.encode()]
            assert await it.call(abandon) == [0, None]
            assert await it.heard() == []
            assert await it.get(it.value) == stored

    colour.run(scenario)


def test_another_lease_is_left_alone(colour: Colour, topology: Topology, namespace: str) -> None:
    """Neither another token, nor another nonce, nor a part of the right one frees a lease; nobody is told of it."""

    async def scenario() -> None:
        async with an_entry(colour, topology, namespace) as it:
            old = await it.granted()
            await it.lose(it.lease)
            token = await it.granted()
            for other in (old, old[:16], token[:15], token[:31], token[:16] + old[16:], ""):
                command = scripts.abandon(it.value, it.lease, token=other, channel=it.channel)
                assert await it.call(command) == [0, None]
            assert await it.get(it.lease) == token.encode()
            assert await it.heard() == []

    colour.run(scenario)


def test_the_holder_gets_the_value_and_throttles_it(colour: Colour, topology: Topology, namespace: str) -> None:
    """With an instant the reply has the value as it was, and the stored one tries no refresh before that instant."""

    async def scenario() -> None:
        async with an_entry(colour, topology, namespace) as it:
            stored = frame(await it.filled())
            seen = stored[2:34]
            _, token = await it.call(scripts.acquire(it.lease, it.value, nonce=nonce(), seconds=30, seen=seen))
            abandon = scripts.abandon(
                it.value, it.lease, token=token.decode(), channel=it.channel, retry_at=instant(LATER)
            )
            assert await it.call(abandon) == [1, stored]
            changed = await it.get(it.value)
            assert changed
            assert parsed(changed).retry_at == LATER
            assert parsed(changed).fresh_until == FRESH_UNTIL
            assert changed[:42] + bytes(8) + changed[50:] == stored
            assert 59 < await it.lasts(it.value) <= 60
            assert await it.call(abandon) == [0, changed]

    colour.run(scenario)


def test_who_has_lost_the_lease_throttles_nothing(colour: Colour, topology: Topology, namespace: str) -> None:
    """With an instant, who does not hold the lease gets the value too, and leaves it as it is."""

    async def scenario() -> None:
        async with an_entry(colour, topology, namespace) as it:
            stored = frame(await it.filled())
            for holder in (False, True):
                if holder:
                    await it.call(scripts.acquire(it.lease, None, nonce=nonce(), seconds=30))
                command = scripts.abandon(
                    it.value, it.lease, token="s" * 32, channel=it.channel, retry_at=instant(LATER)
                )
                assert await it.call(command) == [0, stored]
                assert await it.get(it.value) == stored

    colour.run(scenario)


def test_a_missing_value_is_not_created(colour: Colour, topology: Topology, namespace: str) -> None:
    """Without a value the instant is written nowhere, and the reply has none."""

    async def scenario() -> None:
        async with an_entry(colour, topology, namespace) as it:
            token = await it.granted()
            command = scripts.abandon(it.value, it.lease, token=token, channel=it.channel, retry_at=instant(LATER))
            assert await it.call(command) == [1, None]
            assert await it.get(it.value) is None

    colour.run(scenario)
