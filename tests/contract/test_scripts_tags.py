"""Promises of the versions of tags: made once, never made again, and never outlived by what was stored under them."""

from __future__ import annotations

import pytest

from holdfast.scripts import cache as scripts
from support.colours import Colour
from support.entry import Entry, an_entry, nonce
from support.topologies import Topology


async def _versions(it: Entry, seconds: float = 60) -> tuple[str, str]:
    answer: bytes = await it.call(scripts.tag_versions(it.tag, nonce=nonce(), seconds=seconds))
    return _halves(answer)


async def _invalidated(it: Entry, *, soft: bool, seconds: float = 60) -> tuple[str, str]:
    command = scripts.tag_invalidate(it.tag, nonce=nonce(), seconds=seconds, soft=soft, channel=it.channel)
    assert not command.repeatable
    answer: bytes = await it.call(command)
    assert await it.get(it.tag) == answer
    return _halves(answer)


def _halves(answer: bytes) -> tuple[str, str]:
    hard, soft = answer.decode("ascii").split(".")
    assert len(hard) == len(soft) == 32
    return hard, soft


def test_versions_are_made_once(colour: Colour, topology: Topology, namespace: str) -> None:
    """A tag without versions gets them, out of the nonce that was sent; after that everybody reads the same."""

    async def scenario() -> None:
        async with an_entry(colour, topology, namespace) as it:
            mine = nonce()
            command = scripts.tag_versions(it.tag, nonce=mine, seconds=60)
            assert not command.repeatable
            first = await it.call(command)
            hard, soft = _halves(first)
            assert hard[:16] == soft[:16] == mine
            assert hard[16:].isdigit()
            assert await it.get(it.tag) == first
            assert 119 < await it.lasts(it.tag) <= 120, "twice as long, so that it need not be prolonged each time"
            assert await _versions(it) == (hard, soft)
            assert await it.heard() == []

    colour.run(scenario)


def test_racing_creators_converge(colour: Colour, topology: Topology, namespace: str) -> None:
    """Of eight who create a tag at once all get the same versions."""

    async def scenario() -> None:
        async with an_entry(colour, topology, namespace) as it:

            async def create() -> tuple[str, str]:
                return await _versions(it)

            assert len(set(await colour.together(*[create] * 8))) == 1

    colour.run(scenario)


def test_a_lost_tag_never_gets_its_old_versions(colour: Colour, topology: Topology, namespace: str) -> None:
    """The very same bytes, executed after the tag was lost, make other versions."""

    async def scenario() -> None:
        async with an_entry(colour, topology, namespace) as it:
            create = scripts.tag_versions(it.tag, nonce=nonce(), seconds=60)
            before = _halves(await it.call(create))
            await it.lose(it.tag)
            after = _halves(await it.call(create))
            assert not {*before} & {*after}

    colour.run(scenario)


@pytest.mark.parametrize("soft", [False, True])
def test_the_same_invalidation_never_gives_the_same_versions(
    colour: Colour, topology: Topology, namespace: str, soft: bool
) -> None:
    """The very same bytes, executed twice, make two versions."""

    async def scenario() -> None:
        async with an_entry(colour, topology, namespace) as it:
            await _versions(it)
            command = scripts.tag_invalidate(it.tag, nonce=nonce(), seconds=60, soft=soft, channel="")
            first, second = _halves(await it.call(command)), _halves(await it.call(command))
            assert first[1] != second[1]
            assert (first[0] == second[0]) is soft

    colour.run(scenario)


def test_a_soft_invalidation_keeps_the_hard_version(colour: Colour, topology: Topology, namespace: str) -> None:
    """Soft changes one half and hard both; each is told."""

    async def scenario() -> None:
        async with an_entry(colour, topology, namespace) as it:
            hard, soft = await _versions(it)
            hard_2, soft_2 = await _invalidated(it, soft=True)
            assert hard_2 == hard
            assert soft_2 not in {hard, soft}
            hard_3, soft_3 = await _invalidated(it, soft=False)
            assert hard_3 not in {hard, soft, soft_2}
            assert soft_3 not in {hard, soft, soft_2}
            hard_4, soft_4 = await _invalidated(it, soft=True)
            assert hard_4 == hard_3
            assert soft_4 != soft_3
            assert await _versions(it) == (hard_4, soft_4)
            assert await it.heard() == [b"gone"] * 3

    colour.run(scenario)


@pytest.mark.parametrize("soft", [False, True])
def test_invalidating_a_tag_that_is_not_there(colour: Colour, topology: Topology, namespace: str, soft: bool) -> None:
    """A tag that was lost gets two new versions, so that nothing of before counts."""

    async def scenario() -> None:
        async with an_entry(colour, topology, namespace) as it:
            before = await _versions(it)
            await it.lose(it.tag)
            command = scripts.tag_invalidate(it.tag, nonce=nonce(), seconds=60, soft=soft, channel="")
            after = _halves(await it.call(command))
            assert not {*before} & {*after}
            assert 59 < await it.lasts(it.tag) <= 60

    colour.run(scenario)


@pytest.mark.parametrize("soft", [False, True])
def test_without_a_channel_nobody_is_told(server_topology: Topology, namespace: str, soft: bool) -> None:
    """An invalidation that names no channel publishes nothing at all, not even on a channel without a name."""
    sync = Colour("sync")

    async def scenario() -> None:
        async with an_entry(sync, server_topology, namespace) as it:
            with server_topology.monitor("gone") as seen:
                await it.call(scripts.tag_invalidate(it.tag, nonce=nonce(), seconds=60, soft=soft, channel=""))
                await it.call(scripts.tag_invalidate(it.tag, nonce=nonce(), seconds=60, soft=soft, channel=it.channel))
            assert [each.name for each in seen.from_scripts] == ["PUBLISH"]
            assert await it.heard() == [b"gone"]

    sync.run(scenario)


def test_a_tag_lives_longer_but_never_shorter(colour: Colour, topology: Topology, namespace: str) -> None:
    """Reading prolongs a tag to twice the time that it needs, and invalidating to that; neither makes it shorter."""

    async def scenario() -> None:
        async with an_entry(colour, topology, namespace) as it:
            versions = await _versions(it, 60)
            assert await _versions(it, 110) == versions
            assert 115 < await it.lasts(it.tag) <= 120
            assert await _versions(it, 130) == versions
            assert 255 < await it.lasts(it.tag) <= 260
            for soft, seconds, left in ((True, 10, 260), (False, 10, 260), (True, 300, 300), (False, 400, 400)):
                await _invalidated(it, soft=soft, seconds=seconds)
                assert left - 5 < await it.lasts(it.tag) <= left

    colour.run(scenario)
