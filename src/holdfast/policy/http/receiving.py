"""What to do with the app's answer to a forwarded request, as soon as its head is there (RFC 9111, 3, 4.3.3 to 4.3.5).

the answer                                                what is done
304 that names a stored response                          `Confirmed`: that one is brought up to date, and served
304 to our condition that names none                      `Again`: the app is asked once more, without a condition
500, 502, 503, 504, and a stale response may stand in     `Replaced`: that one is served
what may be stored                                        `Relayed` and kept, once its body is complete
anything else                                             `Relayed`; what it outdates goes
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

import msgspec

from holdfast.policy.http.ages import age_at, freshness_of, kept_for
from holdfast.policy.http.conditions import agrees_with_head, not_modified, selects, update, validators_of
from holdfast.policy.http.dates import format_date
from holdfast.policy.http.directives import delta_seconds
from holdfast.policy.http.fields import Fields, Pairs, members, storable
from holdfast.policy.http.judging import Forward, error_window
from holdfast.policy.http.request import READING, Request
from holdfast.policy.http.rules import Rules
from holdfast.policy.http.stored import Stored
from holdfast.policy.http.storing import kept_fields, reason_against, reason_at_sight, without_cookies
from holdfast.policy.http.target import resolve
from holdfast.policy.http.variants import Variant, is_for
from holdfast.policy.http.vary import nominated, values_of

_DECISIVE: Final = ("cache-control", "expires", "date", "age", "vary", "etag", "last-modified", "set-cookie")
ERRORS: Final = frozenset({500, 502, 503, 504})
"""Statuses for which a stale response may stand in (RFC 5861, 4)."""
PASSING: Final = 120.0
"""Seconds for which requests of what is not to be stored do not wait for each other."""
PASSING_ERROR: Final = 1.0
"""The same after an error, which may be over soon."""
_OF_THE_REQUEST: Final = frozenset({206, 304, 412, 416})
"""Statuses that answer the client's own condition or range, and say nothing of the resource."""
_ONLY_HERE: Final = frozenset({"authorization", "request-no-store"})
"""Reasons not to store that lie in the request, and say nothing of others."""


class Confirmed(NamedTuple):
    """A stored response is valid."""

    variant: Variant
    stored: Stored | None
    """It, brought up to date; None: it must not stay stored."""
    fields: Pairs
    """Its fields, brought up to date."""
    untouched: bool = False
    """Whether what is stored stays as it is, since this answer is for its own client only."""


class Again(NamedTuple):
    """Ask the app without our condition."""


class Replaced(NamedTuple):
    """Serve a stale response in place of an error."""

    variant: Variant


class Relayed(NamedTuple):
    """The answer goes to the client."""

    stored: Stored | None = None
    """What to store, but for its body; None = nothing."""
    detail: str = ""
    """Why nothing is stored, in a word."""
    gone: tuple[str, ...] = ()
    """Ids of variants that this answer outdates."""
    passing: float = 0.0
    """For how many seconds others of this URL shall not wait for each other."""
    not_modified: bool = False
    """Whether the client gets a 304 instead, by its own condition that was taken off the request."""


Reception: TypeAlias = Confirmed | Again | Replaced | Relayed
AGAIN: Final = Again()


class Head(NamedTuple):
    """The head of the app's answer."""

    status: int
    fields: Fields
    requested: float
    """When the request was sent, Unix seconds."""
    received: float
    """When the head came, Unix seconds."""


def receive(request: Request, forward: Forward, head: Head, variants: Sequence[Variant], rules: Rules) -> Reception:
    """Say what to do with an answer.

    Args:
        request: as the client sent it.
        forward: how it was forwarded.
        head: of the answer.
        variants: what is stored of the URL.
        rules: of the cache.
    """
    if head.status == 304 and forward.validates:
        return _confirmed(request, forward, head, rules)
    if head.status in ERRORS and (stale := _standing_in(request, forward, head, rules)):
        return Replaced(stale)
    if request.is_head:
        return _answered_head(request, forward, head, rules)
    return _relayed(request, forward, head, variants, rules)


