"""Waiting until a hit is admitted: on one bucket it is booked ahead, on several it is tried again.

Who stops waiting gives its place back. Redis takes back only the last place of a queue, since those behind it know
their instants already; so places that were given up in vain are kept in mind, and given back after those behind them.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field
from typing import Final

from holdfast.core.apart import apart
from holdfast.core.limit_checks import Charge, Check, Rule, changing, charged_of
from holdfast.core.limiting import Limiting
from holdfast.errors import BackendError
from holdfast.policy.decision import LimitDecision
from holdfast.port import Port

_MOST: Final = 1000
"""Places of one bucket that are kept in mind, and buckets after which to look for what is over."""


@dataclass(order=True, slots=True)
class Place:
    """A place that was given up."""

    at: int
    """Its instant, in microseconds of the server's clock."""
    until: float = field(compare=False)
    """When that is over, on the port's monotonic clock."""
    charge: Charge = field(compare=False)


class Booking:
    """Waits for the limits of one layer."""

    def __init__(self, limiting: Limiting) -> None:
        self._limiting = limiting
        self._given_up: dict[str, list[Place]] = {}

    async def admit(self, port: Port, check: Check, cost: int, rule: Rule, patience: float) -> LimitDecision:
        """Hit, and wait for at most `patience` seconds until the hit is admitted and may go on."""
        if len(check.keys) > 1:
            return await self._try_again(port, check, cost, rule, patience)
        asked = port.monotonic()
        decision, wait = await self._book(port, check, cost, rule, patience)
        if wait and decision.allowed:
            try:
                await port.sleep(wait)
            except BaseException as error:
                await self._give_up(port, decision, asked + wait, error)
                raise
        return decision

    async def _try_again(self, port: Port, check: Check, cost: int, rule: Rule, patience: float) -> LimitDecision:
        """Wait until all buckets admit the hit, and ask again, as long as there is time."""
        denials, quotas = self._limiting.denials, check.buckets.quotas
        until = port.monotonic() + patience
        while True:
            decision, wait = await self._limiting.hit(port, check, cost, rule, max(0.0, until - port.monotonic()))
            while wait:
                await port.sleep(wait)
                now = port.monotonic()
                _, denial = denials.find(check.keys, quotas, cost, now)  # others have asked meanwhile, in vain
                wait = min(denial.until, until) - now if denial is not None and now < until else 0.0
                if not wait:
                    break
            else:
                return decision

    async def _book(
        self, port: Port, check: Check, cost: int, rule: Rule, patience: float
    ) -> tuple[LimitDecision, float]:
        """Hit apart from the caller: if that leaves meanwhile, its place is given back when Redis has answered."""
        found: list[tuple[LimitDecision, float]] = []
        asked, left = port.monotonic(), False

        async def book() -> tuple[LimitDecision, float]:
            decision, wait = await self._limiting.hit(port, check, cost, rule, patience)
            found.append((decision, wait))
            if left:
                await self._give_back(port, decision, asked + wait)
            return decision, wait

        try:
            return await apart(port, book)
        except BaseException as error:
            left = True
            for decision, wait in found:  # answered already, but not heard
                await self._give_up(port, decision, asked + wait, error)
            raise

    async def _give_up(self, port: Port, decision: LimitDecision, until: float, error: BaseException) -> None:
        """Give a place back when its holder is cancelled or interrupted by an error.

        Here and now, since a loop that is about to end waits for what it has cancelled, and for nothing else. If that
        is cut short too, the place may stay taken: it has perhaps been given back, and must not come back twice.
        """
        if not isinstance(error, GeneratorExit):  # then nothing may be awaited any more
            await self._give_back(port, decision, until)

    async def _give_back(self, port: Port, decision: LimitDecision, until: float) -> None:
        """Give back a place, and then those before it that could not be given back as long as it was there."""
        charge = decision.charge
        if not isinstance(charge, Charge):
            return
        check = charge.check
        key, place = check.keys[0], Place(charged_of(charge.answer)[0].at, until, charge)
        self._forget_what_is_over(port.monotonic())
        self._keep(key, place)
        self._limiting.forget(check)
        try:
            while (last := self._take_last(key)) is not None:
                # While it is asked for it is nobody else's, and if that fails it is lost: it must not come back twice.
                back = changing(last.charge.check, -last.charge.cost, last.charge.rule, last.charge.instants(0))
                changed, *_ = await port.call(back(last.charge.check.keys, last.charge.check.buckets.constants))
                if not changed:
                    self._keep(key, last)
                    return
        except BackendError as error:
            self._limiting.recorder.backend_failed(check.tally, "refund", error)
        finally:
            self._limiting.forget(check)

    def _keep(self, key: str, place: Place) -> None:
        places = self._given_up.setdefault(key, [])
        insort(places, place)
        del places[:-_MOST]

    def _take_last(self, key: str) -> Place | None:
        places = self._given_up.get(key)
        if not places:
            self._given_up.pop(key, None)
            return None
        return places.pop()

    def _forget_what_is_over(self, now: float) -> None:
        if len(self._given_up) < _MOST:
            return
        for key, places in list(self._given_up.items()):
            if not places or places[-1].until <= now:
                self._given_up.pop(key, None)
