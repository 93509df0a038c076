"""The schedules of locks find each mistake that locks are known for, when it is planted in the real code."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from support.lock_world_bugs import BUGS, PROMISES, Bug
from support.lock_world_play import play
from support.lock_world_scenarios import SCENARIOS
from support.model.broken import Broken

MOST = 12_000
"""Runs in which a mistake must show. Most take some ten; the rarest some hundreds."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Let the locks not log what mistakes make of them."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: f"{bug.promise} {bug.name}")
def test_a_planted_mistake_is_found(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    """It breaks the very promise that it is known to break; the others are not looked at."""
    if bug.plant is not None:
        bug.plant(monkeypatch)
    texts, ignored = bug.texts(), PROMISES - {bug.promise}
    found = None
    for seed in range(MOST):
        try:
            play(SCENARIOS[bug.scenario], seed, edits=texts, ignored=ignored)
        except Broken as broken:
            found = broken.promise
            break
    assert found == bug.promise, f"it did not show in {MOST} runs of {bug.scenario!r}"


def test_each_promise_is_seen_to_be_broken() -> None:
    """What no mistake breaks might not be looked at."""
    assert {bug.promise for bug in BUGS} == PROMISES - {"error"}
