"""What `@idempotent` promises to callers, plain and async."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

import holdfast
from holdfast import (
    AlreadyRunning,
    BackendUnavailable,
    ConfigurationError,
    IdempotencyError,
    KeyReused,
    Layer,
    current_idempotency,
)
from holdfast.events import KeyConflict, Replayed, ResultUnkept, StillRunning
from holdfast.scripts import idempotency as scripts
from support.colours import Colour
from support.flights import reached
from support.peeking import ask, told
from support.points import Points
from support.staged import Stage
from support.topologies import Topology


@dataclass
class Receipt:
    """What a payment comes to."""

    order: int
    at: datetime
    lines: tuple[str, ...]


class Till:
    """A function that is to be called once, and what happened to it."""

    def __init__(self, colour: Colour, layer: Layer, **options: Any) -> None:
        self.colour = colour
        self.calls: list[tuple[int, int]] = []
        self.gate = colour.gate()
        self.gate.open()
        self.error: BaseException | None = None

        async def pay(order: int, amount: int = 1) -> Receipt:
            self.calls.append((order, amount))
            await self.gate.passed()
            if self.error is not None:
                raise self.error
            return Receipt(order, datetime(2026, 1, 2), (f"{amount} for {order}",))

        self.pay = layer.idempotent("order:{order}", **options)(colour.function(pay))

    async def call(self, order: int = 7, amount: int = 1) -> Any:
        """Pay."""
        return await self.colour.call(self.pay, order, amount)

    async def caller(self) -> Any:
        """Pay, as an actor."""
        return await self.call()


def test_the_first_result_comes_back(colour: Colour, topology: Topology, namespace: str) -> None:
    """As what it was, to each caller a copy, in every process; other keys are other calls."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as second,
        ):
            one, two, events = Till(colour, layer), Till(colour, second), told(second, Replayed)
            first, again, there = await one.call(), await one.call(amount=2), await two.call()
            assert first == again == there == Receipt(7, datetime(2026, 1, 2), ("1 for 7",))
            assert len({id(each) for each in (first, again, there)}) == 3
            assert (one.calls, two.calls) == ([(7, 1)], [])
            assert (await two.call(8)).order == 8
            assert [event.pattern for event in events] == ["order:{order}"]
            assert ask(layer, "EXISTS", key := f"{namespace}:idempotency:{{order:7}}", key=key)

    colour.run(scenario)


