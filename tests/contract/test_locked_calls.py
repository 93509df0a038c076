"""`@locked`: which calls exclude each other, for every kind of function, in both colours."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from holdfast import Layer, LockError, LockLost, LockNotAcquired, configure, current_lock, locked
from holdfast import defaults as layers
from support.colours import Colour
from support.flights import reached
from support.lock_kinds import die, is_free, take_away
from support.topologies import Topology

KEPT = Layer("memory://locked-calls")


@locked("kept:{number}", layer=KEPT)
def kept(number: int, *, scale: int = 2) -> int:
    """Multiply."""
    return number * scale


async def outcomes(colour: Colour, *calls: Callable[[], Any]) -> list[Any]:
    """Call functions one after the other; return the results, and ``"busy"`` for calls that were not made."""
    found = []
    for call in calls:
        try:
            found.append(await colour.call(call))
        except LockNotAcquired:
            found.append("busy")
    return found


def test_calls_run_one_at_a_time(colour: Colour, topology: Topology, namespace: str) -> None:
    """Over all layers of a namespace, everywhere: the others wait, and all are made."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as one,
            colour.using(Layer(topology.url, namespace=namespace)) as other,
        ):
            inside: list[int] = []

            async def work(number: int) -> int:
                inside.append(number)
                assert len(inside) == 1
                await colour.sleep(0.001)
                inside.remove(number)
                return 2 * number

            functions = [each.locked("work")(colour.function(work)) for each in (one, other)]

            def call(number: int) -> Callable[[], Any]:
                return lambda: colour.call(functions[number % 2], number)

            results = await colour.together(*map(call, range(1, 9)))
            assert results == [2, 4, 6, 8, 10, 12, 14, 16]

    colour.run(scenario)


def test_calls_with_other_keys_run_together(colour: Colour, layer: Layer) -> None:
    """The lock is that which `layer.lock` has under the name; defaults count as given."""

    async def scenario() -> None:
        gate = colour.gate()

        async def work(number: int, lang: str = "en") -> str:
            await gate.passed()
            return f"{number} {lang}"

        function = layer.locked("work:{number}:{lang}", wait=0)(colour.function(work))

        async def look() -> None:
            await colour.until(lambda: gate.waiting == 2, "both are inside")
            for name, free in (("work:1:en", False), ("work:2:de", False), ("work:1:de", True)):
                assert await is_free(colour, layer.lock(name, wait=0)) == free
            assert await outcomes(colour, partial(function, number=1, lang="en")) == ["busy"]
            gate.open()

        calls = [lambda: colour.call(function, 1), lambda: colour.call(function, 2, lang="de")]
        assert await colour.together(*calls, look) == ["1 en", "2 de", None]

    colour.run(scenario)


def test_every_kind_of_method_can_be_locked(colour: Colour, layer: Layer) -> None:
    """Methods, classmethods and staticmethods, decorated inside and outside; templates may name the instance."""

    def lock(key: Any) -> Callable[[Any], Any]:
        return layer.locked(key, wait=0)

    class Shop:
        def __init__(self, name: str) -> None:
            self.name = name

        async def _method(self, number: int) -> Any:
            return self.name, number, current_lock().name

        async def _class(cls, number: int) -> Any:  # noqa: N805 - it becomes a classmethod below
            return cls.__name__, number, current_lock().name  # type: ignore[attr-defined]

        async def _static(number: int) -> Any:  # noqa: N805 - it becomes a staticmethod below
            return number, current_lock().name

        method = lock("method:{self.name}:{number}")(colour.function(_method))
        of_all = lock("of-all:{number}")(colour.function(_method))
        by_function = lock(lambda shop, number: f"by:{shop.name}")(colour.function(_method))
        outside = lock("outside:{number}")(classmethod(colour.function(_class)))
        inside = classmethod(lock("inside:{number}")(colour.function(_class)))
        static_outside = lock("static-outside:{number}")(staticmethod(colour.function(_static)))
        static_inside = staticmethod(lock("static-inside:{number}")(colour.function(_static)))

    async def scenario() -> None:
        shop = Shop("one")
        calls: list[tuple[Callable[..., Any], str, Any]] = [
            (shop.method, "method:one:7", ("one", 7, "method:one:7")),
            (partial(Shop.method, shop), "method:one:7", ("one", 7, "method:one:7")),
            (shop.of_all, "of-all:7", ("one", 7, "of-all:7")),
            (shop.by_function, "by:one", ("one", 7, "by:one")),
            *((each.outside, "outside:7", ("Shop", 7, "outside:7")) for each in (shop, Shop)),
            *((each.inside, "inside:7", ("Shop", 7, "inside:7")) for each in (shop, Shop)),
            *((each.static_outside, "static-outside:7", (7, "static-outside:7")) for each in (shop, Shop)),
            *((each.static_inside, "static-inside:7", (7, "static-inside:7")) for each in (shop, Shop)),
        ]
        for function, name, result in calls:
            assert await outcomes(colour, partial(function, 7)) == [result]
            held = await colour.of(layer.lock(name, wait=0)).acquire()
            assert await outcomes(colour, partial(function, 7)) == ["busy"], name
            await colour.of(held).release()

    colour.run(scenario)


