"""Typed decoding: a value comes back equal and of the same type, from JSON and from MessagePack."""

from __future__ import annotations

import datetime as dt
import enum
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, NamedTuple, NotRequired, TypedDict
from zoneinfo import ZoneInfo

import attrs
import msgspec
import pytest

from holdfast.codec import Codec
from holdfast.errors import ConfigurationError, SerializationError
from holdfast.serializers import Serializers

FACTS: dict[str, Any] = {"id": "i" * 32, "created": 100.0, "fresh_until": 200.0, "load_time": 0.5}
ZONE = dt.timezone(dt.timedelta(hours=5, minutes=30))
ID = uuid.UUID(int=7)


class Colour(enum.Enum):
    RED = "red"


class Size(enum.StrEnum):
    SMALL = "s"


class Level(enum.IntEnum):
    HIGH = 3


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Row(TypedDict):
    id: int
    created: NotRequired[dt.datetime]


class Point(NamedTuple):
    x: int
    where: tuple[int, ...] = ()


@dataclass
class Loose:
    what: object
    many: list[object]


class Record(msgspec.Struct, frozen=True):
    id: int
    tags: frozenset[str] = frozenset()


@attrs.frozen
class Attrs:
    id: int
    price: Decimal


@dataclass(slots=True)
class Tree:
    name: str
    children: list[Tree] = field(default_factory=list)


class Unknown:
    """Something that no serializer knows; its text is the same in every process, as the names of tests must be."""

    def __repr__(self) -> str:
        return "unknown"


UNKNOWN = Unknown()

CASES: list[tuple[Any, Any]] = [
    (Any, None),
    (Any, {"a": [1, 2.5, "x", True, None, {"b": ""}]}),
    (type(None), None),
    (int, 0),
    (int, -(2**63)),
    (int | None, 2**64 - 1),
    (float, 0.1),
    (float, -0.0),
    (bool, False),
    (str, ""),
    (str, "123"),
    (str, "\0\u2028\U0001f600"),
    (bytes, b""),
    (bytes, b"123"),
    (bytes | None, b"\xff\0"),
    (bytearray, bytearray(b"\1")),
    (int | str, "123"),
    (int | str, 123),
    (dt.datetime, dt.datetime(2024, 5, 1, 12, 30, 1, 999999)),
    (dt.datetime, dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)),
    (dt.datetime | None, dt.datetime(1, 1, 1, tzinfo=dt.UTC)),
    (dt.datetime, dt.datetime(2024, 5, 1, 12, tzinfo=ZONE)),
    (dt.datetime, dt.datetime(2024, 11, 3, 1, 30, fold=1, tzinfo=ZoneInfo("America/New_York"))),
    (dt.date, dt.date(1900, 1, 1)),
    (dt.time, dt.time(1, 2, 3, 4)),
    (dt.time, dt.time(1, 2, 3, tzinfo=dt.UTC)),
    (dt.timedelta, dt.timedelta(days=-3, microseconds=1)),
    (dt.timedelta, dt.timedelta.max),
    (Decimal, Decimal("0.10")),
    (Decimal, Decimal("NaN")),
    (Decimal, Decimal("1E+400")),
    (uuid.UUID, ID),
    (set[int], {1, 2}),
    (set[Any], set()),
    (frozenset[dt.date], frozenset({dt.date(2024, 1, 1)})),
    (tuple[int, str], (1, "a")),
    (tuple[Decimal, ...], ()),
    (list[tuple[int, ...]], [(1,), ()]),
    (dict[int, str], {1: "a"}),
    (dict[uuid.UUID, set[int]], {ID: {1}}),
    (dict[dt.date, int], {dt.date(2024, 1, 1): 1}),
    (dict[Size, Level], {Size.SMALL: Level.HIGH}),
    (Colour, Colour.RED),
    (list[Size], [Size.SMALL]),
    (Level, Level.HIGH),
    (Rights, Rights.READ | Rights.WRITE),
    (Row, {"id": 1, "created": dt.datetime(2024, 1, 1)}),
    (list[Row], [{"id": 1}]),
    (Point, Point(1, (2, 3))),
    (Record, Record(1, frozenset({"a"}))),
    (Record | None, Record(1)),
    (Attrs, Attrs(1, Decimal("1.10"))),
    (Tree, Tree("root", [Tree("leaf")])),
    (dict[str, Tree | None], {"a": Tree("x"), "b": None}),
    (Mapping[str, int], {"a": 1}),
    (object, [1, "a", None]),
    (dict[str, object], {"a": [1, None], "b": {}}),
    (list[object], []),
    (Loose, Loose({"a": 1.5}, [1])),
    (Sequence[int], [1]),
    (Annotated[int, ["no hash"]], 1),
]
FLOATS: list[tuple[Any, Any]] = [(float, float("inf")), (list[float], [float("nan")])]


