"""Loaders of many values: what a call gives, what is asked of the loader, and what is kept."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import MISSING, ConfigurationError, Layer, SerializationError, entries
from support.colours import Colour
from support.many import ManySource, versions
from support.topologies import Topology


def test_only_the_missing_are_loaded_in_one_call(colour: Colour, topology: Topology, namespace: str) -> None:
    """The result is in the order asked, without repetitions; the loader gets what is not kept, once."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            source = ManySource(colour, layer)
            assert await source.call(3, 1, 3) == versions(1, 3, 1)
            source.version = 2
            found = await source.call(4, 1, 2, 4, 3)
            assert list(found) == [4, 1, 2, 3]
            assert found == versions(2, 4, 2) | versions(1, 1, 3)
            assert source.asked == [[3, 1], [4, 2]]

    colour.run(scenario)


def test_any_iterable_will_do_and_nothing_asks_for_nothing(colour: Colour, namespace: str) -> None:
    """Sets, generators and keys of a mapping are lists to the loader; without ids it is not called."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            source = ManySource(colour, layer)
            assert await colour.call(source.function, (number for number in (1, 2))) == versions(1, 1, 2)
            assert await colour.call(source.function, ids={5: "five"}) == versions(1, 5)
            assert await colour.call(source.function, frozenset()) == {}
            assert source.asked == [[1, 2], [5]]
            with pytest.raises(TypeError, match=r"takes several ids, such as \[7, 8\], not str"):
                await colour.call(source.function, "12")
            with pytest.raises(TypeError, match="unexpected keyword argument"):
                await colour.call(source.function, [], other=1)

    colour.run(scenario)


def test_two_thousand_ids(colour: Colour, topology: Topology, namespace: str) -> None:
    """However many there are, the loader is called once, and everything is kept."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            asked: list[int] = []

            async def load(ids: list[int]) -> dict[int, int]:
                asked.append(len(ids))
                return {number: -number for number in ids}

            function = layer.cached_many(60, key="big:{number}", tags=["all"])(colour.function(load))
            wanted = {number: -number for number in range(2000)}
            for _ in range(2):
                assert await colour.call(function, wanted) == wanted
            assert asked == [2000]

    colour.run(scenario)


def test_what_is_left_out_does_not_exist(colour: Colour, topology: Topology, namespace: str) -> None:
    """It is not in the result, and it is asked for again; with `missing_ttl`, not before that is over."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            source = ManySource(colour, layer)
            for _ in range(2):
                assert await source.call(1, 100) == versions(1, 1)
            assert source.asked == [[1, 100], [100]]
            kept = ManySource(colour, layer, key="kept:{number}", missing_ttl="40ms", ttl=60)
            for _ in range(2):
                assert await kept.call(1, 100, 101) == versions(1, 1)
            assert kept.asked == [[1, 100, 101]]
            await colour.sleep(0.05)
            assert await kept.call(1, 100) == versions(1, 1)
            assert kept.asked == [[1, 100, 101], [100]]

    colour.run(scenario)


def test_who_reads_one_entry_never_takes_nothing_for_a_value(
    colour: Colour, topology: Topology, namespace: str
) -> None:
    """That an id does not exist is a miss to `layer.cache` and to a function that loads one; its value replaces it."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            source = ManySource(colour, layer, missing_ttl=60)
            cache = colour.of(layer.cache)

            async def one(number: int) -> list[int]:
                return [number, 9]

            single = layer.cached(60, key="many:{number}")(colour.function(one))
            assert await source.call(100, 101) == {}
            assert await cache.get("many:100", "default") == "default"
            assert await cache.get_many(["many:100"]) == {}
            assert await colour.of(entries(single)).get(100) is MISSING
            assert await colour.of(entries(single)).info(100) is None
            assert await colour.of(entries(source.function)).info([100]) is not None
            assert await colour.call(single, 100) == [100, 9]
            assert await cache.get_or_load("many:101", lambda: [1], 60, kind=list[int]) == [1]
            assert await source.call(100, 101) == {100: [100, 9], 101: [1]}
            assert layer.stats().errors == 0
            assert source.loads == 1

    colour.run(scenario)


