"""`throttle`: who has to wait waits exactly as long as it takes, in order, or is refused at once."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

import pytest

from holdfast import Layer, Quota, RateLimited
from holdfast.core.limit_checks import charged_of
from holdfast.policy.quota import ALGORITHMS
from support.calls import teach
from support.colours import Colour
from support.staged import Stage
from support.topologies import Topology

pytestmark = pytest.mark.usefixtures("patient_limits")
DAY: Final = 86400.0
SLOW: Final = 60.0
"""Seconds that a machine under load may take for a test."""
STEPS: Final = {"gcra": DAY / 2, "fixed_window": DAY, "sliding_counter": DAY * 1.5, "sliding_log": DAY}
"""Seconds until one more is admitted after two of two a day at once."""


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_who_has_to_wait_is_booked_ahead(colour: Colour, topology: Topology, namespace: str, algorithm: Any) -> None:
    """The first pass at once, the next waits for exactly as long as the quota says; each asks Redis once."""
    quota = Quota(2, "1d", algorithm=algorithm)

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            limiter, stage = colour.of(layer.limiter), Stage(layer, timeless=True)
            found = [await limiter.throttle(quota, "k", max_wait="7d") for _ in range(3)]
            assert [decision.allowed for decision in found] == [True] * 3
            (slept,) = stage.slept
            assert STEPS[algorithm] - SLOW < slept <= STEPS[algorithm]
            assert stage.sent == ["hit"] * 3
            assert found[2].retry_after == 0.0

    colour.run(scenario)


def test_nobody_overtakes(colour: Colour, topology: Topology, namespace: str) -> None:
    """Callers are booked one after the other, each exactly one turn behind the last; a hit comes after all of them."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            limiter, stage = colour.of(layer.limiter), Stage(layer, timeless=True)
            found = [await limiter.throttle("8/day; burst=1", "k", max_wait="2d") for _ in range(5)]
            booked = [charged_of(decision.charge.answer)[0].at for decision in found]
            assert [later - earlier for earlier, later in pairwise(booked)] == [DAY / 8 * 1e6] * 4
            assert len(stage.slept) == 4
            assert sorted(stage.slept) == stage.slept
            refused = await limiter.hit("8/day; burst=1", "k")
            assert refused.retry_after == pytest.approx(5 * DAY / 8, abs=SLOW)

    colour.run(scenario)


def test_a_throttle_lasts_until_its_turn_and_not_much_longer(colour: Colour, layer: Layer) -> None:
    """By the clock: of four callers at once, one goes on every 20 ms; all together never sooner than the quota says."""

    async def scenario() -> None:
        clock, ends = layer.engine.blocking.monotonic, []
        begun = clock()

        async def call() -> None:
            decision = await colour.of(layer.limiter).throttle("50/second; burst=1", "k", max_wait=60)
            ends.append((charged_of(decision.charge.answer)[0].at, clock()))

        await colour.together(*[call] * 4)
        ends.sort()
        for turn, (_, end) in enumerate(ends):
            assert end - begun >= 0.02 * turn - 0.002  # the two clocks need not tick together
        assert ends[-1][1] - begun < 30

    colour.run(scenario)


