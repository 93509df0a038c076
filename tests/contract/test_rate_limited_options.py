"""`@rate_limited`: quotas, costs and exemptions by call, what is done instead of raising, and shadow mode."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from holdfast import ConfigurationError, Layer, LimitDecision, Quota, RateLimited
from holdfast.events import LimitDegraded, Limited
from support.colours import Colour
from support.peeking import told
from support.staged import Stage

pytestmark = pytest.mark.usefixtures("patient_limits")
DAY = 86400.0


@pytest.fixture(params=["plain", "of the colour"])
def said(request: pytest.FixtureRequest, colour: Colour) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function that an option takes: an async function takes plain ones as well as async ones."""
    return colour.function if request.param == "of the colour" else Colour("sync").function


async def allowed(colour: Colour, *calls: Callable[[], Any]) -> list[bool]:
    """Call functions one after the other; say of each whether it was called."""
    found = []
    for call in calls:
        try:
            await colour.call(call)
        except RateLimited:
            found.append(False)
        else:
            found.append(True)
    return found


def plan(colour: Colour, layer: Layer, quota: Any = "1/day", **options: Any) -> Any:
    """Return a limited function of a user and a plan."""

    async def serve(user: str, plan: str = "free", units: int = 1) -> str:
        return f"{user} {plan} {units}"

    return layer.rate_limited(quota, **{"key": "user:{user}", **options})(colour.function(serve))


def test_a_quota_may_depend_on_the_call(colour: Colour, layer: Layer, said: Any) -> None:
    """A function of the arguments says which; None is no limit; a plan that changes keeps what was consumed."""
    quotas: dict[str, Any] = {"free": "1/day", "pro": Quota(3, "1d"), "both": ["9/hour", "1/day"], "boundless": None}

    async def quota(user: str, plan: str = "free", units: int = 1) -> Any:
        return quotas[plan]

    async def scenario() -> None:
        serve = plan(colour, layer, said(quota))
        calls = [partial(serve, "ada", each) for each in ("free", "free", "boundless", "pro", "pro", "pro", "both")]
        assert await allowed(colour, *calls) == [True, False, True, True, True, False, False]
        assert await allowed(colour, partial(serve, "bob"), partial(serve, user="bob", plan="pro")) == [True, True]
        quotas["free"] = "many"
        with pytest.raises(ConfigurationError, match="quota 'many'"):
            await colour.call(serve, "eve")

    colour.run(scenario)


def test_a_cost_may_depend_on_the_call(colour: Colour, layer: Layer, said: Any) -> None:
    """A number for all calls, or a function of the arguments."""

    async def cost(user: str, plan: str = "free", units: int = 1) -> Any:
        return units

    async def scenario() -> None:
        serve = plan(colour, layer, "10/day", cost=said(cost))
        calls = [partial(serve, "ada", units=units) for units in (7, 5, 3, 1, 0)]
        assert await allowed(colour, *calls) == [True, False, True, False, True]
        for wrong in (-1, 1.5, "1", None, True):
            with pytest.raises(ConfigurationError, match=r"cost=.* must be a whole number of units, 0 or more"):
                await colour.call(serve, "ada", units=wrong)
        fixed = plan(colour, layer, "10/day", cost=4, key="fixed:{user}")
        assert await allowed(colour, *[partial(fixed, "ada")] * 3) == [True, True, False]
        with pytest.raises(RateLimited, match="costs more than can ever pass at once"):
            await colour.call(plan(colour, layer, "1/day", cost=2), "eve")

    colour.run(scenario)


def test_some_calls_may_be_exempt(colour: Colour, layer: Layer, said: Any) -> None:
    """They are neither counted nor refused."""

    async def exempt(user: str, plan: str = "free", units: int = 1) -> Any:
        return plan == "staff"

    async def scenario() -> None:
        serve = plan(colour, layer, exempt=said(exempt))
        calls = [partial(serve, "ada", each) for each in ("staff", "staff", "free", "free", "staff")]
        assert await allowed(colour, *calls) == [True, True, True, False, True]

    colour.run(scenario)


def test_what_an_option_raises_passes(colour: Colour, layer: Layer, said: Any) -> None:
    """And nothing is consumed."""

    async def fail(user: str, plan: str = "free", units: int = 1) -> Any:
        raise LookupError

    async def scenario() -> None:
        for name in ("quota", "cost", "exempt", "key"):
            if name == "key" and colour.is_async:
                continue  # it is plain always
            with pytest.raises(LookupError):
                await colour.call(plan(colour, layer, **{name: said(fail)}), "ada")
        assert await allowed(colour, partial(plan(colour, layer), "ada")) == [True]

    colour.run(scenario)