def test_other_arguments_and_methods(colour: Colour, namespace: str) -> None:
    """Fields of the template that are parameters come from the call; methods, classmethods and staticmethods work."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            asked: list[Any] = []

            async def load(self: Any, ids: list[int], lang: str = "en", *, wide: bool = False) -> dict[int, str]:
                asked.append((ids, lang, wide))
                return {number: f"{self.name} {lang} {number}" for number in ids}

            class Shop:
                name = "a"
                of_shop = layer.cached_many(60, key="{self.name}:{number}:{lang}")(colour.function(load))
                of_class = layer.cached_many(60, key="class:{number}:{lang}", tags=["lang:{lang}", "id:{number}"])(
                    classmethod(colour.function(load))
                )

                async def bare(numbers: list[int]) -> dict[int, int]:  # noqa: N805 - a staticmethod
                    return {number: number for number in numbers}

                of_none = layer.cached_many(60, key="static:{numbers}")(staticmethod(colour.function(bare)))

            shop = Shop()
            for _ in range(2):
                assert await colour.call(shop.of_shop, [1]) == {1: "a en 1"}
                assert await colour.call(Shop.of_shop, shop, [1], "de") == {1: "a de 1"}
                assert await colour.call(Shop.of_class, ids=[2], lang="fr", wide=True) == {2: "a fr 2"}
                assert await colour.call(shop.of_none, [3]) == {3: 3}
            assert asked == [([1], "en", False), ([1], "de", False), ([2], "fr", True)]
            assert entries(shop.of_shop).key([1], "de") == f"{namespace}:cache:{{a:1:de}}"
            assert entries(Shop.of_none).key([3]) == f"{namespace}:cache:{{static:3}}"
            info = await colour.of(entries(Shop.of_class)).info([2], "fr")
            assert info.tags == ("lang:fr", "id:2")

    colour.run(scenario)


def test_values_come_back_as_what_they_were(colour: Colour, namespace: str) -> None:
    """The annotation gives the type of a value; None is one; nobody shares what can be changed."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:

            async def load(ids: list[str]) -> dict[str, tuple[int, ...] | None]:
                return {id_: None if id_ == "none" else (1, 2) for id_ in ids} | {"unasked": (3,)}

            function = layer.cached_many(60, key="typed:{name}")(colour.function(load))
            for _ in range(2):
                assert await colour.call(function, ["none", "some"]) == {"none": None, "some": (1, 2)}
            source = ManySource(colour, layer)
            first = await source.call(1)
            first[1].append("mine")
            assert await source.call(1) == versions(1, 1)

    colour.run(scenario)


def test_ids_with_one_text_are_one_id(colour: Colour, namespace: str) -> None:
    """1 and "1" name one entry: the loader gets the first of them, and both have its value."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            source = ManySource(colour, layer)
            assert await colour.call(source.function, [1, "1"]) == {1: [1, 1], "1": [1, 1]}
            assert source.asked == [[1]]

    colour.run(scenario)


def test_a_value_that_cannot_be_stored_is_an_error_of_its_own(colour: Colour, namespace: str) -> None:
    """The others of its load are stored all the same; so is what a `condition` refuses returned, and not stored."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            source = ManySource(colour, layer)
            source.end = lambda ids: {number: [number] if number else (object(),) for number in ids}
            with pytest.raises(SerializationError, match="many:0"):
                await source.call(1, 0, 2)
            assert await source.call(1, 2) == {1: [1], 2: [2]}
            assert source.loads == 1
            picky = ManySource(colour, layer, key="picky:{number}", condition=lambda value: value[0] > 1)
            for _ in range(2):
                assert await picky.call(1, 2) == versions(1, 1, 2)
            assert picky.asked == [[1, 2], [1]]

    colour.run(scenario)


@pytest.mark.parametrize(("found", "what"), [([1], "list"), (None, "NoneType")])
def test_what_is_no_mapping_is_refused(colour: Colour, namespace: str, found: Any, what: str) -> None:
    """The message says what a loader has to return."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            source = ManySource(colour, layer)
            source.end = lambda ids: found
            with pytest.raises(ConfigurationError, match=f"returned {what}: .* returns a mapping"):
                await source.call(1)

    colour.run(scenario)


def test_the_verbs_of_entries(colour: Colour, topology: Topology, namespace: str) -> None:
    """They take the arguments of a call; `key` and `info` are about one id."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            source = ManySource(colour, layer, missing_ttl=60)
            handle = colour.of(entries(source.function))
            assert await handle.get([1, 2]) == {}
            await source.call(1, 2, 100)
            assert await handle.get([100, 2, 3]) == versions(1, 2)
            source.version = 2
            assert await handle.refresh([2, 3, 100]) == versions(2, 2, 3)
            assert await handle.bypass([1, 100]) == versions(2, 1)
            assert await source.call(1, 2, 3) == versions(1, 1) | versions(2, 2, 3)
            assert await handle.invalidate([1, 2, 7]) is True
            assert await handle.invalidate([1, 2, 7]) is False
            await handle.set({1: [5, 5]}, [1, 3])
            assert await handle.get([1, 2, 3]) == {1: [5, 5]}
            assert (await handle.info([1])).fresh
            assert await handle.info([2]) is None
            for wrong in ([], [1, 2]):
                with pytest.raises(ConfigurationError, match="pass a list of one id"):
                    entries(source.function).key(wrong)
            with pytest.raises(ConfigurationError, match=r"layer\.stats"):
                await handle.call([1])

    colour.run(scenario)


def test_while_the_layer_is_disabled_the_loader_gets_all(colour: Colour, namespace: str) -> None:
    """The result has the same form: in order, and what was not asked for is left out."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            source = ManySource(colour, layer)
            await source.call(1)
            source.end = lambda ids: {number: [number] for number in [*reversed(ids), 50]}
            with layer.disabled():
                assert list((await source.call(2, 1)).items()) == [(2, [2]), (1, [1])]
                assert await colour.of(entries(source.function)).get([1]) == {}

    colour.run(scenario)
