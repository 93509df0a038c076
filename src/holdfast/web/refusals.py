"""What clients are told when an error of holdfast says that they have to come again: one answer for every framework."""

from __future__ import annotations

from typing import Final

from holdfast.errors import HoldfastError, LockNotAcquired, RateLimited
from holdfast.policy.http.answering import Answer
from holdfast.policy.http.fields import Pairs
from holdfast.web.problems import plain_problem, problem_answer

REFUSALS: Final[tuple[type[HoldfastError], ...]] = (RateLimited, LockNotAcquired)
"""The errors that are answered; any other is a fault of the program or of Redis, and a 500."""

_SOON: Final[Pairs] = (("Retry-After", "1"),)
_BUSY: Final = "Somebody else is at work on this just now. Try again in a moment."


def refusal_answer(error: BaseException, *, bodiless: bool = False) -> Answer:
    """Return the answer to a request whose handling ended with one of `REFUSALS`.

    `RateLimited` is 429, or 503 if the limiter had to decide without Redis, with the fields of its decision.
    `LockNotAcquired` is 409. Neither tells whose limit it is or what the lock is called, and no cache keeps them.

    Args:
        error: what was raised.
        bodiless: whether the request was a HEAD.

    Raises:
        TypeError: the error is none of them.
    """
    if isinstance(error, RateLimited):
        decision = error.decision
        return problem_answer(decision.problem(), tuple(decision.headers()), bodiless=bodiless)
    if isinstance(error, LockNotAcquired):
        return plain_problem(409, _BUSY, _SOON, bodiless=bodiless)
    msg = f"{type(error).__name__} is no refusal"
    raise TypeError(msg)
