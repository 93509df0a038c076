"""What is known to be refused is refused in the process, and never longer or for more than Redis would."""

from __future__ import annotations

import math
from typing import Any

import pytest

from holdfast import Layer, Quota, RateLimited
from holdfast.events import Limited
from holdfast.policy.quota import ALGORITHMS
from support.colours import Colour
from support.peeking import told
from support.points import Points
from support.staged import Stage

pytestmark = pytest.mark.usefixtures("patient_limits")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_who_hammers_at_a_limit_costs_no_round_trips(colour: Colour, layer: Layer, algorithm: Any) -> None:
    """The first refusal comes from Redis, those that follow do not; each says how long it takes from then on."""
    quota = Quota(2, "1d", algorithm=algorithm)

    async def scenario() -> None:
        limiter, stage, events = colour.of(layer.limiter), Stage(layer), told(layer, Limited)
        for _ in range(3):
            first = await limiter.hit(quota, "k")
        assert stage.sent == ["hit"] * 3
        stage.ahead = 0.5
        for _ in range(10):
            again = await limiter.hit(quota, "k")
        assert stage.sent == ["hit"] * 3
        assert (again.allowed, again.refused_by, again.limit) == (False, ("per-day",), 2)
        assert first.retry_after - 60 < again.retry_after <= first.retry_after - 0.5
        assert first.reset - 60 < again.reset <= first.reset - 0.5
        assert [event.local for event in events] == [False] + [True] * 10
        assert layer.stats().limited == 11
        assert (await limiter.hit(quota, "other")).allowed

    colour.run(scenario)


def test_a_denial_is_believed_for_a_second_at_most(colour: Colour, layer: Layer, namespace: str) -> None:
    """Then Redis is asked again: what another process has reset is seen."""

    async def scenario() -> None:
        limiter, stage = colour.of(layer.limiter), Stage(layer)
        async with colour.using(Layer(namespace=namespace)) as other:
            for _ in range(2):
                await limiter.hit("1/day", "k")
            await colour.of(other.limiter).reset("1/day", "k")
            assert not (await limiter.hit("1/day", "k")).allowed
            stage.ahead = 1.001
            assert (await limiter.hit("1/day", "k")).allowed

    colour.run(scenario)


def test_a_denial_ends_when_redis_would_admit(colour: Colour, layer: Layer) -> None:
    """Never later than the time to wait that Redis said, counted from before it was asked."""

    async def scenario() -> None:
        limiter, stage = colour.of(layer.limiter), Stage(layer)
        await limiter.hit("2/1s; burst=1", "k")
        refused = await limiter.hit("2/1s; burst=1", "k")
        stage.ahead = refused.retry_after
        await limiter.hit("2/1s; burst=1", "k")
        assert stage.sent == ["hit"] * 3

    colour.run(scenario)


def test_another_cost_or_quota_is_asked_for(colour: Colour, layer: Layer) -> None:
    """A denial says nothing of a hit that costs less, and nothing under a quota that has changed."""

    async def scenario() -> None:
        limiter = colour.of(layer.limiter)
        await limiter.hit("10/day", "k", cost=8)
        assert not (await limiter.hit("10/day", "k", cost=3)).allowed
        assert (await limiter.hit("10/day", "k", cost=2)).allowed
        assert not (await limiter.hit("10/day", "k", cost=1)).allowed
        assert (await limiter.hit("10/day", "k", cost=0)).allowed
        assert (await limiter.hit("11/day", "k", cost=1)).allowed

    colour.run(scenario)


def test_who_costs_more_is_told_the_time_that_it_takes(colour: Colour, layer: Layer) -> None:
    """`retry_after` of a denied hit is sufficient for its own cost, also if a cheaper one was refused before."""

    async def scenario() -> None:
        limiter = colour.of(layer.limiter)
        await limiter.hit("10/day", "k", cost=10)
        cheap = await limiter.hit("10/day", "k", cost=1)
        dear = await limiter.hit("10/day", "k", cost=5)
        assert dear.retry_after > 4 * cheap.retry_after
        assert (await limiter.hit("10/day", "k", cost=11)).retry_after == math.inf

    colour.run(scenario)


def test_a_denial_of_one_key_says_nothing_of_another(colour: Colour, layer: Layer) -> None:
    """Alice and the address are both over their limit; Bob, at the same address, is told of the address alone."""

    async def scenario() -> None:
        limiter = colour.of(layer.limiter)
        alices, bobs = [[("1/day", user), ("1/hour", "address")] for user in ("alice", "bob")]
        for _ in range(2):
            refused = await limiter.hit_all(alices)
        assert refused.refused_by == ("per-day", "per-hour")
        refused = await limiter.hit_all(bobs)
        assert refused.refused_by == ("per-hour",)
        assert refused.retry_after <= 3600

    colour.run(scenario)


