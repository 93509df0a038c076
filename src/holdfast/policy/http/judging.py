"""What to do with a request, by what is stored for its URL (RFC 9111, 4).

what is found                                    what is done
a fresh variant, nothing said against it         `Serve` it
a stale one, within stale-while-revalidate       `Serve` it, and refresh it behind
a stale one, or the request wants it validated   `Forward` with its validators, one request of a URL at a time
variants, none of which matches                  `Forward` with the validators of all
nothing                                          `Forward`, one request of a URL at a time
nothing, but the last answer was not to be kept  `Forward`, all at once
anything but a GET or HEAD, or no-store          `Forward`, not stored
what only-if-cached cannot have                  `Unsatisfied`
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from holdfast.policy.http.ages import Freshness, age_at
from holdfast.policy.http.conditions import Validators, has_unsafe_conditions
from holdfast.policy.http.directives import RequestDirectives
from holdfast.policy.http.request import Request
from holdfast.policy.http.rules import Rules
from holdfast.policy.http.variants import Variant, can_read, is_for

Why: TypeAlias = Literal["bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial"]
"""Why a request went to the app, in the words of RFC 9211, 2.2."""


class Serve(NamedTuple):
    """Answer from what is stored."""

    variant: Variant
    age: float
    """Seconds."""
    stale: bool = False
    refresh: bool = False
    """Whether it is to be validated behind."""


class Forward(NamedTuple):
    """Let the app answer."""

    why: Why
    held: Sequence[Variant] = ()
    """What is stored and may be confirmed by a 304: the selected variant alone, or all on a `vary-miss`."""
    fallback: Variant | None = None
    """What may be served if the app fails."""
    leased: bool = True
    """Whether the answer may be stored, for which a lease is needed."""
    waits: bool = True
    """Whether to wait for another request that fetches the same URL."""
    stripped: bool = False
    """Whether the client's conditions and range were taken off once: a 304 would be for nobody then."""

    @property
    def validates(self) -> bool:
        """Whether a validator is sent."""
        return any(each.validators != _NONE for each in self.held)


class Unsatisfied(NamedTuple):
    """Answer 504: the client wants a stored response or none (RFC 9111, 5.2.1.7)."""


Decision: TypeAlias = Serve | Forward | Unsatisfied

_NONE: Final = Validators(None, None)
_PERSONAL: Final = frozenset({"authorization", "cookie"})
"""Fields that tell users apart."""
UNSATISFIED: Final = Unsatisfied()
BYPASS: Final = Forward("bypass", leased=False, waits=False)
OTHER_METHOD: Final = Forward("method", leased=False, waits=False)


def select(request: Request, variants: Sequence[Variant]) -> Variant | None:
    """Return the variant that a request selects, the most recent of several (RFC 9111, 4.1).

    One without Vary fits every request; where others have it, it was sent by mistake for those without preferences,
    and does not count.
    """
    if len(variants) == 1:
        return variants[0] if is_for(variants[0].stored, request) else None
    varied = any(each.stored.names for each in variants)
    fitting = [each for each in variants if bool(each.stored.names) == varied and is_for(each.stored, request)]
    return max(fitting, key=lambda each: (each.told.date, each.stored.received), default=None)


def judge(
    request: Request,
    variants: Sequence[Variant],
    now: float,
    rules: Rules,
    *,
    softened: bool = False,
    passing: float = 0.0,
    liked: bool = False,
    retry_at: float = 0.0,
) -> Decision:
    """Say what to do with a GET or HEAD.

    Args:
        request: the request.
        variants: what is stored of its URL.
        now: Unix seconds.
        rules: of the cache.
        softened: whether all of it counts as stale, since a tag was made so.
        passing: until when requests do not wait for each other, see `Page`.
        liked: whether some answers of the URL are stored all the same; then a request that need not wait may store.
        retry_at: until when the app is not asked again if there is something to serve, since it has just failed.
    """
    if len(variants) == 1 and request.plain and variants[0].simple and not (softened or request.extras):
        (only,) = variants  # the commonest case once more, since every hit comes through here
        age = age_at(only.told.initial_age, only.stored.received, now)
        if age < only.told.lifetime:
            return Serve(only, age)
    wants = request.directives(honoured=rules.honour_clients)
    if wants.no_store or (not request.plain and has_unsafe_conditions(request.fields)):
        return UNSATISFIED if wants.only_if_cached else BYPASS
    variant = select(request, variants)
    if variant is None:
        if wants.only_if_cached:
            return UNSATISFIED
        return _missing(request, variants, wants, passes=passing > now, liked=liked)
    age = age_at(variant.told.initial_age, variant.stored.received, now)
    served = _served(variant, age, wants, softened=softened, failing=now < retry_at)
    if served is not None:
        return served
    if wants.only_if_cached:
        return UNSATISFIED
    forward = _validating(variant, age, wants, rules, softened=softened)
    if now < retry_at and forward.fallback is not None:
        return Serve(variant, age, stale=True)
    return forward


