"""From what the cache decided to the fields and the body that a client gets; the same for both middlewares."""

from __future__ import annotations

import math

from holdfast.core.http_exchange import Exchange, Next, Outcome
from holdfast.policy.http.answering import Answer, answer_of, unsatisfied
from holdfast.policy.http.fields import Pairs
from holdfast.policy.http.request import Request
from holdfast.policy.http.status import cache_status
from holdfast.web.http_options import WebCache


def answer(cache: WebCache, request: Request, outcome: Outcome, now: float) -> Answer:
    """Return the answer to a request from what is stored.

    Args:
        cache: the middleware's.
        request: the client's.
        outcome: what it gets.
        now: Unix seconds.
    """
    more: Pairs = ()
    if cache.name is not None:
        ttl = math.floor(outcome.variant.told.lifetime - outcome.age)
        if cache.debug or outcome.forwarded or outcome.collapsed:
            more = (("Cache-Status", _told(cache, request, outcome, ttl)),)
        else:
            more = (("Cache-Status", f"{cache.hit}{ttl}"),)
    return answer_of(request, outcome.variant, outcome.body, outcome.age, now, more)


def _told(cache: WebCache, request: Request, outcome: Outcome, ttl: int) -> str:
    key = request.key if cache.debug else None
    if not outcome.forwarded:
        return cache_status(
            cache.name or "", hit=True, ttl=ttl, key=key, detail="collapsed" if outcome.collapsed else None
        )
    return cache_status(
        cache.name or "",
        fwd=outcome.forwarded,
        fwd_status=outcome.status or None,
        stored=outcome.status == 304,
        collapsed=outcome.collapsed,
        ttl=ttl,
        key=key,
        detail="stale" if outcome.stale else None,
    )


def timeout(cache: WebCache, request: Request) -> Answer:
    """Return the answer to a client that wants a stored response or none, where there is none."""
    if cache.name is None:
        return unsatisfied(())
    key = request.key if cache.debug else None
    return unsatisfied((("Cache-Status", cache_status(cache.name, key=key, detail="only-if-cached")),))


def relayed_status(cache: WebCache, exchange: Exchange, done: Next, status: int) -> str | None:
    """Return the Cache-Status of the app's own answer; None if there is to be none.

    Args:
        cache: the middleware's.
        exchange: in which the app answered.
        done: what is done with the answer.
        status: that the app gave it.
    """
    if cache.name is None:
        return None
    return cache_status(
        cache.name,
        fwd=exchange.forward.why,
        fwd_status=status if status != done.status else None,
        stored=done.stored,
        collapsed=exchange.collapsed,
        key=exchange.request.key if cache.debug else None,
        detail=(done.detail or None) if cache.debug else None,
    )