def test_a_denial_names_the_bucket_that_refuses(colour: Colour, layer: Layer) -> None:
    """Also if the other keys of the hit had the very same quota, and had room."""

    async def scenario() -> None:
        limiter, events = colour.of(layer.limiter), told(layer, Limited)
        await limiter.hit("1/day", "b")
        refused = await limiter.hit_all([("1/day", "a"), ("1/day", "b")])
        alone = await limiter.hit("1/day", "b")
        with_another = await limiter.hit_all([("1/day", "c"), ("1/day", "b")])
        assert alone.refused_by == ("per-day",)
        assert refused.refused_by == with_another.refused_by
        for each in (refused, alone, with_another):
            assert (each.allowed, each.remaining) == (False, 0)
        assert {event.key for event in events} == {f"{layer.engine.namespace}:limit:{{b}}:gcra:per-day"}

    colour.run(scenario)


@pytest.mark.parametrize("verb", ["reset", "refund", "settle"])
def test_what_gives_units_back_here_ends_a_denial(colour: Colour, layer: Layer, verb: str) -> None:
    """The next hit is asked for, and admitted."""

    async def scenario() -> None:
        limiter = colour.of(layer.limiter)
        decision = await limiter.hit("2/day", "k", cost=2)
        for _ in range(2):
            assert not (await limiter.hit("2/day", "k")).allowed
        arguments = {"reset": ("2/day", "k"), "refund": ("2/day", "k", 1), "settle": (decision, 1)}[verb]
        await getattr(limiter, verb)(*arguments)
        assert (await limiter.hit("2/day", "k")).allowed

    colour.run(scenario)


def test_a_refusal_under_way_during_a_reset_is_not_remembered(colour: Colour, layer: Layer) -> None:
    """Its reply comes after the reset, but tells of the time before: the next hit is asked for."""

    async def scenario() -> None:
        limiter, points = colour.of(layer.limiter), Points(layer)
        await limiter.hit("1/day", "k")
        points.hold("hit!")

        async def hit() -> Any:
            return await limiter.hit("1/day", "k")

        async def reset() -> Any:
            await colour.until(lambda: points.holds("hit!"), "a refusal is under way")
            await limiter.reset("1/day", "k")
            points.release("hit!")

        refused, _ = await colour.together(hit, reset)
        assert not refused.allowed
        assert (await limiter.hit("1/day", "k")).allowed

    colour.run(scenario)


def test_who_is_ready_to_wait_for_longer_than_a_denial_asks(colour: Colour, layer: Layer) -> None:
    """A throttle whose `max_wait` reaches beyond the denial asks Redis; any other is refused in the process."""

    async def scenario() -> None:
        limiter, stage = colour.of(layer.limiter), Stage(layer, timeless=True)
        for _ in range(2):
            await limiter.hit("1/800ms", "k")
        for asked, max_wait in ((2, 0), (2, 0.01), (3, 10)):
            try:
                await limiter.throttle("1/800ms", "k", max_wait=max_wait)
            except RateLimited:
                assert max_wait < 1
            assert len(stage.sent) == asked

    colour.run(scenario)


def test_denials_are_bounded(colour: Colour, layer: Layer) -> None:
    """Whoever is refused under ever new keys fills no memory."""

    async def scenario() -> None:
        limiter, denials = colour.of(layer.limiter), layer.engine.limiting.denials
        denials._most = 5
        for number in range(20):
            assert not (await limiter.hit("1/day", f"user:{number}", cost=2)).allowed
        assert list(denials.known) == [
            f"{layer.engine.namespace}:limit:{{user:{number}}}:gcra:per-day" for number in range(15, 20)
        ]

    colour.run(scenario)


def test_what_is_told_is_long_enough_however_long_the_answer_took(colour: Colour, layer: Layer) -> None:
    """A refusal is believed from before it was asked for, and told from when it was heard: never too short a wait."""

    async def scenario() -> None:
        limiter, stage = colour.of(layer.limiter), Stage(layer)
        await limiter.hit("1/hour", "k")
        slow_down(layer, stage, 0.25)
        first = await limiter.hit("1/hour", "k")
        again = await limiter.hit("1/hour", "k")
        assert stage.sent == ["hit"] * 2
        assert first.retry_after - 0.2 < again.retry_after <= first.retry_after

    colour.run(scenario)


def slow_down(layer: Layer, stage: Stage, seconds: float) -> None:
    """Let the next answers take some time, as the layer sees it."""
    blocking, asyncio_port = layer.engine.blocking, layer.engine.asyncio
    call_now, call = blocking.call_now, asyncio_port.call

    def slow_call_now(command: Any) -> Any:
        stage.ahead += seconds
        return call_now(command)

    async def slow_call(command: Any) -> Any:
        stage.ahead += seconds
        return await call(command)

    blocking.call_now, asyncio_port.call = slow_call_now, slow_call  # type: ignore[method-assign]
