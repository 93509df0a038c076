"""Whether a response may be stored, and what of it (RFC 9111, 3)."""

from __future__ import annotations

from typing import Final

from holdfast.policy.http.ages import HEURISTIC_STATUSES, Freshness
from holdfast.policy.http.directives import ResponseDirectives, parse_response
from holdfast.policy.http.fields import Fields, Pairs, storable
from holdfast.policy.http.rules import Rules
from holdfast.policy.http.targeted import targeted

SILENT: Final = ResponseDirectives()
"""Of a response that says nothing to caches."""
_TELLING: Final = ("expires", "last-modified", "etag")
"""Fields by which a response may be fresh, or validated, all the same."""

UNDERSTOOD: Final = frozenset({*range(200, 206), 207, 208, 226, *range(300, 304), 305, 307, 308, *range(400, 418)}) | {
    *{421, 422, 423, 424, 425, 426, 428, 429, 431, 451},
    *range(500, 509),
    *{510, 511},
}
"""Statuses whose meaning for caches is known here (RFC 9111, 5.2.2.3); 206 and 304 take another way."""


def reason_at_sight(status: int, fields: Fields, rules: Rules) -> str | None:
    """Return why a response plainly must not be stored; None if that takes a closer look.

    It is what most of those say that are never stored, and asked of each of them.
    """
    aimed = targeted(fields, rules.targets) if rules.targets else None
    said = parse_response(fields.get("cache-control")) if aimed is None else aimed
    if said.no_store and not said.must_understand:
        return "no-store"
    if said.private:
        return "private"
    if aimed is None and said == SILENT and not (rules.default_ttl or any(name in fields for name in _TELLING)):
        return "no-freshness"
    return "status" if status < 200 or status in {206, 304} else None


def reason_against(status: int, fields: Fields, told: Freshness, rules: Rules, *, authorized: bool) -> str | None:
    """Return why a response to a GET, or the like, must not be stored; None if it may.

    The words are those that Cache-Status shows as its detail.

    Args:
        status: of the response.
        fields: as received.
        told: what it says of its time.
        rules: of the cache.
        authorized: whether its request had an Authorization field.
    """
    said = told.directives
    if status < 200 or status in {206, 304} or (rules.statuses is not None and status not in rules.statuses):
        return "status"
    if said.must_understand and status not in UNDERSTOOD:
        return "status-not-understood"
    if said.no_store and not said.must_understand:
        return "no-store"
    if said.private:
        return "private"
    if authorized and not (said.public or said.must_revalidate or said.s_maxage is not None):
        return "authorization"
    if not (told.explicit or said.public or told.lifetime or (status in HEURISTIC_STATUSES and _has_validator(fields))):
        return "no-freshness"
    return _against_cookies(fields, told, rules)


def _has_validator(fields: Fields) -> bool:
    return "etag" in fields or "last-modified" in fields


def _against_cookies(fields: Fields, told: Freshness, rules: Rules) -> str | None:
    """Return why a response that sets a cookie must not be stored (RFC 9111, 7.3).

    A session's cookie that is stored for everybody puts all who come without one into one session. So by default a
    response must say that it is meant for all; to be fresh is not enough, for browsers are told so, too.
    """
    if rules.set_cookie == "strip" or "set-cookie" not in fields:
        return None
    said = told.directives
    for_all = said.public or said.s_maxage is not None or told.targeted
    if rules.set_cookie == "refuse" or not told.explicit or (rules.set_cookie == "public" and not for_all):
        return "set-cookie"
    return None


def kept_fields(fields: Fields, rules: Rules) -> Pairs:
    """Return the fields to store; Age is among them, since it is needed to tell the age later."""
    return without_cookies(storable(fields), rules)


def without_cookies(pairs: Pairs, rules: Rules) -> Pairs:
    """Return fields without Set-Cookie, if that is never stored."""
    if rules.set_cookie != "strip":
        return pairs
    return tuple([pair for pair in pairs if pair[0].lower() != "set-cookie"])
