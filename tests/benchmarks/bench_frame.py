"""How contenders are compared: turns, ratios, medians. It knows nothing of Redis or of what a contender does.

A machine is never equally fast for a whole run, so no contender is measured by itself. In each round every contender
gets one short slice, in an order drawn afresh; what counts is its ratio to the baseline *of the same round*, and the
median of these over the rounds. A slow moment then costs one ratio of many, and hits all contenders alike.

A contender that raises is out of the run and is reported; it never becomes a gap that nobody notices.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from statistics import median
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Slice:
    """What one contender did in one turn."""

    operations: int
    """Calls that were completed."""
    wall: float
    """Seconds that passed."""
    cpu: float
    """Seconds of processor time that this process used, user and system, all threads."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One competitor in one row."""

    name: str
    measure: Callable[[float], Slice]
    """Work for about so many seconds and say what was done."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A contender's result in one row. Ratios are to the baseline's time per operation: smaller is faster."""

    name: str
    wall_ratio: float
    cpu_ratio: float
    lowest: float
    """The smallest wall ratio of any round."""
    highest: float
    """The largest wall ratio of any round."""
    wall_us: float
    """Median microseconds an operation."""
    cpu_us: float
    """Median microseconds of processor time an operation."""
    operations: int
    """Median operations a slice."""


@dataclass(frozen=True, slots=True)
class Row:
    """All results under one kind of load."""

    name: str
    baseline: str
    standings: tuple[Standing, ...]
    """The fastest first."""
    failures: Mapping[str, str]
    """Contenders that raised, with the error."""

    def standing(self, name: str) -> Standing | None:
        """Return one contender's result, or None where it did not finish."""
        return next((standing for standing in self.standings if standing.name == name), None)


Round: TypeAlias = dict[str, Slice]


def compare(
    name: str,
    contenders: Sequence[Contender],
    *,
    baseline: str,
    rounds: int,
    seconds: float,
    chance: Random,
    failures: Mapping[str, str] | None = None,
) -> Row:
    """Let contenders take turns, and return how they stand.

    Args:
        name: what the row is called.
        contenders: who competes, the baseline among them.
        baseline: the name of the contender that all are compared with.
        rounds: how many turns each one gets.
        seconds: how long a turn is.
        chance: draws the order of each round.
        failures: contenders that failed before they could compete, with the error.

    Raises:
        ValueError: no rounds, or two contenders with one name.
    """
    names = [contender.name for contender in contenders]
    if rounds < 1 or len(set(names)) != len(names):
        msg = f"row {name!r} needs at least one round and different names, not {rounds} rounds of {names}"
        raise ValueError(msg)
    failed = dict(failures or {})
    played = [_play(contenders, failed, seconds, chance) for _ in range(rounds)]
    if baseline in failed or baseline not in names:
        failed.setdefault(baseline, "the baseline did not compete")
        return Row(name, baseline, (), failed)
    standings = [_stand(each, baseline, played) for each in names if each not in failed]
    return Row(name, baseline, tuple(sorted(standings, key=lambda standing: standing.wall_ratio)), failed)


def _play(contenders: Sequence[Contender], failed: dict[str, str], seconds: float, chance: Random) -> Round:
    """Give each contender that is still in the run one turn, and note in `failed` those that raise."""
    order = [contender for contender in contenders if contender.name not in failed]
    chance.shuffle(order)
    played: Round = {}
    for contender in order:
        gc.collect()  # nobody pays for the garbage of the one before
        try:
            turn = contender.measure(seconds)
            if turn.operations < 1:
                failed[contender.name] = "completed no operation in a slice"
            played[contender.name] = turn
        except Exception as error:  # whatever one raises, the others go on
            failed[contender.name] = describe(error)
    return played


def _stand(name: str, baseline: str, played: Sequence[Round]) -> Standing:
    turns = [(each[name], each[baseline]) for each in played]
    walls = [_ratio(mine.wall / mine.operations, base.wall / base.operations) for mine, base in turns]
    cpus = [_ratio(mine.cpu / mine.operations, base.cpu / base.operations) for mine, base in turns]
    return Standing(
        name,
        wall_ratio=median(walls),
        cpu_ratio=median(cpus),
        lowest=min(walls),
        highest=max(walls),
        wall_us=median(mine.wall / mine.operations for mine, _ in turns) * 1e6,
        cpu_us=median(mine.cpu / mine.operations for mine, _ in turns) * 1e6,
        operations=round(median(mine.operations for mine, _ in turns)),
    )


def _ratio(mine: float, base: float) -> float:
    """Divide, where a clock too coarse for the slice may have counted nothing."""
    return mine / base if base > 0 else float("nan")


def describe(error: BaseException) -> str:
    """Return an error in one line."""
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