def test_a_hundred_callers(colour: Colour, topology: Topology, namespace: str) -> None:
    """One of them calls the function; the others wait, and get its result."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            till = Till(colour, layer, wait=50)
            results = await colour.together(*[till.caller] * 100)
            assert (len(till.calls), {type(each) for each in results}) == (1, {Receipt})

    colour.run(scenario)


def test_who_does_not_wait_is_turned_away(colour: Colour, layer: Layer) -> None:
    """`AlreadyRunning` after `wait`; the function goes on, and its result comes back later."""

    async def scenario() -> None:
        till, events = Till(colour, layer, wait=0), told(layer, StillRunning)
        till.gate = colour.gate()

        async def early() -> None:
            await colour.until(lambda: till.calls, "it runs")
            with pytest.raises(AlreadyRunning, match="'order:7'"):
                await till.call()
            till.gate.open()

        result, nothing = await colour.together(till.caller, early)
        assert (nothing, len(events)) == (None, 1)
        assert await till.call() == result

    colour.run(scenario)


@pytest.mark.parametrize("error", [LookupError("no"), StopIteration("no"), AssertionError()])
def test_an_error_is_passed_on_and_frees_the_key(colour: Colour, layer: Layer, error: Exception) -> None:
    """The very error; the next call runs the function."""

    async def scenario() -> None:
        if colour.is_async and isinstance(error, StopIteration):
            return  # no coroutine can raise it
        till = Till(colour, layer)
        if colour.is_async:
            till.error = error
        else:

            def fail(order: int) -> int:
                raise error

            till.pay = layer.idempotent("order:{order}")(fail)
        with pytest.raises(type(error)) as raised:
            await till.pay(7) if colour.is_async else till.pay(7)
        assert raised.value is error
        assert (await Till(colour, layer).call()).order == 7

    colour.run(scenario)


def test_a_key_stands_for_one_function_and_fingerprint(colour: Colour, layer: Layer) -> None:
    """Another one raises `KeyReused`: nothing is called, and no result of another thing returned."""

    async def scenario() -> None:
        events = told(layer, KeyConflict)
        for number, fingerprint in enumerate(("{amount}", lambda order, amount: f"{amount}")):
            till = Till(colour, layer, fingerprint=fingerprint)
            await till.call(number, 1)
            await till.call(number, 1)
            with pytest.raises(KeyReused, match=f"order:{number}"):
                await till.call(number, 2)
            assert till.calls == [(number, 1)]

        async def ship(order: int) -> Receipt:
            raise LookupError

        with pytest.raises(KeyReused):
            await colour.call(layer.idempotent("order:{order}", fingerprint="1")(colour.function(ship)), 1)
        assert len(events) == 3

    colour.run(scenario)


def test_methods_of_one_name_are_not_one_function(layer: Layer) -> None:
    """Nobody is told that something was cancelled because another thing was."""

    class Order:
        @layer.idempotent("cancel:{number}")
        def cancel(self, number: int) -> str:
            return "order cancelled"

    class Subscription:
        @layer.idempotent("cancel:{number}")
        def cancel(self, number: int) -> str:
            return "subscription cancelled"

    assert [Order().cancel(7) for _ in range(2)] == ["order cancelled"] * 2
    with pytest.raises(KeyReused):
        Subscription().cancel(7)


def test_a_result_that_cannot_be_stored_is_returned(colour: Colour, layer: Layer) -> None:
    """The function has run: its caller gets the value itself, and later ones hear that it was done."""

    async def scenario() -> None:
        value, calls, events = object(), [], told(layer, ResultUnkept)

        async def work() -> Any:
            calls.append(1)
            return value

        function = layer.idempotent("work")(colour.function(work))
        assert await colour.call(function) is value
        for _ in range(2):
            with pytest.raises(IdempotencyError, match="was done, and is not done again, but its result could not"):
                await colour.call(function)
        assert (calls, [event.reason for event in events]) == ([1], ["unstorable"])

    colour.run(scenario)


def test_a_result_that_would_change_is_not_kept(colour: Colour, layer: Layer) -> None:
    """Nobody gets something else than the first caller did: a tuple without an annotation, say."""

    async def scenario() -> None:
        async def work():  # type: ignore[no-untyped-def]
            return (1, 2)

        function = layer.idempotent("work")(colour.function(work))
        assert await colour.call(function) == (1, 2)
        with pytest.raises(IdempotencyError):
            await colour.call(function)

    colour.run(scenario)


def test_a_result_that_cannot_be_read_is_not_made_again(colour: Colour, topology: Topology, namespace: str) -> None:
    """Where its signature is not ours: `IdempotencyError`."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace, secret="a" * 16)) as one,
            colour.using(Layer(topology.url, namespace=namespace, secret="b" * 16)) as two,
        ):
            await Till(colour, one).call()
            till = Till(colour, two)
            with pytest.raises(IdempotencyError, match="signature"):
                await till.call()
            assert till.calls == []

    colour.run(scenario)


def test_without_redis(colour: Colour, layer: Layer) -> None:
    """It raises, and the function is not called; with ``on_failure="run"`` it is, each time."""

    async def scenario() -> None:
        stage = Stage(layer)
        careful, careless = Till(colour, layer), Till(colour, layer, on_failure="run")
        with stage.away():
            with pytest.raises(BackendUnavailable):
                await careful.call()
            await careless.call()
            await careless.call()
        assert (len(careful.calls), len(careless.calls)) == (0, 2)

    colour.run(scenario)


