"""What goes over the wire, counted by the servers themselves, and that nothing stays for ever."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import MISSING, Layer, entries
from support.calls import named, teach
from support.colours import Colour
from support.recording import Recording
from support.topologies import Topology


def called(seen: Recording) -> list[str]:
    return [named(one) for one in seen.sent]


@pytest.mark.parametrize("options", [{}, {"secret": "a secret of sixteen bytes"}, {"compression": "zlib"}])
def test_a_hit_is_one_get_and_a_miss_two_scripts_more(
    colour: Colour, server_topology: Topology, namespace: str, options: dict[str, Any]
) -> None:
    """A warm call sends GET and nothing else; a cold one asks for the lease and fills; each is one command."""

    async def scenario() -> None:
        teach(server_topology.nodes)
        async with colour.using(Layer(server_topology.url, namespace=namespace, **options)) as layer:

            async def double(number: int) -> list[int]:
                return [number] * 500

            function = layer.cached(60, key="double:{number}")(colour.function(double))
            await colour.call(function, 0)  # opens the connection
            with server_topology.monitor(containing=namespace) as seen:
                await colour.call(function, 1)
            assert called(seen) == ["GET", "acquire", "fill"]
            for _ in range(3):
                with server_topology.monitor(containing=namespace) as seen:
                    await colour.call(function, 1)
                assert called(seen) == ["GET"]
                assert seen.sent[0].words[1].decode() == entries(function).key(1)
                assert not seen.from_scripts

    colour.run(scenario)


def test_the_verbs_cost_one_round_trip(colour: Colour, server_topology: Topology, namespace: str) -> None:
    """Each verb sends what it has to and no more."""

    async def scenario() -> None:
        teach(server_topology.nodes)
        async with colour.using(Layer(server_topology.url, namespace=namespace)) as layer:

            async def double(number: int) -> int:
                return 2 * number

            function = layer.cached(60, key="double:{number}")(colour.function(double))
            handle, cache = colour.of(entries(function)), colour.of(layer.cache)
            steps: list[tuple[list[str], Any]] = [
                (["GET"], lambda: handle.get(1)),
                (["put"], lambda: handle.set(2, 1)),
                (["GET"], lambda: handle.call(1)),
                (["GET", "PTTL"], lambda: handle.info(1)),
                (["acquire", "fill"], lambda: handle.refresh(1)),
                ([], lambda: handle.bypass(1)),
                (["invalidate"], lambda: handle.invalidate(1)),
                (["GET"], lambda: cache.get("a")),
                (["put"], lambda: cache.set("a", 1, 60)),
                (["GET"], lambda: cache.get_or_load("a", lambda: 1, 60)),
                (["GET", "acquire", "fill"], lambda: cache.get_or_load("b", lambda: 1, 60)),
                (["expire"], lambda: cache.expire("a", 30)),
                (["MGET"], lambda: cache.get_many(["a"])),
                (["put", "put"], lambda: cache.set_many({"{x}1": 1, "{x}2": 1}, 60)),
                (["invalidate"], lambda: cache.delete("a")),
                (["invalidate", "invalidate"], lambda: cache.delete("{x}1", "{x}2")),
                ([], cache.delete),
                ([], lambda: cache.get_many([])),
                ([], lambda: cache.set_many({}, 60)),
            ]
            for names, step in steps:
                with server_topology.monitor(containing=namespace) as seen:
                    await step()
                assert called(seen) == names

    colour.run(scenario)


def test_every_key_has_a_time_to_live(colour: Colour, server_topology: Topology, namespace: str) -> None:
    """Whatever path an entry was written by, Redis drops it after what was asked for."""

    async def scenario() -> None:
        async with colour.using(Layer(server_topology.url, namespace=namespace)) as layer:

            async def fail(number: int) -> int:
                raise LookupError(number)

            async def double(number: int) -> int:
                return 2 * number

            plain = layer.cached(40, key="plain:{number}")(colour.function(double))
            jittered = layer.cached(40, key="jittered:{number}", jitter=0.5)(colour.function(double))
            by_result = layer.cached(lambda result: result, key="by-result:{number}")(colour.function(double))
            failing = layer.cached(40, key="failing:{number}", cache_errors=LookupError)(colour.function(fail))
            cache = colour.of(layer.cache)
            await colour.call(plain, 1)
            await colour.of(entries(plain)).set(5, 2)
            await colour.of(entries(plain)).refresh(3)
            await colour.call(jittered, 1)
            await colour.call(by_result, 15)
            with pytest.raises(LookupError):
                await colour.call(failing, 1)
            await cache.set("set", 1, "20s")
            await cache.set_many({"many:1": 1, "many:2": 2}, 20)
            await cache.get_or_load("load", lambda: 1, 20)
            await cache.set("expire", 1, 20)
            assert await cache.expire("expire", 10)
            left = {key.split("{")[1][:-1]: seconds for key, seconds in server_topology.ttls(namespace).items()}
            most = {
                "plain:1": 40,
                "plain:2": 40,
                "plain:3": 40,
                "jittered:1": 60,
                "by-result:15": 30,
                "failing:1": 40,
                "set": 20,
                "many:1": 20,
                "many:2": 20,
                "load": 20,
                "expire": 10,
            }
            assert left.keys() == most.keys()
            for name, ttl in most.items():
                assert ttl * 0.5 < left[name] <= ttl, name
            assert left["jittered:1"] > 35

    colour.run(scenario)


def test_an_entry_is_gone_when_its_time_is_over(colour: Colour, topology: Topology, namespace: str) -> None:
    """After the TTL the function is called again."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            calls: list[int] = []

            async def double(number: int) -> int:
                calls.append(number)
                return 2 * number

            function = layer.cached("30ms", key="short:{number}")(colour.function(double))
            await colour.call(function, 1)
            handle = colour.of(entries(function))
            for _ in range(200):
                if await handle.get(1) is MISSING:
                    break
                await colour.sleep(0.005)
            await colour.call(function, 1)
            assert calls == [1, 1]

    colour.run(scenario)
