"""What hooks and counters are told of limits, and what nobody is told."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from holdfast import Layer, RateLimited
from holdfast.events import BackendFailed, LimitDegraded, Limited
from support.colours import Colour
from support.peeking import told
from support.staged import Stage
from support.topologies import Topology

pytestmark = pytest.mark.usefixtures("patient_limits")


def test_a_refusal_is_told_and_counted(colour: Colour, topology: Topology, namespace: str) -> None:
    """By the names of the policies for hits by name, by the key template for functions; an admitted hit is not told."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            limiter, events = colour.of(layer.limiter), told(layer)
            await limiter.hit("5/day, 2/hour", "k", cost=2)
            assert events == []
            decision = await limiter.hit("5/day, 2/hour", "k", cost=3)
            key = f"{namespace}:limit:{{k}}:gcra:per-hour"
            (event,) = events
            assert event == Limited("per-day, per-hour", key, ("per-hour",), 3, decision.retry_after)
            again = await limiter.hit("5/day, 2/hour", "k", cost=3)
            assert events[1] == Limited("per-day, per-hour", key, ("per-hour",), 3, again.retry_after, local=True)
            await limiter.hit("5/day, 2/hour", "k", cost=3, shadow=True)
            assert (events[2].shadow, events[2].refused_by) == (True, ("per-hour",))
            await limiter.peek("5/day, 2/hour", "k", cost=3)
            with pytest.raises(RateLimited):
                await limiter.throttle("5/day, 2/hour", "k", max_wait=0)

            @layer.rate_limited("1/day", key="user:{name}", on_refused=lambda decision: decision.refused_by)
            @colour.function
            async def greet(name: str) -> str:
                return name

            assert [await colour.call(greet, "ada") for _ in range(2)] == ["ada", ("per-day",)]
            assert [event.pattern for event in events[3:]] == ["per-day, per-hour", "user:{name}"]
            assert events[4].key == f"{namespace}:limit:{{user:ada}}:gcra:per-day"
            stats = layer.stats()
            assert stats.limited == 5
            assert {name: counts.limited for name, counts in stats.patterns.items() if counts.limited} == {
                "per-day, per-hour": 4,
                "user:{name}": 1,
            }
            assert (stats.hits, stats.misses, stats.errors) == (0, 0, 0)

    colour.run(scenario)


def test_the_key_that_is_told_is_the_one_that_refused(colour: Colour, topology: Topology, namespace: str) -> None:
    """Also where several keys have policies of one name."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            limiter, events = colour.of(layer.limiter), told(layer, Limited)
            for _ in range(2):
                await limiter.hit_all([("5/day", "a"), ("1/day", "b"), ("1/day; algorithm=sliding_log", "c")])
            (event,) = events
            assert len(set(event.refused_by)) == 2
            assert event.key == f"{namespace}:limit:{{b}}:gcra:per-day"

    colour.run(scenario)


def test_a_decision_without_redis_is_told_and_counted(colour: Colour, layer: Layer) -> None:
    """Each hit, with what its rule decided; that Redis failed is told, too, and counts as an error."""

    async def scenario() -> None:
        limiter, stage, events = colour.of(layer.limiter), Stage(layer), told(layer, LimitDegraded, Limited)
        failures = told(layer, BackendFailed)
        with stage.away():
            found = [await limiter.hit("1/day", "k", on_failure=each) for each in ("open", "closed", "local", "local")]
            await limiter.hit("1/day", "k", on_failure="closed", shadow=True)
            with pytest.raises(RateLimited):
                async with colour.using(layer.limiter.concurrency(1, "k", on_failure="closed")):
                    raise AssertionError
        assert [decision.allowed for decision in found] == [True, False, True, False]
        assert all(decision.degraded for decision in found)
        assert [(each.on_failure, each.allowed) for each in events if isinstance(each, LimitDegraded)] == [
            ("open", True), ("closed", False), ("local", True), ("local", False), ("closed", True), ("closed", False),
        ]  # fmt: skip
        refusals = [event for event in events if isinstance(event, Limited)]
        assert [(event.degraded, event.shadow) for event in refusals] == [
            (True, False), (True, False), (True, True), (True, False),
        ]  # fmt: skip
        assert [event.operation for event in failures] == ["hit"] * 5 + ["take"]
        assert (layer.stats().errors, layer.stats().limited) == (6, 4)

    colour.run(scenario)


def test_what_a_hook_raises_refuses_nobody(colour: Colour, layer: Layer, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the decision is what it was."""

    async def scenario() -> None:
        layer.add_hook(lambda _: 1 / 0)
        limiter = colour.of(layer.limiter)
        assert [(await limiter.hit("1/day", "k")).allowed for _ in range(3)] == [True, False, False]

    with caplog.at_level(logging.CRITICAL, "holdfast"):
        colour.run(scenario)


def test_nothing_secret_is_told(colour: Colour, namespace: str) -> None:
    """No event, message or representation has an argument that the key does not show, or a password."""

    async def scenario() -> None:
        url = f"memory://{namespace}"
        async with colour.using(Layer(url, namespace=namespace, secret="a secret of sixteen bytes")) as layer:
            events, stage = told(layer), Stage(layer)

            @layer.rate_limited("1/day", key="user:{name}")
            @colour.function
            async def log_in(name: str, password: str) -> str:
                return name

            told_of: list[Any] = []
            for away in (False, False, True):
                stage.is_away = away
                try:
                    await colour.call(log_in, "ada", "hunter2")
                except RateLimited as error:
                    told_of += [str(error), repr(error), repr(error.decision), error.decision.problem()]
                    told_of += error.decision.headers()
            told_of += [*events, layer.stats(), layer.limiter.hit("1/day", "k"), layer]
            text = " ".join(map(repr, told_of))
            assert "hunter2" not in text
            assert "sixteen bytes" not in text
            assert "user:ada" in text

    colour.run(scenario)