def _missing(
    request: Request, variants: Sequence[Variant], wants: RequestDirectives, *, passes: bool, liked: bool
) -> Forward:
    why: Why = "vary-miss" if variants else "uri-miss"
    # What answers a condition or a range, or one user, is seldom what others wait for.
    waits = request.plain or not (wants.no_cache or _is_special(request))
    held = confirmable(request, variants)
    leased = not request.is_head and (liked or not passes)  # without a body there is nothing to store
    return Forward(why, held if leased else (), leased=leased, waits=leased and waits and not passes)


def confirmable(request: Request, variants: Sequence[Variant]) -> list[Variant]:
    """Return the variants that may turn out to be what a request wants that selects none of them (RFC 9111, 4.3.1).

    Many apps give one ETag to all languages, encodings or users of a resource, though each must have its own (RFC
    9110, 8.8.3). What such an app confirms is somebody else's. So nothing is asked where users may differ, or before
    the ETags of two variants were seen to differ, and never for an encoding that the client cannot read.
    """
    alike = [each for each in variants if each.stored.extras == request.extras]
    etags = [each.validators.etag for each in alike]
    if len(alike) < 2 or None in etags or len(set(etags)) < len(alike):
        return []
    if any(not _PERSONAL.isdisjoint(each.stored.names) for each in alike):
        return []
    return [each for each in alike if can_read(request.fields, each.fields)]


def _is_special(request: Request) -> bool:
    get = request.fields.get
    return any(get(name) is not None for name in ("authorization", "range", "if-none-match", "if-modified-since"))


def _served(variant: Variant, age: float, wants: RequestDirectives, *, softened: bool, failing: bool) -> Serve | None:
    """Return what to serve without asking the app, if it may be."""
    told = variant.told
    said = told.directives
    if said.no_cache:
        return None
    fresh = age < told.lifetime and not softened
    if not (fresh and said.immutable):  # a reload has nothing to find while that is true (RFC 8246, 2)
        if wants.no_cache or (wants.max_age is not None and age > wants.max_age):
            return None
        if wants.min_fresh is not None and told.lifetime - age < wants.min_fresh:
            return None
    if fresh:
        return Serve(variant, age)
    if softened or not told.may_be_stale or (wants.max_age is not None and wants.max_stale is None):
        return None  # who gives an age without max-stale wants nothing stale (RFC 9111, 5.2.1.1)
    beyond = age - told.lifetime
    if said.stale_while_revalidate is not None and beyond < said.stale_while_revalidate:
        return Serve(variant, age, stale=True, refresh=not failing)
    if wants.max_stale is not None and told.lifetime > 0 and beyond <= wants.max_stale:
        return Serve(variant, age, stale=True)
    return None


def _validating(variant: Variant, age: float, wants: RequestDirectives, rules: Rules, *, softened: bool) -> Forward:
    told = variant.told
    fresh = age < told.lifetime and not softened and not told.directives.no_cache
    fallback = (
        variant if told.may_be_stale and not wants.no_cache and _fallback_ends(told, wants, rules) > age else None
    )
    # What another request brings is of use to this one only if it is fresh for a while.
    useful = told.lifetime > told.initial_age and not told.directives.no_cache
    return Forward("request" if fresh else "stale", (variant,), fallback, waits=not fresh and useful)


def _fallback_ends(told: Freshness, wants: RequestDirectives, rules: Rules) -> float:
    """Return the age until which a response may be served if the app fails in one way or another."""
    return told.lifetime + max(error_window(told, wants), raise_window(told, rules))


def error_window(told: Freshness, wants: RequestDirectives) -> float:
    """Return for how long beyond its freshness a response may stand in for an error of the app (RFC 5861, 4).

    What the client wants counts only for what was ever fresh, see `raise_window`.
    """
    wanted = wants.stale_if_error or 0 if told.lifetime > 0 else 0
    return max(told.directives.stale_if_error or 0, wanted)


def raise_window(told: Freshness, rules: Rules) -> float:
    """Return for how long beyond its freshness a response may stand in for an app that raises.

    Such an app is as good as unreachable, for which RFC 9111, 4.2.4 permits it. Only what was ever fresh is served so:
    a response that the app wanted to be asked about each time may be meant for one user.
    """
    return rules.stale_if_raises if told.lifetime > 0 else 0.0
