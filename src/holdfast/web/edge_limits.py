"""Limits at the edge of an app: which rules a request matches, whether all of them admit it, and what follows.

Nothing here knows ASGI, WSGI or a framework. Who serves a request asks `EdgeLimits` for its `Admission`, adds the
fields, and says when the response is complete.

    the process knows that it is refused     refuse, without a round trip
    take the slots of rules with one         refuse if one is not free, and give the others back
    hit all quotas, all or none              refuse if one is used up, and give the slots back
    rules in shadow mode                     are asked last, and refuse nothing
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from holdfast._calls import drive
from holdfast.call_names import value_of
from holdfast.core.limit_checks import Buckets, Check, OnLimitFailure, Rule, buckets_of
from holdfast.core.records import Tally
from holdfast.core.slots import Gate
from holdfast.defaults import engine_of
from holdfast.engine import Engine
from holdfast.layer import Layer
from holdfast.limit_rules import LimitRules, checked_cost
from holdfast.policy.decision import LimitDecision
from holdfast.policy.http.answering import Answer
from holdfast.policy.keys import guard
from holdfast.policy.quota import Quota
from holdfast.port import Port
from holdfast.web.limit_admission import Admission
from holdfast.web.limit_answers import refusal, refusal_of_nobody, users_refusal
from holdfast.web.limit_matching import EdgeRule, UnknownClient, Who
from holdfast.web.limit_options import EdgePlan, RateLimitOptions
from holdfast.web.limit_routes import warn_of_routes
from holdfast.web.limit_strangers import Strangers
from holdfast.web.requests import WebRequest

_MOST_KNOWN: Final = 4096
_LONGEST_KNOWN: Final = 200
_LENIENT_FIRST: Final[tuple[OnLimitFailure, ...]] = ("open", "local", "closed")


class EdgeLimits:
    """The limits of one middleware, in whichever layer it finds when a request comes.

    Args:
        layer: where is counted; without it, the default layer of the moment.
        options: those of the middleware.
        finds_routes: whether the middleware can tell the route of a request by itself.

    Raises:
        ConfigurationError: an option cannot work; the message names it.
    """

    def __init__(self, layer: Layer | None, options: RateLimitOptions, *, finds_routes: bool = False) -> None:
        self._find_engine = engine_of(layer)
        self.plan = EdgePlan(options, finds_routes=finds_routes)
        self._book: _Book | None = None
        self._strangers = Strangers()

    def compare_routes(self, templates: Iterable[str]) -> None:
        """Warn of rules about routes that the app does not have.

        Args:
            templates: of all its routes; nothing if nobody can tell.
        """
        warn_of_routes(self.plan.rules, templates)

    def admit(self, request: WebRequest) -> Admission | Answer | None:
        """Return the admission of a request, or what refuses it; None if nothing limits it. For blocking callers."""
        engine = self._find_engine()
        port, check = engine.blocking, self._find_usual(engine, request)
        if check is None:
            return drive(self._admit(engine, port, request))
        cost, rule = self.plan.cost, check.rule
        decision = engine.limiting.known(check.check, cost, rule, port.monotonic())
        if decision is None:
            decision = engine.limiting.hit_now(port, check.check, cost, rule)
        if not decision.allowed:
            return drive(self._refuse(request, decision))
        return Admission(engine, port, self.plan, decision)

    async def aadmit(self, request: WebRequest) -> Admission | Answer | None:
        """Do what `admit` does, for async callers."""
        engine = self._find_engine()
        port, check = engine.asyncio, self._find_usual(engine, request)
        if check is None:
            return await self._admit(engine, port, request)
        cost, rule = self.plan.cost, check.rule
        decision = engine.limiting.known(check.check, cost, rule, port.monotonic())
        if decision is None:
            decision, _ = await engine.limiting.hit(port, check.check, cost, rule)
        if not decision.allowed:
            return await self._refuse(request, decision)
        return Admission(engine, port, self.plan, decision)

    async def aopen(self, request: WebRequest) -> tuple[Admission | Answer | None, tuple[Quota, ...]]:
        """Do what `aadmit` does for the opening of a websocket, and return what its messages may be.

        They are not limited where the websocket is exempt, nor in shadow mode, nor while the layer is disabled.
        """
        engine = self._find_engine()
        if await self._spares(engine, request):
            return None, ()
        messages = () if self.plan.shadow else self.plan.messages
        return await self._ask_rules(engine, engine.asyncio, request), messages

    def _find_usual(self, engine: Engine, request: WebRequest) -> _Usual | None:
        """Return what a request is asked for in most apps, which have one rule about all that a client does.

        That takes a short way: without the coroutines and lists that several rules need.
        """
        plan = self.plan
        rule = plan.solo
        if rule is None or engine.off.get():
            return None
        client = plan.clients.identity(request.peer, request.pairs)
        return None if client is None else self._open(engine).usual(rule, client)

    def _open(self, engine: Engine) -> _Book:
        book = self._book
        if book is None or book.engine is not engine:
            book = self._book = _Book(engine)
        return book

    async def _admit(self, engine: Engine, port: Port, request: WebRequest) -> Admission | Answer | None:
        return None if await self._spares(engine, request) else await self._ask_rules(engine, port, request)

    async def _spares(self, engine: Engine, request: WebRequest) -> bool:
        """Say whether nothing limits a request, whatever the rules."""
        exempt = self.plan.exempt
        return engine.off.get() or (bool(exempt) and await exempt.holds(request))

    async def _ask_rules(self, engine: Engine, port: Port, request: WebRequest) -> Admission | Answer | None:
        plan, book = self.plan, self._open(engine)
        matched: list[tuple[EdgeRule, Who]] = []
        try:
            for rule in plan.rules:
                who = await rule.find_who(request, plan.clients)
                if who is not None:
                    matched.append((rule, who))
        except UnknownClient as error:
            self._strangers.note(str(error))
            return refusal_of_nobody(bodiless=request.method == "HEAD")
        if not matched:
            return None
        cost = plan.cost if plan.cost_of is None else checked_cost(await value_of(plan.cost_of(request)))
        admission = Admission(engine, port, plan)
        await _ask(book, port, admission, matched, cost)
        if admission.decision.allowed:
            return admission
        return await self._refuse(request, admission.decision)

    async def _refuse(self, request: WebRequest, decision: LimitDecision) -> Answer:
        plan, bodiless = self.plan, request.method == "HEAD"
        given = None if plan.on_refused is None else await value_of(plan.on_refused(request, decision))
        if given is not None:
            return users_refusal(given, decision, plan.dialect, bodiless=bodiless)
        return refusal(decision, plan.dialect, bodiless=bodiless)


async def _ask(
    book: _Book, port: Port, admission: Admission, matched: Sequence[tuple[EdgeRule, Who]], cost: int
) -> None:
    """Ask the rules that refuse, then those that only watch; a request that is refused holds nothing afterwards."""
    watched = [each for each in matched if each[0].rule.shadow]
    enforced = [each for each in matched if not each[0].rule.shadow] if watched else matched
    try:
        for group in (enforced, watched):
            if group and admission.goes_on:
                await _ask_group(book, port, admission, group, cost)
    except BaseException:  # also if the client has left meanwhile
        await admission.give_back()
        raise
    if not admission.goes_on:
        await admission.give_back()


async def _ask_group(
    book: _Book, port: Port, admission: Admission, group: Sequence[tuple[EdgeRule, Who]], cost: int
) -> None:
    counted = [each for each in group if each[0].quotas]
    check, rule = book.check(counted) if counted else (None, None)
    gated = [each for each in group if each[0].concurrency is not None]
    if gated and check is not None and rule is not None and not rule.shadow:
        known = book.engine.limiting.known(check, cost, rule, port.monotonic())
        if known is not None and not known.allowed:
            admission.note(known)
            return
    for each in gated:
        if not await admission.take(book.gate(*each)):
            return
    if check is not None and rule is not None:
        blocking = port is book.engine.blocking
        admission.note(
            book.rules.decide(check, cost, rule) if blocking else await book.rules.adecide(check, cost, rule)
        )


class _Usual(NamedTuple):
    """What a request is asked for, and how."""

    check: Check
    rule: Rule


class _Book:
    """What is worked out once for each layer: keys, and what several rules have in common."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.rules = LimitRules(engine)
        self._starts: dict[tuple[str, str], str] = {}
        self._usual: dict[str, _Usual] = {}
        self._sets: dict[tuple[str, ...], tuple[Buckets, Rule, Tally]] = {}

    def check(self, counted: Sequence[tuple[EdgeRule, Who]]) -> tuple[Check, Rule]:
        """Return the buckets of a request under some rules, and how these are asked."""
        labels = tuple([rule.label for rule, _ in counted])
        known = self._sets.get(labels)
        if known is None:
            known = self._combine([rule for rule, _ in counted])
            if len(self._sets) < _MOST_KNOWN:
                self._sets[labels] = known
        buckets, said, tally = known
        keys: list[str] = []
        for rule, who in counted:
            start = self._start(who)
            keys += [start + quota.bucket for quota in rule.quotas]
        return Check(buckets, tuple(keys), tally), said

    def usual(self, rule: EdgeRule, client: str) -> _Usual:
        """Return the buckets of a client under the only rule."""
        found = self._usual.get(client)
        if found is None:
            found = _Usual(*self.check([(rule, Who(f"client:{client}", rule.label))]))
            if len(self._usual) < _MOST_KNOWN:
                self._usual[client] = found
        return found

    def gate(self, rule: EdgeRule, who: Who) -> Gate:
        """Return the slots of a request under a rule."""
        tally = self.engine.recorder.tally(f"edge:{rule.label}")
        key = f"{self._start(who)}concurrency"
        return Gate(key, rule.concurrency or 1, rule.lease, rule.rule, tally, rule.slots)

    def _start(self, who: Who) -> str:
        """Return what the keys of somebody's buckets begin with."""
        known = who.slot, who.name
        start = self._starts.get(known)
        if start is None:
            start = self.rules.start(guard(who.name, "a rule"), f"edge:{who.slot}")
            if len(self._starts) < _MOST_KNOWN and len(who.slot) + len(who.name) <= _LONGEST_KNOWN:
                self._starts[known] = start
        return start

    def _combine(self, rules: Sequence[EdgeRule]) -> tuple[Buckets, Rule, Tally]:
        """Return what rules have in common that are asked together: without Redis the strictest of them decides."""
        said = [rule.rule for rule in rules]
        strictest: OnLimitFailure = max([each.on_failure for each in said], key=_LENIENT_FIRST.index)
        budget = min(each.budget for each in said)
        pattern = "edge:" + ", ".join(rule.label for rule in rules)
        tally = self.engine.recorder.tally_of_many(pattern, "edge: other rules")
        quotas = tuple(quota for rule in rules for quota in rule.quotas)
        return buckets_of(quotas), Rule(strictest, budget, said[0].shadow), tally
