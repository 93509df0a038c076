"""The serializer "tagged": values come back as what they were, and bytes of others as nothing worse."""

from __future__ import annotations

import collections
import datetime as dt
import enum
import json
import os
import subprocess
import sys
import typing
import uuid
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, NewType, TypedDict
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markupsafe import Markup

from holdfast import Layer
from holdfast._tagged import _READERS, Tagged
from holdfast.errors import ConfigurationError, SerializationError
from holdfast.policy.roundtrip import difference

TAGGED = Tagged()
KNOWN = (
    *(type(None), bool, int, float, str, list, tuple, dict, set, frozenset, bytes),
    *(uuid.UUID, Decimal, dt.datetime, dt.date, dt.time, dt.timedelta, Markup),
)
PARIS = ZoneInfo("Europe/Paris")


class Colour(enum.IntEnum):
    RED = 1


class Shade(enum.StrEnum):
    DARK = "dark"


class Text(str):
    __slots__ = ()


class Pair(NamedTuple):
    a: int
    b: int


class Row(TypedDict):
    a: tuple[int, int]


@dataclass
class Data:
    a: int = 1


class NoOffset(dt.tzinfo):
    def utcoffset(self, moment: dt.datetime | None, /) -> None:
        return None


offsets = st.integers(-86399, 86399).map(lambda seconds: dt.timezone(dt.timedelta(seconds=seconds)))
zones = st.none() | st.just(dt.UTC) | offsets
atoms = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**40), 10**40)
    | st.floats()
    | st.text()
    | st.sampled_from(["$", '"$":', '{"$":', "tuple"])
    | st.binary()
    | st.uuids()
    | st.decimals()
    | st.datetimes(timezones=zones)
    | st.dates()
    | st.times(timezones=zones)
    | st.timedeltas()
    | st.text().map(Markup)
)
zoned = st.datetimes(timezones=st.sampled_from([PARIS, ZoneInfo("America/Caracas")]))
"""No keys: in an hour that a clock change repeats they equal nothing of another zone (PEP 495)."""
keys = st.recursive(
    atoms.filter(lambda value: "nan" not in repr(value).lower()),  # it is found in nothing; see its own test
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=4,
)


def extend(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.sets(keys, max_size=4)
        | st.frozensets(keys, max_size=4)
        | st.dictionaries(st.text() | st.just("$"), inner, max_size=4)
        | st.dictionaries(keys, inner, max_size=4)
        | inner.map(lambda value: {"$": value})
        | st.sampled_from(sorted(_READERS)).flatmap(lambda tag: inner.map(lambda value: {"$": [tag, value]}))
    )


values = st.recursive(atoms | zoned | keys, extend, max_leaves=12)


def written(value: Any) -> bytes:
    return TAGGED.dumps(value, Any)


def read(data: bytes) -> Any:
    return TAGGED.loads(data, Any)


def nested(depth: int, wrap: Any) -> Any:
    value: Any = None
    for _ in range(depth):
        value = wrap(value)
    return value


