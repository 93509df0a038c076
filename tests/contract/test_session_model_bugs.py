"""The model of sessions finds each mistake that sessions are known for, when it is planted in the real code."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Final

import pytest

from support.model.broken import Broken
from support.session_books import PROMISES
from support.session_bugs import BUGS, Bug
from support.session_play import play

MOST: Final = 6000
"""Runs in which a mistake must show. Most take some ten; the rarest about a thousand."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Let the sessions not log what mistakes make of them."""
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
    for seed in range(bug.first, bug.first + MOST):
        try:
            play(seed, texts=texts, ignored=ignored)
        except Broken as broken:
            found = broken.promise
            break
    assert found == bug.promise, f"it did not show in {MOST} runs"
