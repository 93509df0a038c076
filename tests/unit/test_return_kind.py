"""`return_kind`: what a function says that it returns, whatever kind of function it is."""

from __future__ import annotations

import functools
from asyncio import Future
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from types import FunctionType, NoneType
from typing import TYPE_CHECKING, Annotated, Any, LiteralString, Never, NoReturn, Self, TypeVar

import pytest
import wrapt

from holdfast.serializers import return_kind

if TYPE_CHECKING:
    from somewhere import Unknown  # type: ignore[import-not-found]

T = TypeVar("T")


@dataclass
class Product:
    id: int

    @classmethod
    def make(cls) -> Self: ...  # type: ignore[empty-body]

    @classmethod
    def find(cls) -> Product: ...  # type: ignore[empty-body]

    @staticmethod
    def count() -> int: ...  # type: ignore[empty-body]

    def names(self) -> list[str]: ...  # type: ignore[empty-body]


class Loader:
    limit: int

    def __call__(self) -> set[int]: ...  # type: ignore[empty-body]


def plain() -> Product: ...  # type: ignore[empty-body]
async def asynchronous() -> list[Product]: ...  # type: ignore[empty-body]
def nothing() -> None: ...
def untyped(): ...  # type: ignore[no-untyped-def]
def coroutine() -> Coroutine[Any, Any, Product]: ...  # type: ignore[empty-body]
def awaitable() -> Awaitable[int]: ...  # type: ignore[empty-body]
def future() -> Future[int]: ...  # type: ignore[empty-body]
def anything() -> Any: ...
def an_object() -> object: ...
def variable(value: T) -> T: ...  # type: ignore[empty-body]
def variables(value: T) -> list[T]: ...  # type: ignore[empty-body]
def never() -> Never: ...  # type: ignore[misc]
def no_return() -> NoReturn: ...  # type: ignore[misc]
def literal() -> LiteralString: ...  # type: ignore[empty-body]
def annotated() -> Annotated[int, "more"]: ...  # type: ignore[empty-body]
def unknown() -> Unknown: ...
def other_unknown(value: Unknown) -> int: ...  # type: ignore[empty-body]
def wrong() -> "1 / 0": ...  # type: ignore[valid-type]  # noqa: UP037 - evaluating it raises
def selves() -> list[Self]: ...  # type: ignore[misc,empty-body]


@wrapt.decorator
def through(wrapped: Any, _: Any, args: Any, kwargs: Any) -> Any:
    return wrapped(*args, **kwargs)


@functools.wraps(plain)
def wrapped(*_: Any) -> Any: ...


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (plain, Product),
        (asynchronous, list[Product]),
        (nothing, NoneType),
        (untyped, Any),
        (coroutine, Product),
        (awaitable, int),
        (future, int),
        (anything, Any),
        (an_object, Any),
        (variable, Any),
        (variables, list[T]),
        (never, Any),
        (no_return, Any),
        (literal, Any),
        (annotated, Annotated[int, "more"]),
        (unknown, Any),
        (other_unknown, int),
        (wrong, Any),
        (selves, Any),
        (wrapped, Product),
        (through(plain), Product),
        (functools.partial(functools.partial(plain)), Product),
        (Product.make, Any),
        (Product.find, Product),
        (Product.count, int),
        (Product.names, list[str]),
        (Product(1).names, list[str]),
        (Product.__dict__["find"], Product),
        (Product.__dict__["count"], int),
        (Loader(), set[int]),
        (len, Any),
        (Product, Any),
        (lambda: 1, Any),
    ],
)
def test_the_kind_of(function: Callable[..., Any], kind: Any) -> None:
    """The annotation, resolved; `Any` where there is none to be had."""
    assert return_kind(function) == kind


def test_a_class_in_an_enclosing_function_is_found() -> None:
    """Names that only the closure knows are looked up there."""

    @dataclass
    class Local:
        id: int

    def make() -> list[Local]:
        return [Local(1)]

    assert return_kind(make) == list[Local]


def test_names_are_looked_up_where_the_innermost_function_is() -> None:
    """A wrapper copies the annotations of what it wraps, but lives in another module."""
    elsewhere = FunctionType(plain.__code__, {"Product": Loader})
    elsewhere.__annotations__ = {"return": "Product"}

    @functools.wraps(elsewhere)
    def wrapper() -> None: ...

    assert return_kind(wrapper) is Loader


def test_asking_later_may_give_more() -> None:
    """A name that is assigned after the function is not known before."""

    def make() -> Late:
        return Late()

    early = return_kind(make)

    class Late: ...

    assert early is Any
    assert return_kind(make) is Late