@given(values)
def test_values_come_back_as_they_were(value: Any) -> None:
    """The type counts at every depth, and an int does not become a float either."""
    copy = read(written(value))
    assert difference(value, copy) is None
    assert difference(copy, value) is None
    assert written(copy) == written(value)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_plain_json_is_plain_json(value: Any) -> None:
    """Byte for byte as msgspec writes it, so that any program can read it."""
    assert written(value) == msgspec.json.encode(value)


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ({"a": [1, 2.5, None, "x"]}, b'{"a":[1,2.5,null,"x"]}'),
        ((1, 2), b'{"$":["tuple",[1,2]]}'),
        ({2, 1}, b'{"$":["set",[1,2]]}'),
        (frozenset({1}), b'{"$":["frozenset",[1]]}'),
        ({1: "a"}, b'{"$":["dict",[[1],["a"]]]}'),
        ({"$": 1}, b'{"$":["dict",[["$"],[1]]]}'),
        (b"\0\xff", b'{"$":["bytes","AP8="]}'),
        (float("-inf"), b'{"$":["float","-inf"]}'),
        (uuid.UUID(int=1), b'{"$":["uuid","00000000-0000-0000-0000-000000000001"]}'),
        (Decimal("1.50"), b'{"$":["decimal","1.50"]}'),
        (dt.date(2025, 3, 1), b'{"$":["date","2025-03-01"]}'),
        (dt.time(9, 5), b'{"$":["time","09:05:00"]}'),
        (dt.datetime(2025, 3, 1, 9, 5, tzinfo=dt.UTC), b'{"$":["datetime","2025-03-01T09:05:00+00:00"]}'),
        (dt.timedelta(days=-1, microseconds=5), b'{"$":["timedelta",[-1,0,5]]}'),
        (Markup("<b>"), b'{"$":["markup","<b>"]}'),
    ],
)
def test_the_form_stays(value: Any, data: bytes) -> None:
    """What one version has stored, the next one reads."""
    assert written(value) == data
    copy = read(data)
    assert type(copy) is type(value)
    assert copy == value


def test_a_zone_becomes_its_offset() -> None:
    """The instant and what the clock showed stay, in both halves of a repeated hour."""
    for fold, hours in ((0, 2), (1, 1)):
        moment = dt.datetime(2024, 10, 27, 2, 30, tzinfo=PARIS, fold=fold)
        copy = read(written(moment))
        assert copy.replace(tzinfo=None) == dt.datetime(2024, 10, 27, 2, 30)
        assert copy.tzinfo == dt.timezone(dt.timedelta(hours=hours))
        assert copy.timestamp() == moment.timestamp()


def test_decimals_keep_their_digits() -> None:
    """Zeros at the end mean something."""
    for text in ("1.500", "-0.0", "1E+5", "NaN", "sNaN", "-Infinity", "0E-30"):
        assert str(read(written(Decimal(text)))) == text


def test_floats_keep_their_sign_and_kind() -> None:
    """Minus zero stays, and 1.0 does not become 1."""
    assert repr(read(written([-0.0, 1.0, 1e16, 5e-324]))) == "[-0.0, 1.0, 1e+16, 5e-324]"


def test_nan_may_be_an_item_and_a_key() -> None:
    """Alone and in a tuple, though it is found in nothing."""
    (item,), (key,) = read(written([{float("nan")}, {(Decimal("NaN"),): 1}]))
    assert repr((item, key)) == "(nan, (Decimal('NaN'),))"


def test_the_order_of_a_set_does_not_show() -> None:
    """Equal sets of the same types give equal bytes in every process: whoever compares bytes sees no change."""
    code = "from holdfast._tagged import Tagged; print(Tagged().dumps([{*'abcdefgh'}, {('a', 1), 'b', None}], None))"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


@pytest.mark.parametrize(
    ("value", "instead"),
    [
        (Colour.RED, "cannot store a Colour, and would give back a int"),
        (Shade.DARK, "cannot store a Shade, and would give back a str"),
        (Text("a"), "cannot store a Text, and would give back a str"),
        (Pair(1, 2), "cannot store a Pair, and would give back a tuple"),
        (defaultdict(int), "cannot store a defaultdict, and would give back a dict"),
        (OrderedDict(), "cannot store a OrderedDict, and would give back a dict"),
        (Data(), "cannot store a Data: convert"),
        (bytearray(b"hunter2"), "cannot store a bytearray: convert"),
        (1j, "cannot store a complex: convert"),
        (object(), "cannot store a object: convert"),
        (dt.datetime(2025, 1, 1, tzinfo=NoOffset()), "a datetime whose time zone has no fixed distance"),
        (dt.time(9, tzinfo=PARIS), "a time whose time zone has no fixed distance"),
        ("\ud800hunter2", "text that is not Unicode"),
        ({"\ud800hunter2"}, "text that is not Unicode"),
    ],
)
@pytest.mark.parametrize("place", ["alone", "list", "dict", "key", "tuple"])
def test_others_are_refused_by_name(value: Any, instead: str, place: str) -> None:
    """Wherever they are; the message names the type and shows nothing of the value."""
    wraps: dict[str, Any] = {
        "alone": lambda: value,
        "list": lambda: [1, value],
        "dict": lambda: {"a": 1, "b": value},
        "key": lambda: {(value,): 1},
        "tuple": lambda: (1, value),
    }
    whole = [value] if place == "key" and type(value).__hash__ is None else wraps[place]()
    with pytest.raises(SerializationError) as caught:
        written(whole)
    assert instead in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


