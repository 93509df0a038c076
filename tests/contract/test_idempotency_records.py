"""What becomes of the record of a thing that is to be done once, whoever dies, waits or comes late."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import replace
from typing import Any

import pytest

from holdfast import BackendTimeout, Layer
from holdfast.core import idempotency as core
from holdfast.core import idempotency_ending as ending
from holdfast.core import leaving
from holdfast.core.idempotency import Done, Errand, Reused, Running
from holdfast.core.idempotency_renewing import Run
from holdfast.events import ResultUnkept
from support.colours import Colour
from support.flights import reached
from support.peeking import ask, forget, told
from support.points import Points
from support.staged import Stage
from support.topologies import Topology

SHORT = 0.03
"""Seconds of a lease that a test lets run out."""


class Bench:
    """A layer, and one thing that is to be done once."""

    def __init__(self, colour: Colour, layer: Layer, **options: Any) -> None:
        self.layer, self.colour = layer, colour
        self.key = layer.engine.caching.names.once("k")
        self.errand = Errand(self.key, "print", 30.0, 0.0, layer.engine.recorder.tally("p"))
        self.errand = replace(self.errand, **options)
        self.core = layer.engine.idempotency

    @property
    def port(self) -> Any:
        """The port of the colour."""
        return self.layer.engine.asyncio if self.colour.is_async else self.layer.engine.blocking

    async def begin(self, **options: Any) -> Any:
        """Begin, with other options."""
        return await self.core.begin(self.port, replace(self.errand, **options))

    async def finish(self, run: Run, result: bytes = b"result", ttl: float = 60) -> bool:
        """Finish."""
        return await self.core.finish(self.port, run, result, ttl)

    def die(self, run: Run) -> None:
        """Renew no more, as a process that stands still."""
        self.core.runs._renewals.remove(run)

    async def taken_over(self) -> Run:
        """Return the run of whoever begins when a lease has run out."""
        found: list[Any] = [None]
        while not isinstance(found[0], Run):
            found[0] = await self.begin()
            await self.colour.sleep(0.005)
        return found[0]

    def ttl(self) -> int:
        """Return the milliseconds that the record has left."""
        return int(ask(self.layer, "PTTL", self.key, key=self.key))


def test_the_way_of_a_record(colour: Colour, topology: Topology, namespace: str) -> None:
    """Begun by one, others are turned away, then they get the result; always with an end."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as second,
        ):
            one, two = Bench(colour, layer), Bench(colour, second)
            run = await one.begin()
            assert isinstance(run, Run)
            found = await two.begin()
            assert isinstance(found, Running)
            assert 29 < found.lasts <= 30
            assert await two.begin(fingerprint="other") == Reused()
            assert 3_600_000 < one.ttl() <= 3_630_000
            assert await one.finish(run)
            assert not await one.finish(run, b"another"), "only the first end counts"
            assert 59_000 < one.ttl() <= 60_000
            assert await two.begin() == Done(b"result")
            assert await two.begin(fingerprint="other") == Reused()
            await one.core.free(one.port, run)
            assert await two.begin() == Done(b"result")

    colour.run(scenario)


def test_commands_that_are_sent_again(colour: Colour, topology: Topology, namespace: str) -> None:
    """A begin by the same token is granted again, with the same number; a finish stores nothing twice."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            bench = Bench(colour, layer)
            sent: list[Any] = []
            port = bench.port

            class Twice:
                def __getattr__(self, name: str) -> Any:
                    return getattr(port, name)

                async def call(self, command: Any) -> Any:
                    replies = [await port.call(command), await port.call(command)]
                    sent.append(replies)
                    return replies[1]

            run = await bench.core.begin(Twice(), bench.errand)  # type: ignore[arg-type]
            assert isinstance(run, Run)
            assert await bench.core.finish(Twice(), run, b"result", 60)  # type: ignore[arg-type]
            assert sent == [[[1, run.fence]] * 2, [1, 1]]
            assert await bench.begin() == Done(b"result")

    colour.run(scenario)


def test_a_dead_owner_is_taken_over(colour: Colour, topology: Topology, namespace: str) -> None:
    """When its lease has run out, with a greater number; what it says after that is refused."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            bench, events = Bench(colour, layer), told(layer, ResultUnkept)
            dead = await bench.begin(lease=SHORT)
            bench.die(dead)
            ahead = dead.fence + 3_600_000_000  # the clock was set back by an hour since
            ask(layer, "HSET", bench.key, "fence", ahead, key=bench.key)
            run = await bench.taken_over()
            assert run.fence == ahead + 1
            await bench.core.runs._renew([dead], SHORT)
            assert not await bench.finish(dead, b"late")
            assert [event.reason for event in events] == ["taken"]
            assert isinstance(await bench.begin(), Running)
            assert await bench.finish(run)
            assert await bench.begin() == Done(b"result")

    colour.run(scenario)


