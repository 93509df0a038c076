"""Promises of the deadline: what is left, what a wait is cut to, and when a server is to blame."""

from __future__ import annotations

import pytest

from holdfast.backend import deadline as deadline_module
from holdfast.backend.deadline import Deadline, deadline_of
from holdfast.commands import get


class Clock:
    """A clock that stands still until it is told otherwise."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(deadline_module, "monotonic", clock)
    return clock


def test_what_is_left(clock: Clock) -> None:
    """It counts from when it was made, and goes on when it is over."""
    deadline = Deadline(0.1)
    assert deadline.left() == pytest.approx(0.1)
    clock.now += 0.06
    assert deadline.half().left() == pytest.approx(0.02)
    assert not deadline.is_over()
    clock.now += 0.06
    assert deadline.left() == pytest.approx(-0.02)
    assert deadline.is_over()
    assert deadline.half().left() == 0


def test_a_wait_is_cut_to_what_is_left(clock: Clock) -> None:
    """Never longer than asked for; rounded up to milliseconds, so that two calls in a row are cut alike; never zero."""
    deadline = Deadline(0.1)
    clock.now += 0.000_4
    assert deadline.cap(1.0) == 0.1
    assert deadline.cap(0.05) == 0.05
    clock.now += 1
    assert deadline.cap(1.0) == 0.001


@pytest.mark.parametrize(
    ("asked_after", "noticed_after", "fair"),
    [(0.0, 0.1, True), (0.05, 0.1, True), (0.06, 0.1, False), (0.0, 0.14, True), (0.0, 0.16, False)],
)
def test_who_is_to_blame(clock: Clock, asked_after: float, noticed_after: float, fair: bool) -> None:
    """The server is, if it had half of the time and the caller looked in time; else the caller's own process is."""
    deadline = Deadline(0.1)
    start = clock.now
    clock.now = start + noticed_after
    assert deadline.was_fair(start + asked_after) is fair


def test_the_least_patient_command_decides(clock: Clock) -> None:
    """Several commands have the deadline of the one with the least patience, or none."""
    patient, hurried = get("k")._replace(patience=5), get("k")._replace(patience=0.1)
    found = deadline_of([get("k"), patient, hurried])
    assert found is not None
    assert found.left() == pytest.approx(0.1)
    assert deadline_of([get("k")]) is None