WRAPS: dict[str, Any] = {
    "list": lambda inner: [inner],
    "dict": lambda inner: {"a": inner},
    "tuple": lambda inner: (inner,),
    "frozenset": lambda inner: frozenset({inner}),
    "key": lambda inner: {(inner,): 1} if inner is None else {"$": inner},
}


@pytest.mark.parametrize("kind", WRAPS)
def test_depth_ends_with_an_error(kind: str) -> None:
    """A hundred levels come back, more are refused, and neither ends in a RecursionError."""
    deep = nested(99, WRAPS[kind])
    assert read(written(deep)) == deep
    for depth in (102, 300):
        with pytest.raises(SerializationError, match="at most 100 levels"):
            written(nested(depth, WRAPS[kind]))


def test_a_value_that_contains_itself_is_refused() -> None:
    """At once, also where it does so twice."""
    value: list[Any] = []
    value += [value, value]
    with pytest.raises(SerializationError, match="at most 100 levels"):
        written(value)


def test_a_number_that_python_does_not_write_is_refused() -> None:
    """Ints beyond 4300 digits are no text, for the time that it takes."""
    with pytest.raises(SerializationError, match="cannot store this int"):
        written(10**5000)
    assert read(written(-(10**4000))) == -(10**4000)


def assert_harmless(data: bytes) -> None:
    """Read bytes of anybody: an error, or values of known types that can be stored."""
    try:
        value = read(data)
    except SerializationError:
        return
    pending = [value]
    while pending:
        each = pending.pop()
        assert type(each) in KNOWN
        if isinstance(each, dict):
            pending += [*each.keys(), *each.values()]
        elif isinstance(each, list | tuple | set | frozenset):
            pending += each


forged = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["$", "a"]), inner, max_size=2)
        | st.tuples(st.sampled_from([*sorted(_READERS), "eval"]), inner).map(lambda pair: {"$": list(pair)})
    ),
    max_leaves=8,
)


@given(forged)
@example({"$": ["eval", "1"]})
@example({"$": {"bytes": 1, "AAAA": 2}})
@example({"$": ["set", [[1]]]})
@example({"$": ["dict", [[[1]], [2]]]})
@example({"$": ["dict", [[1, 2], [3]]]})
@example({"$": ["timedelta", [10**12, 0, 0]]})
@example({"$": ["decimal", "1E+999999999999999999999"]})
@example({"$": ["tuple", {"$": ["tuple", [1]]}]})
@example({"$": ["tuple", [1]], "a": 1})
@example({"$": []})
def test_forged_tags_do_no_harm(value: Any) -> None:
    """Any JSON gives an error or plain values, also in another spelling of the same JSON."""
    assert_harmless(msgspec.json.encode(value))
    assert_harmless(json.dumps(value, indent=1).encode())


@pytest.mark.parametrize(
    "content",
    [
        '["eval","1"]',
        '["tuple",[1]],"a":1',
        '["tuple",[1],2]',
        '["tuple"]',
        '["tuple","ab"]',
        '["tuple",{"$":["tuple",[1]]}]',
        '["set",[[1]]]',
        '["set",{"a":1}]',
        '["dict",[["a"],[1,2]]]',
        '["dict",["a","b"]]',
        '["float","1.5"]',
        '["float",1.5]',
        '["bytes","AP8=!"]',
        '["bytes","AP8"]',
        '["uuid",5]',
        '["date","2025-02-30"]',
        '["timedelta",[1,2]]',
        "[]",
        "null",
    ],
)
def test_a_tag_that_we_do_not_write_is_refused(content: str) -> None:
    """What is damaged is not guessed at."""
    with pytest.raises(SerializationError, match="no value that tagged has stored"):
        read(f'{{"$":{content}}}'.encode())


