"""The real cache and its real scripts keep every promise, in whichever order chance lets everybody go on.

Several processes share one Redis. Callers, loads, invalidations, crashes, evictions, expiries, lost messages and lost
replies are mixed at every instant between sending, executing and answering a command; `support.model` has the promises.

`HOLDFAST_INTERLEAVINGS` says how many runs there are in all, and `HOLDFAST_FIRST_SEED` where their seeds begin.
"""

from __future__ import annotations

import gc
import logging
import math
import os
from collections.abc import Iterator

import pytest

from support.model.broken import Broken
from support.model.play import play, told
from support.model.scenarios import SCENARIOS

INTERLEAVINGS = int(os.environ.get("HOLDFAST_INTERLEAVINGS", "20000"))
FIRST = int(os.environ.get("HOLDFAST_FIRST_SEED", "0"))
SHARE = math.ceil(INTERLEAVINGS / len(SCENARIOS))
SLOWEST = 0.03
"""Seconds that a run may take on a loaded machine."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Let the cache not log each of thousands of failures, and leave no worlds behind."""
    logging.disable(logging.CRITICAL)
    yield
    gc.collect()
    logging.disable(logging.NOTSET)


@pytest.mark.timeout(60 + SHARE * SLOWEST)
@pytest.mark.parametrize("name", SCENARIOS)
def test_no_order_of_events_breaks_a_promise(name: str) -> None:
    """Nobody gets what was invalidated before they began, nobody waits for ever, and no two hold a lease."""
    for seed in range(FIRST, FIRST + SHARE):
        try:
            play(SCENARIOS[name], seed)
        except Broken as broken:
            log = told(SCENARIOS[name], seed)
            pytest.fail(f"{name!r}, seed {seed}: {broken}\n{log}", pytrace=False)


def test_a_seed_gives_the_same_run_again() -> None:
    """Otherwise a failure could not be looked into."""
    for name in ("key: troubles", "tag: derived", "near: cut off"):
        assert told(SCENARIOS[name], 7) == told(SCENARIOS[name], 7)