def test_redis_that_goes_away_meanwhile(colour: Colour, layer: Layer) -> None:
    """The result is returned, and told to Redis when it is back."""

    async def scenario() -> None:
        stage, till = Stage(layer), Till(colour, layer, wait=50)
        till.gate = colour.gate()

        async def go_away() -> None:
            await colour.until(lambda: till.calls, "it runs")
            stage.is_away = True
            till.gate.open()

        result, _ = await colour.together(till.caller, go_away)
        stage.is_away = False
        assert isinstance(result, Receipt)
        assert await till.call() == result
        assert len(till.calls) == 1

    colour.run(scenario)


def test_what_the_function_may_know(colour: Colour, layer: Layer) -> None:
    """Its key, and a number that grows with each run; nothing outside of it, and none while the layer is disabled."""

    async def scenario() -> None:
        seen = []

        async def work(number: int) -> None:
            seen.append(current_idempotency())
            if number == 0:
                raise LookupError

        function = layer.idempotent("work:{number}")(colour.function(work))
        for _ in range(2):
            with pytest.raises(LookupError):
                await colour.call(function, 0)
        with layer.disabled():
            await colour.call(function, 1)
            await colour.call(function, 1)
        first, second, *others = seen
        assert (first.key, others[0].key, others[0].fencing_token) == ("work:0", "work:1", None)
        assert second.fencing_token > first.fencing_token
        assert len(seen) == 4
        with pytest.raises(IdempotencyError):
            current_idempotency()

    colour.run(scenario)


def test_a_call_that_waits_for_itself_is_refused(colour: Colour, layer: Layer) -> None:
    """At once; another key inside is none of that, and what runs behind it later may call it."""

    async def scenario() -> None:
        async def work(number: int) -> int:
            if number < 2:
                return number + int(await colour.call(functions[0], number + 1))
            with pytest.raises(AlreadyRunning, match="its own end"):
                await colour.call(functions[0], 0)
            return 10

        functions = [layer.idempotent("work:{number}", wait=50)(colour.function(work))]
        assert await colour.call(functions[0], 0) == 11

    colour.run(scenario)


def test_a_task_that_outlives_the_call_may_call_again(layer: Layer) -> None:
    """It has the context of the call, which is over."""

    async def scenario() -> None:
        tasks = []

        async def later() -> int:
            await reached(lambda: over)
            return await work()

        @layer.idempotent("work")
        async def work() -> int:
            tasks.append(asyncio.create_task(later()))
            return 7

        over: list[int] = []
        over.append(await work())
        assert await tasks[0] == 7

    asyncio.run(scenario())


@pytest.mark.parametrize("point", ["works", "once_finish", "once_finish!"])
def test_a_task_that_is_cancelled(layer: Layer, point: str) -> None:
    """While the function works its key is free at once; when it has returned, the result is kept."""

    async def scenario() -> None:
        points, colour = Points(layer), Colour("async")
        till = Till(colour, layer, wait=50)
        if point == "works":
            till.gate = colour.gate()
        else:
            points.hold(point)
        task = asyncio.create_task(till.call())
        await reached(lambda: till.calls and (point == "works" or points.holds(point)))
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        till.gate.open()
        assert isinstance(await till.call(), Receipt)
        assert len(till.calls) == (2 if point == "works" else 1)

    asyncio.run(scenario())


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit()])
def test_an_interrupt_frees_the_key(layer: Layer, error: BaseException) -> None:
    """And goes on."""
    till = Till(Colour("sync"), layer)
    till.error = error
    with pytest.raises(type(error)):
        till.pay(7)
    till.error = None
    assert till.pay(7).order == 7