def test_what_the_function_raises_passes(colour: Colour, layer: Layer) -> None:
    """As it was, and the lock is free; a lost lock does not hide it."""

    async def scenario() -> None:
        error = LookupError("body")

        async def fail(lose: bool) -> None:
            if lose:
                take_away(layer, current_lock())
            raise error

        function = layer.locked("k", wait=0)(colour.function(fail))
        for lose in (False, True):
            with pytest.raises(LookupError) as caught:
                await colour.call(function, lose)
            assert caught.value is error
            assert await is_free(colour, layer.lock("k", wait=0))

    colour.run(scenario)


def test_a_lock_that_was_lost_meanwhile(colour: Colour, layer: Layer) -> None:
    """The call raises `LockLost` at its end, though the function has returned: another may have run beside it."""

    async def scenario() -> None:
        async def work() -> str:
            take_away(layer, current_lock())
            return "done"

        with pytest.raises(LockLost, match="'k' was lost before it was given back"):
            await colour.call(layer.locked("k")(colour.function(work)))

    colour.run(scenario)


def test_a_late_call_leaves_the_next_ones_lock_alone(colour: Colour, layer: Layer) -> None:
    """Of one function: a call whose lease ran out, and was taken over, raises; the other goes on holding the lock."""

    async def scenario() -> None:
        gate, order = colour.gate(), []

        async def work(name: str) -> str:
            if name == "late":
                die(layer, current_lock())
                order.append("late is in")
                await colour.until(lambda: gate.waiting, "the other is in")
                return name
            await gate.passed()
            current_lock().check()
            await colour.of(current_lock()).extend()
            return name

        function = layer.locked("k", lease=0.1)(colour.function(work))

        async def late() -> None:
            with pytest.raises(LockLost):
                await colour.call(function, "late")
            assert not await is_free(colour, layer.lock("k", wait=0))
            gate.open()

        async def other() -> Any:
            await colour.until(lambda: order, "the late one is in")
            return await colour.call(layer.locked("k", lease=30)(colour.function(work)), "other")

        assert await colour.together(late, other) == [None, "other"]

    colour.run(scenario)


def test_stop_iteration_passes_a_plain_function(layer: Layer) -> None:
    """It is an exception like any other."""

    @layer.locked("k")
    def stop() -> None:
        raise StopIteration(7)

    with pytest.raises(StopIteration):
        stop()
    assert not layer.lock("k").locked()


def test_a_call_that_is_cancelled_gives_the_lock_back(layer: Layer) -> None:
    """And the cancellation goes on."""

    async def scenario() -> None:
        inside = []

        @layer.locked("k")
        async def work() -> None:
            inside.append(1)
            await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await reached(lambda: inside)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await reached(lambda: not layer.lock("k").locked())

    asyncio.run(scenario())