def test_who_would_have_to_wait_too_long_is_refused_at_once(colour: Colour, topology: Topology, namespace: str) -> None:
    """`RateLimited` comes without a pause, has the decision, and nothing was booked: others wait no longer for it."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            limiter, stage = colour.of(layer.limiter), Stage(layer, timeless=True)
            await limiter.throttle("2/day; burst=1", "k", max_wait=0)
            for max_wait in (0, "11h"):
                with pytest.raises(RateLimited, match="over the limit per-day; try again in 43") as caught:
                    await limiter.throttle("2/day; burst=1", "k", max_wait=max_wait)
                decision = caught.value.decision
                assert (decision.allowed, decision.refused_by, decision.remaining) == (False, ("per-day",), 0)
                assert DAY / 2 - SLOW < decision.retry_after <= DAY / 2
            with pytest.raises(RateLimited, match="costs more than can ever pass at once") as caught:
                await limiter.throttle("2/day; burst=1", "k", cost=2, max_wait="70d")
            assert caught.value.decision.retry_after == math.inf
            assert stage.slept == []
            await limiter.throttle("2/day; burst=1", "k", max_wait="12h")
            assert stage.slept == [pytest.approx(DAY / 2, abs=SLOW)]

    colour.run(scenario)


def test_under_several_quotas_a_hit_is_charged_when_all_admit_it(colour: Colour, layer: Layer) -> None:
    """Not before: while it waits it takes nothing of any, and who would have to wait too long is refused at once."""
    quotas = "25/second; burst=1, 10/day"

    async def scenario() -> None:
        limiter, stage, begun = colour.of(layer.limiter), Stage(layer), layer.engine.blocking.monotonic()
        left: list[int] = []
        stage.in_sleep = lambda: left.append(layer.limiter.peek("10/day", "k").remaining)
        for _ in range(3):
            assert (await limiter.throttle(quotas, "k", max_wait=60)).allowed
        assert layer.engine.blocking.monotonic() - begun >= 0.078
        assert set(left) <= {9, 8}
        await limiter.hit("10/day", "k", cost=7)
        slept = len(stage.slept)
        with pytest.raises(RateLimited) as caught:
            await limiter.throttle(quotas, "k", max_wait=60)
        assert "per-day" in caught.value.decision.refused_by
        assert len(stage.slept) == slept

    colour.run(scenario)


def test_who_is_interrupted_under_several_quotas_has_taken_nothing(colour: Colour, layer: Layer) -> None:
    """Nothing was booked, so there is nothing to give back."""
    quotas = "2/day; burst=1, 10/day; name=more"
    kind = asyncio.CancelledError if colour.is_async else KeyboardInterrupt

    async def scenario() -> None:
        limiter, stage = colour.of(layer.limiter), Stage(layer, timeless=True)

        def interrupt() -> None:
            raise kind

        await limiter.throttle(quotas, "k", max_wait=0)
        stage.in_sleep = interrupt
        with pytest.raises(kind):
            await limiter.throttle(quotas, "k", max_wait="9d")
        assert len(stage.slept) == 1
        assert [policy.remaining for policy in (await limiter.peek(quotas, "k")).policies] == [0, 9]

    colour.run(scenario)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_who_is_interrupted_while_waiting_gives_the_booking_back(colour: Colour, layer: Layer, algorithm: Any) -> None:
    """A cancelled task or Ctrl-C in a thread: it goes on, and the next caller waits as if nobody had been there."""
    quota, kind = Quota(1, "1d", algorithm=algorithm), asyncio.CancelledError if colour.is_async else KeyboardInterrupt

    async def scenario() -> None:
        limiter, stage = colour.of(layer.limiter), Stage(layer, timeless=True)
        await limiter.throttle(quota, "k", max_wait=0)
        before = (await limiter.peek(quota, "k")).retry_after

        def interrupt() -> None:
            raise kind

        stage.in_sleep = interrupt
        with pytest.raises(kind):
            await limiter.throttle(quota, "k", max_wait="9d")
        await colour.until(lambda: stage.sent[-1] == "adjust", "it was given back")
        assert (await limiter.peek(quota, "k")).retry_after == pytest.approx(before, abs=SLOW)

    colour.run(scenario)


def test_a_task_that_is_cancelled_while_it_waits_gives_its_turn_back(topology: Topology, namespace: str) -> None:
    """By `cancel` and by a time-out around it, everywhere."""

    async def scenario() -> None:
        async with Layer(topology.url, namespace=namespace) as layer:
            await layer.limiter.athrottle("2/day; burst=1", "k", max_wait=0)
            stage = Stage(layer)
            task = asyncio.create_task(layer.limiter.athrottle("2/day; burst=1", "k", max_wait="1d"))
            await Colour("async").until(lambda: stage.slept, "it waits")
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            await Colour("async").until(lambda: "adjust" in stage.sent, "its turn was given back")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await layer.limiter.athrottle("2/day; burst=1", "k", max_wait="1d")
            await Colour("async").until(lambda: stage.sent.count("adjust") == len(stage.slept), "all was given back")
            refused = await layer.limiter.ahit("2/day; burst=1", "k")
            assert refused.retry_after <= DAY / 2

    asyncio.run(scenario())


def test_without_redis_the_process_throttles(colour: Colour, namespace: str) -> None:
    """``"local"`` books ahead in the process, at its share of the rate; ``"open"`` waits for nothing."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace, replicas=2)) as layer:
            limiter, stage = colour.of(layer.limiter), Stage(layer, timeless=True)
            with stage.away():
                for _ in range(3):
                    assert (await limiter.throttle("4/day; burst=2", "k", max_wait=0)).degraded
                for _ in range(3):
                    decision = await limiter.throttle("4/day; burst=2", "k", max_wait="2d", on_failure="local")
                    assert decision.degraded
                assert stage.slept == [pytest.approx(DAY / 2, abs=SLOW)] * 2  # the clock goes on meanwhile
                with pytest.raises(RateLimited, match="Redis cannot be asked"):
                    await limiter.throttle("4/day; burst=2", "other", max_wait="2d", on_failure="closed")

    colour.run(scenario)


