"""What cannot work of a loader of many values is said when decorating, with what to do."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, TypeVar

import pytest

from holdfast import ConfigurationError, Layer, SerializationError, cached_many, entries

T = TypeVar("T")


def load(ids: list[int], lang: str = "en") -> dict[int, str]:
    return {number: f"{number} {lang}" for number in ids}


def starred(*ids: int) -> dict[int, str]:
    return dict.fromkeys(ids, "")


def empty() -> dict[int, str]:
    return {}


class Shop:
    def load(self) -> dict[int, str]:
        return {}


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (
            load,
            {"key": "product"},
            r"has no field that stands for one id of 'ids': add one, as in 'product:\{product_id\}'",
        ),
        (load, {"key": "{lang}"}, "has no field that stands for one id"),
        (load, {"key": "{a}:{b}"}, "'a' and 'b' cannot both stand for one id: exactly one field does; other .* 'lang'"),
        (load, {"key": "{ids}:{b}"}, "'ids' and 'b' cannot both stand for one id"),
        (load, {"key": "{0}"}, "the field '0' must be a name that stands for one id"),
        (load, {"key": "{a[0]}"}, "must be a name that stands for one id"),
        (load, {"key": "{a!r}"}, "has a format or conversion"),
        (load, {"key": ""}, "is empty"),
        (load, {"key": lambda ids: ids}, "must be a template, such as 'product:{product_id}', not function"),
        (load, {"key": "{n}", "tags": ["of:{m}"]}, r"tags='of:\{m\}' .* there is no parameter 'm'; .* 'n', 'lang'"),
        (load, {"key": "{n}", "tags": ["of:{ids}"]}, "there is no parameter 'ids'; a field can be 'n', 'lang'"),
        (load, {"key": "{n}", "cache_errors": KeyError}, "no cache_errors=: an error belongs to a call with many ids"),
        (load, {"key": "{n}", "key_builder": "by-arguments"}, "no key_builder=: key= has to say where one id goes"),
        (load, {"key": "{n}", "missing_ttl": 0}, "missing_ttl=0"),
        (load, {"key": "{n}", "missing_ttl": "soon"}, "missing_ttl='soon'"),
        (load, {"key": "{n}", "ttl": None}, "ttl=None is not a duration"),
        (starred, {"key": "{n}"}, "must take a list of ids as its first parameter"),
        (empty, {"key": "{n}"}, "must take a list of ids as its first parameter"),
        (Shop.load, {"key": "{n}"}, "must take a list of ids as its first parameter"),
        (property(load), {"key": "{n}"}, "cannot cache a property"),
    ],
)
def test_what_cannot_work_is_refused(function: Any, options: dict[str, Any], message: str) -> None:
    """The message names the option and the function, and says what would work."""
    with pytest.raises(ConfigurationError, match=message):
        cached_many(**{"ttl": 60} | options)(function)


def returning(kind: Any) -> Callable[..., Any]:
    def loader(ids: list[int]) -> Any:
        return {number: (number,) for number in ids}

    loader.__annotations__["return"] = kind
    return loader


@pytest.mark.parametrize("kind", [list[int], int, None, dict[int, str] | None])
def test_an_annotation_that_is_no_mapping_is_refused(kind: Any) -> None:
    """It is wrong, or the loader is."""
    with pytest.raises(ConfigurationError, match=r"a function decorated with @cached_many returns a mapping"):
        cached_many(60, key="{n}")(returning(kind))


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        (dict[int, tuple[int]], (1,)),
        (Mapping[int, tuple[int]], (1,)),
        (OrderedDict[int, tuple[int]], (1,)),
        (defaultdict[int, tuple[int]], (1,)),
        (Annotated[dict[int, tuple[int]], "described"], (1,)),
    ],
)
def test_the_annotation_gives_the_type_of_a_value(kind: Any, found: Any, namespace: str) -> None:
    """Whatever mapping it is, its second argument is what values are decoded to."""
    with Layer(namespace=namespace) as layer:
        function = layer.cached_many(60, key="{n}")(returning(kind))
        assert [function([1]), function([1])] == [{1: found}] * 2


@pytest.mark.parametrize("kind", [dict, dict[int, Any], dict[int, T], Any])
def test_an_annotation_that_says_nothing_leaves_values_as_plain_data(kind: Any, namespace: str) -> None:
    """What would not come back as it is, is refused, as for `cached`."""
    with Layer(namespace=namespace) as layer:
        function = layer.cached_many(60, key="{n}")(returning(kind))
        with pytest.raises(SerializationError, match="tuple became list"):
            function([1])


def test_partial_functions_and_names_that_collide() -> None:
    """A template is compiled next to the parameters, whatever they are called."""

    def odd(_key_ids: list[int], _key_n: str = "x") -> dict[int, str]:
        return dict.fromkeys(_key_ids, _key_n)

    with Layer(namespace="n") as layer:
        function = layer.cached_many(60, key="{{odd}}:{_key_v}:{_key_n}", version="2")(odd)
        assert function([1], "y") == {1: "y"}
        assert entries(function).key([1]) == "n:cache:{%7Bodd%7D:1:x|v2}"
        assert layer.cached_many(60, key="{n}:{lang}")(partial(load, lang="de"))([1]) == {1: "1 de"}
        record = layer.cached_many(60, key="{item.real}:{item.imag}")(load)
        assert entries(record).key([3]) == "n:cache:{3:0}"
        long = entries(layer.cached_many(60, key="{text}")(load)).key(["x" * 500])
        assert len(long) < 220


@pytest.mark.parametrize(
    ("ids", "what"),
    [
        ("ab", "str"),
        (b"ab", "bytes"),
        (5, "int"),
        (None, "NoneType"),
        ([[1]], "list in a list"),
        ([{}], "dict in a list"),
    ],
)
def test_what_is_not_several_ids_is_refused(ids: Any, what: str) -> None:
    """The error is the same for a call and for its entries, and says what the loader takes."""
    function = Layer().cached_many(60, key="{n}")(load)
    for call in (function, entries(function).invalidate):
        with pytest.raises(TypeError, match=rf"load takes several ids, such as \[7, 8\], not {what}"):
            call(ids)
