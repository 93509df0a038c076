"""`merge`: what becomes of a field that two have changed at the same time."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._missing import MISSING
from holdfast.policy.merging import merge
from holdfast.policy.roundtrip import difference

leaves = st.sampled_from([None, False, True, 0, 1, 1.0, "", "a", (), (1,)]) | st.just(MISSING)
values = st.recursive(
    leaves.filter(lambda value: value is not MISSING),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=4) | st.lists(inner, max_size=2),
    max_leaves=8,
)
fields = values | st.just(MISSING)
dicts = st.dictionaries(st.sampled_from("abcdef"), values, max_size=6)


def same(one: Any, other: Any) -> bool:
    return difference(one, other) is None and difference(other, one) is None


@given(fields, fields)
def test_what_we_left_alone_is_theirs(base: Any, theirs: Any) -> None:
    """Whatever they made of it, also nothing."""
    assert same(merge(base, copy.deepcopy(base), theirs), theirs)


@given(fields, fields)
def test_what_they_left_alone_is_ours(base: Any, ours: Any) -> None:
    """Whatever we made of it, also nothing."""
    assert same(merge(base, ours, copy.deepcopy(base)), ours)


@given(dicts, st.data())
def test_changes_of_different_keys_all_survive(base: dict[str, Any], data: st.DataObject) -> None:
    """Set, changed and deleted by either: the result is as if one had come after the other."""
    mine = data.draw(st.dictionaries(st.sampled_from("abc"), fields))
    other = data.draw(st.dictionaries(st.sampled_from("def"), fields))

    def apply(value: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
        return {key: item for key, item in {**value, **changes}.items() if item is not MISSING}

    result = merge(base, apply(base, mine), apply(base, other))
    assert same(result, apply(apply(base, other), mine))


@given(fields, fields, fields)
def test_the_arguments_stay_as_they_are(base: Any, ours: Any, theirs: Any) -> None:
    """Merging changes none of them, and gives the same once more."""
    before = copy.deepcopy((base, ours, theirs))
    first = merge(base, ours, theirs)
    assert same((base, ours, theirs), before)
    assert same(merge(base, ours, theirs), first)


@given(dicts, dicts, dicts)
def test_keys_come_in_the_order_of_theirs(base: Any, ours: Any, theirs: Any) -> None:
    """Those that only we have come after them, in our order."""
    result = merge(base, ours, theirs)
    expected = [key for key in theirs if key in result] + [key for key in ours if key in result and key not in theirs]
    if not same(base, ours):
        assert list(result) == expected


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "expected"),
    [
        ({"a": 1}, {"a": 2}, {"a": 3}, {"a": 2}),
        ({"a": 1, "b": 1}, {"b": 1}, {"a": 2, "b": 2}, {"b": 2}),
        ({"a": {"x": 1, "y": 1}}, {"a": {"x": 2, "y": 1}}, {"a": {"x": 1, "y": 2}}, {"a": {"x": 2, "y": 2}}),
        ({"a": {"x": 1}}, {"a": {"x": 2}}, {}, {"a": {"x": 2}}),
        ({"a": 1, "b": 1}, {"a": 2, "b": 1}, MISSING, {"a": 2}),
        ({"a": 1}, {}, MISSING, MISSING),
        ({"a": 1, "b": 1}, {"a": 1}, MISSING, MISSING),
        ({"a": 1}, MISSING, {"a": 2}, MISSING),
        (MISSING, {"a": 1}, {"b": 2}, {"b": 2, "a": 1}),
        (MISSING, {}, {"b": 2}, {"b": 2}),
        (MISSING, {"a": 1}, 5, {"a": 1}),
        (None, {"a": 1}, {"b": 2}, {"b": 2, "a": 1}),
        ({"a": 1}, {"a": 2}, [1], {"a": 2}),
        ({"a": 1}, [1], {"a": 2}, [1]),
        ([1], [1, 2], [1, 3], [1, 2]),
        (1, 2, 3, 2),
        (1, MISSING, 3, MISSING),
        (1, 2, MISSING, 2),
        (MISSING, MISSING, 3, 3),
        (MISSING, MISSING, MISSING, MISSING),
    ],
)
def test_examples(base: Any, ours: Any, theirs: Any, expected: Any) -> None:
    """One line for each rule."""
    assert same(merge(base, ours, theirs), expected)


@pytest.mark.parametrize(("before", "after"), [(1, True), (1, 1.0), (1.0, 1), (0, False), ([1], [True]), ((1,), [1])])
def test_another_type_is_a_change(before: Any, after: Any) -> None:
    """Although Python may call the two equal."""
    assert same(merge({"a": before}, {"a": after}, {"a": "x"}), {"a": after})


def test_a_subclass_of_dict_is_one_value() -> None:
    """Nobody knows what merging would do to it."""
    ours = OrderedDict(a=2, b=1)
    assert merge({"a": 1}, ours, {"a": 1, "c": 1}) is ours


def test_the_result_can_be_changed_without_changing_theirs_or_base() -> None:
    """At any depth of plain containers."""
    base = {"ours": 1, "list": [[1]], "dict": {"x": [1]}, "set": {1}, "tuple": ([1],)}
    theirs = copy.deepcopy(base)
    result = merge(base, {**copy.deepcopy(base), "ours": 2}, theirs)
    before = copy.deepcopy(base)
    result["list"][0].append(2)
    result["dict"]["x"].append(2)
    result["set"].add(2)
    result["tuple"][0].append(2)
    assert base == before
    assert theirs == before


def test_beyond_a_hundred_dicts_there_is_one_value() -> None:
    """Depth costs no stack: whoever nests dicts without end gets an answer all the same."""

    def nest(depth: int, **inner: int) -> dict[str, Any]:
        value: dict[str, Any] = dict(inner)
        for _ in range(depth):
            value = {"n": value}
        return value

    assert merge(nest(90, a=1, b=1), nest(90, a=2, b=1), nest(90, a=1, b=2)) == nest(90, a=2, b=2)
    ours = nest(900, a=2, b=1)
    assert difference(merge(nest(900, a=1, b=1), ours, nest(900, a=1, b=2)), ours) is None
