"""Hits on buckets that lie in several slots of a cluster, where no script can charge them at one instant.

Each slot's buckets are charged all or none, and if one slot refuses, the others are refunded; meanwhile others see them
charged. If a slot cannot be asked, the others are refunded as well, unless the hit goes on for that
(`on_failure="open"`).
"""

from __future__ import annotations

from collections.abc import Sequence

from holdfast._denials import Denials
from holdfast.commands import Command, Word
from holdfast.core.apart import apart
from holdfast.core.limit_checks import Charge, Charged, Check, Rule, ask, ask_each, changing, part
from holdfast.core.records import Recorder
from holdfast.errors import BackendError
from holdfast.port import Port
from holdfast.scripts import limits as scripts


class Apart:
    """Charges buckets slot by slot."""

    def __init__(self, recorder: Recorder, denials: Denials) -> None:
        self._recorder = recorder
        self._denials = denials

    async def charge(self, port: Port, check: Check, cost: int, rule: Rule) -> list[Charged]:
        """Charge all buckets or none, and return what is said of each.

        It is done apart from the caller: if that is cancelled, what was charged for a hit that others refuse is given
        back all the same.

        Raises:
            BackendError: of some nothing is known. What is known to be charged is given back, unless it is to count.
        """
        return await apart(port, lambda: self._charge(port, check, cost, rule))

    async def _charge(self, port: Port, check: Check, cost: int, rule: Rule) -> list[Charged]:
        def charge(keys: Sequence[str], constants: Sequence[Word]) -> Command:
            return scripts.hit(check.buckets.hit, keys, constants, cost=cost, wait=0, patience=rule.budget)

        said = await ask_each(port, check, charge)
        failure = next((each for each in said if isinstance(each, BackendError)), None)
        charged = {index: each for index, each in enumerate(said) if isinstance(each, Charged)}
        wrongly = [index for index, each in charged.items() if each.admitted]
        goes_on = len(wrongly) == len(said) or (failure is not None and rule.on_failure == "open")
        if cost and wrongly and not goes_on:
            back = await self._refund(port, part(check, wrongly), [charged[index] for index in wrongly], cost, rule)
            for index, after in zip(wrongly, back, strict=True):
                charged[index] = charged[index]._replace(remaining=after.remaining, reset=after.reset)
        if failure is not None:
            raise failure
        return list(charged.values())

    async def _refund(self, port: Port, check: Check, charged: list[Charged], cost: int, rule: Rule) -> list[Charged]:
        """Give back what some slots have charged for a hit that does not go on, and return what is left there then."""
        instants = Charge(check, rule, cost, charged).instants(0)
        try:
            return await ask(port, check, changing(check, -cost, rule, instants))
        except BackendError as error:
            self._recorder.backend_failed(check.tally, "refund", error)
            return charged
        finally:
            self._denials.forget(check.keys)  # who was refused meanwhile, was so for what is given back