@pytest.mark.parametrize("other", [True, False])
def test_an_answer_later_than_the_lease_is_not_believed(
    colour: Colour, topology: Topology, namespace: str, other: bool
) -> None:
    """Another may have begun since: whoever stood still before it heard asks again."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as second,
        ):
            stage, points = Stage(layer), Points(layer)
            points.hold("once_begin!")
            late, runs = Bench(colour, layer), []

            async def be_late() -> Any:
                return await late.begin()

            async def go_on() -> None:
                await colour.until(lambda: points.holds("once_begin!"), "it has not heard yet")
                if other:
                    ask(layer, "HSET", late.key, "until", 1, key=late.key)
                    runs.append(await Bench(colour, second).begin())
                stage.ahead += 31
                points.release("once_begin!")

            found, _ = await colour.together(be_late, go_on)
            assert [type(found), *map(type, runs)] == ([Running, Run] if other else [Run])
            if not other:
                assert await late.finish(found)

    colour.run(scenario)


@pytest.mark.parametrize("way", ["free", "late"])
def test_whoever_is_late_frees_nothing_of_others(colour: Colour, topology: Topology, namespace: str, way: str) -> None:
    """A failure that comes after another has begun does not free that one's key."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            bench = Bench(colour, layer)
            dead = await bench.begin(lease=SHORT)
            bench.die(dead)
            run = await bench.taken_over()
            if way == "free":
                await bench.core.free(bench.port, dead)
            else:
                bench.core.free_at_last(bench.port, dead)
                await colour.sleep(0.03)
            assert isinstance(await bench.begin(), Running)
            assert await bench.finish(run)

    colour.run(scenario)


def test_a_late_result_is_stored_if_nobody_has_begun_since(colour: Colour, topology: Topology, namespace: str) -> None:
    """The lease may have run out, or the record been lost with its server: that it is done is true all the same."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            bench = Bench(colour, layer)
            late = await bench.begin(lease=SHORT)
            bench.die(late)
            await colour.sleep(2 * SHORT)
            assert await bench.finish(late)
            assert await bench.begin() == Done(b"result")
            forget(layer, bench.key)
            lost = await bench.begin()
            forget(layer, bench.key)
            assert await bench.finish(lost, b"second")
            assert (await bench.begin(), await bench.begin(fingerprint="other")) == (Done(b"second"), Reused())

    colour.run(scenario)


def test_a_lease_is_kept_while_the_work_lasts(colour: Colour, topology: Topology, namespace: str) -> None:
    """It is renewed after a third of its time, and again; not for who was forgotten."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            bench = Bench(colour, layer, lease=1.0)
            run: Any = await bench.begin()

            def ends() -> int:
                return int(ask(layer, "HGET", bench.key, "until", key=bench.key))

            first = ends()
            await colour.until(lambda: ends() > first + 200, "it is renewed")
            assert isinstance(await bench.begin(lease=30), Running)
            assert run.fence
            del run
            gc.collect()
            assert bench.core.runs._renewals.of_length(1.0) == []

    colour.run(scenario)


