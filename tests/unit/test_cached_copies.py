"""A decorated function can be pickled and copied where a plain one can."""

from __future__ import annotations

import copy
import pickle

from holdfast import Layer, cached

LAYER = Layer("memory://copies")


@cached(60, key="doubled:{number}", layer=LAYER)
def doubled(number: int) -> int:
    return 2 * number


def test_a_copy_is_the_function_itself() -> None:
    """As of any function."""
    assert copy.copy(doubled) is doubled
    assert copy.deepcopy({"f": doubled})["f"] is doubled


def test_a_pickle_names_the_function() -> None:
    """It comes back as the decorated function of its module."""
    assert pickle.loads(pickle.dumps(doubled)) is doubled
