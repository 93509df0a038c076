"""Decorating partials that say what they wrap, as those do that Django's `method_decorator` makes for each call."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any
from uuid import uuid4

import pytest
from django.utils.decorators import method_decorator

from holdfast import Layer, RateLimited
from holdfast.key_binding import signature_of

DECORATED = ["cached", "rate_limited"]
KEYS: dict[str, Any] = {"template": "view:{request.user}", "callable": lambda request, page=1: f"view:{request.user}"}


class Request:
    def __init__(self, user: str) -> None:
        self.user = user


class View:
    def get(self, request: Request, page: int = 1) -> str:
        return f"{request.user} {page}"


def bound(view: View, wrapped: Callable[..., Any] = View.get) -> Any:
    """Return what `method_decorator` decorates: a partial of the bound method that names the unbound one."""
    return wraps(wrapped)(partial(wrapped.__get__(view, type(view))))


def noted(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def note(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return note


@pytest.fixture
def layer() -> Any:
    with Layer(f"memory://{uuid4().hex}") as layer:
        yield layer


def decorated(layer: Layer, decorator: str, key: Any, function: Any) -> Any:
    if decorator == "cached":
        return layer.cached("1m", key=key)(function)
    return layer.rate_limited("1/hour", key=key)(function)


@pytest.mark.parametrize("decorator", DECORATED)
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("between", [lambda function: function, noted], ids=["bare", "wrapped"])
def test_a_bound_method_in_a_partial_takes_no_instance(layer: Layer, decorator: str, key: str, between: Any) -> None:
    """The key is made of the call's own arguments, although `__wrapped__` has a `self` before them."""
    view = decorated(layer, decorator, KEYS[key], between(bound(View())))
    assert view(Request("ada"), 3) == "ada 3"
    assert view(Request("bob"), page=4) == "bob 4"
    again = decorated(layer, decorator, KEYS[key], between(bound(View())))  # as the next request does
    if decorator == "cached":
        assert again(Request("ada"), 3) == "ada 3"
        assert layer.stats().hits == 1
    else:
        with pytest.raises(RateLimited):
            again(Request("ada"), 3)


@pytest.mark.parametrize("decorator", DECORATED)
def test_views_are_decorated_by_django(layer: Layer, decorator: str) -> None:
    """A key that is a function gets the request, as in a view that is a function."""
    key = KEYS["callable"]
    decorate = method_decorator(lambda function: decorated(layer, decorator, key, function))

    class Decorated(View):
        get = decorate(View.get)

    assert Decorated().get(Request("ada"), 3) == "ada 3"
    if decorator == "cached":
        assert Decorated().get(Request("ada"), 3) == "ada 3"
        assert layer.stats().hits == 1
    else:
        with pytest.raises(RateLimited):
            Decorated().get(Request("ada"), 3)


@pytest.mark.parametrize("key", KEYS)
def test_decorators_on_such_a_partial_can_be_stacked(layer: Layer, key: str) -> None:
    """The outer one sees the partial through the inner one."""
    inner = decorated(layer, "cached", KEYS[key], bound(View()))
    view = decorated(layer, "rate_limited", KEYS[key], inner)
    assert view(Request("ada")) == "ada 1"
    with pytest.raises(RateLimited):
        view(Request("ada"))


def test_signatures_are_those_of_the_call() -> None:
    """Of a partial with its arguments filled in; wrappers that are no partials keep the signature that they show."""

    def names(function: Any) -> list[str]:
        return list(signature_of(function).parameters)

    assert names(bound(View())) == names(noted(bound(View()))) == ["request", "page"]
    assert names(partial(bound(View()), Request("ada"))) == ["page"]
    assert names(noted(View.get)) == names(View.get) == ["self", "request", "page"]
    assert names(View().get) == ["request", "page"]
    assert list(signature_of(partial(View.get, page=2)).parameters) == ["self", "request", "page"]
