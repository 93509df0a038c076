"""One HTTP cache: what comes of a request before the app sees it.

The order is that of every request here:

1. GET the page of its URL, with the versions of its tags. Redis away: the app answers, and nothing is stored.
2. Judge. What may be served is; what is served stale is refreshed behind, by one request among all processes.
3. Otherwise get the right to fetch the URL, and look again: another request may have brought it meanwhile.

Nothing that one request has read is given to another.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

from holdfast._turns import Turns
from holdfast.core.caching import Caching
from holdfast.core.call import Call, no_load
from holdfast.core.http_exchange import Exchange, Outcome
from holdfast.core.http_fetching import Fetching, Right
from holdfast.core.http_keeping import Services
from holdfast.core.http_pages import NOTHING, Found, Pages
from holdfast.core.http_writing import Writing
from holdfast.core.plan import Plan
from holdfast.errors import BackendError
from holdfast.events import Coalesced, Hit, Miss, Refreshed, Stale
from holdfast.policy.http.invalidation import is_safe_method
from holdfast.policy.http.judging import (
    BYPASS,
    OTHER_METHOD,
    Decision,
    Forward,
    Serve,
    Unsatisfied,
    judge,
)
from holdfast.policy.http.request import READING, Request
from holdfast.policy.http.rules import Rules
from holdfast.policy.http.stored import Page
from holdfast.policy.http.target import Target
from holdfast.policy.http.variants import Variant
from holdfast.port import Port

Rerun: TypeAlias = Callable[[], Callable[[Exchange], Awaitable[None]]]
"""Takes a copy of the request, and returns what sends it to the app without a client and tells the exchange of it."""

_PASSING_KNOWN: Final = 5.0
"""Seconds for which a process believes that a URL is not stored, without asking Redis."""
_MOST_PASSING: Final = 4096
_MOST_MET: Final = 65536
UNKNOWN: Final = Forward("uri-miss")
PASSED: Final = Forward("uri-miss", leased=False, waits=False)
MARKED: Final = Found(None, Page((), math.inf), ())
"""What is stored of such a URL, as far as this process knows."""


@dataclass(slots=True)
class _Wish:
    """What a request wants while it waits for the right to fetch: it may come to want something else."""

    judge: Callable[[Found], Decision]
    found: Found
    decision: Decision
    until: float = 0.0
    """When it stops waiting for others, if it waits at all."""
    lost: str = ""
    """The id of a variant that counts as if it were not there."""
    looked: bool = True
    """Whether it has seen what is stored."""
    waited: bool = False
    """Whether it had to wait for another request."""

    @property
    def deadline(self) -> float:
        """When it stops waiting for others: at once, if what they bring would be of no use."""
        return self.until if isinstance(self.decision, Forward) and self.decision.waits else 0.0

    def still(self, later: Found) -> bool:
        """Look at what was found, and say whether the right to fetch is still wanted."""
        self.looked = True
        self.found = later.without({self.lost}) if self.lost else later
        self.decision = self.judge(self.found)
        return isinstance(self.decision, Forward) and self.decision.leased


class HttpCaching:
    """The HTTP cache of one middleware in one layer."""

    def __init__(
        self,
        caching: Caching,
        plan: Plan,
        rules: Rules,
        turns: Turns,
        key_of: Callable[[Target], str],
        *,
        signed: bool,
    ) -> None:
        self.rules = rules
        self.plan = plan
        self._recorder = caching.recorder
        pages = Pages(caching.reading, plan, rules, caching.recorder, signed=signed)
        fetching = Fetching(caching.loading.leasing, turns, pages, tagged=bool(rules.tag_field))
        self._services = Services(
            rules, pages, fetching, Writing(caching, plan, rules, pages), key_of, self._like, self._count_stale
        )
        self._passing: dict[str, float] = {}
        """Until when, on the monotonic clock, the mark of a URL that is not stored need not be looked at again."""
        self._liked: set[str] = set()
        """The keys of URLs under a mark that have been stored, or might have been."""
        self._met: set[str] = set()
        self._behind = turns.behind

    async def open(self, port: Port, request: Request, rerun: Rerun) -> Outcome | Exchange | Unsatisfied:
        """Return what to answer, or the exchange with the app that is needed for it.

        Args:
            port: of the middleware's colour.
            request: the client's.
            rerun: sends the request to the app in the background; called at once, if at all.
        """
        if request.method not in READING:
            return await self._changing(port, request)
        if self._services.fetching.is_around(request.key):
            return self._exchange(port, request, self._call(request), BYPASS, NOTHING, Right())
        if self._passing and self.passes(port, request):
            return self.passed(port, request)
        if request.plain and request.method == "GET" and self._is_new(request.key):
            return await self._fetching(port, request, self._call(request), UNKNOWN, NOTHING, rerun, new=True)
        try:
            found = await self._services.pages.read(port, request.key)
        except BackendError as error:
            self._services.pages.failed("GET", error)
            return self._exchange(port, request, self._call(request), BYPASS, NOTHING, Right())
        decision = self._judge(port, request, found)
        if type(decision) is Serve and decision.variant.stored.body is not None and not decision.stale:
            return self._hit(request.key, decision.variant, decision.variant.stored.body, decision)
        call = self._call(request)
        if isinstance(decision, Forward) and decision.leased:
            return await self._fetching(port, request, call, decision, found, rerun)
        self._note_passing(port, request.key, found)
        return await self._decided(port, request, call, decision, found, rerun)

    def _is_new(self, key: str) -> bool:
        """Say whether this process asks for a URL for the first time in a while.

        Then it asks for the lease at once, which brings the page as well if there is one: a miss is a round trip less.
        """
        met = self._met
        if key in met:
            return False
        if len(met) >= _MOST_MET:
            met.clear()
        met.add(key)
        return True

    def passes(self, port: Port, request: Request) -> bool:
        """Say whether this process knows that the answer will not be stored, so that nobody need look."""
        until = self._passing.get(request.key)
        if until is None or not request.plain:
            return False
        if port.monotonic() < until:
            return True
        self._passing.pop(request.key, None)
        return False

    def _like(self, key: str) -> None:
        """Note that a URL may be stored: a mark, which anybody can bring about, only keeps requests from waiting."""
        self._passing.pop(key, None)
        if len(self._liked) >= _MOST_PASSING:
            self._liked.clear()
        self._liked.add(key)

    def _note_passing(self, port: Port, key: str, found: Found) -> None:
        until = found.page.passing
        if not until or found.variants or key in self._liked:
            return
        if len(self._passing) >= _MOST_PASSING:
            self._passing.clear()
        self._passing[key] = port.monotonic() + min(_PASSING_KNOWN, until - port.now())

    def _judge(self, port: Port, request: Request, found: Found) -> Decision:
        return judge(
            request,
            found.variants,
            port.now(),
            self.rules,
            softened=found.softened,
            passing=found.page.passing,
            liked=bool(found.variants) or request.key in self._liked,
            retry_at=found.retry_at,
        )

    async def _decided(
        self,
        port: Port,
        request: Request,
        call: Call,
        decision: Decision,
        found: Found,
        rerun: Rerun,
        *,
        shared: bool = False,
    ) -> Outcome | Exchange | Unsatisfied:
        """Do what was decided, if it needs no right to fetch; `shared`: another request has brought what is served."""
        if isinstance(decision, Serve):
            outcome = await self._served(port, call, decision, shared=shared)
            if outcome is None:
                return await self._without(port, request, call, decision, found, rerun)
            if decision.refresh:
                self._refresh_behind(port, request, call, found, rerun)
            return outcome
        if isinstance(decision, Unsatisfied):
            return decision
        return self._exchange(port, request, call, decision, found, Right())

    async def _without(
        self, port: Port, request: Request, call: Call, serve: Serve, found: Found, rerun: Rerun
    ) -> Outcome | Exchange | Unsatisfied:
        """Do what is to be done without a variant whose body is gone: it was evicted, or somebody removed it."""
        left = found.without({serve.variant.stored.id})
        decision = self._judge(port, request, left)
        if isinstance(decision, Forward) and decision.leased:
            return await self._fetching(port, request, call, decision, left, rerun, lost=serve.variant.stored.id)
        return await self._decided(port, request, call, decision, left, rerun)

    async def _served(self, port: Port, call: Call, serve: Serve, *, shared: bool) -> Outcome | None:
        variant = serve.variant
        body = variant.stored.body
        if body is None:
            try:
                body = await self._services.pages.body(port, call.key, variant)
            except BackendError as error:
                self._services.pages.failed("GET", error)
            if body is None:
                return None
        if not shared:
            return self._hit(call.key, variant, body, serve)
        tally, recorder = self.plan.tally, self._recorder
        tally.coalesced += 1
        if recorder.hooks:
            recorder.emit(Coalesced(tally.pattern, call.key))
        return Outcome(variant, body, serve.age, serve.stale, collapsed=True)

    def count_hit(self, key: str, *, stale: bool = False) -> None:
        """Count and tell that a URL was served from the store."""
        tally, recorder = self.plan.tally, self._recorder
        tally.hits += 1
        if stale:
            tally.stale += 1
        if recorder.hooks:
            recorder.emit(Stale(tally.pattern, key, "grace") if stale else Hit(tally.pattern, key))

    def _count_stale(self, key: str) -> None:
        """Count and tell that a stale response has stood in for a failure of the app."""
        tally, recorder = self.plan.tally, self._recorder
        tally.stale += 1
        if recorder.hooks:
            recorder.emit(Stale(tally.pattern, key, "error"))

    def simple_page(self, key: str, variant: Variant) -> bytes | None:
        """Return what Redis had of a URL, if that is this variant alone and only time can make it stale."""
        return self._services.pages.simple(key, variant)

    def passed(self, port: Port, request: Request) -> Exchange:
        """Return the exchange of a request whose answer is known not to be stored."""
        return self._exchange(port, request, self._call(request), PASSED, MARKED, Right())

    def _hit(self, key: str, variant: Variant, body: bytes, serve: Serve) -> Outcome:
        self.count_hit(key, stale=serve.stale)
        return Outcome(variant, body, serve.age, serve.stale)

    async def _fetching(
        self,
        port: Port,
        request: Request,
        call: Call,
        forward: Forward,
        found: Found,
        rerun: Rerun,
        *,
        new: bool = False,
        lost: str = "",
    ) -> Outcome | Exchange | Unsatisfied:
        """Get the right to fetch a URL, or what another request has brought meanwhile.

        Args:
            port: of the middleware's colour.
            request: the client's.
            call: names the URL.
            forward: what is wanted.
            found: what was found.
            rerun: as for `open`.
            new: whether nobody has looked yet.
            lost: the id of a variant whose body is gone.
        """
        if not new:
            self._count_miss(call, found)
        until = port.monotonic() + self.plan.wait
        wish = _Wish(partial(self._judge, port, request), found, forward, until, lost, looked=not new)
        try:
            right = await self._services.fetching.obtain(port, call, wish)
        except BackendError as error:
            self._services.pages.failed("GET", error)
            return self._exchange(port, request, call, BYPASS, NOTHING, Right())
        if right is None or not isinstance(wish.decision, Forward):
            return await self._found(port, request, call, wish, rerun, new=new)
        if right.away:
            found = NOTHING if new else wish.found
            return self._exchange(port, request, call, wish.decision._replace(why="bypass"), found, right)
        if new:
            self._count_miss(call, wish.found)
        exchange = self._exchange(port, request, call, wish.decision, wish.found, right)
        exchange.collapsed = wish.waited
        return exchange

    async def _found(
        self, port: Port, request: Request, call: Call, wish: _Wish, rerun: Rerun, *, new: bool
    ) -> Outcome | Exchange | Unsatisfied:
        """Do what is wanted now that another request has stored something, or has found that nothing is to be."""
        self._note_passing(port, call.key, wish.found)
        shared = wish.waited or not new
        if shared and new:
            self._count_miss(call, wish.found)
        return await self._decided(port, request, call, wish.decision, wish.found, rerun, shared=shared)

    def _count_miss(self, call: Call, found: Found) -> None:
        tally, recorder = self.plan.tally, self._recorder
        tally.misses += 1
        if recorder.hooks:
            recorder.emit(Miss(tally.pattern, call.key, "stale" if found.variants else "absent"))

    def _exchange(
        self, port: Port, request: Request, call: Call, forward: Forward, found: Found, right: Right
    ) -> Exchange:
        if not right.token and forward.leased:  # what a 304 would confirm could not be brought up to date
            forward = forward._replace(leased=False)
        return Exchange(self._services, port, request, call, forward, found, right)

    async def _changing(self, port: Port, request: Request) -> Exchange:
        """Return the exchange of a request whose answer is not for others, but for a POST that says so."""
        call = self._call(request)
        right, forward = Right(), OTHER_METHOD if not is_safe_method(request.method) else BYPASS
        if request.method == "POST" and self.rules.posts:
            right = await self._services.fetching.take(port, call)
            forward = Forward("method")
        return self._exchange(port, request, call, forward, NOTHING, right)

    def _refresh_behind(self, port: Port, request: Request, call: Call, found: Found, rerun: Rerun) -> None:
        """Validate a stale response behind, unless somebody does so already or there are no hands free."""
        key = call.key
        alive = self._behind.get(key)
        if (alive is not None and alive()) or not port.free_hands():
            return
        self._behind[key] = port.lifeline()
        port.spawn(self._refresh(port, request, call, found, rerun()), lambda: self._behind.pop(key, None))

    async def _refresh(
        self, port: Port, request: Request, call: Call, found: Found, run: Callable[[Exchange], Awaitable[None]]
    ) -> None:
        unconditional = request.unconditional()
        wish = _Wish(partial(self._to_refresh, port, unconditional), found, BYPASS)
        if not wish.still(found):
            return
        try:
            right = await self._services.fetching.obtain(port, call, wish)
        except BackendError as error:
            self._services.pages.failed("GET", error)
            return
        decision, found = wish.decision, wish.found
        if right is None or not right.token or not isinstance(decision, Forward):
            return
        exchange = self._exchange(port, unconditional, call, decision, found, right)
        try:
            await run(exchange)
        finally:
            await exchange.broken(None, begun=True)  # harmless if it has ended
        if exchange.has_stored and self._recorder.hooks:
            self._recorder.emit(Refreshed(self.plan.tally.pattern, call.key, background=True))

    def _to_refresh(self, port: Port, request: Request, found: Found) -> Decision:
        """Judge as if nothing could be served while it is stale."""
        decision = self._judge(port, request, found)
        if isinstance(decision, Serve) and decision.refresh:
            return Forward("stale", (decision.variant,), decision.variant, stripped=True)
        return decision._replace(stripped=True) if isinstance(decision, Forward) else decision

    def _call(self, request: Request) -> Call:
        return Call(self.plan, request.key, no_load)
