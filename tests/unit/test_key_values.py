"""The text of values: the same in every process, and different for values that differ."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from collections import OrderedDict, defaultdict, deque
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from ipaddress import ip_address, ip_network
from pathlib import PurePosixPath
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import MagicMock, Mock
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import MultiDict
from werkzeug.local import LocalProxy

from holdfast.errors import ConfigurationError
from holdfast.policy.keys import canonical, text_of


class Colour(Enum):
    RED = object()


class Size(StrEnum):
    BIG = "big"


class Level(IntEnum):
    LOW = 1


class Right(Flag):
    READ = 1
    WRITE = 2


class UserId(int): ...


class Pair(NamedTuple):
    x: int
    y: int


@dataclass
class Point:
    x: int
    y: int
    lock: object = field(default_factory=threading.Lock, compare=False)


@dataclass
class Money:
    amount: int

    def __str__(self) -> str:
        return f"{self.amount} EUR"


@attrs.define
class Crate:
    x: int
    cache: object = attrs.field(factory=object, eq=False)


class Frame(msgspec.Struct):
    x: int


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    x: int


class Named:
    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"Named({self.name})"


class Tagged(int):
    tag: str


class Opaque: ...


class Holder:
    def __repr__(self) -> str:
        return f"Holder({Opaque()})"


class Lines:
    """Like an array or a table: its text is cut short."""

    def __iter__(self) -> Any: ...
    def __repr__(self) -> str:
        return "[1 ... 9]"


def test_text_is_what_an_f_string_shows() -> None:
    """A field reads as in an f-string, so that a name written by hand meets the same entry."""
    values: list[Any] = [
        *("a:b", 7, True, None, 1.5, Decimal("1.50"), UUID(int=5), timedelta(1, 2), Money(3), Named("n")),
        *(date(2024, 1, 2), datetime(2024, 1, 2, tzinfo=UTC), time(1), PurePosixPath("/a b"), ip_address("::1")),
        *(ip_network("10.0.0.0/8"), Colour.RED, Size.BIG, Level.LOW, UserId(3)),
    ]
    for value in values:
        assert text_of(value) == f"{value}"
    assert text_of(b"\x00a") == "b'\\x00a'"


def test_containers_and_records_have_their_canonical_text() -> None:
    """What has no text of its own that could be relied on reads as its canonical text."""
    for value in ([1, "1"], (1,), {"b": 1}, {"a", "b"}, Pair(1, 2), Point(1, 2), Crate(1), Frame(1), Model(x=1), Point):
        assert text_of(value) == canonical(value)


def test_canonical_text_can_be_read() -> None:
    """The notation is close to Python's, and texts in quotes hold no quote, comma, colon or equal sign."""
    assert canonical(["it's", (1, 2.5), {"b": None, "a": b"\x00"}]) == "['it%27s',(1,2.5),dict('a'=b'%00','b'=None)]"
    assert canonical(Decimal("1.50")) == "decimal.Decimal('1.50')"
    assert canonical(Model(x=1, y="a=b,")) == f"{__name__}.Model(x=1,y='a%3Db%2C')"
    assert canonical(Colour.RED) == f"{__name__}.Colour.RED"


# Each line holds values that somebody could take for one another.
DIFFERENT: list[Any] = [
    *(1, "1", True, "True", 1.0, b"1", bytearray(b"1"), None, "None", UserId(1), Level.LOW, Decimal(1), 1 + 0j),
    *(Decimal("1.0"), Decimal("1.00"), 0.0, -0.0, float("inf"), "inf", Named("1"), Named("2"), Size.BIG, "big"),
    *(
        [],
        (),
        {},
        set(),
        frozenset(),
        deque(),
        OrderedDict(),
        defaultdict(int),
        MappingProxyType({}),
        [[]],
        [()],
        ([],),
    ),
    *([1, 2], (1, 2), {1, 2}, frozenset({1, 2}), {1: 2}, deque([1, 2]), "1,2", "[1,2]", Pair(1, 2), [1, [2]], [[1], 2]),
    *({"a": 1}, {"a": "1"}, {"'a'=1": 1}, OrderedDict(a=1), MappingProxyType({"a": 1}), [("a", 1)], {"a": {"a": 1}}),
    *(Point(1, 2), Point(2, 1), Crate(1), Frame(1), Model(x=1), Model(x=1, y=2), Model(x=1, y="2"), Money(1)),
    *(Right.READ, Right.READ | Right.WRITE, Right(0), Colour.RED, Colour, Point, Pair, int, "int", "type('int')"),
    *(datetime(2024, 1, 1), datetime(2024, 1, 1, tzinfo=UTC), date(2024, 1, 1), "2024-01-01", time(0), timedelta(0)),
    *(datetime(2024, 1, 1, tzinfo=ZoneInfo(zone)) for zone in ("Europe/Paris", "Africa/Lagos")),
    datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=1))),
    *(UUID(int=1), str(UUID(int=1)), PurePosixPath("a"), "a", ip_address("10.0.0.0"), ip_network("10.0.0.0/32")),
    *(MultiDict([("a", 1)]), MultiDict([("a", 1), ("a", 2)]), range(2), range(3)),
]


