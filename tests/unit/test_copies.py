"""Copies of values that callers could change: equal, and sharing nothing that can be changed."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._copies import copier

FLAT = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.dates()
VALUES = st.recursive(FLAT, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner))
CHANGEABLE = VALUES.filter(lambda value: isinstance(value, dict | list))


def parts(value: Any) -> Iterator[Any]:
    """Yield a value and everything in it that can be changed."""
    if isinstance(value, dict | list):
        yield value
        for member in value.values() if isinstance(value, dict) else value:
            yield from parts(member)


@given(CHANGEABLE)
def test_a_copy_is_equal_and_shares_nothing_that_can_be_changed(value: Any) -> None:
    """Of the same types all the way down, and with no dict or list in common with the value or another copy."""
    found = copier(value)
    if found is None:
        assert sum(len(part) for part in parts(value)) > 200
        return
    first, second = found.copy(), found.copy()
    assert repr(first) == repr(second) == repr(value)
    everywhere = [id(part) for one in (value, first, second) for part in parts(one)]
    assert len(everywhere) == len(set(everywhere))


@given(CHANGEABLE)
def test_the_size_counts_what_is_kept(value: Any) -> None:
    """No less than the containers and their members take."""
    found = copier(value)
    if found is not None:
        assert sys.getsizeof(found) >= sum(map(sys.getsizeof, parts(value)))


class Mine(dict[str, int]):
    """A dict of one's own."""


@pytest.mark.parametrize(
    "value",
    [1, "text", (1, [2]), {1, 2}, [{1}], {"a": (1, [])}, OrderedDict(a=1), Mine(a=1), [Mine()], object(), [0] * 201],
)
def test_what_is_no_dict_or_list_of_such_is_left_to_the_decoder(value: object) -> None:
    """Also subclasses, which may copy themselves as they like, and what is large."""
    assert copier(value) is None
