"""Promises of `invalidate`, `put` and `expire`: a change revokes running loads, and is told after it was made."""

from __future__ import annotations

import pytest

from holdfast.policy.frame import STALE, instant
from holdfast.scripts import cache as scripts
from support.colours import Colour
from support.entry import Entry, an_entry, frame, nonce, parsed
from support.topologies import Topology

WRITTEN = "w" * 32


async def _lease(it: Entry) -> str:
    answer = await it.call(scripts.acquire(it.lease, None, nonce=nonce(), seconds=30))
    return str(answer[1], "ascii")


@pytest.mark.parametrize("loading", [False, True])
@pytest.mark.parametrize("stored", [False, True])
def test_invalidating_removes_value_and_lease(
    colour: Colour, topology: Topology, namespace: str, stored: bool, loading: bool
) -> None:
    """Both are gone, the reply counts the value only, and it is told in any case; so it does when sent again."""

    async def scenario() -> None:
        async with an_entry(colour, topology, namespace) as it:
            if stored:
                await it.filled()
            if loading:
                await _lease(it)
            await it.heard()
            invalidate = scripts.invalidate(it.value, it.lease, channel=it.channel)
            assert invalidate.repeatable
            assert await it.call(invalidate) == int(stored)
            assert await it.get(it.value) is None
            assert await it.get(it.lease) is None
            assert await it.heard() == [b"gone"]
            assert await it.call(invalidate) == 0
            assert await it.heard() == [b"gone"]

    colour.run(scenario)


def test_a_load_that_was_under_way_stores_nothing(colour: Colour, topology: Topology, namespace: str) -> None:
    """A fill, a renewal and an abandonment after an invalidation find the lease lost, and change nothing."""

    async def scenario() -> None:
        async with an_entry(colour, topology, namespace) as it:
            token = await it.granted()
            await it.call(scripts.invalidate(it.value, it.lease, channel=it.channel))
            await it.heard()
            assert await it.call(scripts.renew(it.lease, token=token, seconds=30)) == 0
            assert await it.call(it.fill(token)) == 0
            abandon = scripts.abandon(
                it.value, it.lease, token=token, channel=it.channel, retry_at=instant(1_900_000_000)
            )
            assert await it.call(abandon) == [0, None]
            assert await it.get(it.value) is None
            assert await it.get(it.lease) is None
            assert await it.heard() == []

    colour.run(scenario)


@pytest.mark.parametrize("loading", [False, True])
def test_a_put_value_is_stored_and_the_lease_revoked(
    colour: Colour, topology: Topology, namespace: str, loading: bool
) -> None:
    """A value written past the loads replaces what is stored, and the load that was under way stores nothing."""

    async def scenario() -> None:
        async with an_entry(colour, topology, namespace) as it:
            await it.filled(b"before")
            token = await _lease(it) if loading else "s" * 32
            await it.heard()
            put = scripts.put_value(
                it.value, it.lease, frame=frame(WRITTEN, b"written"), seconds=9.5, channel=it.channel
            )
            assert not put.repeatable
            assert await it.call(put) == 1
            assert await it.get(it.value) == frame(WRITTEN, b"written")
            assert 5 < await it.lasts(it.value) <= 9.5
            assert await it.get(it.lease) is None
            assert await it.heard() == [b"gone"]
            assert await it.call(it.fill(token, b"old")) == 0
            assert await it.get(it.value) == frame(WRITTEN, b"written")

    colour.run(scenario)


@pytest.mark.parametrize("seconds", [5.0, 500.0])
def test_a_new_expiry_is_patched_in(colour: Colour, topology: Topology, namespace: str, seconds: float) -> None:
    """A value may live shorter or longer and be fresh until another instant; all else of it stays, the lease too."""

    async def scenario() -> None:
        async with an_entry(colour, topology, namespace) as it:
            stored = frame(await it.filled())
            lease = await _lease(it)
            await it.heard()
            expire = scripts.expire_value(
                it.value, seconds=seconds, fresh_until=instant(1_800_000_000), channel=it.channel
            )
            assert expire.repeatable
            for _ in range(2):
                assert await it.call(expire) == 1
                changed = await it.get(it.value)
                assert changed
                assert parsed(changed).fresh_until == 1_800_000_000
                assert changed[:34] + stored[34:42] + changed[42:] == stored
                assert seconds - 1 < await it.lasts(it.value) <= seconds
                assert await it.heard() == [b"gone"]
            assert await it.get(it.lease) == lease.encode()

    colour.run(scenario)


def test_an_expiry_creates_nothing(colour: Colour, topology: Topology, namespace: str) -> None:
    """Without a value the reply is 0 and no key appears; it is told all the same, for copies elsewhere."""

    async def scenario() -> None:
        async with an_entry(colour, topology, namespace) as it:
            expire = scripts.expire_value(it.value, seconds=60, fresh_until=STALE, channel=it.channel)
            assert await it.call(expire) == 0
            assert await it.get(it.value) is None
            assert await it.heard() == [b"gone"]

    colour.run(scenario)


def test_it_is_told_after_it_was_done(namespace: str, server_topology: Topology) -> None:
    """Each script publishes as its last command, whoever watches the server: who is woken finds what was done."""
    sync = Colour("sync")

    async def scenario() -> None:
        async with an_entry(sync, server_topology, namespace) as it:
            token = await it.granted()
            keys = (it.value, it.lease)
            told = [
                it.fill(token),
                scripts.put_value(*keys, frame=frame(WRITTEN), seconds=60, channel=it.channel),
                scripts.expire_value(it.value, seconds=60, fresh_until=STALE, channel=it.channel),
                scripts.invalidate(*keys, channel=it.channel),
                scripts.tag_invalidate(it.tag, nonce=nonce(), seconds=60, soft=True, channel=it.channel),
            ]
            for command in told:
                with server_topology.monitor(namespace) as seen:
                    await it.opened.port.call(command)
                names = [each.name for each in seen.from_scripts]
                assert names.count("PUBLISH") == 1
                assert names[-1] == "PUBLISH"
            token = await it.granted()
            with server_topology.monitor(namespace) as seen:
                await it.opened.port.call(scripts.abandon(*keys, token=token, channel=it.channel))
            assert [each.name for each in seen.from_scripts] == ["GET", "UNLINK", "PUBLISH"]

    sync.run(scenario)