async def booked(check: Callable[[], object]) -> None:
    """Wait until so much is booked."""
    await Colour("async").until(check, "all are booked")


@pytest.mark.parametrize("algorithm", ["gcra", "sliding_log"])
@pytest.mark.parametrize("order", ["first to last", "last to first", "from the middle"])
def test_a_queue_that_everybody_leaves_is_free_again(layer: Layer, algorithm: str, order: str) -> None:
    """In whichever order they leave: a place that could not be given back is, as soon as nobody is behind it."""
    quota = Quota(1, "1s", burst=1) if algorithm == "gcra" else Quota(1, "1s", algorithm="sliding_log")

    async def scenario() -> None:
        await layer.limiter.ahit(quota, "k")
        waiting = [asyncio.create_task(layer.limiter.athrottle(quota, "k", max_wait=600)) for _ in range(9)]
        await booked(lambda: layer.limiter.peek(quota, "k").reset >= 9)
        middle = [*waiting[4:], *waiting[:4]]
        leaving = {"first to last": waiting, "last to first": waiting[::-1], "from the middle": middle}[order]
        for task in leaving:
            task.cancel()
            await asyncio.wait([task])
        assert (await layer.limiter.apeek(quota, "k")).reset <= 1
        assert layer.engine.booking._given_up == {}

    asyncio.run(scenario())


def test_a_queue_is_not_shorter_than_those_who_stay(layer: Layer) -> None:
    """A place in the middle that was given up comes back when the one behind it goes, and never twice."""
    quota = Quota(1, "1h", burst=1)

    async def scenario() -> None:
        await layer.limiter.ahit(quota, "k")
        waiting = [asyncio.create_task(layer.limiter.athrottle(quota, "k", max_wait="1d")) for _ in range(4)]
        await booked(lambda: layer.limiter.peek(quota, "k").reset >= 4 * 3600 - 60)
        resets = []
        for index in (1, 2, 3, 0):
            waiting[index].cancel()
            await asyncio.wait([waiting[index]])
            resets.append(round((await layer.limiter.apeek(quota, "k")).reset / 3600))
        assert resets == [5, 5, 2, 1]

    asyncio.run(scenario())


@pytest.mark.parametrize("left_waiting", [False, True], ids=["cancelled", "pending"])
def test_a_wait_that_ends_with_its_loop_is_given_back(layer: Layer, left_waiting: bool) -> None:
    """``asyncio.run`` that ends while somebody waits, or has just cancelled who waits, leaves no place behind."""

    async def scenario() -> None:
        await layer.limiter.ahit("1/minute", "k")
        task = asyncio.create_task(layer.limiter.athrottle("1/minute", "k", max_wait=600))
        await booked(lambda: layer.limiter.peek("1/minute", "k").reset >= 90)
        if not left_waiting:
            task.cancel()

    asyncio.run(scenario())
    assert layer.limiter.peek("1/minute", "k").reset <= 60


def test_who_leaves_before_the_answer_has_no_place(server_topology: Topology, namespace: str) -> None:
    """A throttle that is cancelled while its hit is under way gives back what it was given meanwhile."""

    async def scenario() -> None:
        async with Layer(server_topology.url, namespace=namespace) as layer:
            await layer.limiter.ahit("1/minute", "k")
            for _ in range(3):
                task = asyncio.create_task(layer.limiter.athrottle("1/minute", "k", max_wait=600))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
            await Colour("async").until(lambda: not layer.engine.backend._tasks._held, "all is given back")
            assert (await layer.limiter.apeek("1/minute", "k")).reset <= 60

    asyncio.run(scenario())


def test_who_is_cancelled_twice_gives_its_place_back_once(server_topology: Topology, namespace: str) -> None:
    """Cancelled again while it gives its place back, when that has been sent: it is not sent again."""

    async def scenario() -> None:
        async with Layer(server_topology.url, namespace=namespace) as layer:
            quota = Quota(1, "1h", burst=1)
            teach(server_topology.nodes)  # or what was sent comes back as unknown, and has given nothing back
            await layer.limiter.ahit(quota, "k")
            for _ in range(4):
                task = asyncio.create_task(layer.limiter.athrottle(quota, "k", max_wait="1d"))
                await booked(lambda: layer.limiter.peek(quota, "k").reset >= 2 * 3600 - 60)
                task.cancel()
                await asyncio.sleep(0)  # it has sent what gives the place back
                task.cancel()
                await asyncio.wait([task])
                await booked(lambda: layer.limiter.peek(quota, "k").reset <= 3600)
                for _ in range(5):  # nothing follows
                    await asyncio.sleep(0)
                assert layer.limiter.peek(quota, "k").reset > 3600 - 60

    asyncio.run(scenario())
