"""What can be decorated, in which order, and how the result looks from outside: to `inspect`, frameworks and users."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import pytest

from holdfast import MISSING, Layer, cached, entries

layer = Layer("memory://cached-methods")
calls: list[object] = []


def called(value: Any) -> list[Any]:
    calls.append(value)
    return [value]


class Base:
    """Every kind of method, with the decorator on both sides."""

    def __init__(self, name: str = "one") -> None:
        self.name = name

    @layer.cached(60)
    def method(self, number: int) -> list[Any]:
        """Look the number up."""
        return called(f"{type(self).__name__} {number}")

    @layer.cached(60)
    async def amethod(self, number: int) -> list[Any]:
        return called(number)

    @layer.cached(60)
    @classmethod
    def class_outside(cls, number: int) -> list[Any]:
        return called(f"{cls.__name__} {number}")

    @classmethod
    @layer.cached(60)
    def class_inside(cls, number: int) -> list[Any]:
        return called(f"{cls.__name__} {number}")

    @layer.cached(60)
    @staticmethod
    def static_outside(number: int) -> list[Any]:
        return called(number)

    @staticmethod
    @layer.cached(60)
    def static_inside(number: int) -> list[Any]:
        return called(number)

    @layer.cached(60)
    @classmethod
    async def aclass_outside(cls, number: int) -> list[Any]:
        return called(number)

    @classmethod
    @layer.cached(60)
    async def aclass_inside(cls, number: int) -> list[Any]:
        return called(number)

    @layer.cached(60)
    @staticmethod
    async def astatic_outside(number: int) -> list[Any]:
        return called(number)

    @staticmethod
    @layer.cached(60)
    async def astatic_inside(number: int) -> list[Any]:
        return called(number)

    @layer.cached(60, key="named:{this.name}:{number}")
    def odd_name(this, number: int) -> list[Any]:  # noqa: N805 - some people call it so
        return called(f"{this.name} {number}")

    @property
    @layer.cached(60, key="shown:{self.name}")
    def shown(self) -> list[Any]:
        return called(self.name)


class Child(Base):
    """Inherits everything."""


METHODS = ["method", "class_outside", "class_inside", "static_outside", "static_inside"]


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Start each test without calls, and with entries of its own."""
    calls.clear()


@pytest.fixture
def number() -> int:
    """Return a number that no other test has used."""
    fresh_number.append(None)
    return len(fresh_number)


fresh_number: list[None] = []


def result(value: Any) -> Any:
    return asyncio.run(value) if inspect.iscoroutine(value) else value


@pytest.mark.parametrize("kind", [Base, Child])
@pytest.mark.parametrize("name", [*METHODS, *(f"a{name}" for name in METHODS)])
def test_every_kind_of_method_is_cached_in_both_orders(name: str, kind: type[Base], number: int) -> None:
    """Called on an instance or on the class, by position or by name, the function runs once, and `entries` agrees."""
    instance = kind()
    ways: list[Callable[[], Any]] = [
        lambda: getattr(instance, name)(number),
        lambda: getattr(instance, name)(number=number),
        lambda: getattr(kind(), name)(number),
    ]
    if name.endswith("method"):
        ways.append(lambda: getattr(kind, name)(instance, number))
        ways.append(lambda: getattr(kind, name)(instance, number=number))
    else:
        ways.append(lambda: getattr(kind, name)(number))
    first, *others = [result(way()) for way in ways]
    assert all(other == first for other in others)
    assert len(calls) == 1
    bound = entries(getattr(instance, name))
    assert bound.get(number) == first
    keys = {bound.key(number), bound.key(number=number)}
    if name.endswith("method"):
        keys.add(entries(getattr(kind, name)).key(instance, number))
    else:
        keys.add(entries(getattr(kind, name)).key(number))
    assert len(keys) == 1


@pytest.mark.parametrize("name", [*METHODS, *(f"a{name}" for name in METHODS)])
def test_the_handle_of_a_bound_method_can_load(name: str, number: int) -> None:
    """`refresh`, `bypass` and `call` of a bound method's entries call the method itself, with its instance or class."""
    handle = entries(getattr(Base(), name))
    a = "a" if name.startswith("a") else ""
    first = result(getattr(handle, f"{a}refresh")(number))
    assert result(getattr(handle, f"{a}bypass")(number)) == first
    value, info = result(getattr(handle, f"{a}call")(number))
    assert (value, info.status) == (first, "hit")
    assert len(calls) == 2


def test_the_handle_of_an_unbound_method_takes_the_instance_first(number: int) -> None:
    """`entries(K.method)` takes what `K.method` takes."""
    handle = entries(Base.method)
    assert handle.refresh(Base(), number) == [f"Base {number}"]
    assert handle.get(Base(), number) == [f"Base {number}"]
    assert handle.bypass(Base(), number) == [f"Base {number}"]


def test_self_is_part_of_the_key_where_a_template_says_so_whatever_it_is_called(number: int) -> None:
    """An instance that the template uses tells entries apart, also where the first parameter has an unusual name."""
    one, two = Base("one"), Base("two")
    assert one.odd_name(number) == one.odd_name(number) == [f"one {number}"]
    assert two.odd_name(number) == [f"two {number}"]
    assert Base.odd_name(one, number) == [f"one {number}"]
    assert len(calls) == 2
    assert entries(two.odd_name).key(number) == f"cache:{{named:two:{number}}}"