def test_values_that_differ_have_different_texts() -> None:
    """Types are told apart, containers are told from their text, and records from one another."""
    texts = [canonical(value) for value in DIFFERENT]
    assert len(set(texts)) == len(texts)


def test_small_values_cannot_be_arranged_to_collide() -> None:
    """No way to nest, quote or join the signs of the notation makes two values read the same."""
    atoms = ["", "a", "'", ",", "','", "=", "a'='a", "%27", "]", "['", ")", 1, "1", None]
    lists: list[Any] = [list(members) for size in (0, 1, 2, 3) for members in itertools.product(atoms, repeat=size)]
    pairs = [tuple(members) for members in itertools.product(atoms, repeat=2)]
    values = [*atoms, *lists, *pairs, *([inner] for inner in lists), *([inner, "a"] for inner in lists)]
    values += [{key: member} for key, member in pairs] + [{"a": key, "'": member} for key, member in pairs]
    assert len({canonical(value) for value in values}) == len(values)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(first=plain, second=plain)
def test_canonical_texts_are_equal_only_for_equal_values(first: Any, second: Any) -> None:
    """Two values share a text exactly if they are equal, types included, and the text is safe inside a name."""
    same = repr(sort_keys(first)) == repr(sort_keys(second))  # unlike ==, repr() tells True from 1
    assert (canonical(first) == canonical(second)) == same
    assert not set(canonical(first)) & set("{}:|\n ")


def sort_keys(value: Any) -> Any:
    """Return a value with its dicts in the order of their keys."""
    if isinstance(value, dict):
        return {key: sort_keys(value[key]) for key in sorted(value)}
    return [sort_keys(member) for member in value] if isinstance(value, list) else value


@given(st.dictionaries(st.text(max_size=3), st.integers(), min_size=2, max_size=6), st.randoms())
def test_order_of_insertion_does_not_show(members: dict[str, int], chance: Any) -> None:
    """Dicts and sets that are equal read the same, however they were filled."""
    items = list(members.items())
    chance.shuffle(items)
    assert canonical(dict(items)) == canonical(members)
    assert canonical({key for key, _ in items}) == canonical(set(members))


def test_the_hash_seed_does_not_show() -> None:
    """Another process, whose strings hash otherwise, gives the same text."""
    code = (
        "from holdfast.policy.keys import canonical, text_of\n"
        "value = {'set': set('abcdefgh'), 'fs': frozenset({(1, 'x'), 'y'}), 'none': {None: {'k', 'l'}}}\n"
        "print(list(set('abcdefgh'))); print(canonical(value)); print(text_of(value))"
    )
    seeds = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    orders, texts = zip(*(output.split("\n", 1) for output in seeds), strict=True)
    assert len(set(orders)) == 2  # the seeds do make a difference
    assert len(set(texts)) == 1


def test_fields_that_are_not_compared_do_not_count() -> None:
    """What a class leaves out of its equality, such as a lock or a cache, is left out of its text."""
    assert canonical(Point(1, 2)) == canonical(Point(1, 2))
    assert canonical(Crate(1)) == canonical(Crate(1))


def test_attributes_added_to_a_built_in_value_count() -> None:
    """A class derived from a built-in one may add attributes; they are part of what the value is."""
    euro, dollar = Tagged(1), Tagged(1)
    euro.tag, dollar.tag = "EUR", "USD"
    assert canonical(euro) != canonical(dollar)


def local_class() -> type:
    """Return a class that shares its name with those of other calls."""

    class Local: ...

    return Local


UNSTABLE = [
    *(Opaque(), object(), Holder(), Mock(), MagicMock(), lambda: 1, threading.Lock(), iter([]), (x for x in "a")),
    *(Lines(), local_class(), LocalProxy(lambda: [1]), SimpleNamespace(inner=Opaque()), print.__call__, sys.stdin),
]


@pytest.mark.parametrize("value", UNSTABLE, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("text", [text_of, canonical])
def test_a_value_without_a_stable_text_is_refused(text: Any, value: object) -> None:
    """An address would be a new key in each process; a text that is cut short would be one key for many values."""
    with pytest.raises(ConfigurationError, match=r"'user' cannot be part of a key.*\{user\.id\}.*callable"):
        text(value, "user")


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: {"k": v}, lambda v: Model(x=1, y=v), lambda v: Pair(1, v)])
def test_an_unstable_value_is_refused_inside_another(wrap: Any) -> None:
    """Containers and records are looked into, and the message names the inner type and no value."""
    with pytest.raises(ConfigurationError, match="Opaque has no text") as caught:
        canonical(wrap(Opaque()), "order")
    assert "0x" not in str(caught.value)


def test_a_message_never_shows_the_value() -> None:
    """A refusal names the parameter and the type; what is inside may be a secret."""
    with pytest.raises(ConfigurationError) as caught:
        canonical(["hunter2", Opaque()], "password")
    assert "hunter2" not in str(caught.value)


def test_a_value_that_contains_itself_is_refused() -> None:
    """A cycle, or absurd depth, ends in an error that says so, not in a crash."""
    cycle: list[Any] = []
    cycle.append({"again": cycle})
    with pytest.raises(ConfigurationError, match="contains itself"):
        canonical(cycle, "tree")
    assert canonical([[[[[[]]]]]]) == "[[[[[[]]]]]]"
