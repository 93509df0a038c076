"""Promises of quorums: two of them always meet, and a lock is never held for longer than any of its servers thinks."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.policy.quorum import drift, is_reachable, quorum, validity, worth_trying_in

COUNTS = st.integers(1, 9)
LEASES = st.floats(0.001, 1e6)
CHANCES = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(("count", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4)])
def test_more_than_half(count: int, needed: int) -> None:
    """A quorum is the smallest number that is more than half."""
    assert quorum(count) == needed


@pytest.mark.parametrize("count", range(1, 8))
def test_two_quorums_meet(count: int) -> None:
    """Any two quorums have a server in common, and one fewer would not do."""
    groups = [set(group) for group in combinations(range(count), quorum(count))]
    assert all(one & other for one in groups for other in groups)
    fewer = [set(group) for group in combinations(range(count), quorum(count) - 1)]
    assert any(not one & other for one in fewer for other in fewer)


@given(COUNTS, st.data())
def test_it_is_reachable_while_enough_are_left(count: int, data: st.DataObject) -> None:
    """As long as those that have not refused are a quorum, and no longer; a minority never decides."""
    refused = data.draw(st.integers(0, count))
    assert is_reachable(count, refused) == (refused <= count - quorum(count))
    if refused < count - refused:
        assert is_reachable(count, refused)


@given(LEASES, st.floats(0, 1e6))
def test_it_is_valid_for_less_than_any_server_holds_it(lease: float, elapsed: float) -> None:
    """Even where a clock runs a hundredth faster, and rounds a lease to the millisecond, it is held there longer."""
    held = validity(lease, elapsed)
    assert held == pytest.approx(lease - elapsed - drift(lease))
    if held > 0:
        kept = max(1, round(lease * 1000)) / 1000  # from when it was asked at the earliest
        assert elapsed + held < kept / 1.01


@given(LEASES)
def test_drift(lease: float) -> None:
    """It is a hundredth of the lease and two milliseconds."""
    assert drift(lease) == pytest.approx(0.01 * lease + 0.002)


@given(COUNTS, st.lists(st.floats(0, 3600), max_size=9), CHANCES)
def test_others_hold_it(count: int, busy: list[float], chance: float) -> None:
    """When no quorum is left, it is worth trying when so many leases have run out that there is one again."""
    busy = busy[:count]
    if is_reachable(count, len(busy)):
        return
    pause = worth_trying_in(count, 0, busy, chance)
    over = sum(left <= pause for left in busy)
    assert is_reachable(count, len(busy) - over)
    assert pause <= max(0.2, *busy)
    if pause > 0.2:  # not later than that
        assert not is_reachable(count, len(busy) - sum(left < pause for left in busy))


@given(COUNTS, st.lists(st.floats(1, 3600), max_size=9), CHANCES, CHANCES)
def test_nobody_holds_it(count: int, busy: list[float], chance: float, other: float) -> None:
    """When callers have taken servers from each other, or servers fail, they try again soon, at different times."""
    busy = busy[: count - 1]
    pauses = [worth_trying_in(count, 1, busy, each) for each in (chance, other)]
    assert all(0.02 <= pause < 0.2 for pause in pauses)
    assert (pauses[0] == pauses[1]) == (0.18 * chance + 0.02 == 0.18 * other + 0.02)
    if is_reachable(count, len(busy)):
        assert worth_trying_in(count, 0, busy, chance) == pauses[0]
