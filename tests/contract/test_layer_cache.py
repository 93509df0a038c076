"""``layer.cache``: entries by name."""

from __future__ import annotations

from typing import Annotated, Any

import pytest

from holdfast import ConfigurationError, Layer, SerializationError
from support.colours import Colour
from support.topologies import Topology


def test_set_get_delete(colour: Colour, topology: Topology, namespace: str) -> None:
    """What was set is what is got, None included, until it is deleted; `delete` counts what there was."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            cache = colour.of(layer.cache)
            assert await cache.get("a") is None
            assert await cache.get("a", "default") == "default"
            await cache.set("a", {"x": [1, None]}, 60)
            await cache.set("b", None, ttl="1m")
            assert await cache.get("a") == {"x": [1, None]}
            assert await cache.get("b", "default") is None
            assert await cache.delete("a", "b", "c", "a") == 2
            assert await cache.delete("a") == 0
            assert await cache.delete() == 0
            assert await cache.get("a", "default") == "default"

    colour.run(scenario)


def test_expire(colour: Colour, topology: Topology, namespace: str) -> None:
    """It gives an entry another time from now, and says whether there is one."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            cache = colour.of(layer.cache)
            assert await cache.expire("a", 60) is False
            await cache.set("a", 1, 60)
            assert await cache.expire("a", "20ms") is True
            for _ in range(200):
                if await cache.get("a") is None:
                    break
                await colour.sleep(0.005)
            assert await cache.get("a") is None

    colour.run(scenario)


def test_get_or_load(colour: Colour, topology: Topology, namespace: str) -> None:
    """It loads once, and takes what `cached` takes."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            cache = colour.of(layer.cache)
            loads: list[int] = []

            def load() -> int:
                loads.append(1)
                return len(loads)

            for _ in range(2):
                assert await cache.get_or_load("a", load, 60) == 1
            assert await cache.get("a") == 1
            for expected in (2, 3):
                assert await cache.get_or_load("b", load, lambda result: 0, jitter=0.1) == expected
            for expected in (4, 5):
                assert await cache.get_or_load("c", load, 60, condition=lambda result: False) == expected
            for _ in range(2):
                assert await cache.get_or_load("d", lambda: b"raw", 60, serializer="raw", kind=bytes) == b"raw"

            def fail() -> int:
                loads.append(1)
                raise LookupError("none")

            for _ in range(2):
                with pytest.raises(LookupError):
                    await cache.get_or_load("e", fail, 60, cache_errors=LookupError)
            assert len(loads) == 6
            for nonsense in ({"ttl": 0}, {"ttl": 60, "jitter": 2}, {"ttl": 60, "serializer": "yaml"}):
                with pytest.raises(ConfigurationError):
                    await cache.get_or_load("f", load, **nonsense)

    colour.run(scenario)


def test_an_async_loader_goes_with_the_async_verb(namespace: str) -> None:
    """`aget_or_load` awaits an async loader; `get_or_load` refuses one and says why."""

    async def load() -> int:
        return 7

    async def scenario(layer: Layer) -> None:
        for _ in range(2):
            assert await layer.cache.aget_or_load("a", load, 60) == 7

    with Layer(namespace=namespace) as layer:
        with pytest.raises(ConfigurationError, match="returned a coroutine: define it with async def, or await"):
            layer.cache.get_or_load("a", load, 60)
        Colour("async").run(lambda: scenario(layer))
        assert layer.stats().fills == 1


@pytest.mark.parametrize("size", [1, 499, 501, 1203])
def test_many_at_a_time(colour: Colour, topology: Topology, namespace: str, size: int) -> None:
    """Any number of entries, over all slots of a cluster: those that exist come back under the names as given."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            cache = colour.of(layer.cache)
            values = {f"many:{number}": number for number in range(size)}
            await cache.set_many(values, 60)
            assert await cache.get_many([*values, "absent", *list(values)[:3]]) == values
            assert await cache.delete(*list(values)[:2]) == min(size, 2)
            assert await cache.get_many(iter(values)) == dict(list(values.items())[2:])
            stats = layer.stats()
            assert (stats.hits, stats.misses, stats.fills) == (2 * size - min(size, 2), 1 + min(size, 2), size)

    colour.run(scenario)


