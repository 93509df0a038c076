"""What clients are told when an error of holdfast says that they have to come again: one answer for every framework."""

from __future__ import annotations

from typing import Final

from holdfast.errors import AlreadyRunning, HoldfastError, IdempotencyError, KeyReused, LockNotAcquired, RateLimited
from holdfast.policy.http.answering import Answer
from holdfast.policy.http.fields import Pairs
from holdfast.web.problems import plain_problem, problem_answer

REFUSALS: Final[tuple[type[HoldfastError], ...]] = (RateLimited, LockNotAcquired, IdempotencyError)
"""The errors that are answered; any other is a fault of the program or of Redis, and a 500."""

_SOON: Final[Pairs] = (("Retry-After", "1"),)
_BUSY: Final = "Somebody else is at work on this just now. Try again in a moment."
_REUSED: Final = "The key of this request stands for another request already. Use a new one."
_DONE: Final = "This was done before, and its result was not kept. Look at what has become of it."


def refusal_answer(error: BaseException, *, bodiless: bool = False) -> Answer:
    """Return the answer to a request whose handling ended with one of `REFUSALS`.

    `RateLimited` is 429, or 503 if the limiter had to decide without Redis, with the fields of its decision.
    `LockNotAcquired` is 409, and so is `AlreadyRunning`; `KeyReused` is 422. None tells whose limit it is or what the
    lock or the key is called, and no cache keeps them.

    Args:
        error: what was raised.
        bodiless: whether the request was a HEAD.

    Raises:
        TypeError: the error is none of them.
    """
    if isinstance(error, RateLimited):
        decision = error.decision
        return problem_answer(decision.problem(), tuple(decision.headers()), bodiless=bodiless)
    if isinstance(error, LockNotAcquired | AlreadyRunning):
        return plain_problem(409, _BUSY, _SOON, bodiless=bodiless)
    if isinstance(error, KeyReused):
        return plain_problem(422, _REUSED, bodiless=bodiless)
    if isinstance(error, IdempotencyError):
        return plain_problem(409, _DONE, bodiless=bodiless)
    msg = f"{type(error).__name__} is no refusal"
    raise TypeError(msg)