def test_who_waits_hears_of_the_end(
    colour: Colour, topology: Topology, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A result, or that it came to nothing: then one of those who wait begins."""
    monkeypatch.setattr(core, "pause", lambda *_, **__: 50.0)  # no looks in case that a message was lost

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace)) as layer,
            colour.using(Layer(topology.url, namespace=namespace)) as second,
        ):
            one, two = Bench(colour, layer), Bench(colour, second, wait=50.0)
            points = Points(second)
            run = await one.begin()

            async def wait() -> Any:
                return await two.begin()

            async def end() -> None:
                await colour.until(lambda: points.passed.count("once_begin!") >= 6, "all three listen")
                await one.core.free(one.port, run)

            async def end_again() -> None:
                await colour.until(lambda: points.passed.count("once_begin!") >= 9, "all three have looked")
                runs = [each for each in gc.get_objects() if type(each) is Run and each.key == two.key]
                (begun,) = (each for each in runs if not each.is_over)
                await two.finish(begun)

            *found, _, _ = await colour.together(wait, wait, wait, end, end_again)
            assert sorted(type(each).__name__ for each in found) == ["Done", "Done", "Run"]

    colour.run(scenario)


def test_who_waits_takes_over_from_the_dead(colour: Colour, topology: Topology, namespace: str) -> None:
    """When the lease has run out, nobody tells of it."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            bench = Bench(colour, layer)
            bench.die(await bench.begin(lease=0.1))
            assert isinstance(await bench.begin(wait=50), Run)

    colour.run(scenario)


def test_waiting_has_an_end(colour: Colour, layer: Layer) -> None:
    """Who has waited long enough is turned away."""

    async def scenario() -> None:
        bench = Bench(colour, layer)
        run = await bench.begin()
        assert isinstance(await bench.begin(wait=0.02), Running)
        assert await bench.finish(run)

    colour.run(scenario)


@pytest.mark.usefixtures("retried")
def test_a_begin_without_an_answer_keeps_nobody_out(colour: Colour, topology: Topology, namespace: str) -> None:
    """It was executed: its key is freed long before its lease has run out."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            bench, stage = Bench(colour, layer), Stage(layer)
            stage.loses.add("once_begin")
            with pytest.raises(BackendTimeout):
                await bench.begin()
            assert isinstance(await bench.taken_over(), Run)

    colour.run(scenario)


@pytest.fixture
def retried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what could not be told be told again soon."""
    monkeypatch.setattr(leaving, "_RETRY", 0.01)
    monkeypatch.setattr(ending, "_RETRY", 0.01)


@pytest.mark.usefixtures("retried")
@pytest.mark.parametrize("point", ["once_begin", "once_begin!"])
def test_a_task_that_is_cancelled_while_it_begins_keeps_nobody_out(layer: Layer, point: str) -> None:
    """Before its command is sent, and before its reply is handled."""

    async def scenario() -> None:
        bench, points = Bench(Colour("async"), layer), Points(layer)
        points.hold(point)
        task = asyncio.create_task(bench.begin())
        await reached(lambda: points.holds(point))
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await reached(lambda: "once_free!" in points.passed)
        assert isinstance(await bench.begin(), Run)

    asyncio.run(scenario())


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit()])
def test_an_interrupted_begin_keeps_nobody_out(layer: Layer, error: BaseException) -> None:
    """It is freed before the interrupt goes on."""
    bench, stage = Bench(Colour("sync"), layer), Stage(layer)
    stage.interrupts["once_begin"] = error
    with pytest.raises(type(error)):
        bench.colour.run(bench.begin)
    assert isinstance(bench.colour.run(bench.begin), Run)


@pytest.mark.usefixtures("retried")
def test_a_result_is_told_when_redis_is_back(colour: Colour, topology: Topology, namespace: str) -> None:
    """Until then the record says that somebody is at it; then it says what came of it. Nobody runs it twice."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            bench, stage, events = Bench(colour, layer), Stage(layer), told(layer, ResultUnkept)
            run = await bench.begin()
            with stage.away():
                assert not await bench.finish(run)
            found: Any = Running(1)
            while isinstance(found, Running):
                found = await bench.begin()
                await colour.sleep(0.005)
            assert found == Done(b"result")
            assert not events
            await colour.until(lambda: bench.core._late == 0, "nothing is left to tell")

    colour.run(scenario)


@pytest.mark.usefixtures("retried")
def test_a_result_that_is_refused_is_told_again(colour: Colour, layer: Layer) -> None:
    """A server that refuses to store it, since its memory is full, say, may not do so a moment later."""

    async def scenario() -> None:
        bench, events = Bench(colour, layer), told(layer, ResultUnkept)
        run = await bench.begin()
        ask(layer, "SET", bench.key, "foreign", key=bench.key)  # any refusal will do
        assert not await bench.finish(run)
        ask(layer, "DEL", bench.key, key=bench.key)
        await colour.until(lambda: bench.core._late == 0, "it is told")
        assert await bench.begin() == Done(b"result")
        assert not events

    colour.run(scenario)


@pytest.mark.usefixtures("retried")
def test_a_result_that_nobody_hears_is_given_up(colour: Colour, layer: Layer, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while, or at once if there are too many: an event tells, and the lease decides."""
    monkeypatch.setattr(ending, "_TRIED_FOR", 0.0)

    async def scenario() -> None:
        bench, stage, events = Bench(colour, layer, lease=SHORT), Stage(layer), told(layer, ResultUnkept)
        run = await bench.begin()
        with stage.away():
            assert not await bench.finish(run)
            await colour.until(lambda: events, "it is given up")
        assert ([event.reason for event in events], bench.core._late) == (["unavailable"], 0)
        run = await bench.taken_over()
        monkeypatch.setattr(ending, "_MOST", 0)
        with stage.away():
            await bench.finish(run)
        assert len(events) == 2

    colour.run(scenario)


def test_what_others_have_stored_there_is_no_record(colour: Colour, layer: Layer) -> None:
    """A key of another kind is an error, and stays as it is."""

    async def scenario() -> None:
        bench = Bench(colour, layer)
        ask(layer, "SET", bench.key, "foreign", "PX", 60_000, key=bench.key)
        with pytest.raises(Exception, match="WRONGTYPE"):
            await bench.begin()
        assert ask(layer, "GET", bench.key, key=bench.key) == b"foreign"

    colour.run(scenario)
