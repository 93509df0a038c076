"""The real locks and their real scripts keep every promise, in whichever order chance lets everybody go on.

Several processes share one Redis. They die, stop for longer than their leases, are cancelled and interrupted; commands
and replies are held up, lost, or executed late; messages are lost; the primary fails over without its last writes, to a
clock that is behind. `support.lock_world_books` and `support.lock_world_watch` have the promises.

`HOLDFAST_LOCK_SCHEDULES` says how many runs there are in all, and `HOLDFAST_FIRST_SEED` where their seeds begin.
"""

from __future__ import annotations

import gc
import logging
import math
import os
from collections.abc import Iterator
from typing import Final

import pytest

from support.lock_world_play import play, told
from support.lock_world_scenarios import SCENARIOS
from support.model.broken import Broken

SCHEDULES = int(os.environ.get("HOLDFAST_LOCK_SCHEDULES", "6000"))
FIRST = int(os.environ.get("HOLDFAST_FIRST_SEED", "0"))
SHARE = math.ceil(SCHEDULES / len(SCENARIOS))
SLOWEST = 0.03
"""Seconds that a run may take on a loaded machine."""


ONCE: Final = (
    ("plain: bad", 193),
    ("plain: slow, stopped", 267),
    ("fair: stopped", 759),
    ("permits: bad", 1085),
    ("permits: cancelled", 486),
    ("several: cancelled", 169),
)
"""Runs that once broke a promise."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Let the locks not log each of thousands of failures, and leave no worlds behind."""
    logging.disable(logging.CRITICAL)
    yield
    gc.collect()
    logging.disable(logging.NOTSET)


@pytest.mark.timeout(60 + SHARE * SLOWEST)
@pytest.mark.parametrize("name", SCENARIOS)
def test_no_order_of_events_breaks_a_promise_of_locks(name: str) -> None:
    """One holder, rising numbers, handles that do not lie, nobody who waits for ever, and nothing that stays."""
    for seed in range(FIRST, FIRST + SHARE):
        try:
            play(SCENARIOS[name], seed)
        except Broken as broken:
            log = told(SCENARIOS[name], seed)
            pytest.fail(f"{name!r}, seed {seed}: {broken}\n{log}", pytrace=False)


@pytest.mark.parametrize(("name", "seed"), ONCE)
def test_what_once_broke_a_promise(name: str, seed: int) -> None:
    """A late take after the lock was given back, a late renewal after `extend`, a lease shorter than a place."""
    play(SCENARIOS[name], seed)


def test_a_seed_gives_the_same_schedule_again() -> None:
    """Otherwise a failure could not be looked into."""
    for name in ("plain: bad", "fair: stopped", "permits: failover"):
        assert told(SCENARIOS[name], 7) == told(SCENARIOS[name], 7)