def test_methods(colour: Colour, layer: Layer) -> None:
    """Of instances and of classes, by whichever way; a template may name what `self` has."""

    class Shop:
        def __init__(self, name: str) -> None:
            self.name = name
            self.calls = 0

    async def pay(self: Shop, order: int) -> str:
        self.calls += 1
        return f"{self.name} {order}"

    async def count(cls: type[Shop], order: int) -> str:
        return f"{cls.__name__} {order}"

    made: Any = type(
        "Shop",
        (Shop,),
        {
            "pay": layer.idempotent("{self.name}:{order}")(colour.function(pay)),
            "count": layer.idempotent("count:{order}")(classmethod(colour.function(count))),
            "add": staticmethod(layer.idempotent("add:{order}")(colour.function(_add))),
        },
    )

    async def scenario() -> None:
        one, two = made("a"), made("b")
        assert [await colour.call(one.pay, 1), await colour.call(one.pay, 1), await colour.call(two.pay, 1)] == [
            "a 1",
            "a 1",
            "b 1",
        ]
        assert (one.calls, two.calls) == (1, 1)
        assert await colour.call(made.count, 3) == await colour.call(one.count, 3) == "Shop 3"
        assert await colour.call(made.add, 3) == 4

    colour.run(scenario)


async def _add(order: int) -> int:
    return order + 1


def _generate(order: int) -> Any:
    yield order


async def _generate_later(order: int) -> Any:
    yield order


def _plain(order: int) -> int:
    return order


@pytest.mark.parametrize(
    ("function", "key", "options", "says"),
    [
        (_generate, "{order}", {}, "generator"),
        (_generate_later, "{order}", {}, "generator"),
        (_plain, "", {}, "needs the key"),
        (_plain, None, {}, "needs the key"),
        (_plain, "{other}", {}, "other"),
        (_plain, "{order}", {"fingerprint": "{other}"}, "other"),
        (_plain, "{order}", {"fingerprint": 7}, "fingerprint="),
        (_plain, "{order}", {"fingerprint": _add}, "fingerprint="),
        (_plain, "{order}", {"ttl": None}, "ttl"),
        (_plain, "{order}", {"lease": 0}, "lease"),
        (_plain, "{order}", {"wait": -1}, "wait"),
        (_plain, "{order}", {"on_failure": "open"}, "on_failure"),
        (_plain, "{order}", {"serializer": 7}, "serializer"),
        (_plain, "{order}", {"keys": 7}, "keys"),
        (int, "{order}", {}, "class"),
        (property(_plain), "{order}", {}, "property"),
    ],
)
def test_what_cannot_work_is_refused_when_decorating(
    layer: Layer, function: Any, key: Any, options: dict[str, Any], says: str
) -> None:
    """The message says what to change."""
    with pytest.raises(ConfigurationError, match=says):
        holdfast.idempotent(key, layer=layer, **options)(function)
    with pytest.raises(ConfigurationError, match=says):
        layer.idempotent(key, **options)(function)


def test_a_missing_key_is_told_in_words() -> None:
    """Who forgets the key hands the function's arguments to the decorator."""
    decorated: Any = holdfast.idempotent(_plain)
    for arguments in ((7,), (7, 8), ()):
        with pytest.raises(ConfigurationError, match=r"@idempotent\('order:{order_id}'\)"):
            decorated(*arguments)


def test_round_trips(colour: Colour, server_topology: Topology, namespace: str) -> None:
    """Two for the first call, one for each later one."""

    async def scenario() -> None:
        async with colour.using(Layer(server_topology.url, namespace=namespace)) as layer:
            points, till = Points(layer), Till(colour, layer)
            await till.call()
            await till.call()
            sent = [each for each in points.passed if not each.endswith("!")]
            assert sent == ["once_begin", "once_finish", "once_begin"]
            assert scripts.begin("k", token="t", fingerprint="f", seconds=1).repeatable
            ttls = server_topology.ttls(namespace)
            assert all(86_000 < left <= 86_400 for left in ttls.values())
            assert len(ttls) == 1

    colour.run(scenario)