def test_a_property_outside_is_a_cached_property() -> None:
    """`@property` above the decorator works, and each instance that the key tells apart has its entry."""
    assert Base("p").shown == Base("p").shown == ["p"]
    assert Base("q").shown == ["q"]
    assert len(calls) == 2


def test_a_partial_is_the_call_that_it_makes(number: int) -> None:
    """A `functools.partial`, decorated or of a decorated function, has the entries of the function."""

    def add(a: int, b: int) -> list[Any]:
        return called(a + b)

    whole = layer.cached(60)(add)
    assert partial(whole, number)(2) == whole(number, 2) == whole(a=number, b=2)
    assert layer.cached(60)(partial(add, number))(2) == [number + 2]
    assert len(calls) == 1


def test_an_object_that_can_be_called_is_a_function(number: int) -> None:
    """An instance with `__call__` can be decorated; plain and async."""

    class Adder:
        def __call__(self, a: int) -> list[Any]:
            return called(a)

    class AsyncAdder:
        async def __call__(self, a: int) -> list[Any]:
            return called(a)

    add, aadd = layer.cached(60, key="add:{a}")(Adder()), layer.cached(60, key="aadd:{a}")(AsyncAdder())
    assert add(number) == add(a=number) == [number]
    assert asyncio.run(aadd(number)) == asyncio.run(aadd(a=number)) == [number]
    assert len(calls) == 2
    assert entries(add).get(number) == [number]


def test_a_bound_method_and_a_builtin_can_be_decorated(number: int) -> None:
    """What is bound already needs no instance."""
    base = Base("bound")
    greet = layer.cached(60, key="greet:{number}")(base.odd_name.__wrapped__)
    assert greet(number) == greet(number=number) == [f"bound {number}"]
    length = layer.cached(60, key="len:{obj}")(len)
    assert length("four") == length("four") == 4
    assert entries(length).get("four") == 4


def test_a_decorator_around_ours_lets_the_entries_through(number: int) -> None:
    """`entries` looks through other decorators that use `functools.wraps`."""

    @layer.cached(60)
    def inner(a: int) -> list[Any]:
        return called(a)

    @wraps(inner)
    def outer(*args: Any) -> Any:
        return inner(*args)

    assert outer(number) == [number]
    assert entries(outer).get(number) == [number]
    assert entries(outer).refresh(number) == [number]


def test_a_method_around_ours_lets_the_entries_through_with_its_instance(number: int) -> None:
    """A wrapper that is itself a method binds what it wraps."""

    class Shop(Base):
        @wraps(Base.method)
        def wrapped(self, *args: Any) -> Any:
            return self.method(*args)

    shop = Shop()
    assert shop.wrapped(number) == [f"Shop {number}"]
    handle = entries(shop.wrapped)
    assert handle.get(number) == handle.refresh(number) == handle.bypass(number) == [f"Shop {number}"]


@pytest.mark.parametrize("name", ["self", "value", "function", "instance", "args", "kwargs", "wrapped", "key"])
def test_a_parameter_may_have_any_name(name: str, number: int) -> None:
    """No name of ours is in the way of a parameter that is passed by keyword."""
    scope: dict[str, Any] = {"called": called}
    source = f"def f({name}, other=0): return called({name})"
    exec(source, scope | {"__name__": "scope"}, scope)  # noqa: S102 - a function with a given parameter
    decorated = layer.cached(60, key=f"{name}:{{{name}}}")(scope["f"])
    assert decorated(**{name: number}) == decorated(number) == [number]
    handle = entries(decorated)
    handle.set([7], **{name: number})
    assert handle.get(**{name: number}) == [7]
    assert handle.call(**{name: number})[0] == [7]
    assert handle.invalidate(**{name: number})
    assert handle.get(**{name: number}) is MISSING
    assert handle.refresh(**{name: number}) == handle.bypass(**{name: number}) == [number]


def test_inspect_and_readers_see_the_function() -> None:
    """Signature, name, qualified name, module, doc, annotations and colour are those of the function."""
    assert list(inspect.signature(Base.method).parameters) == ["self", "number"]
    assert list(inspect.signature(Base().method).parameters) == ["number"]
    assert Base.method.__name__ == "method"
    assert Base.method.__qualname__ == "Base.method"
    assert Base.method.__module__ == __name__
    assert Base.method.__doc__ == "Look the number up."
    assert Base.method.__annotations__ == {"number": "int", "return": "list[Any]"}
    assert inspect.iscoroutinefunction(Base.amethod)
    assert inspect.iscoroutinefunction(Base().amethod)
    assert inspect.iscoroutinefunction(Base.aclass_inside)
    assert not inspect.iscoroutinefunction(Base.method)
    assert inspect.isfunction(inspect.unwrap(Base.method))


def test_a_module_level_decorator_finds_the_default_layer_when_called() -> None:
    """`cached` without `layer=` touches no layer before the first call."""

    @cached(60)
    def f() -> int:
        return 1

    assert f.__name__ == "f"
    assert inspect.signature(f) == inspect.signature(inspect.unwrap(f))
