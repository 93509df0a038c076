"""Which calls are answered from an entry, which results are kept, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from holdfast import MISSING, ConfigurationError, Layer, entries
from support.colours import Colour
from support.topologies import Topology


class NotFoundError(Exception):
    """An error that may be kept."""


class GoneError(NotFoundError):
    """A special case of it."""


class Spied:
    """A function of one colour that does what it is told and notes its calls."""

    def __init__(self, colour: Colour, answer: Callable[[int], Any]) -> None:
        self.calls: list[int] = []
        self._colour = colour
        self._answer = answer

    def cached(self, layer: Layer, ttl: Any = 60, **options: Any) -> Callable[..., Any]:
        async def spied(number: int, scale: int = 1) -> Any:
            self.calls.append(number)
            return self._answer(number)

        return layer.cached(ttl, **{"key": "spied:{number}:{scale}", **options})(self._colour.function(spied))


def raising(error: Exception) -> Callable[[int], Any]:
    def answer(number: int) -> Any:
        raise error

    return answer


def test_one_call_however_it_is_written_is_one_entry(colour: Colour, topology: Topology, namespace: str) -> None:
    """By position, by name and by default; another argument is another entry."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            for options in ({}, {"key": None}, {"key": lambda number, scale=1: f"by-callable:{number}:{scale}"}):
                spied = Spied(colour, lambda number: number)
                function = spied.cached(layer, **options)
                for args, kwargs in [((1,), {}), ((), {"number": 1}), ((1, 1), {}), ((), {"scale": 1, "number": 1})]:
                    assert await colour.call(function, *args, **kwargs) == 1
                assert spied.calls == [1]
                assert await colour.call(function, 2) == 2
                assert await colour.call(function, 1, scale=2) == 1
                assert spied.calls == [1, 2, 1]

    colour.run(scenario)


@pytest.mark.parametrize("value", [None, False, 0, 0.0, "", b"", [], {}], ids=repr)
def test_none_and_empty_values_are_kept_as_themselves(
    colour: Colour, topology: Topology, namespace: str, value: Any
) -> None:
    """A result that is false is a result: the function is not called again."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            calls: list[int] = []

            async def falsy(number: int) -> Any:
                calls.append(number)
                return value

            made = colour.function(falsy)
            made.__annotations__["return"] = type(value)
            function = layer.cached(60, key="falsy:{number}")(made)
            for _ in range(3):
                got = await colour.call(function, 1)
                assert (type(got), got) == (type(value), value)
            assert calls == [1]
            got = await colour.of(entries(function)).get(1)
            assert got is not MISSING
            assert (type(got), got) == (type(value), value)

    colour.run(scenario)


def test_an_exception_is_not_kept_unless_asked(colour: Colour, topology: Topology, namespace: str) -> None:
    """Each call that raises calls the function; an entry that was there before stays."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            spied = Spied(colour, raising(NotFoundError("no", 1)))
            function = spied.cached(layer)
            for _ in range(2):
                with pytest.raises(NotFoundError):
                    await colour.call(function, 1)
            assert spied.calls == [1, 1]
            handle = colour.of(entries(function))
            await handle.set(5, 1)
            with pytest.raises(NotFoundError):
                await handle.refresh(1)
            assert await colour.call(function, 1) == 5

    colour.run(scenario)


def test_errors_that_are_asked_for_are_kept(colour: Colour, topology: Topology, namespace: str) -> None:
    """An error of a named class, or of a subclass, is raised again, equal and new; any other is not kept."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            for error in (NotFoundError("no such thing", 7, None, True), GoneError(), NotFoundError("")):
                spied = Spied(colour, raising(error))
                function = spied.cached(layer, key=f"{error!r}:{{number}}", cache_errors=NotFoundError)
                caught = []
                for _ in range(3):
                    with pytest.raises(NotFoundError) as info:
                        await colour.call(function, 1)
                    caught.append(info.value)
                assert spied.calls == [1]
                assert {type(each) for each in caught} == {type(error)}
                assert {each.args for each in caught} == {error.args}
                assert caught[1] is not caught[2]
                with pytest.raises(NotFoundError):
                    await colour.of(entries(function)).get(1)
                status = await colour.of(entries(function)).info(1)
                assert status.fresh

            for other in (KeyError(1), NotFoundError(object()), NotFoundError(["a list"])):
                spied = Spied(colour, raising(other))
                function = spied.cached(layer, key=f"{type(other).__name__}:{{number}}", cache_errors=(NotFoundError,))
                for _ in range(2):
                    with pytest.raises(type(other)):
                        await colour.call(function, 1)
                assert spied.calls == [1, 1]

    colour.run(scenario)


def test_a_function_that_does_not_keep_errors_does_not_raise_those_of_another(colour: Colour, namespace: str) -> None:
    """An entry that holds an error is unreadable for who did not ask for errors; it loads and stores a value."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            failing = Spied(colour, raising(NotFoundError("no"))).cached(layer, cache_errors=NotFoundError)
            with pytest.raises(NotFoundError):
                await colour.call(failing, 1)
            function = Spied(colour, lambda number: number).cached(layer)
            assert await colour.of(entries(function)).get(1) is MISSING
            assert await colour.of(layer.cache).get("spied:1:1", "default") == "default"
            assert await colour.of(layer.cache).get_many(["spied:1:1"]) == {}
            assert await colour.call(function, 1) == 1
            assert await colour.call(failing, 1) == 1

    colour.run(scenario)