def test_many_of_none(colour: Colour, topology: Topology, namespace: str) -> None:
    """Nothing asked, nothing sent, nothing wrong."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            cache = colour.of(layer.cache)
            assert await cache.get_many([]) == {}
            assert await cache.get_many(["absent"]) == {}
            assert await cache.set_many({}, 60) is None

    colour.run(scenario)


@pytest.mark.parametrize("bad", [{"good": 1, "bad": object()}, {"bad": (1, 2), "good": 1}, {"good": 1, "": 1}])
def test_set_many_stores_all_or_nothing(
    colour: Colour, topology: Topology, namespace: str, bad: dict[str, Any]
) -> None:
    """One value or name that cannot be stored, and none of the others is."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            cache = colour.of(layer.cache)
            with pytest.raises((SerializationError, ConfigurationError)):
                await cache.set_many(bad, 60)
            assert await cache.get("good") is None
            with pytest.raises(ConfigurationError, match="ttl=0"):
                await cache.set_many({"good": 1}, 0)
            assert await cache.get("good") is None

    colour.run(scenario)


def test_kind_names_the_type(colour: Colour, topology: Topology, namespace: str) -> None:
    """What was stored with a kind comes back as one; with another one it is as good as absent."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            cache = colour.of(layer.cache)
            kinds: list[Any] = [set[int], Annotated[set[int], "a note"], Annotated[set[int], ["has no hash"]]]
            for kind in kinds:
                await cache.set("a", {1, 2}, 60, kind=kind)
                assert await cache.get("a", kind=kind) == {1, 2}
                await cache.set_many({"b": {3}}, 60, kind=kind)
                assert await cache.get_many(["a", "b"], kind=kind) == {"a": {1, 2}, "b": {3}}
                assert await cache.get_or_load("a", lambda: {0}, 60, kind=kind) == {1, 2}
            assert await cache.get("a", "default", kind=str) == "default"
            with pytest.raises(SerializationError):
                await cache.set("a", {1, 2}, 60)
            with pytest.raises(ConfigurationError, match="cannot decode to"):
                await cache.get("a", kind=Layer)

    colour.run(scenario)


@pytest.mark.parametrize("name", ["", 7, None, b"bytes", ["list"]])
def test_a_name_is_text(colour: Colour, namespace: str, name: Any) -> None:
    """Anything else is refused, by every verb."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            cache = colour.of(layer.cache)
            for verb, *args in [("get",), ("set", 1, 60), ("delete",), ("expire", 60), ("get_or_load", lambda: 1, 60)]:
                with pytest.raises(ConfigurationError, match="key"):
                    await getattr(cache, verb)(name, *args)

    colour.run(scenario)


@pytest.mark.parametrize("name", ["a b", "{a}", "a:b", "\N{SNOWMAN}", "x" * 5000, "a\nb", "%7B"])
def test_a_name_may_hold_anything(colour: Colour, topology: Topology, namespace: str, name: str) -> None:
    """Braces, newlines and great length included; two names are never one entry."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            cache = colour.of(layer.cache)
            await cache.set_many({name: 1, f"{name}x": 2, name[:-1] or "y": 3}, 60)
            assert await cache.get(name) == 1
            assert await cache.get_many([name, f"{name}x"]) == {name: 1, f"{name}x": 2}
            assert await cache.delete(name) == 1
            assert await cache.get(f"{name}x") == 2

    colour.run(scenario)


@pytest.mark.parametrize("ttl", [0, -1, None, float("nan"), True, "soon"])
def test_a_time_to_live_is_needed(colour: Colour, namespace: str, ttl: Any) -> None:
    """Nothing is stored for ever, and nothing by mistake."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            cache = colour.of(layer.cache)
            for verb, *args in [("set", "a", 1), ("set_many", {"a": 1}), ("expire", "a"), ("get_or_load", "a", list)]:
                with pytest.raises(ConfigurationError, match="ttl="):
                    await getattr(cache, verb)(*args, ttl)
            assert layer.stats().fills == 0

    colour.run(scenario)
