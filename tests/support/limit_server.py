"""A server for tests of limits: the real scripts, a clock in whole microseconds, and checks of every answer."""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from holdfast.commands import Command, Reply
from holdfast.core.limit_checks import Charge, Charged, Check, Rule, buckets_of
from holdfast.core.records import Tally
from holdfast.policy.buckets import constants_of
from holdfast.policy.quota import Quota
from holdfast.scripts import limits as scripts
from support.lua_collections import Value
from support.lua_redis import LuaRedis

BEGIN: Final = 1_700_000_000_123_456
"""When it starts, in microseconds."""
EXACT: Final = 2**53
Buckets: TypeAlias = "dict[str, Quota]"
"""The quotas of some keys."""


class Said(NamedTuple):
    """What is said of one bucket."""

    wait: int
    remaining: int
    reset: int


class Answer(NamedTuple):
    """What a script says, and whether a hit is admitted."""

    admitted: bool
    at: int
    said: tuple[Said, ...]

    @property
    def wait(self) -> int:
        """Return the microseconds until all buckets admit the hit; -1 for never."""
        waits = [each.wait for each in self.said]
        return -1 if -1 in waits else max(waits)


class LimitServer:
    """Hits, looks and changes on one server.

    Of every answer it is checked that all numbers are whole and below 2**53, that each key has a time to live, and that
    none goes before its reset; if the quota was changed, a key may go when it would have under the old one.
    """

    def __init__(self, now: int = BEGIN, *, changes: bool = False) -> None:
        self.now = now
        self._changes = changes
        self.redis = LuaRedis(micros=lambda: self.now)

    def hit(self, buckets: Buckets, cost: int = 1, patience: int = 0) -> Answer:
        """Charge a hit; `patience` is in microseconds."""
        script = scripts.hit_script(quota.algorithm for quota in buckets.values())
        return self._ask(
            buckets, scripts.hit(script, list(buckets), _constants(buckets), cost=cost, wait=patience, patience=0.1)
        )

    def peek(self, buckets: Buckets, cost: int = 1) -> Answer:
        """Look what a hit would get."""
        script = scripts.hit_script(quota.algorithm for quota in buckets.values())
        return self._ask(buckets, scripts.peek(script, list(buckets), _constants(buckets), cost=cost, patience=0.1))

    def adjust(self, buckets: Buckets, units: int, at: int = 0) -> Answer:
        """Change what was charged at an instant."""
        script = scripts.adjust_script(quota.algorithm for quota in buckets.values())
        instants = [(at, at)] * len(buckets)
        return self._ask(
            buckets,
            scripts.adjust(script, list(buckets), _constants(buckets), units=units, instants=instants, patience=0.1),
        )

    def settle(self, buckets: Buckets, hit: Answer, estimate: int, actual: int) -> Answer:
        """Charge what a hit has cost in truth, as the limiter does."""
        check = Check(buckets_of(tuple(buckets.values())), tuple(buckets), Tally("settle"))
        charged = [Charged(int(hit.admitted), hit.at, *said) for said in hit.said]
        instants = Charge(check, Rule(), estimate, charged).instants(actual)
        script, known = check.buckets.adjust, [instants[key] for key in buckets]
        units = actual - estimate
        return self._ask(
            buckets,
            scripts.adjust(script, list(buckets), _constants(buckets), units=units, instants=known, patience=0.1),
        )

    def content(self) -> dict[str, Value]:
        """Return a copy of all that is stored."""
        return self.redis.content()

    def call(self, command: Command) -> Reply:
        """Execute any command, and check that no key is without a time to live."""
        reply = self.redis.execute(command)
        assert all(left >= 0 for left in self.redis.ttls().values())
        return reply

    def _ask(self, buckets: Buckets, command: Command) -> Answer:
        reply = self.call(command)
        assert all(type(number) is int and -1 <= number < EXACT for number in reply), reply
        admitted, at, *figures = reply
        said = tuple(Said(*figures[index : index + 3]) for index in range(0, len(figures), 3))
        assert len(said) == len(buckets)
        left = self.redis.ttls()
        for key, each in zip(buckets, said, strict=True):
            assert each.remaining >= 0
            assert each.reset >= 0
            assert self._changes or each.reset <= left.get(key, 0) * 1000 + 999, (each, left)
        return Answer(bool(admitted), at, said)


def _constants(buckets: Buckets) -> list[str | bytes | int]:
    return [word for quota in buckets.values() for word in constants_of(quota)]
