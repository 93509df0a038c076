"""What calls with many ids send, counted by the servers themselves, and that nothing stays for ever."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import Layer, entries
from support.colours import Colour
from support.many import ManySource, versions
from support.topologies import Topology


@pytest.mark.parametrize("tags", [(), ("all", "of:{number}")])
def test_a_call_of_hits_is_one_mget(
    colour: Colour, server_topology: Topology, namespace: str, tags: tuple[str, ...]
) -> None:
    """With tags there is a second MGET in the same pipeline; never a script."""

    async def scenario() -> None:
        async with colour.using(Layer(server_topology.url, namespace=namespace)) as layer:
            source = ManySource(colour, layer, tags=tags, missing_ttl=60)
            await source.call(*range(20), 100)
            trips = Trips(layer)
            with server_topology.monitor(containing=namespace) as seen:
                assert await source.call(*range(20), 100) == versions(1, *range(20))
            assert trips.sent == [["MGET", "MGET"][: 1 + bool(tags)]]
            assert not seen.from_scripts
            if server_topology.name != "cluster":  # where an MGET is one a slot
                assert seen.names == trips.sent[0]

    colour.run(scenario)


def test_a_cold_call_is_one_read_one_pipeline_of_leases_and_one_of_fills(
    colour: Colour, server_topology: Topology, namespace: str
) -> None:
    """Only what is missing is asked for and stored; each id once; tags are read once for all."""

    async def scenario() -> None:
        async with colour.using(Layer(server_topology.url, namespace=namespace)) as layer:
            source = ManySource(colour, layer, tags=["all"])
            await source.call(0, 1, 101)  # opens the connection, and loads the scripts
            trips = Trips(layer)
            with server_topology.monitor(containing=namespace) as seen:
                await source.call(*range(10), 100)
            asked, stored = [*["acquire"] * 9, "tag_versions"], [*["fill"] * 8]
            assert [trips.sent[0], trips.sent[1]] == [["MGET", "MGET"], asked]
            assert [sorted(trip) for trip in trips.sent[2:]] == [sorted([*stored, "abandon"])]
            if server_topology.name != "cluster":
                assert len(seen.names) == sum(map(len, trips.sent))
            assert source.asked[1:] == [[*range(2, 10), 100]]

    colour.run(scenario)


def test_the_verbs_cost_one_pipeline(colour: Colour, server_topology: Topology, namespace: str) -> None:
    """Reading and invalidating many costs what one costs; a refresh asks for leases and stores."""

    async def scenario() -> None:
        async with colour.using(Layer(server_topology.url, namespace=namespace)) as layer:
            source = ManySource(colour, layer)
            handle = colour.of(entries(source.function))
            await source.call(1, 2)
            trips = Trips(layer)
            await handle.get([1, 2, 3])
            await handle.invalidate([1, 2, 3])
            await handle.refresh([1, 2, 3])
            assert trips.sent == [["MGET"], ["invalidate"] * 3, ["acquire"] * 3, ["fill"] * 3]
            trips.sent.clear()
            await colour.call(source.function, [])
            await handle.get([])
            await handle.refresh([])
            assert trips.sent == []

    colour.run(scenario)


def test_a_call_that_waits_for_another_process_asks_little(
    colour: Colour, server_topology: Topology, namespace: str
) -> None:
    """It reads, asks for all leases, and asks again when messages come: not id by id."""

    async def scenario() -> None:
        first, second = (Layer(server_topology.url, namespace=namespace) for _ in range(2))
        async with colour.using(first), colour.using(second):
            source, other = ManySource(colour, first, waits=1), ManySource(colour, second)
            trips = Trips(second)

            async def wait() -> Any:
                await source.loading()
                return await other.call(*range(50))

            async def release() -> None:
                await colour.until(lambda: len(trips.sent) >= 3, "the other one has asked again after subscribing")
                source.gate.open()

            results = await colour.together(source.actor(*range(50)), wait, release)
            assert results[:2] == [versions(1, *range(50))] * 2
            assert other.loads == 0
            assert len(trips.sent) < 16
            assert sum(map(len, trips.sent)) < 50 * 5

    colour.run(scenario)


def test_every_key_has_a_time_to_live(colour: Colour, server_topology: Topology, namespace: str) -> None:
    """Values live as long as `ttl` says, what does not exist as long as `missing_ttl`; leases are gone."""

    async def scenario() -> None:
        async with colour.using(Layer(server_topology.url, namespace=namespace)) as layer:
            source = ManySource(colour, layer, ttl=40, missing_ttl=20, grace=100, tags=["all"])
            await source.call(1, 100)
            left = server_topology.ttls(namespace)
            assert left.keys() == {
                f"{namespace}:{name}" for name in ("cache:{many:1}", "cache:{many:100}", "tag:{all}")
            }
            assert 70 < left[f"{namespace}:cache:{{many:1}}"] <= 140
            assert 10 < left[f"{namespace}:cache:{{many:100}}"] <= 20
            assert left[f"{namespace}:tag:{{all}}"] > 140

    colour.run(scenario)


class Trips:
    """The names of the commands of each round trip of a layer."""

    def __init__(self, layer: Layer) -> None:
        self.sent: list[list[str]] = []
        for colour in ("blocking", "asyncio"):
            setattr(layer.engine, colour, _Counting(getattr(layer.engine, colour), self.sent))


class _Counting:
    """A port that notes what it sends."""

    def __init__(self, port: Any, sent: list[list[str]]) -> None:
        self._port = port
        self._sent = sent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    async def call(self, command: Any) -> Any:
        self._sent.append([command.name])
        return await self._port.call(command)

    async def pipeline(self, commands: Any) -> Any:
        self._sent.append([command.name for command in commands])
        return await self._port.pipeline(commands)
