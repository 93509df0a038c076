"""`difference`: what counts as the same, and how a difference is told."""

from __future__ import annotations

import datetime as dt
import enum
import sys
import types
from collections import OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.policy import roundtrip
from holdfast.policy.roundtrip import difference

NAN = float("nan")


class Colour(enum.StrEnum):
    RED = "red"


class Text(str):
    __slots__ = ()


class Point(NamedTuple):
    x: int
    y: Any


@dataclass
class Data:
    name: Any
    cached: Any = field(default=None, compare=False)


@dataclass(eq=False)
class ByIdentity:
    name: Any


class Record(msgspec.Struct):
    name: Any


@attrs.define
class Attrs:
    name: Any
    skipped: Any = attrs.field(default=None, eq=False)


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    name: Any
    _secret: int = pydantic.PrivateAttr(default=0)


class Plain:
    def __init__(self, name: Any) -> None:
        self.name = name


class Slotted:
    __slots__ = ("__hidden", "name")

    def __init__(self, name: Any) -> None:
        self.name = name
        self.__hidden = name


class Stubborn:
    """Equal to nothing, and not to be compared."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")

    __hash__ = None  # type: ignore[assignment]


class Never:
    """Equal to nothing, not even to itself, as NaN."""

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.decimals() | st.datetimes(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner) | st.builds(Data, inner)
    ),
)


def copy_of(value: Any) -> Any:
    """Return an equal value that shares nothing that matters."""
    if isinstance(value, list | tuple):
        return type(value)(copy_of(item) for item in value)
    if isinstance(value, dict):
        return {key: copy_of(item) for key, item in value.items()}
    if isinstance(value, Data):
        return Data(copy_of(value.name))
    return value + 0.0 if isinstance(value, float) else value


@given(VALUES)
def test_a_faithful_copy_has_no_difference(value: Any) -> None:
    """NaN included, at any depth."""
    assert difference(value, copy_of(value)) is None


@given(VALUES, VALUES)
def test_what_python_calls_unequal_is_a_difference(value: Any, other: Any) -> None:
    """Whatever is not `==`, and not a copy up to NaN, is found."""
    found = difference(value, other)
    if "sNaN" not in repr((value, other)) and value != other and repr(value) != repr(other):
        assert found is not None


@pytest.mark.parametrize(
    ("value", "copy"),
    [
        (1, 1.0),
        ([NAN], [float("nan")]),
        (Decimal("NaN"), Decimal("NaN")),
        (Decimal("sNaN"), Decimal("sNaN")),
        ({NAN}, {float("nan")}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (Data(1, "mine"), Data(1, "theirs")),
        (ByIdentity(1), ByIdentity(1)),
        (Attrs(1, 2), Attrs(1, 3)),
        (Plain([1]), Plain([1])),
        (Slotted([1]), Slotted([1])),
        (Stubborn(), Stubborn()),
        (Never(), Never()),
        (object(), object()),
        (Model(name=1, more=2), Model(name=1, more=2)),
        (len, len),
    ],
)
def test_these_are_the_same(value: Any, copy: Any) -> None:
    """The rules that are looser than `==`."""
    assert difference(value, copy) is None


@pytest.mark.parametrize(
    ("value", "copy", "told"),
    [
        ((1, 2), [1, 2], "the value: tuple became list"),
        ([{"created": dt.datetime(2024, 1, 1)}], [{"created": "2024-01-01"}], "[][key]: datetime became str"),
        ([Data(dt.date(2024, 1, 1))], [Data("2024-01-01")], "[].name: date became str"),
        ({"a": {"b": (1,)}}, {"a": {"b": [1]}}, "[key][key]: tuple became list"),
        ({1: 2}, {"1": 2}, "the value: a key: int became str"),
        ({"a": 1}, {"b": 1}, "the value: another key"),
        ({"a": 1}, {"a": 1, "b": 2}, "the value: another number of keys"),
        ({Colour.RED: 1}, {"red": 1}, "{key}: Colour became str"),
        ({Colour.RED}, {"red"}, "{}: Colour became str"),
        ({1, 2}, {1, 3}, "the value: another item"),
        ({1, 2}, {1}, "the value: another number of items"),
        ([1, 2], [1], "the value: another number of items"),
        (Colour.RED, "red", "the value: Colour became str"),
        (Text("a"), "a", "the value: Text became str"),
        (OrderedDict(a=1), {"a": 1}, "the value: OrderedDict became dict"),
        (defaultdict(int, a=1), {"a": 1}, "the value: defaultdict became dict"),
        (True, 1, "the value: bool became int"),
        (1.0, 1, "the value: float became int"),
        (1, 1.5, "the value: int became float"),
        (2**60 + 1, float(2**60 + 1), "the value: int became float"),
        ("a", "b", "the value: not equal"),
        (NAN, 1.0, "the value: not equal"),
        (Point(1, (2,)), Point(1, [2]), ".y: tuple became list"),
        (Record((1,)), Record([1]), ".name: tuple became list"),
        (Attrs((1,)), Attrs([1]), ".name: tuple became list"),
        (Model(name=(1,)), Model(name=[1]), ".name: tuple became list"),
        (Model(name=1, more=2), Model(name=1, more=3), ".__pydantic_extra__[key]: not equal"),
        (ByIdentity((1,)), ByIdentity([1]), ".name: tuple became list"),
        (Plain((1,)), Plain([1]), ".name: tuple became list"),
        (Slotted(1), Slotted(2), ": not equal"),
        (dt.time(1, tzinfo=ZoneInfo("Europe/Paris")), dt.time(1), "the value: the time zone is missing"),
        (dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 1, tzinfo=dt.UTC), "the value: not equal"),
        (types.SimpleNamespace(a=(1,)), types.SimpleNamespace(a=[1]), "the value: not equal"),
    ],
)
def test_these_differ(value: Any, copy: Any, told: str) -> None:
    """The path leads there, and names types only."""
    assert (difference(value, copy) or "").endswith(told)


def test_a_lost_private_attribute_differs() -> None:
    """A model compares private attributes, so they count."""
    model = Model(name=1)
    model._secret = 5
    assert difference(model, Model(name=1)) == ".__pydantic_private__[key]: not equal"


def test_a_lost_attribute_differs() -> None:
    """An attribute that only one of the two has is named."""
    value = Plain(1)
    value.more = 2  # type: ignore[attr-defined]
    assert difference(value, Plain(1)) == "the value: another set of attributes: more"


def test_two_classes_of_one_name_are_told_apart() -> None:
    """The message shows their modules."""
    other = type("Plain", (), {"__qualname__": "Plain", "__module__": "elsewhere"})
    assert difference(Plain(1), other()) == f"the value: {__name__}.Plain became elsewhere.Plain"


def test_an_instant_in_a_repeated_hour_is_the_same_in_any_zone() -> None:
    """Python calls such an instant unequal to itself in another zone; a cache must not fail once a year for it."""
    repeated = dt.datetime(2024, 11, 3, 1, 30, tzinfo=ZoneInfo("America/New_York"), fold=1)
    there = repeated.astimezone(dt.timezone(dt.timedelta(hours=-5)))
    assert repeated != there
    assert difference(repeated, there) is None
    assert difference(repeated, there + dt.timedelta(microseconds=1)) == "the value: not equal"
    assert difference(repeated.replace(fold=0), there) == "the value: not equal"


def test_values_are_never_told() -> None:
    """Neither values nor keys get into a message, which may go to a log."""
    told = difference({"hunter2": ["hunter3"]}, {"hunter2": ["hunter4"]})
    assert told == "[key][]: not equal"


def test_a_cycle_ends() -> None:
    """A structure that holds itself is compared once."""
    value: list[Any] = [1]
    value.append(value)
    copy: list[Any] = [1]
    copy.append(copy)
    assert difference(value, copy) is None
    copy[0] = 2
    assert difference(value, copy) == "[]: not equal"


def test_depth_does_not_matter() -> None:
    """A structure deeper than the stack is compared to its end."""
    value: Any = 1
    copy: Any = 2
    for _ in range(sys.getrecursionlimit() * 3):
        value, copy = [value], [copy]
    assert (difference(value, copy) or "").endswith("[][]: not equal")


def test_the_work_on_a_huge_value_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand parts are compared one by one; then `==` answers, at the speed of C."""
    compared: list[float] = []

    def count(value: float, copy: float) -> str | None:
        compared.append(value)
        return None if value == copy else "not equal"

    monkeypatch.setitem(roundtrip._LEAVES, float, count)
    value = [[number + 0.5] * 3 for number in range(20_000)]
    assert difference(value, [[item + 0.0 for item in part] for part in value]) is None
    assert len(compared) <= 10_000
    assert difference(value[:3000], [[item + 0.0 for item in part] for part in value[:3000]]) is None
    assert len(compared) > 5_000


def test_a_huge_value_that_differs_is_told_all_the_same() -> None:
    """If `==` sees a difference, its place is looked for; if it was only NaN, there is none."""
    value: list[Any] = [[number] for number in range(30_000)]
    copy: list[Any] = [[number] for number in range(30_000)]
    copy[29_000] = ["x"]
    assert difference(value, copy) == "[][]: int became str"
    value[29_000] = [NAN]
    copy[29_000] = [float("nan")]
    assert difference(value, copy) is None


def test_a_named_tuple_without_types_works_like_one_with() -> None:
    """Its fields are named in the path."""
    pair = namedtuple("pair", "left right")  # noqa: PYI024 - the old kind is the point
    assert difference(pair((1,), 2), pair([1], 2)) == ".left: tuple became list"
