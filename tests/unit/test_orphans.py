"""The book of leases that could not be given back."""

from __future__ import annotations

import pytest

from holdfast import _orphans
from holdfast._orphans import Orphans


@pytest.fixture
def orphans() -> Orphans:
    return Orphans()


def always() -> bool:
    return True


def never() -> bool:
    return False


def test_what_is_left_behind_is_known_until_it_is_gone(orphans: Orphans) -> None:
    """A key may have several; each goes for itself, and what is not known cannot go."""
    assert not orphans
    for key, nonce in (("k", "a"), ("k", "b"), ("l", "c")):
        orphans.add(key, nonce, 5.0)
    assert orphans.left(0.0) == [("k", "a"), ("k", "b"), ("l", "c")]
    orphans.remove("k", "c")
    orphans.remove("m", "a")
    orphans.remove("k", "a")
    assert orphans.left(0.0) == [("k", "b"), ("l", "c")]
    orphans.remove("k", "b")
    orphans.remove("l", "c")
    assert not orphans


def test_the_one_that_was_met_is_the_one_to_take_over(orphans: Orphans) -> None:
    """Without that, it is the latest. What is not known is never taken over."""
    assert orphans.latest("k") == ""
    orphans.add("k", "a", 5.0)
    orphans.add("k", "b", 5.0)
    assert orphans.latest("k") == "b"
    assert orphans.recall("k", "a")
    assert orphans.latest("k") == "a"
    assert not orphans.recall("k", "c")
    assert not orphans.recall("l", "a")
    assert orphans.latest("k") == "a"
    assert orphans.latest("l") == ""


def test_what_has_run_out_is_forgotten(orphans: Orphans) -> None:
    """Each at its own time; who notes a lease again says when that is."""
    orphans.add("k", "a", 5.0)
    orphans.add("k", "b", 6.0)
    orphans.add("l", "c", 5.0)
    orphans.add("l", "c", 7.0)
    assert orphans.left(5.0) == [("k", "b"), ("l", "c")]
    assert orphans.left(6.0) == [("l", "c")]
    assert orphans.left(7.0) == []
    assert not orphans


def test_there_is_a_limit_to_what_is_known(orphans: Orphans, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first stay: they are those that an outage has interrupted. Whatever goes makes room."""
    monkeypatch.setattr(_orphans, "MOST", 2)
    for nonce in "abc":
        orphans.add("k", nonce, 5.0)
        orphans.add(nonce, nonce, 5.0)
    assert orphans.left(0.0) == [("k", "a"), ("a", "a")]
    orphans.add("k", "a", 9.0)
    assert orphans.left(5.0) == [("k", "a")]
    orphans.add("l", "b", 9.0)
    orphans.add("l", "c", 9.0)
    assert orphans.left(5.0) == [("k", "a"), ("l", "b")]


def test_one_gives_all_of_them_back(orphans: Orphans) -> None:
    """Nobody if there are none; another one if the first cannot go on, has stopped, or has failed."""
    assert not orphans.tend(always)
    orphans.add("k", "a", 5.0)
    assert orphans.tend(never)
    assert orphans.tend(always)
    assert not orphans.tend(always)
    assert orphans.go_on()
    orphans.neglect()
    assert orphans.tend(always)
    orphans.remove("k", "a")
    assert not orphans.go_on()
    orphans.add("k", "a", 5.0)
    assert orphans.tend(always)


def test_a_child_process_has_none(orphans: Orphans) -> None:
    """What the parent could not give back, the parent still tries to; the child begins with nothing."""
    orphans.add("k", "a", 5.0)
    orphans.tend(always)
    orphans.after_fork()
    assert not orphans
    orphans.add("k", "b", 5.0)
    assert orphans.tend(always)
