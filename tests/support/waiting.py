"""Waiting for something to become true, with a deadline generous enough for a loaded machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL = 0.015
"""Seconds between two looks."""
PATIENCE = 60.0
"""Seconds after which a test gives up; a healthy machine needs a small part of it."""


def until(
    check: Callable[[], T], what: str, *, within: float = PATIENCE, ignoring: tuple[type[Exception], ...] = ()
) -> T:
    """Call `check` until its answer is truthy, and return that answer.

    Args:
        check: what to look at; it must not block for long.
        what: what is awaited, for the message.
        within: seconds to wait.
        ignoring: exceptions that count as "not yet".

    Raises:
        TimeoutError: it did not become true in time; the message has the last answer or exception.
    """
    deadline = time.monotonic() + within
    while True:
        last: object
        try:
            last = answer = check()
            if answer:
                return answer
        except ignoring as error:
            last = error
        if time.monotonic() > deadline:
            msg = f"waited {within:.0f} s in vain until {what}; last seen: {last!r}"
            raise TimeoutError(msg)
        time.sleep(POLL)