def round_trip(name: str, kind: Any, value: Any) -> Any:
    """Return what a hit gives, after checking that a miss gives the same."""
    codec = Codec(Serializers(), name, kind)
    raw, copy = codec.encode_checked("k", value, **FACTS)
    hit = codec.value(codec.open("k", raw))
    assert type(hit) is type(copy)
    return hit


@pytest.mark.parametrize("name", ["json", "msgpack"])
@pytest.mark.parametrize(("kind", "value"), CASES, ids=str)
def test_a_value_comes_back_as_what_it_was(name: str, kind: Any, value: Any) -> None:
    """Equal, and of the same type, at every depth that equality sees."""
    hit = round_trip(name, kind, value)
    assert type(hit) is type(value)
    if hit == hit and not getattr(value, "fold", 0):
        assert hit == value


@pytest.mark.parametrize(("kind", "value"), FLOATS, ids=str)
def test_messagepack_keeps_floats_that_json_has_no_word_for(kind: Any, value: Any) -> None:
    """JSON says no instead of turning them into null."""
    round_trip("msgpack", kind, value)
    with pytest.raises(SerializationError, match="json would not give back"):
        round_trip("json", kind, value)


def test_json_keeps_ints_of_any_size() -> None:
    """MessagePack ends at 64 bits, and says what to use."""
    assert round_trip("json", int, 10**300) == 10**300
    with pytest.raises(SerializationError, match="int beyond 64 bits: use serializer='json'"):
        round_trip("msgpack", int, 10**300)


@pytest.mark.parametrize("name", ["json", "msgpack"])
@pytest.mark.parametrize("value", [(1, 2), {1, 2}, {"a": Size.SMALL}, Decimal(1), Tree("x"), {(1,): {2}}])
def test_without_a_type_what_would_change_is_refused(name: str, value: Any) -> None:
    """A wrong round trip shows at the first call, with what to do."""
    with pytest.raises(SerializationError, match=r"annotate the function.*serializer='pickle'"):
        round_trip(name, Any, value)


@pytest.mark.parametrize("name", ["json", "msgpack"])
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, "5"),
        (str, Size.SMALL),
        (list[int], (1,)),
        (Sequence[int], (1,)),
        (Tree, Record(1)),
        (dict[str, Any], {"a": UNKNOWN}),
        (str, "\ud800"),
    ],
    ids=str,
)
def test_a_value_that_is_not_what_the_annotation_says_is_refused(name: str, kind: Any, value: Any) -> None:
    """Nothing is coerced behind the caller's back."""
    with pytest.raises(SerializationError):
        round_trip(name, kind, value)


@pytest.mark.parametrize("name", ["json", "msgpack"])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (UNKNOWN, "not supported"),
        (complex, "complex"),
        (list[complex], "complex"),
        (Record | Attrs, "more than one"),
        (str | dt.datetime, "more than one str-like type"),
        (dict[str, type[int]], "type"),
    ],
    ids=str,
)
def test_a_type_that_data_cannot_tell_is_refused_when_decorating(name: str, kind: Any, reason: str) -> None:
    """The error says why, and the three ways out."""
    advice = "annotate the function .* use serializer='pickle' with a secret, or register one"
    with pytest.raises(ConfigurationError, match=rf"(?s){reason}.*{advice}"):
        Codec(Serializers(), name, kind)


def test_pydantic_is_not_imported_for_others() -> None:
    """Whoever does not use models does not pay for them."""
    program = (
        "import sys; from holdfast.codec import Codec; from holdfast.serializers import Serializers;"
        "c = Codec(Serializers(), 'json', dict[str, int]);"
        "f = dict(id='', created=0, fresh_until=0, load_time=0);"
        "assert c.encode_checked('k', {'a': 1}, **f)[1] == {'a': 1};"
        "sys.exit(any(name.startswith(('pydantic', 'attrs')) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
