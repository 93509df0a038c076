"""On a real server other programs' changes are seen, too, and so is what Redis drops by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from holdfast import BackendError, Layer, entries
from support.colours import Colour
from support.peeking import is_near, keep_near, tag_key
from support.programs import Program, newest
from support.sentinel import Sentinel
from support.standalone import Standalone
from support.table import Table
from support.topologies import Servers
from support.waiting import until

Raw = Callable[[Any, str], object]


def overwrite(client: redis.Redis, key: str) -> None:
    client.set(key, "what no entry looks like", px=60_000)


def delete(client: redis.Redis, key: str) -> None:
    client.delete(key)


def rename(client: redis.Redis, key: str) -> None:
    client.rename(key, f"{key}:elsewhere")


@pytest.fixture(params=["redis62", "redis7", "sentinel"])
def shared(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Any]:
    """Give each kind of server that tracks keys."""
    try:
        yield servers.topology(request.param)
    except ValueError:
        pytest.skip(f"there is no {request.param} here")


@pytest.mark.parametrize("change", [overwrite, delete, rename])
@pytest.mark.parametrize("what", ["value", "tag"])
def test_a_raw_change(colour: Colour, shared: Any, namespace: str, change: Raw, what: str) -> None:
    """Another program writes or removes the key of an entry or of its tag: nobody publishes that."""

    async def scenario() -> None:
        async with colour.using(Layer(shared.url, namespace=namespace, near=60)) as layer:
            table = Table(colour)
            row = table.on(layer, tags=["t"])
            key = await keep_near(colour, layer, row)
            assert layer.engine.backend.is_tracking
            table.value = 2
            change(shared.nodes[0].client, key if what == "value" else tag_key(layer, "t"))
            await colour.until(lambda: not is_near(layer, key), "the change was told")
            found, info = await colour.of(entries(row)).call(1)
            assert (found, info.status) == (2, "miss")

    colour.run(scenario)


@pytest.mark.parametrize("what", ["value", "tag"])
def test_an_expiry(colour: Colour, program: Program, namespace: str, what: str) -> None:
    """A key that expires is told when it does, after everybody has heard that it would."""

    async def scenario() -> None:
        with Standalone(program) as server:  # of its own: with many keys, Redis takes its time to find what has expired
            async with colour.using(Layer(server.url, namespace=namespace, near=60)) as layer:
                table = Table(colour)
                row = table.on(layer, tags=["t"])
                key = await keep_near(colour, layer, row)
                server.client.pexpire(key if what == "value" else tag_key(layer, "t"), 100)
                await colour.until(lambda: not is_near(layer, key), "the change of its time was told")
                await keep_near(colour, layer, row)
                table.value = 2
                await colour.until(lambda: not is_near(layer, key), "the expiry was told")
                found, info = await colour.of(entries(row)).call(1)
                assert (found, info.status) == (2, "miss")

    colour.run(scenario)


@pytest.mark.parametrize("command", ["FLUSHDB", "FLUSHALL"])
def test_an_emptied_database(colour: Colour, program: Program, namespace: str, command: str) -> None:
    """Everything in the process is dropped."""

    async def scenario() -> None:
        with Standalone(program) as server:
            async with colour.using(Layer(server.url, namespace=namespace, near=60)) as layer:
                table = Table(colour)
                row = table.on(layer)
                key = await keep_near(colour, layer, row)
                table.value = 2
                server.ask(command)
                await colour.until(lambda: not is_near(layer, key), "it was told")
                assert await colour.call(row, 1) == 2

    colour.run(scenario)


def test_an_eviction(colour: Colour, program: Program, namespace: str) -> None:
    """What Redis evicts for want of memory is dropped in the process, too."""

    async def scenario() -> None:
        options = {"maxmemory": "4mb", "maxmemory-policy": "allkeys-random"}
        with Standalone(program, options=options) as server:
            async with colour.using(Layer(server.url, namespace=namespace, near=60)) as layer:
                table = Table(colour)
                row = table.on(layer)
                key = await keep_near(colour, layer, row)
                table.value = 2
                number = 0
                while server.client.exists(key):
                    number += 1
                    server.client.set(f"other:{number}", "x" * 100_000)
                await colour.until(lambda: not is_near(layer, key), "it was told")
                assert await colour.call(row, 1) == 2

    colour.run(scenario)


def test_a_failover(namespace: str) -> None:
    """Behind sentinels: what was kept does not survive it, and changes at the new primary are seen."""
    colour = Colour("sync")

    async def scenario() -> None:
        with Sentinel(newest()) as sentinel:
            async with colour.using(Layer(sentinel.url, namespace=namespace, near=60)) as layer:
                table = Table(colour)
                row = table.on(layer)
                key = await keep_near(colour, layer, row)
                sentinel.kill_primary()
                await colour.until(lambda: not is_near(layer, key), "it was noticed")
                table.value = 2
                until(lambda: layer.cache.delete("row:1") >= 0, "the new primary answers", ignoring=(BackendError,))
                assert await colour.call(row, 1) == 2
                await keep_near(colour, layer, row)
                table.value = 3
                sentinel.primary.client.delete(key)
                await colour.until(lambda: not is_near(layer, key), "the change was told")
                assert await colour.call(row, 1) == 3

    colour.run(scenario)