def test_condition_decides_about_the_result(colour: Colour, topology: Topology, namespace: str) -> None:
    """A result for which it is false is returned and not kept; what it raises reaches the caller."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            spied = Spied(colour, lambda number: number)
            function = spied.cached(layer, condition=lambda result: result > 5)
            for number in (3, 3, 7, 7):
                assert await colour.call(function, number) == number
            assert spied.calls == [3, 3, 7]
            assert layer.stats().fills == 1
            handle = colour.of(entries(function))
            await handle.set(9, 3)
            assert await handle.get(3) == 9
            await handle.set(1, 3)
            assert await handle.get(3) is MISSING, "a value that is not to be kept replaces one that is"
            await handle.set(9, 3)
            assert await handle.refresh(3) == 3
            assert await handle.get(3) is MISSING, "so does a refresh"
            broken = spied.cached(layer, key="broken:{number}", condition=lambda result: result / 0)
            with pytest.raises(ZeroDivisionError):
                await colour.call(broken, 1)

    colour.run(scenario)


def test_the_time_to_live_may_depend_on_the_result(colour: Colour, server_topology: Topology, namespace: str) -> None:
    """A function of the result gives a duration in any form; 0 is not to keep it; nonsense is an error."""

    async def scenario() -> None:
        async with colour.using(Layer(server_topology.url, namespace=namespace)) as layer:
            durations: dict[int, Any] = {1: 10, 2: "20s", 3: timedelta(seconds=30), 4: 0, 5: 40.5}
            spied = Spied(colour, lambda number: number)
            function = spied.cached(layer, lambda result: durations[result], key="spied:{number}")
            for number in durations:
                for _ in range(2):
                    assert await colour.call(function, number) == number
            assert spied.calls == [1, 2, 3, 4, 4, 5]
            left = {key[-2]: seconds for key, seconds in server_topology.ttls(namespace).items()}
            assert {number: round(seconds, -1) for number, seconds in left.items()} == {
                "1": 10,
                "2": 20,
                "3": 30,
                "5": 40,
            }
            for nonsense in (-1, None, float("nan"), "soon", True):
                durations[6] = nonsense
                with pytest.raises(ConfigurationError, match="ttl="):
                    await colour.call(function, 6)

    colour.run(scenario)


def test_the_time_to_live_of_an_error_may_depend_on_it(
    colour: Colour, server_topology: Topology, namespace: str
) -> None:
    """A function of the result is given the exception, where that is what is kept."""

    async def scenario() -> None:
        async with colour.using(Layer(server_topology.url, namespace=namespace)) as layer:

            def ttl(result: Any) -> float:
                return 10 if isinstance(result, NotFoundError) else 600

            spied = Spied(colour, raising(NotFoundError("no")))
            function = spied.cached(layer, ttl, cache_errors=NotFoundError)
            for _ in range(2):
                with pytest.raises(NotFoundError):
                    await colour.call(function, 1)
            assert spied.calls == [1]
            (left,) = server_topology.ttls(namespace).values()
            assert 5 < left <= 10

    colour.run(scenario)


def test_jitter_only_lengthens(colour: Colour, server_topology: Topology, namespace: str) -> None:
    """No entry lives shorter than ttl, none longer than ttl * (1 + jitter), and they differ."""

    async def scenario() -> None:
        async with colour.using(Layer(server_topology.url, namespace=namespace)) as layer:
            function = Spied(colour, lambda number: number).cached(layer, 1000, jitter=0.2)
            for number in range(30):
                await colour.call(function, number)
            left = sorted(server_topology.ttls(namespace).values())
            assert left[0] > 1000 - 30
            assert left[-1] <= 1200
            assert left[-1] - left[0] > 50

    colour.run(scenario)


def test_another_version_does_not_read_old_entries(colour: Colour, topology: Topology, namespace: str) -> None:
    """`version` parts entries; the old ones are left to their time to live."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            for version in ("", "2", "3"):
                spied = Spied(colour, lambda number: number)
                function = spied.cached(layer, version=version)
                for _ in range(2):
                    await colour.call(function, 1)
                assert spied.calls == [1]

    colour.run(scenario)


def test_two_functions_with_one_template_share_entries(colour: Colour, topology: Topology, namespace: str) -> None:
    """The key says what an entry is, not the function; `layer.cache` reaches it by the same name."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            first, second = Spied(colour, lambda number: number), Spied(colour, lambda number: -number)
            one, two = first.cached(layer), second.cached(layer)
            assert await colour.call(one, 1) == await colour.call(two, 1) == 1
            assert await colour.of(layer.cache).get("spied:1:1") == 1
            assert await colour.of(layer.cache).delete("spied:1:1") == 1
            assert await colour.call(two, 1) == await colour.call(one, 1) == -1
            assert layer.stats().patterns["spied:{number}:{scale}"].fills == 2

    colour.run(scenario)
