"""Sessions keep every promise, in whichever order chance lets requests go on.

Browsers send requests at the same time, to the ASGI middleware and to the WSGI one: they change the same and different
data, deep inside or by functions, delete, log in, rotate, log out, only read, fail, are cancelled, come with old and
forged cookies; others edit and revoke; time passes and sessions run out. `support.session_books` has the promises.

`HOLDFAST_SESSION_SCHEDULES` says how many runs there are in all, and `HOLDFAST_FIRST_SEED` where their seeds begin.
"""

from __future__ import annotations

import gc
import logging
import math
import os
from collections.abc import Iterator
from typing import Final

import pytest

from support.model.broken import Broken
from support.session_play import play, told

SCHEDULES: Final = int(os.environ.get("HOLDFAST_SESSION_SCHEDULES", "10000"))
FIRST: Final = int(os.environ.get("HOLDFAST_FIRST_SEED", "0"))
PARTS: Final = 10
SHARE: Final = math.ceil(SCHEDULES / PARTS)
SLOWEST: Final = 0.03
"""Seconds that a run may take on a loaded machine."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Let the sessions not log each of thousands of events, and leave no worlds behind."""
    logging.disable(logging.CRITICAL)
    yield
    gc.collect()
    logging.disable(logging.NOTSET)


@pytest.mark.timeout(60 + SHARE * SLOWEST)
@pytest.mark.parametrize("part", range(PARTS))
def test_no_order_of_events_breaks_a_promise_of_sessions(part: int) -> None:
    """No lost update, nothing that comes back, no secret that opens twice, no key that stays, no write by a reader."""
    for seed in range(FIRST + part * SHARE, FIRST + (part + 1) * SHARE):
        try:
            play(seed)
        except Broken as broken:
            pytest.fail(f"seed {seed}: {broken}\n{told(seed)}", pytrace=False)


def test_a_seed_gives_the_same_run_again() -> None:
    """Otherwise a failure could not be looked into."""
    for seed in (3, 20, 36):
        assert told(seed) == told(seed)