def test_a_call_with_wrong_arguments_is_a_type_error(colour: Colour, layer: Layer) -> None:
    """The function's own, whatever names the key; nothing is locked for it, nor waited for."""

    async def scenario() -> None:
        async def double(number: int, *, lang: str = "en") -> int:
            return 2 * number

        held = await colour.of(layer.lock("double")).acquire()
        for key in ("double:{number}", lambda *_, **__: "double", "double"):
            function = layer.locked(key)(colour.function(double))
            for args, kwargs in (((), {}), ((1, 2), {}), ((1,), {"other": 1}), ((1,), {"number": 2})):
                with pytest.raises(TypeError, match="double"):
                    await colour.call(function, *args, **kwargs)
        held.check()

    colour.run(scenario)


def test_a_call_inside_of_itself(colour: Colour, layer: Layer) -> None:
    """Is refused at once, since it would wait for itself; a reentrant one is made."""

    async def scenario() -> None:
        functions: dict[bool, Any] = {}

        async def count(reentrant: bool, number: int) -> int:
            if not number:
                return 0
            return 1 + int(await colour.call(functions[reentrant], reentrant, number - 1))

        for reentrant in (False, True):
            functions[reentrant] = layer.locked("count", reentrant=reentrant)(colour.function(count))
        with pytest.raises(LockNotAcquired, match="very task or thread"):
            await colour.call(functions[False], False, 1)
        assert await colour.call(functions[True], True, 3) == 3
        assert await is_free(colour, layer.lock("count", wait=0))

    colour.run(scenario)


def test_the_current_lock_inside(colour: Colour, layer: Layer) -> None:
    """Its name, fencing token and state are at hand; a call inside has its own; outside there is none."""

    async def scenario() -> None:
        async def inner() -> int:
            held = current_lock()
            assert held.name == "inner"
            return held.fencing_token

        async def outer() -> tuple[int, int]:
            before = current_lock()
            found = await colour.call(layer.locked("inner")(colour.function(inner)))
            assert current_lock() is before
            return before.fencing_token, found

        function = layer.locked("outer", lease="5s")(colour.function(outer))
        one, other = await colour.call(function), await colour.call(function)
        assert one < other
        with pytest.raises(LockError):
            current_lock()

    colour.run(scenario)


def test_it_looks_like_the_function(colour: Colour, layer: Layer) -> None:
    """To `inspect`, `pickle` and `copy`; async functions stay async."""

    async def greet(user_id: int, *, lang: str = "en") -> str:
        """Greet."""
        return f"{user_id} {lang}"

    plain = colour.function(greet)
    function = layer.locked("greet:{user_id}")(plain)
    assert inspect.signature(function) == inspect.signature(plain)
    assert (function.__name__, function.__doc__, function.__wrapped__) == ("greet", "Greet.", plain)
    assert inspect.iscoroutinefunction(function) == colour.is_async
    assert pickle.loads(pickle.dumps(kept)) is kept
    assert copy.copy(kept) is copy.deepcopy(kept) is kept
    assert kept(4, scale=3) == 12


def test_the_layer_is_found_at_each_call(colour: Colour, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default one, if none is given."""

    async def scenario() -> None:
        monkeypatch.setattr(layers, "_default", None)

        async def name() -> str:
            return current_lock().name

        function = locked("k", wait=0)(colour.function(name))
        async with colour.using(configure("memory://locked-default")) as layer:
            assert await outcomes(colour, function) == ["k"]
            held = await colour.of(layer.lock("k")).acquire()
            assert await outcomes(colour, function) == ["busy"]
            await colour.of(held).release()

    colour.run(scenario)


def test_a_disabled_layer_calls_the_function(colour: Colour, layer: Layer) -> None:
    """Whoever holds the lock; there is a current lock inside all the same."""

    async def scenario() -> None:
        async def name() -> str:
            return current_lock().name

        function = layer.locked("k", wait=0)(colour.function(name))
        held = await colour.of(layer.lock("k")).acquire()
        with layer.disabled():
            assert await outcomes(colour, function, function) == ["k", "k"]
        assert await outcomes(colour, function) == ["busy"]
        await colour.of(held).release()

    colour.run(scenario)