@given(st.binary() | st.binary().map(lambda data: b'{"$":' + data))
@example(b"")
@example(b"[" * 100_000)
@example(b'{"$":["tuple",[' * 5000)
@example(b'{"$":["tuple",[' * 300 + b"]]}" * 300)
@example(b'"\xed\xa0\x80"')
def test_any_bytes_do_no_harm(data: bytes) -> None:
    """They are read as plain values or refused."""
    assert_harmless(data)


@given(values, st.data())
def test_damaged_bytes_do_no_harm(value: Any, data: st.DataObject) -> None:
    """Nor does what we have written and others have cut and changed."""
    whole = bytearray(written(value))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] = data.draw(st.integers(0, 255))
    assert_harmless(bytes(whole))
    assert_harmless(bytes(whole[:place]))


def test_an_error_of_reading_shows_nothing() -> None:
    """Neither the bytes nor what was in them."""
    with pytest.raises(SerializationError) as caught:
        read(b'{"$":["uuid","hunter2"]}')
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_markup_is_text_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no value is taken for it."""
    data = written(Markup("<b>"))
    monkeypatch.setitem(sys.modules, "markupsafe", None)
    assert type(read(data)) is str
    assert read(data) == "<b>"
    assert written(["x"]) == b'["x"]'


ids = NewType("ids", int)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Any, object),
        (object, {"a": (1,)}),
        (dict, {1: 2}),
        (dict[str, Any], {}),
        (typing.List[int], [1]),  # noqa: UP006 - users have such ones
        (tuple[int, ...], (1, 2)),
        (tuple[()], ()),
        (set[tuple[str, int]] | None, None),
        (int | str, "a"),
        (float, 3),
        (Mapping[str, Sequence[int]], {}),
        (AbstractSet[int], {1}),
        (Row, {"a": (1, 2)}),
        (Literal["a", 1], 1),
        (Annotated[list[int], {}], [1]),
        (ids, 5),
        (dt.date, dt.date(2025, 1, 1)),
        (Markup, Markup("x")),
        (type(None), None),
    ],
)
def test_types_whose_values_are_known_are_accepted(kind: Any, value: Any) -> None:
    """And values of these come back under them."""
    TAGGED.check(kind)
    if value is not object:
        copy = TAGGED.loads(TAGGED.dumps(value, kind), kind)
        assert difference(value, copy) is None


@pytest.mark.parametrize(
    "kind", [Data, Pair, Colour, list[Data], dict[str, Data | None], complex, Iterator[int], bytearray, OrderedDict]
)
def test_other_types_are_refused_when_decorating(kind: Any) -> None:
    """With the serializer that would do."""
    with pytest.raises(ConfigurationError, match="use serializer='json'"):
        TAGGED.check(kind)


def test_what_is_of_another_type_is_not_returned() -> None:
    """An entry of an older version of the function is no value of this one."""
    data = written((1, 2))
    assert TAGGED.loads(data, tuple[int, int]) == (1, 2)
    for kind in (list[int], int | None, Mapping[str, int]):
        with pytest.raises(SerializationError, match="found a tuple instead of"):
            TAGGED.loads(data, kind)


def test_a_function_without_annotation_keeps_its_types() -> None:
    """A hit returns what the miss returned."""
    layer = Layer("memory://", serializer="tagged")
    calls = collections.Counter[str]()

    @layer.cached("1m", key="hours:{day}")
    def hours(day: str) -> Any:
        calls[day] += 1
        return {"open": (dt.time(9), dt.time(18)), "days": {1, 2}, 7: b"x"}

    with layer:
        assert hours("monday") == hours("monday") == {"open": (dt.time(9), dt.time(18)), "days": {1, 2}, 7: b"x"}
        assert calls == {"monday": 1}
