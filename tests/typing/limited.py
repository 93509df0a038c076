"""What type checkers must see of limits. Checked by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, assert_type

from holdfast import Layer, LimitDecision, Quota, RateLimited, cached, entries, rate_limited

layer = Layer("memory://", replicas=4)


@rate_limited("10/second; burst=20, 1000/hour", key="user:{user_id}", cost=2, wait="5s", layer=layer)
def greet(user_id: int, lang: str = "en") -> str:
    """A plain function."""
    return f"{user_id} {lang}"


@rate_limited(Quota(100, "1m", burst=20), on_failure="local", budget=timedelta(milliseconds=50), shadow=True)
async def agreet(user_id: int, *, lang: str = "en") -> str:
    """An async function."""
    return f"{user_id} {lang}"


def quota_of(user_id: int) -> Quota | None:
    """The quota of a call."""
    return Quota(user_id, 60) if user_id else None


def key_of(user_id: int) -> str:
    """The key of a call."""
    return f"user:{user_id}"


async def cost_of(user_id: int) -> int:
    """The cost of a call."""
    return user_id


def on_refused(decision: LimitDecision) -> str:
    """What is returned instead."""
    return ", ".join(decision.refused_by)


@layer.rate_limited(quota_of, key=key_of, exempt=bool, on_refused=on_refused)
def by_layer(user_id: int) -> str:
    """A function on a layer."""
    return str(user_id)


@layer.rate_limited([Quota(1, 1), "5/minute"], cost=cost_of)
@cached(60)
async def stacked(user_id: int) -> str:
    """A function under two decorators."""
    return str(user_id)


class Shop:
    """Every kind of method, with the decorator inside and outside."""

    @rate_limited("1/minute")
    def method(self, number: int) -> str:
        return str(number)

    @rate_limited("1/minute")
    async def amethod(self, number: int) -> str:
        return str(number)

    @rate_limited("1/minute")
    @classmethod
    def outside_class(cls, number: int) -> str:
        return str(number)

    @classmethod
    @rate_limited("1/minute")
    async def ainside_class(cls, number: int) -> str:
        return str(number)

    @rate_limited("1/minute")
    @staticmethod
    def outside_static(number: int) -> str:
        return str(number)

    @staticmethod
    @rate_limited("1/minute")
    def inside_static(number: int) -> str:
        return str(number)


def plain() -> None:
    """Check blocking uses."""
    shop, limiter = Shop(), layer.limiter
    assert_type(greet(1, lang="de"), str)
    assert_type(by_layer(1), str)
    assert_type(shop.method(1), str)
    assert_type(Shop.outside_class(1), str)
    assert_type(Shop.outside_static(1), str)
    assert_type(shop.inside_static(1), str)
    decision = limiter.hit("1/minute", "k", cost=2, on_failure="closed", budget=0.1, shadow=True, colocate="t")
    assert_type(decision, LimitDecision)
    assert_type(decision.refused_by, tuple[str, ...])
    assert_type(decision.retry_after, float)
    assert_type(decision.policies[0].remaining, int)
    assert_type(decision.headers("legacy"), list[tuple[str, str]])
    assert_type(decision.problem(), dict[str, Any])
    assert_type(limiter.hit_all([("1/minute", "a"), (Quota(1, 60), "b")], colocate="t"), LimitDecision)
    assert_type(limiter.peek("1/minute", "k"), LimitDecision)
    assert_type(limiter.reset("1/minute", "k"), bool)
    assert_type(limiter.refund("1/minute", "k", 2), LimitDecision)
    assert_type(limiter.settle(decision, 3), LimitDecision)
    assert_type(limiter.throttle("1/minute", "k", max_wait="5s"), LimitDecision)
    with limiter.concurrency(2, "k", lease="30s") as slot:
        assert_type(slot.lost, bool)
        assert_type(slot.decision, LimitDecision)
    try:
        greet(1)
    except RateLimited as error:
        assert_type(str(error), str)


async def asynchronous() -> None:
    """Check async uses."""
    limiter = layer.limiter
    pending: Coroutine[Any, Any, str] = agreet(1)
    assert_type(await pending, str)
    assert_type(await stacked(1), str)
    assert_type(await entries(stacked).arefresh(1), str)
    assert_type(await Shop().amethod(1), str)
    assert_type(await Shop.ainside_class(1), str)
    decision = await limiter.ahit("1/minute", "k")
    assert_type(decision, LimitDecision)
    assert_type(await limiter.ahit_all([("1/minute", "a")]), LimitDecision)
    assert_type(await limiter.areset("1/minute", "k"), bool)
    assert_type(await limiter.asettle(decision, 3), LimitDecision)
    assert_type(await limiter.athrottle("1/minute", "k", max_wait=5), LimitDecision)
    async with limiter.concurrency(2, "k") as slot:
        assert_type(slot.decision.allowed, bool)


def mistakes() -> None:
    """Check that the checkers still see what is wrong: each ignore below is needed."""
    greet("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    greet()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    rate_limited("1/minute", on_failure="raise")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    rate_limited("1/minute", limit=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    rate_limited(100)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    layer.rate_limited("1/minute", kex="a")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    layer.limiter.throttle("1/minute", "k")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    layer.limiter.hit(100, "k")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
