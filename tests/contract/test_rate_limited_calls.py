"""`@rate_limited`: which calls count together, for every kind of function, in both colours."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from holdfast import Layer, RateLimited, configure, rate_limited
from holdfast import defaults as layers
from support.colours import Colour
from support.peeking import told
from support.topologies import Topology

pytestmark = pytest.mark.usefixtures("patient_limits")
KEPT = Layer("memory://rate-limited-calls")


@rate_limited("5/day", key="kept:{number}", layer=KEPT)
def kept(number: int, *, scale: int = 2) -> int:
    """Multiply."""
    return number * scale


async def outcomes(colour: Colour, *calls: Callable[[], Any]) -> list[Any]:
    """Call functions one after the other; return the results, and ``"refused"`` for calls that were limited."""
    found = []
    for call in calls:
        try:
            found.append(await colour.call(call))
        except RateLimited:
            found.append("refused")
    return found


def test_a_function_is_called_as_often_as_its_quota_says(colour: Colour, topology: Topology, namespace: str) -> None:
    """Over all layers of a namespace, everywhere: a call beyond raises, does not reach the function, and says why."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as one,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            calls: list[int] = []

            async def greet(user_id: int) -> str:
                calls.append(user_id)
                return f"hello {user_id}"

            here, there = (
                layer.rate_limited("3/day, 2/hour", key="user:{user_id}")(colour.function(greet))
                for layer in (one, other)
            )
            assert await outcomes(colour, partial(here, 42), partial(there, 42)) == ["hello 42"] * 2
            for function in (here, there, here):
                with pytest.raises(
                    RateLimited, match=r"user:\{user_id\}: over the limit per-hour; try again"
                ) as caught:
                    await colour.call(function, 42)
            decision = caught.value.decision
            assert (decision.refused_by, decision.degraded) == (("per-hour",), False)
            assert 1700 < decision.retry_after <= 1800
            assert await colour.call(here, user_id=7) == "hello 7"
            assert calls == [42, 42, 7]
            assert one.stats().patterns["user:{user_id}"].limited == 2

    colour.run(scenario)


def test_calls_count_together_by_their_key(colour: Colour, layer: Layer) -> None:
    """A template, a function of the arguments, or nothing: then all calls of the function share a quota."""

    async def scenario() -> None:
        async def double(number: int, lang: str = "en") -> int:
            return 2 * number

        function = colour.function(double)
        by_template = layer.rate_limited("1/day", key="a:{number}:{lang}")(function)
        calls = [partial(by_template, 1), partial(by_template, 1, "en"), partial(by_template, 1, lang="de")]
        assert await outcomes(colour, *calls) == [2, "refused", 2]
        by_function = layer.rate_limited("1/day", key=lambda number, lang="en": f"b:{lang}")(function)
        calls = [partial(by_function, 1), partial(by_function, 2), partial(by_function, 2, "de")]
        assert await outcomes(colour, *calls) == [2, "refused", 4]
        alone = layer.rate_limited("1/day")(function)
        assert await outcomes(colour, partial(alone, 1), partial(alone, 2, "de")) == [2, "refused"]

        async def triple(number: int) -> int:
            return 3 * number

        shared = layer.rate_limited("1/day", key="b:{number}")(colour.function(triple))
        apart = layer.rate_limited("1/day")(colour.function(triple))
        layer.limiter.hit("1/day", "b:7")
        assert await outcomes(colour, partial(shared, 7), partial(shared, 8), partial(apart, 7)) == ["refused", 24, 21]

    colour.run(scenario)


def test_every_kind_of_method_can_be_limited(colour: Colour, layer: Layer) -> None:
    """Methods, classmethods and staticmethods, decorated inside and outside; templates may name the instance."""
    limited = layer.rate_limited

    class Shop:
        def __init__(self, name: str) -> None:
            self.name = name

        async def _method(self, number: int) -> Any:
            return self.name, number

        async def _class(cls, number: int) -> Any:  # noqa: N805 - it becomes a classmethod below
            return cls.__name__, number  # type: ignore[attr-defined]

        async def _static(number: int) -> Any:  # noqa: N805 - it becomes a staticmethod below
            return number

        method = limited("1/day", key="method:{self.name}:{number}")(colour.function(_method))
        of_all = limited("2/day", key="of-all:{number}")(colour.function(_method))
        by_function = limited("1/day", key=lambda shop, number: f"by:{shop.name}")(colour.function(_method))
        outside = limited("1/day", key="outside:{number}")(classmethod(colour.function(_class)))
        inside = classmethod(limited("1/day", key="inside:{number}")(colour.function(_class)))
        static_outside = limited("1/day", key="static-outside:{number}")(staticmethod(colour.function(_static)))
        static_inside = staticmethod(limited("1/day", key="static-inside:{number}")(colour.function(_static)))

    async def scenario() -> None:
        one, other = Shop("one"), Shop("other")
        calls: list[Callable[[], Any]] = [partial(each.method, 1) for each in (one, one, other)]
        assert await outcomes(colour, *calls) == [("one", 1), "refused", ("other", 1)]
        assert await outcomes(colour, partial(Shop.method, one, 2), partial(one.method, 2)) == [("one", 2), "refused"]
        calls = [partial(each.of_all, 1) for each in (one, other, one)]
        assert await outcomes(colour, *calls) == [("one", 1), ("other", 1), "refused"]
        calls = [partial(each.by_function, 1) for each in (one, one, other)]
        assert await outcomes(colour, *calls) == [("one", 1), "refused", ("other", 1)]
        for name in ("outside", "inside"):
            calls = [partial(getattr(each, name), number) for each, number in ((Shop, 1), (one, 1), (one, 2))]
            assert await outcomes(colour, *calls) == [("Shop", 1), "refused", ("Shop", 2)]
        for name in ("static_outside", "static_inside"):
            calls = [partial(getattr(each, name), number) for each, number in ((Shop, 1), (one, 1), (one, 2))]
            assert await outcomes(colour, *calls) == [1, "refused", 2]

    colour.run(scenario)


