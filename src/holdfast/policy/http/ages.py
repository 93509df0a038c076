"""How old a response is, how long it is fresh, and for how much longer it may be served (RFC 9111, 4.2; RFC 5861)."""

from __future__ import annotations

from typing import Final, NamedTuple

from holdfast.policy.http.dates import parse_date
from holdfast.policy.http.directives import ResponseDirectives, delta_seconds, parse_response
from holdfast.policy.http.fields import Fields, members
from holdfast.policy.http.rules import Rules
from holdfast.policy.http.targeted import targeted

HEURISTIC_STATUSES: Final = frozenset({200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501})
"""Statuses whose freshness may be guessed (RFC 9110, 15.1)."""

_DAY: Final = 86400.0
_YEAR: Final = 365 * _DAY
_SHORTEST_VALIDATION: Final = 3600.0
"""Seconds for which a response with a validator is kept at least, to be validated instead of being sent again."""


class Freshness(NamedTuple):
    """What a response says of its time. Seconds throughout."""

    directives: ResponseDirectives
    """Those that count: of a targeted field, or of Cache-Control."""
    targeted: bool
    """Whether they are those of a targeted field; then Expires does not count."""
    lifetime: float
    """For how long it is fresh, counted like its age."""
    explicit: bool
    """Whether it says so itself."""
    date: float
    """When it was made, Unix seconds: its Date, or else when it was received."""
    initial_age: float
    """How old it was when it was received."""

    @property
    def may_be_stale(self) -> bool:
        """Whether it may ever be served stale (RFC 9111, 4.2.4)."""
        said = self.directives
        # s-maxage has the meaning of proxy-revalidate (5.2.2.10).
        return not (said.must_revalidate or said.proxy_revalidate or said.no_cache or said.s_maxage is not None)


def freshness_of(
    status: int, fields: Fields, requested: float, received: float, rules: Rules, *, anonymous: bool = True
) -> Freshness:
    """Return what a response says of its time.

    Args:
        status: of the response.
        fields: as received.
        requested: when its request was sent, Unix seconds.
        received: when its head came, Unix seconds.
        rules: of the cache.
        anonymous: whether nothing in the exchange points to one user, so that a lifetime may be guessed.
    """
    aimed = targeted(fields, rules.targets) if rules.targets else None
    said = parse_response(fields.get("cache-control")) if aimed is None else aimed
    made = parse_date(fields.get("date") or "", received)
    date = received if made is None else float(made)
    lifetime = _explicit(said, fields, date, received, expires=aimed is None)
    explicit = lifetime is not None
    if lifetime is None:
        lifetime = _guessed(status, said, fields, date, received, rules, anonymous=anonymous)
    return Freshness(said, aimed is not None, lifetime, explicit, date, _initial_age(fields, date, requested, received))


def _explicit(said: ResponseDirectives, fields: Fields, date: float, received: float, *, expires: bool) -> float | None:
    """Return the lifetime that a response gives itself (RFC 9111, 4.2.1); None if it gives none."""
    if said.s_maxage is not None:
        return float(said.s_maxage)
    if said.max_age is not None:
        return float(said.max_age)
    if not expires or "expires" not in fields:
        return None
    lines = fields.lines("expires")
    end = parse_date(lines[0], received) if len(lines) == 1 else None
    return 0.0 if end is None else max(0.0, end - date)  # what is no date is in the past (5.3)


def _guessed(
    status: int,
    said: ResponseDirectives,
    fields: Fields,
    date: float,
    received: float,
    rules: Rules,
    *,
    anonymous: bool,
) -> float:
    """Return a lifetime for a response that gives itself none (RFC 9111, 4.2.2)."""
    if not anonymous:
        return 0.0
    if rules.heuristic and (status in HEURISTIC_STATUSES or said.public):
        changed = parse_date(fields.get("last-modified") or "", received)
        if changed is not None and changed < date:
            return min((date - changed) / 10, _DAY)
    return rules.default_ttl if status == 200 and not said.no_cache else 0.0


def _initial_age(fields: Fields, date: float, requested: float, received: float) -> float:
    """Return the age at which a response was received (RFC 9111, 4.2.3)."""
    lines = fields.lines("age")
    first = members(lines[0])[:1] if lines else []
    said = delta_seconds(first[0]) if first else None  # what is no number of seconds is ignored (5.1)
    corrected = 0.0 if said is None else said + max(0.0, received - requested)
    return max(0.0, received - date, corrected)


def age_at(initial_age: float, received: float, now: float) -> float:
    """Return the age of a response; clocks of several machines take part, so time may seem to go back."""
    return initial_age + max(0.0, now - received)


def allowance(told: Freshness, rules: Rules) -> float:
    """Return for how many seconds beyond its freshness a response may be served in one case or another."""
    if not told.may_be_stale:
        return 0.0
    said = told.directives
    return max(
        said.stale_while_revalidate or 0, said.stale_if_error or 0, rules.stale_if_raises if told.lifetime else 0.0
    )


def kept_for(told: Freshness, rules: Rules, *, validator: bool) -> float:
    """Return for how many seconds after its receipt a response is of any use; 0 = it is not worth storing.

    Beyond its freshness it may be served stale, or validated, which spares the app and the network the body.
    """
    lifetime = 0.0 if told.directives.no_cache else told.lifetime
    useful = max(0.0, lifetime + allowance(told, rules) - told.initial_age)
    if validator:
        fresh = max(0.0, lifetime - told.initial_age)
        useful = max(useful, fresh + max(_SHORTEST_VALIDATION, min(told.lifetime, _DAY)))
    return min(useful, _YEAR)
