"""The model finds each mistake that the protocol of the cache warns of, when it is planted in the real code."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from support.model.broken import PROMISES, Broken
from support.model.bugs import BUGS, CANNOT_BE, MORE, Bug
from support.model.play import play
from support.model.scenarios import SCENARIOS

MOST = 12_000
"""Runs in which a mistake must show. Most take some ten; the rarest about a thousand."""
ALL = 43


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Let the cache not log what mistakes make of it."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


CASES = [(bug, bug.scenario) for bug in (*BUGS, *MORE)] + [(bug, bug.many) for bug in BUGS if bug.many]


@pytest.mark.parametrize(
    ("bug", "name"), CASES, ids=lambda part: f"{part.promise} {part.name}" if isinstance(part, Bug) else part
)
def test_a_planted_mistake_is_found(bug: Bug, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It breaks the very promise that it is known to break; the others are not looked at."""
    if bug.plant is not None:
        bug.plant(monkeypatch)
    scenario, texts, ignored = SCENARIOS[name], bug.texts(), PROMISES - {bug.promise}
    found = None
    for seed in range(MOST):
        try:
            play(scenario, seed, texts=texts, ignored=ignored)
        except Broken as broken:
            found = broken.promise
            break
    assert found == bug.promise, f"it did not show in {MOST} runs of {scenario.name!r}"


def test_every_known_mistake_is_planted_or_cannot_be_made() -> None:
    """None is forgotten, and none is listed twice."""
    names = [bug.name for bug in BUGS] + list(CANNOT_BE)
    assert len(names) == len(set(names)) == ALL