def test_a_call_with_wrong_arguments_is_a_type_error_and_counts_not(colour: Colour, layer: Layer) -> None:
    """The function's own `TypeError`, whatever names the key, and nothing is consumed."""

    async def scenario() -> None:
        async def double(number: int, *, lang: str = "en") -> int:
            return 2 * number

        for key in ("double:{number}", lambda *_, **__: "double", None):
            function = layer.rate_limited("1/day", key=key)(colour.function(double))
            for args, kwargs in (((), {}), ((1, 2), {}), ((1,), {"other": 1}), ((1,), {"number": 2})):
                with pytest.raises(TypeError, match="double"):
                    await colour.call(function, *args, **kwargs)
            assert await colour.call(function, 1) == 2
            layer.limiter.reset("1/day", "double")

    colour.run(scenario)


def test_what_the_function_raises_passes_and_its_call_counts(colour: Colour, layer: Layer) -> None:
    """Whatever it raises, and what it returns, is left alone."""

    async def scenario() -> None:
        async def fail(number: int) -> None:
            raise (LookupError if number else StopIteration)(number)

        function = layer.rate_limited("2/day", key="fail")(_constant(colour, fail))
        with pytest.raises(LookupError):
            await colour.call(function)
        with pytest.raises(LookupError):
            await colour.call(function)
        with pytest.raises(RateLimited):
            await colour.call(function)

    colour.run(scenario)


def _constant(colour: Colour, fail: Callable[[int], Any]) -> Callable[[], Any]:
    async def function() -> None:
        await fail(1)

    return colour.function(function)


def test_stop_iteration_passes_a_plain_function(layer: Layer) -> None:
    """It is an exception like any other."""

    @layer.rate_limited("2/day")
    def stop() -> None:
        raise StopIteration(7)

    with pytest.raises(StopIteration):
        stop()


def test_the_default_layer_is_found_at_each_call(
    colour: Colour, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The layer of the last `configure`, also after decorating; each has quotas of its own."""
    monkeypatch.setattr(layers, "_default", None)

    async def scenario() -> None:
        async def number() -> int:
            return 1

        function = rate_limited("1/day", key="default-layer")(colour.function(number))
        for each in "ab":
            layer = configure(namespace=f"{namespace}-{each}")
            events = told(layer)
            assert await outcomes(colour, function, function) == [1, "refused"]
            assert len(events) == 1

    colour.run(scenario)


def test_a_limited_function_looks_like_the_one_it_wraps(colour: Colour, layer: Layer) -> None:
    """To `inspect`, to frameworks that read signatures, and to who asks whether it is async."""

    async def double(number: int, *, lang: str = "en") -> int:
        """Double it."""
        return 2 * number

    original = colour.function(double)
    function = layer.rate_limited("1/day")(original)
    assert inspect.signature(function) == inspect.signature(original)
    assert inspect.iscoroutinefunction(function) is colour.is_async
    assert inspect.isfunction(function)
    assert (function.__name__, function.__doc__, function.__wrapped__) == ("double", "Double it.", original)
    assert function.__annotations__ == original.__annotations__


def test_a_limited_function_can_be_pickled_and_copied() -> None:
    """By its name in its module, as a plain function; a copy is the function itself."""
    assert copy.copy(kept) is kept
    assert copy.deepcopy({"f": kept})["f"] is kept


def test_a_pickled_function_is_found_by_its_name() -> None:
    """It comes back as the limited one, which counts with the same quota."""
    assert pickle.loads(pickle.dumps(kept)) is kept
    assert kept(3) == 6


def test_many_tasks_and_threads_get_the_quota_and_no_more(colour: Colour, topology: Topology, namespace: str) -> None:
    """Of 24 callers at once under ten a day, exactly ten get through."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:

            async def work() -> str:
                return "done"

            function = layer.rate_limited("10/day")(colour.function(work))

            async def act() -> Any:
                return (await outcomes(colour, function))[0]

            found = await colour.together(*[act] * 24)
            assert sorted(found) == ["done"] * 10 + ["refused"] * 14

    colour.run(scenario)


def test_one_layer_serves_two_loops_and_threads(topology: Topology, namespace: str) -> None:
    """Async calls from one loop after another, and plain calls between, count together."""
    with Layer(topology.url, namespace=namespace) as layer:

        @layer.rate_limited("5/day", key="shared")
        async def awaited() -> int:
            return 1

        @layer.rate_limited("5/day", key="shared")
        def plain() -> int:
            return 1

        assert [asyncio.run(awaited()), plain(), asyncio.run(awaited()), plain(), asyncio.run(awaited())] == [1] * 5
        with pytest.raises(RateLimited):
            plain()
        with pytest.raises(RateLimited):
            asyncio.run(awaited())