def _confirmed(request: Request, forward: Forward, head: Head, rules: Rules) -> Reception:
    held = [each for each in forward.held if selects(head.fields, each.validators, only=len(forward.held) == 1)]
    if not held:
        return AGAIN
    return _brought_up(request, max(held, key=lambda each: (each.told.date, each.stored.received)), head, rules)


def _brought_up(request: Request, variant: Variant, head: Head, rules: Rules) -> Confirmed:
    """Bring a stored response up to date by the head of an answer that is about the same body."""
    old, fields = variant.stored, without_cookies(_updated(variant, head), rules)
    terms: Terms | str = "connection"
    if not _is_lossy(head.fields, rules):
        terms = _terms(request, old.status, Fields(fields), head, rules, names=old.names, anonymous=old.anonymous)
    if isinstance(terms, str):
        return Confirmed(variant, None, fields, untouched=terms in _ONLY_HERE)
    kept = _stored(terms, old.status, fields, head)
    kept = msgspec.structs.replace(kept, id=old.id, size=old.size, body=old.body, place=old.place)
    return Confirmed(variant, kept, fields)


def _updated(variant: Variant, head: Head) -> Pairs:
    """Return the fields of a response after its validation (RFC 9111, 4.3.4).

    Its age begins anew: an Age of before does not count any more, and a 304 without Date was made when it came
    (RFC 9110, 6.6.1).
    """
    fields = head.fields
    if "date" not in fields and "date" in variant.fields:
        fields = Fields((*fields.pairs, ("Date", format_date(head.received))))
    if "vary" in fields and "vary" in variant.fields:  # to say less than the response did is a mistake of many apps
        fields = Fields((*fields.pairs, ("Vary", variant.fields.get("vary") or "")))
    return update(tuple([pair for pair in variant.stored.fields if pair[0].lower() != "age"]), fields)


class Terms(NamedTuple):
    """On which terms a response may be stored."""

    names: tuple[str, ...]
    values: tuple[str | None, ...]
    until: float
    anonymous: bool
    extras: Pairs


def _stored(terms: Terms, status: int, fields: Pairs, head: Head) -> Stored:
    """Return a response as it is stored, but for its body."""
    return Stored(
        "",
        status,
        fields,
        terms.names,
        terms.values,
        head.requested,
        head.received,
        terms.until,
        0,
        None,
        terms.anonymous,
        terms.extras,
    )


def _terms(
    request: Request,
    status: int,
    fields: Fields,
    head: Head,
    rules: Rules,
    *,
    names: tuple[str, ...] = (),
    anonymous: bool = True,
) -> Terms | str:
    """Return on which terms a response may be stored, or why it may not.

    Args:
        request: that brought it.
        status: of it.
        fields: of it.
        head: of the answer.
        rules: of the cache.
        names: by which others of its URL are selected: so is this, if it has no Vary of its own.
        anonymous: whether nothing pointed to one user so far.
    """
    anonymous = anonymous and request.is_anonymous and "set-cookie" not in fields
    told = freshness_of(status, fields, head.requested, head.received, rules, anonymous=anonymous)
    authorized = request.fields.get("authorization") is not None
    reason = reason_against(status, fields, told, rules, authorized=authorized)
    if reason is not None:
        return reason
    if request.method not in READING and not (told.explicit and _is_for_target(request, fields)):
        return "method"
    varied = nominated(fields, rules.ignore_vary, rules.vary)
    if varied is None:
        return "vary"
    if request.directives(honoured=rules.honour_clients).no_store:
        return "request-no-store"
    has_validator = any(each is not None for each in validators_of(fields, head.received))
    seconds = kept_for(told, rules, validator=has_validator)
    if seconds <= 0:
        return "no-freshness"
    chosen = varied or names
    return Terms(chosen, values_of(chosen, request.fields), head.received + seconds, anonymous, request.extras)


def _is_for_target(request: Request, fields: Fields) -> bool:
    """Say whether the answer to a POST is what a GET of the same URL would bring (RFC 9110, 9.3.3)."""
    lines = fields.lines("content-location")
    return len(lines) == 1 and resolve(lines[0], request.target) == request.target


