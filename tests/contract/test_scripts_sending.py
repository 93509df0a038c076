"""Promises of sending scripts: a server need not know them, and a full one still does what frees memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from holdfast.commands import Command
from holdfast.errors import BackendError
from holdfast.policy.frame import STALE, instant
from holdfast.scripts import cache as scripts
from support.colours import Colour
from support.entry import Entry, an_entry, frame, nonce, parsed
from support.programs import Program
from support.standalone import Standalone
from support.topologies import Topology

EVERY: dict[str, Callable[[Entry], Command]] = {
    "acquire": lambda it: scripts.acquire(it.lease, it.value, nonce=nonce(), seconds=30),
    "fill": lambda it: it.fill("t" * 32),
    "renew": lambda it: scripts.renew(it.lease, token="t" * 32, seconds=30),
    "abandon": lambda it: scripts.abandon(it.value, it.lease, token="t" * 32, channel=it.channel),
    "invalidate": lambda it: scripts.invalidate(it.value, it.lease, channel=it.channel),
    "put": lambda it: scripts.put_value(it.value, it.lease, frame=b"x", seconds=60, channel=it.channel),
    "expire": lambda it: scripts.expire_value(it.value, seconds=60, fresh_until=STALE, channel=it.channel),
    "tag_versions": lambda it: scripts.tag_versions(it.tag, nonce=nonce(), seconds=60),
    "tag_invalidate": lambda it: scripts.tag_invalidate(it.tag, nonce=nonce(), seconds=60, soft=True, channel=""),
}


@pytest.fixture
def own(program: Program) -> Iterator[Standalone]:
    """Give a server of the test's own."""
    with Standalone(program) as server:
        yield server


@pytest.mark.parametrize("name", EVERY)
def test_a_server_that_does_not_know_a_script(colour: Colour, own: Standalone, namespace: str, name: str) -> None:
    """Its text is sent once, and its digest from then on, until the server has forgotten it."""

    async def scenario() -> None:
        async with an_entry(colour, Topology("own", own.url, (own,)), namespace) as it:
            for _ in range(2):
                with own.monitor(namespace) as seen:
                    await it.opened.port.call(EVERY[name](it))
                    await it.opened.port.call(EVERY[name](it))
                assert [each.name for each in seen.sent] == ["EVALSHA", "EVAL", "EVALSHA"]
                own.client.script_flush()

    colour.run(scenario)


def test_a_pipeline_of_unknown_scripts(colour: Colour, own: Standalone, namespace: str) -> None:
    """In a pipeline too, each script is executed once, whatever the server has forgotten."""

    async def scenario() -> None:
        async with an_entry(colour, Topology("own", own.url, (own,)), namespace) as it:
            for _ in range(2):
                versions, (granted, token) = await it.opened.port.pipeline(
                    [
                        scripts.tag_versions(it.tag, nonce=nonce(), seconds=60),
                        scripts.acquire(it.lease, it.value, nonce=nonce(), seconds=30),
                    ]
                )
                assert granted == 1
                assert versions == await it.get(it.tag)
                assert await it.get(it.lease) == token
                await it.lose(it.lease)
                own.client.script_flush()

    colour.run(scenario)


def test_all_nodes_learn_the_scripts(colour: Colour, topology: Topology, namespace: str) -> None:
    """Entries on all nodes can be loaded, one by one and in one pipeline."""

    async def scenario() -> None:
        async with an_entry(colour, topology, namespace) as it:
            values = [f"{namespace}:cache:{{{number}}}" for number in range(30)]
            leases = [f"{namespace}:lease:{{{number}}}" for number in range(30)]
            asked = [
                scripts.acquire(lease, value, nonce=nonce(), seconds=30)
                for lease, value in zip(leases, values, strict=True)
            ]
            granted = await it.opened.port.pipeline(asked[:20])
            granted += [await it.call(command) for command in asked[20:]]
            tokens = [token.decode() for answer, token in granted if answer == 1]
            fills = [
                scripts.fill(value, lease, token=token, frame=frame(token), seconds=60, channel=it.channel)
                for value, lease, token in zip(values, leases, tokens, strict=True)
            ]
            assert await it.opened.port.pipeline(fills) == [1] * 30
            changes = [
                scripts.invalidate(value, lease, channel=it.channel)
                for value, lease in zip(values, leases, strict=True)
            ]
            assert await it.opened.port.pipeline(changes) == [1] * 30

    colour.run(scenario)


def test_a_full_server_refuses_leases_and_values_whole(colour: Colour, own: Standalone, namespace: str) -> None:
    """What needs memory is refused, and a refused fill or put leaves value and lease as they were."""

    async def scenario() -> None:
        async with an_entry(colour, Topology("own", own.url, (own,)), namespace) as it:
            stored = frame(await it.filled())
            token = str((await it.call(scripts.acquire(it.lease, None, nonce=nonce(), seconds=30)))[1], "ascii")
            await it.heard()
            own.client.config_set("maxmemory", 1)
            for name in ("put", "tag_versions", "tag_invalidate"):
                with pytest.raises(BackendError):
                    await it.call(EVERY[name](it))
            with pytest.raises(BackendError):
                await it.call(it.fill(token, b"new"))
            with pytest.raises(BackendError):
                await it.call(scripts.acquire(it.lease, None, nonce=nonce(), seconds=30, replace="*"))
            assert await it.get(it.value) == stored
            assert await it.get(it.lease) == token.encode()
            assert await it.get(it.tag) is None
            assert await it.heard() == []

    colour.run(scenario)


def test_a_full_server_still_invalidates(colour: Colour, own: Standalone, namespace: str) -> None:
    """Making an entry stale, giving its lease back, and removing it need no memory."""

    async def scenario() -> None:
        async with an_entry(colour, Topology("own", own.url, (own,)), namespace) as it:
            stored = frame(await it.filled())
            token = str((await it.call(scripts.acquire(it.lease, None, nonce=nonce(), seconds=30)))[1], "ascii")
            own.client.config_set("maxmemory", 1)
            assert await it.call(scripts.renew(it.lease, token=token, seconds=30)) == 1
            assert await it.call(EVERY["expire"](it)) == 1
            stale = await it.get(it.value)
            assert stale
            assert stale == stored[:34] + STALE + stored[42:]
            abandon = scripts.abandon(
                it.value, it.lease, token=token, channel=it.channel, retry_at=instant(1_900_000_000)
            )
            assert await it.call(abandon) == [1, stale]
            throttled = await it.get(it.value)
            assert throttled
            assert parsed(throttled).retry_at == 1_900_000_000
            assert await it.call(EVERY["invalidate"](it)) == 1

    colour.run(scenario)
