"""Promises of `acquire`: one caller loads, others learn whom to wait for, and nobody loads what is there already."""

from __future__ import annotations

import pytest

from holdfast.scripts import cache as scripts
from support.colours import Colour
from support.entry import an_entry, frame, nonce
from support.topologies import Topology


def test_one_is_granted_and_the_others_wait(colour: Colour, topology: Topology, namespace: str) -> None:
    """A free lease is granted with a token of its nonce; others get that token and the time that it has left."""

    async def scenario() -> None:
        async with an_entry(colour, topology, namespace) as it:
            mine = nonce()
            granted, token = await it.call(scripts.acquire(it.lease, it.value, nonce=mine, seconds=30))
            assert granted == 1
            assert await it.get(it.lease) == token
            assert len(token) == 32
            assert token.startswith(mine.encode())
            assert token[16:].isdigit()
            assert 29 < await it.lasts(it.lease) <= 30

            wait, holder, left = await it.call(scripts.acquire(it.lease, it.value, nonce=nonce(), seconds=99))
            assert (wait, holder) == (2, token)
            assert 29_000 < left <= 30_000
            assert await it.get(it.lease) == token
            assert await it.lasts(it.lease) <= 30
            assert await it.heard() == []

    colour.run(scenario)


def test_of_many_at_once_one_is_granted(colour: Colour, topology: Topology, namespace: str) -> None:
    """Of eight who ask at once one gets the lease, and seven get its token."""

    async def scenario() -> None:
        async with an_entry(colour, topology, namespace) as it:

            async def ask() -> list[object]:
                answer: list[object] = await it.call(scripts.acquire(it.lease, it.value, nonce=nonce(), seconds=30))
                return answer[:2]

            answers = sorted(await colour.together(*[ask] * 8), key=str)
            token = await it.get(it.lease)
            assert answers == [[1, token], *[[2, token]] * 7]

    colour.run(scenario)


def test_a_value_that_the_caller_has_not_seen_is_returned(colour: Colour, topology: Topology, namespace: str) -> None:
    """Who comes after a fill gets its value, even while another loads, and takes no lease; who has seen it gets one."""

    async def scenario() -> None:
        async with an_entry(colour, topology, namespace) as it:
            token = await it.filled()
            for seen in (b"", b"x" * 32):
                found = await it.call(scripts.acquire(it.lease, it.value, nonce=nonce(), seconds=30, seen=seen))
                assert found == [0, frame(token)]
            assert await it.get(it.lease) is None

            stale = scripts.acquire(it.lease, it.value, nonce=nonce(), seconds=30, seen=token.encode())
            assert (await it.call(stale))[0] == 1
            unseen = scripts.acquire(it.lease, it.value, nonce=nonce(), seconds=30, replace="*")
            assert await it.call(unseen) == [0, frame(token)]

    colour.run(scenario)


@pytest.mark.parametrize("raw", [b"", b"junk", b"\1\0" + b"x" * 20])
def test_a_value_too_short_to_have_an_id(colour: Colour, topology: Topology, namespace: str, raw: bytes) -> None:
    """Who has seen an unreadable value names what stands where the id should be, and may load."""

    async def scenario() -> None:
        async with an_entry(colour, topology, namespace) as it:
            await it.call(
                scripts.put_value(it.value, it.lease, frame=raw, seconds=60, channel=it.channel),
            )
            command = scripts.acquire(it.lease, it.value, nonce=nonce(), seconds=30, seen=raw[2:34])
            assert (await it.call(command))[0] == 1

    colour.run(scenario)


def test_only_the_named_lease_is_replaced(colour: Colour, topology: Topology, namespace: str) -> None:
    """A lease is taken over by who names its nonce, and by `*`; nobody else's, and not without asking."""

    async def scenario() -> None:
        async with an_entry(colour, topology, namespace) as it:
            lost = nonce()
            _, first = await it.call(scripts.acquire(it.lease, it.value, nonce=lost, seconds=30))
            for other in ("", nonce(), lost[:15], first.decode()):
                command = scripts.acquire(it.lease, it.value, nonce=nonce(), seconds=30, replace=other)
                assert (await it.call(command))[:2] == [2, first]
            again = scripts.acquire(it.lease, it.value, nonce=nonce(), seconds=60, replace=lost)
            granted, second = await it.call(again)
            assert granted == 1
            assert await it.get(it.lease) == second != first
            assert await it.lasts(it.lease) > 30
            taken = await it.call(scripts.acquire(it.lease, it.value, nonce=nonce(), seconds=30, replace="*"))
            assert taken[0] == 1
            assert await it.call(it.fill(second.decode())) == 0

    colour.run(scenario)


@pytest.mark.parametrize("replace", ["named", "*"])
def test_a_free_lease_needs_no_replacing(colour: Colour, topology: Topology, namespace: str, replace: str) -> None:
    """Who wants to take over a lease that is gone meanwhile gets a new one."""

    async def scenario() -> None:
        async with an_entry(colour, topology, namespace) as it:
            command = scripts.acquire(it.lease, it.value, nonce=nonce(), seconds=30, replace=replace)
            assert (await it.call(command))[0] == 1

    colour.run(scenario)


def test_the_same_bytes_never_grant_the_same_token(colour: Colour, topology: Topology, namespace: str) -> None:
    """A copy of `acquire` that executes after an invalidation grants another token; the revoked one stores nothing."""

    async def scenario() -> None:
        async with an_entry(colour, topology, namespace) as it:
            command = scripts.acquire(it.lease, it.value, nonce=nonce(), seconds=30)
            assert not command.repeatable
            _, first = await it.call(command)
            await it.call(scripts.invalidate(it.value, it.lease, channel=it.channel))
            granted, second = await it.call(command)
            assert granted == 1
            assert second != first
            assert await it.call(it.fill(first.decode(), b"old")) == 0
            assert await it.call(it.fill(second.decode(), b"new")) == 1
            assert await it.get(it.value) == frame(second.decode(), b"new")

    colour.run(scenario)


def test_a_result_is_found_under_its_own_key_only(colour: Colour, topology: Topology, namespace: str) -> None:
    """What is not kept lies under its token: who waits for that token finds it, and who names no key just acquires."""

    async def scenario() -> None:
        async with an_entry(colour, topology, namespace) as it:
            ask = scripts.acquire(it.lease, None, nonce=nonce(), seconds=30)
            assert ask.keys == (it.lease,)
            granted, token = await it.call(ask)
            assert granted == 1
            assert (await it.call(scripts.acquire(it.lease, None, nonce=nonce(), seconds=30)))[0] == 2

            result = f"{it.lease}:{token.decode()}"
            stored = frame(token.decode())
            assert (
                await it.call(
                    scripts.fill(result, it.lease, token=token.decode(), frame=stored, seconds=5, channel=it.channel)
                )
                == 1
            )
            watched = scripts.acquire(it.lease, result, nonce=nonce(), seconds=30)
            assert await it.call(watched) == [0, stored]
            assert (await it.call(scripts.acquire(it.lease, None, nonce=nonce(), seconds=30)))[0] == 1

    colour.run(scenario)
