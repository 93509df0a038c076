"""What a subject of a row about limits is, and its trial: it must be seen to limit before it is timed.

A limiter that does nothing is the fastest. So each subject must first admit exactly as many hits as its quota has,
refuse those that follow, and admit another user.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

FEW = 7
"""The quota in the trial: all of it can be used up."""
MORE = 5
"""Hits of the trial beyond the quota."""
_NONE: tuple[type[Exception], ...] = ()


@dataclass(frozen=True, slots=True)
class SyncLimiter:
    """A blocking way to count one hit of the user with a number."""

    hit: Callable[[int], Any]
    admits: Callable[[Any], bool] | None
    """Whether what `hit` returned means that it was admitted; None where a refusal raises."""
    close: Callable[[], object]
    refusal: type[Exception] | tuple[type[Exception], ...] = _NONE
    """What `hit` raises if it refuses."""
    probe: Callable[[int], bool] | None = None
    """Whether one more hit is admitted, asked without waiting: for those whose `hit` waits instead of refusing."""
    keyed: bool = True
    """Whether each user has a bucket of its own."""


@dataclass(frozen=True, slots=True)
class AsyncLimiter:
    """An asyncio way to count one hit of the user with a number. Fields as in `SyncLimiter`."""

    hit: Callable[[int], Awaitable[Any]]
    admits: Callable[[Any], bool] | None
    close: Callable[[], Awaitable[object]]
    refusal: type[Exception] | tuple[type[Exception], ...] = _NONE
    probe: Callable[[int], Awaitable[bool]] | None = None
    keyed: bool = True


SyncBuilder = Callable[[int, int], SyncLimiter]
"""Makes a limiter for the server on a port, with a limit of so many units in `PERIOD`."""
AsyncBuilder = Callable[[int, int], Awaitable[AsyncLimiter]]
"""The same, in the loop in which it will be used."""


def try_sync(limiter: SyncLimiter) -> None:
    """Use up a quota of `FEW`, and see that no more is admitted.

    Raises:
        ValueError: it admitted more or less, or another user pays.
    """
    answers = [asks(limiter, 0) for _ in range(FEW)]
    ask = limiter.probe or (lambda number: asks(limiter, number))
    _judge(answers, [ask(0) for _ in range(MORE)], not limiter.keyed or asks(limiter, 1))


async def try_async(limiter: AsyncLimiter) -> None:
    """Use up a quota of `FEW`, and see that no more is admitted.

    Raises:
        ValueError: it admitted more or less, or another user pays.
    """
    answers = [await aasks(limiter, 0) for _ in range(FEW)]
    later = [await (limiter.probe(0) if limiter.probe else aasks(limiter, 0)) for _ in range(MORE)]
    _judge(answers, later, not limiter.keyed or await aasks(limiter, 1))


def _judge(within: list[bool], beyond: list[bool], other: bool) -> None:
    if not all(within) or any(beyond):
        msg = (
            f"it admitted {sum(within)} of {len(within)} hits within the quota and {sum(beyond)} of {len(beyond)} more"
        )
        raise ValueError(msg)
    if not other:
        msg = "it refused a user who had made no hit"
        raise ValueError(msg)


def asks(limiter: SyncLimiter, number: int) -> bool:
    """Make one hit, and return whether it was admitted."""
    try:
        answer = limiter.hit(number)
    except limiter.refusal:
        return False
    return limiter.admits is None or limiter.admits(answer)


async def aasks(limiter: AsyncLimiter, number: int) -> bool:
    """Make one hit, and return whether it was admitted."""
    try:
        answer = await limiter.hit(number)
    except limiter.refusal:
        return False
    return limiter.admits is None or limiter.admits(answer)
