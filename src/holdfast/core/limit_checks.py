"""What a hit of a limit is made of, and how its buckets are asked: in one call where one script can see them all.

On a cluster, buckets that lie in several slots get one script for each slot, sent together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

import msgspec

from holdfast.commands import Command, Reply, Word
from holdfast.core.records import Tally
from holdfast.errors import BackendError
from holdfast.policy.buckets import constants_of
from holdfast.policy.limit_fields import item_names
from holdfast.policy.quota import Quota
from holdfast.port import Port
from holdfast.scripts import Script
from holdfast.scripts.limits import adjust, adjust_script, hit_script

T = TypeVar("T")

OnLimitFailure: TypeAlias = Literal["open", "closed", "local"]


@dataclass(frozen=True, slots=True)
class Rule:
    """What a caller says about a limit beside its quotas."""

    on_failure: OnLimitFailure = "open"
    budget: float = 0.1
    """Seconds after which the answer of Redis comes too late."""
    shadow: bool = False
    """Whether a refusal is only reported."""


class Buckets(NamedTuple):
    """What all buckets of some quotas have in common."""

    quotas: tuple[Quota, ...]
    """As decisions tell of them: each with a name of its own."""
    names: tuple[str, ...]
    """What comes after the key, for each quota."""
    constants: tuple[Word, ...]
    """For each quota its algorithm and three numbers, as the scripts want them."""
    hit: Script
    """What admits a hit to them."""
    adjust: Script
    """What changes what was charged to them."""
    title: str
    """The names of the policies."""


@lru_cache(maxsize=1024)
def buckets_of(quotas: tuple[Quota, ...]) -> Buckets:
    """Return what the scripts have to know of quotas.

    Raises:
        ConfigurationError: a burst is too large to be counted exactly.
    """
    constants = tuple(word for quota in quotas for word in constants_of(quota))
    labels = item_names(quotas)
    told = tuple(quota.named(label) for quota, label in zip(quotas, labels, strict=True))
    algorithms = [quota.algorithm for quota in quotas]
    names = tuple(quota.bucket for quota in quotas)
    return Buckets(told, names, constants, hit_script(algorithms), adjust_script(algorithms), ", ".join(labels))


class Check(NamedTuple):
    """The buckets of one hit."""

    buckets: Buckets
    keys: tuple[str, ...]
    tally: Tally


class Charged(NamedTuple):
    """What a script says of one bucket; times in microseconds."""

    admitted: int
    at: int
    wait: int
    remaining: int
    reset: int


Instants: TypeAlias = dict[str, tuple[int, int]]
"""By the key of a bucket, in microseconds of its server's clock."""


class Charge(msgspec.Struct, frozen=True):
    """Where and when a hit was charged. A decision shows that it was, not how.

    Every hit makes one, so it is of the kind that is made fastest.
    """

    check: Check
    rule: Rule
    cost: int
    answer: Sequence[int] | Sequence[Charged]
    """What the script answered; what is said of each bucket where several scripts did."""

    def __repr__(self) -> str:
        return "Charge()"

    def instants(self, actual: int) -> Instants:
        """Return when each bucket was charged, and since when units beyond `actual` do not count fully any more.

        A bucket of GCRA drains, and as long as there is something else in it, that is what drains; so the units lose
        nothing before the instant at which it would be empty without them.
        """
        instants: Instants = {}
        constants = self.check.buckets.constants
        for index, (key, charged) in enumerate(zip(self.check.keys, charged_of(self.answer), strict=True)):
            name, _, fill, drain = constants[4 * index : 4 * index + 4]
            since = charged.at
            if name == "gcra":
                too_much = -((self.cost - actual) * int(fill) // -int(drain))
                rounded = int(drain) > 1  # reset was rounded up: the bucket may be empty a microsecond sooner
                since += charged.reset - charged.wait - too_much - rounded
            instants[key] = charged.at, since
        return instants


Ask: TypeAlias = Callable[[Sequence[str], Sequence[Word]], Command]
"""Makes the call of a script from the keys of some buckets and their constants."""


def changing(check: Check, units: int, rule: Rule, instants: Instants | None = None) -> Ask:
    """Return what makes the call that charges more units, or takes some back if `units` is negative.

    Args:
        check: the buckets.
        units: how many.
        rule: what the caller says.
        instants: as `Charge.instants` returned them; None if they are not known.
    """

    def change(keys: Sequence[str], constants: Sequence[Word]) -> Command:
        known = [instants[key] if instants else (0, 0) for key in keys]
        return adjust(check.buckets.adjust, keys, constants, units=units, instants=known, patience=rule.budget)

    return change


async def ask(port: Port, check: Check, command: Ask) -> list[Charged]:
    """Send one script for each slot, and return what is said of each bucket.

    Raises:
        BackendError: Redis could not be used; some of several scripts may have been executed.
    """
    groups, commands = _apart(port, check, command)
    replies: list[Reply] = [await port.call(commands[0])] if len(commands) == 1 else await port.pipeline(commands)
    return _in_order(groups, [charged_of(reply) for reply in replies])


async def ask_each(port: Port, check: Check, command: Ask) -> list[Charged | BackendError]:
    """Do what `ask` does, but return what kept a script from being executed, or its answer away, as a value.

    Raises:
        BackendError: none of the scripts was executed.
    """
    groups, commands = _apart(port, check, command)
    said: list[Sequence[Charged | BackendError]] = []
    for indexes, outcome in zip(groups, await port.outcomes(commands), strict=True):
        said.append([outcome] * len(indexes) if isinstance(outcome, BackendError) else charged_of(outcome))
    return _in_order(groups, said)


def _apart(port: Port, check: Check, command: Ask) -> tuple[list[list[int]], list[Command]]:
    """Return which buckets lie together, and the command for each of these groups."""
    slots: dict[int, list[int]] = {}
    for index, slot in enumerate(port.slots(check.keys)):
        slots.setdefault(slot, []).append(index)
    parts = [part(check, indexes) for indexes in slots.values()]
    return list(slots.values()), [command(each.keys, each.buckets.constants) for each in parts]


def _in_order(groups: Sequence[Sequence[int]], said: Sequence[Sequence[T]]) -> list[T]:
    """Return what is said of each bucket in the order of the buckets."""
    found: dict[int, T] = {}
    for indexes, each in zip(groups, said, strict=True):
        found.update(zip(indexes, each, strict=True))
    return [found[index] for index in sorted(found)]


def part(check: Check, indexes: Sequence[int]) -> Check:
    """Return some of the buckets of a check."""
    if len(indexes) == len(check.keys):
        return check
    quotas = tuple(check.buckets.quotas[index] for index in indexes)
    return Check(buckets_of(quotas), tuple(check.keys[index] for index in indexes), check.tally)


def charged_of(answer: Sequence[Any]) -> Sequence[Charged]:
    """Return what a script says of each bucket, from its answer, if that is not yet done."""
    if isinstance(answer[0], Charged):
        return answer
    admitted, at = answer[0], answer[1]
    return [Charged(admitted, at, *answer[index : index + 3]) for index in range(2, len(answer), 3)]


def figures_of(charged: Sequence[Charged]) -> list[int]:
    """Return wait, remaining and reset of each bucket, one after the other."""
    return [figure for each in charged for figure in each[2:]]
