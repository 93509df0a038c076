"""What `@rate_limited` cannot work with is refused when decorating, and the message says what to change."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import pytest

from holdfast import ConfigurationError, Layer, rate_limited
from support.colours import Colour

LAYER = Layer("memory://rate-limited-refusals")


def function(number: int) -> int:
    return number


async def afunction(number: int) -> int:
    return number


def generator(number: int) -> Iterator[int]:
    yield number


async def agenerator(number: int) -> AsyncIterator[int]:
    yield number


class Numbers:
    """Things in a class that look like functions."""

    def __call__(self, number: int) -> Iterator[int]:
        yield number

    @property
    def first(self) -> int:
        return 1


@pytest.mark.parametrize(
    ("thing", "advice"),
    [
        (generator, "cannot limit the generator function .*generator: limit the function that starts it"),
        (agenerator, "cannot limit the generator function .*agenerator: limit the function that starts it"),
        (partial(generator, 1), "generator function .*generator"),
        (staticmethod(generator), "generator function .*generator"),
        (Numbers(), "generator function .*Numbers"),
        (Numbers, r"cannot limit a class .*\.Numbers: put @rate_limited\('100/minute'\), with its parentheses"),
        (vars(Numbers)["first"], "cannot limit a property: put @property outside, above the decorator"),
        (7, r"cannot limit a value of type int: put @rate_limited\('100/minute'\), with its parentheses, above"),
    ],
)
def test_what_is_no_function_is_refused(thing: Any, advice: str) -> None:
    """A generator would be limited when it is made, not while it runs; classes and values are not called."""
    with pytest.raises(ConfigurationError, match=advice):
        rate_limited("1/day")(thing)


def test_forgotten_parentheses_are_explained() -> None:
    """``@rate_limited`` without a quota says what to write."""
    with pytest.raises(ConfigurationError, match=r"put @rate_limited\('100/minute'\), with its parentheses"):
        rate_limited(function)(1)  # type: ignore[type-var]  # what a call of the function would do


OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"quota": None}, "a quota is text such as '100/minute'"),
    ({"quota": 100}, "a quota is text such as '100/minute'"),
    ({"quota": "often"}, "'often' is not like '100/minute'"),
    ({"quota": ["1/day", "2/day"]}, "two quotas called 'per-day' would count in one bucket"),
    ({"key": ""}, "key='' of"),
    ({"key": "user:{user_id}"}, "there is no parameter 'user_id'; a field can be 'number'"),
    ({"key": "user:{"}, "cannot be read"),
    ({"key": "user:{}"}, "has a field without a name"),
    ({"key": 7}, "must be a template or a plain function"),
    ({"key": afunction}, "must be a template or a plain function"),
    ({"cost": -1}, "cost=-1 must be a whole number of units"),
    ({"cost": 1.5}, "cost=1.5 must be a whole number of units"),
    ({"cost": None}, "cost=None must be a whole number of units"),
    ({"cost": "1"}, "cost='1' must be a whole number of units"),
    ({"wait": -1}, "wait=-1 must be zero or more"),
    ({"wait": "soon"}, "wait='soon' is not a duration"),
    ({"on_failure": "raise"}, "on_failure='raise' must be 'open' (admit), 'closed' (refuse) or 'local'"),
    ({"on_failure": []}, "on_failure=[] must be 'open'"),
    ({"budget": 0}, "budget=0 must be more than zero"),
    ({"budget": None}, "budget=None is not a duration"),
    ({"shadow": "no"}, "shadow='no' must be True"),
    ({"exempt": True}, "exempt= of"),
    ({"on_refused": "skip"}, "on_refused= of"),
    ({"limit": 1}, "rate_limited has no option 'limit'; it has budget, cost, exempt, key"),
]


@pytest.mark.parametrize("on_layer", [False, True], ids=["decorator", "layer"])
@pytest.mark.parametrize(("options", "advice"), OPTIONS)
def test_an_option_that_cannot_work_is_refused(
    colour: Colour, options: dict[str, Any], advice: str, on_layer: bool
) -> None:
    """When decorating, with and without an explicit layer."""
    given = {"quota": "1/day", **options}
    make: Callable[..., Any] = LAYER.rate_limited if on_layer else rate_limited
    with pytest.raises(ConfigurationError, match=re.escape(advice)):
        make(given.pop("quota"), **given)(afunction if colour.is_async else function)


def test_a_layer_is_a_layer() -> None:
    """Not its URL."""
    layer: Any = "redis://localhost"
    with pytest.raises(ConfigurationError, match="layer= must be a Layer"):
        rate_limited("1/day", layer=layer)(function)


@pytest.mark.parametrize("name", ["quota", "cost", "exempt", "on_refused"])
def test_nobody_would_await_an_async_option_of_a_plain_function(name: str) -> None:
    """It is refused when decorating; an async function takes it."""
    options: dict[str, Any] = {"quota": "1/day", name: afunction}
    assert rate_limited(**options)(afunction)
    with pytest.raises(ConfigurationError, match=f"{name}= of .*function is async, and the function is not"):
        rate_limited(**options)(function)


@pytest.mark.parametrize("key", ["all", "{{number}}", None])
def test_a_key_may_be_the_same_for_all_calls(key: str | None) -> None:
    """Unlike that of a cached value: then all calls share the quota."""
    limited = LAYER.rate_limited("1/day", key=key, on_refused=lambda _: "refused")(function)
    LAYER.limiter.reset("1/day", key.format() if key else f"{__name__}.function")
    assert [limited(1), limited(2)] == [1, "refused"]


def make_view(name: str) -> Any:
    """Return a function as class-based views make it: it is called otherwise than what its code is called."""

    def view() -> str:
        return name

    view.__name__ = name
    return view


@pytest.mark.parametrize(
    "shared", [lambda: 1, make_view("products"), partial(lambda: 1)], ids=["lambda", "view", "partial"]
)
def test_a_name_that_others_have_too_is_no_key(shared: Any, layer: Layer) -> None:
    """Without a key the function's name is one; a name that many functions have would let them share it unseen."""
    with pytest.raises(ConfigurationError, match=r"share its quota: give it a key="):
        rate_limited("1/minute")(shared)
    assert layer.rate_limited("1/minute", key="products")(shared)() in (1, "products")
