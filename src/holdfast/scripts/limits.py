"""The commands of the limiter: hits, what is taken back, and slots.

Each function returns the call of one script; the headers of the ``.lua`` files have the replies, and the reasons. Here
are no decisions and no names: keys come in whole. All keys of one call share a slot.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from holdfast.commands import Command, Word, milliseconds
from holdfast.scripts import Script, compose, load

_TAKE: Final = load("limits/slot_take", repeatable=True)
_KEEP: Final = load("limits/slot_keep", repeatable=True)
_LEAVE: Final = load("limits/slot_leave", repeatable=True)


def hit_script(algorithms: Iterable[str]) -> Script:
    """Return the script that admits hits under quotas of these algorithms."""
    used = sorted(set(algorithms))
    return compose("hit", ("limits/start", *(f"limits/{each}" for each in used), "limits/hit"))


def adjust_script(algorithms: Iterable[str]) -> Script:
    """Return the script that takes units back under quotas of these algorithms, or charges more."""
    used = sorted(set(algorithms))
    parts = [f"limits/{each}{part}" for each in used for part in ("", "_adjust")]
    return compose("adjust", ("limits/start", "limits/adjust_start", *parts, "limits/adjust"))


def hit(
    script: Script, keys: Sequence[str], constants: Sequence[Word], *, cost: int, wait: int, patience: float
) -> Command:
    """Charge a hit to buckets, to all or to none.

    Args:
        script: as `hit_script` returned it.
        keys: the buckets.
        constants: of each bucket its algorithm and three numbers.
        cost: units.
        wait: microseconds for which the caller is ready to wait until the hit may go on.
        patience: seconds for which the caller is ready to wait for the answer.
    """
    return script.command(keys, ("hit", cost, wait, *constants), patience)


def peek(script: Script, keys: Sequence[str], constants: Sequence[Word], *, cost: int, patience: float) -> Command:
    """Ask what a hit would get, and change nothing."""
    return script.command(keys, ("peek", cost, 0, *constants), patience)._replace(repeatable=True)


def adjust(
    script: Script,
    keys: Sequence[str],
    constants: Sequence[Word],
    *,
    units: int,
    instants: Sequence[tuple[int, int]],
    patience: float,
) -> Command:
    """Change what was charged to buckets.

    Args:
        script: as `adjust_script` returned it.
        keys: the buckets.
        constants: of each bucket its algorithm and three numbers.
        units: how many more, or fewer if negative.
        instants: for each bucket, when the hit was charged there, and since when its units do not count fully any more,
            in microseconds of its server's clock; 0 if that is not known.
        patience: seconds for which the caller is ready to wait for the answer.
    """
    words: list[Word] = [units]
    for index, known in enumerate(instants):
        words += (*constants[4 * index : 4 * index + 4], *known)
    return script.command(keys, words, patience)


def take_slot(key: str, *, token: str, limit: int, seconds: float) -> Command:
    """Take one of `limit` slots for `seconds`."""
    return _TAKE.command((key,), (token, limit, milliseconds(seconds)))


def keep_slot(key: str, *, token: str, seconds: float) -> Command:
    """Keep a slot for `seconds` from now; the reply is 1, or 0 if it is lost."""
    return _KEEP.command((key,), (token, milliseconds(seconds)))


def leave_slot(key: str, token: str) -> Command:
    """Give a slot back; the reply is 1, or 0 if it was lost."""
    return _LEAVE.command((key,), (token,))