def test_something_else_may_be_done_than_raise(colour: Colour, layer: Layer, said: Any) -> None:
    """`on_refused` gets the decision, and what it returns is returned, or what it raises raised."""

    async def on_refused(decision: LimitDecision) -> Any:
        if decision.cost > 1:
            raise LookupError
        return decision

    async def scenario() -> None:
        serve = plan(colour, layer, on_refused=said(on_refused))
        assert await colour.call(serve, "ada") == "ada free 1"
        decision = await colour.call(serve, "ada")
        assert (decision.allowed, decision.refused_by) == (False, ("per-day",))
        with pytest.raises(LookupError):
            await colour.call(plan(colour, layer, on_refused=said(on_refused), cost=2), "ada")

    colour.run(scenario)


def test_a_call_may_wait_instead(colour: Colour, layer: Layer) -> None:
    """As long as it takes, if that is not longer than `wait`; who would have to wait longer is refused at once."""

    async def scenario() -> None:
        stage = Stage(layer, timeless=True)
        serve = plan(colour, layer, "2/day; burst=1", wait="12h")
        assert await allowed(colour, *[partial(serve, "ada")] * 3) == [True, True, False]
        assert stage.slept == [pytest.approx(DAY / 2, abs=60)]
        never = plan(colour, layer, "2/day; burst=1", wait=0)
        assert await allowed(colour, *[partial(never, "bob")] * 2) == [True, False]
        assert len(stage.slept) == 1

    colour.run(scenario)


def test_who_is_interrupted_while_it_waits_does_not_call(colour: Colour, layer: Layer) -> None:
    """The function is not called, and its turn is given back."""

    async def scenario() -> None:
        stage = Stage(layer, timeless=True)
        serve = plan(colour, layer, "2/day; burst=1", wait="9d")
        await colour.call(serve, "ada")

        def interrupt() -> None:
            raise TimeoutError

        stage.in_sleep = interrupt
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await colour.call(serve, "ada")
            await colour.until(lambda: stage.sent[-1] == "adjust", "it is given back")
        assert stage.slept == [pytest.approx(DAY / 2, abs=60)] * 3

    colour.run(scenario)


def test_shadow_mode_counts_and_reports_and_never_refuses(colour: Colour, layer: Layer) -> None:
    """Not by a refusal, not by a pause, and not without Redis; who is over the limit consumes nothing all the same."""

    async def scenario() -> None:
        stage, events = Stage(layer, timeless=True), told(layer, Limited)
        serve = plan(colour, layer, "2/day", shadow=True)
        waits = plan(colour, layer, "2/day; burst=1", shadow=True, wait="9d", key="waits:{user}")
        closed = plan(colour, layer, "2/day", shadow=True, on_failure="closed", key="closed:{user}")
        assert await allowed(colour, *[partial(serve, "ada")] * 5) == [True] * 5
        assert await allowed(colour, *[partial(waits, "ada")] * 3) == [True] * 3
        with stage.away():
            assert await allowed(colour, *[partial(closed, "ada")] * 3) == [True] * 3
        assert stage.slept == []
        assert all(event.shadow for event in events)
        assert [event.degraded for event in events if "waits" not in event.key] == [False] * 3 + [True] * 3
        assert layer.stats().patterns["user:{user}"].limited == 3
        assert layer.limiter.peek("2/day", "user:ada").remaining == 0
        (decision,) = [layer.limiter.hit("2/day", "user:ada", shadow=True)]
        assert (decision.allowed, decision.shadow, decision.refused_by) == (True, True, ("per-day",))

    colour.run(scenario)


def test_a_disabled_layer_calls_the_function(colour: Colour, layer: Layer) -> None:
    """Without a limit, without a command, and without asking what the call would cost."""

    async def scenario() -> None:
        stage = Stage(layer)
        serve = plan(colour, layer, cost=lambda *_, **__: pytest.fail("asked"))
        with layer.disabled():
            assert await allowed(colour, *[partial(serve, "ada")] * 3) == [True] * 3
            with pytest.raises(TypeError):
                await colour.call(serve)
        assert stage.sent == []

    colour.run(scenario)


def test_without_redis_the_rule_decides(colour: Colour, layer: Layer) -> None:
    """``"open"`` calls the function, ``"closed"`` refuses, ``"local"`` counts here; each says that it did."""

    async def scenario() -> None:
        stage, events = Stage(layer), told(layer, LimitDegraded)
        with stage.away():
            for on_failure, expected in (
                ("open", [True] * 3),
                ("closed", [False] * 3),
                ("local", [True, False, False]),
            ):
                serve = plan(colour, layer, on_failure=on_failure)
                assert await allowed(colour, *[partial(serve, "ada")] * 3) == expected
                found = [(event.pattern, event.on_failure, event.allowed) for event in events]
                assert found == [("user:{user}", on_failure, each) for each in expected]
                events.clear()
            with pytest.raises(RateLimited, match=r"Redis cannot be asked; try again in 1\.000 s") as caught:
                await colour.call(plan(colour, layer, on_failure="closed"), "ada")
            assert caught.value.decision.degraded
        assert await allowed(colour, partial(plan(colour, layer), "ada")) == [True]

    colour.run(scenario)