def _standing_in(request: Request, forward: Forward, head: Head, rules: Rules) -> Variant | None:
    """Return the stale response that may be served in place of an error (RFC 5861, 4)."""
    variant = forward.fallback
    if variant is None:
        return None
    age = age_at(variant.told.initial_age, variant.stored.received, head.received)
    window = error_window(variant.told, request.directives(honoured=rules.honour_clients))
    return variant if age < variant.told.lifetime + window else None


def _answered_head(request: Request, forward: Forward, head: Head, rules: Rules) -> Confirmed | Relayed:
    """Take the answer to a HEAD (RFC 9111, 4.3.5): it tells whether the stored GET is still what it was."""
    selected = forward.held[0] if len(forward.held) == 1 else None
    if selected is None or head.status >= 500 or head.status in {405, *_OF_THE_REQUEST}:
        return Relayed(detail="head")
    if head.status == selected.stored.status and agrees_with_head(Fields(selected.served), head.fields):
        return _brought_up(request, selected, head, rules)
    return Relayed(detail="head", gone=(selected.stored.id,))


def _relayed(request: Request, forward: Forward, head: Head, variants: Sequence[Variant], rules: Rules) -> Relayed:
    unmodified = _answers_condition(request, forward, head)
    if not forward.leased and forward.why in {"bypass", "method"}:
        return Relayed(not_modified=unmodified)
    terms = reason_at_sight(head.status, head.fields, rules) or _terms_of_new(request, head, variants, rules)
    outdated = _outdated(request, head, variants) if variants else ()
    if isinstance(terms, str):
        return Relayed(None, terms, outdated, _passing(head, terms), unmodified)
    return Relayed(_stored(terms, head.status, kept_fields(head.fields, rules), head), "", outdated, 0.0, unmodified)


def _terms_of_new(request: Request, head: Head, variants: Sequence[Variant], rules: Rules) -> Terms | str:
    if "trailer" in head.fields:
        return "trailers"
    size = declared_size(head.fields)
    if size is not None and not 0 <= size <= rules.max_body:
        return "content-length" if size < 0 else "too-large"
    if _is_lossy(head.fields, rules):
        return "connection"
    names = next((each.stored.names for each in variants if each.stored.names), ())
    return _terms(request, head.status, head.fields, head, rules, names=names)


def _is_lossy(fields: Fields, rules: Rules) -> bool:
    """Say whether a field that decides would not be stored: it is about this connection only, or malformed."""
    kept = storable(fields)
    if len(kept) == len(fields.pairs):
        return False  # nothing is lost at all
    stored = Fields(kept)
    return any(stored.get(name) != fields.get(name) for name in (*_DECISIVE, *rules.targets))


def _outdated(request: Request, head: Head, variants: Sequence[Variant]) -> tuple[str, ...]:
    """Return the variants that an answer outdates: those that its request selects (RFC 9111, 4.3.3).

    An error of the server says nothing about the resource, nor does an answer to the client's own condition or range.
    """
    if head.status >= 500 or head.status in _OF_THE_REQUEST:
        return ()
    return tuple([each.stored.id for each in variants if is_for(each.stored, request)])


def _answers_condition(request: Request, forward: Forward, head: Head) -> bool:
    """Say whether the client has already what the app has sent, though its condition was taken off the request."""
    if request.plain or not (forward.validates or forward.stripped) or head.status != 200:
        return False
    return not_modified(request.fields, head.fields, head.received, head.received)


def _passing(head: Head, reason: str) -> float:
    """Return for how long others shall not wait for each other, since the answer to one was not to be stored."""
    if head.status in _OF_THE_REQUEST or reason in _ONLY_HERE:
        return 0.0  # this client got what others would not
    return PASSING_ERROR if head.status >= 500 else PASSING


def declared_size(fields: Fields) -> int | None:
    """Return how many bytes a response says that its body has, None if it does not say, -1 if nobody can tell.

    The same number several times is that number (RFC 9110, 8.6).
    """
    said = fields.get("content-length")
    if said is None:
        return None
    sizes = {delta_seconds(each) for each in members(said)}
    (size,) = sizes if len(sizes) == 1 else (None,)
    return -1 if size is None else size
