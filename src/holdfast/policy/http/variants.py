"""A stored response with what can be known of it before a request comes, made once for many requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from holdfast.policy.http.ages import Freshness, freshness_of
from holdfast.policy.http.conditions import Validators, validators_of
from holdfast.policy.http.fields import Fields, Pairs, RequestFields, is_sound, members
from holdfast.policy.http.request import Request
from holdfast.policy.http.rules import Rules
from holdfast.policy.http.stored import Page, Stored
from holdfast.policy.http.vary import matches

DIGEST_SIZE: Final = 32
"""Signs of the digest that the id of a stored response ends with."""
BODILESS: Final = frozenset({204, 205, 304})
"""Statuses whose responses have no body."""


@dataclass(slots=True, eq=False)
class Variant:
    """A stored response, ready to be judged and served."""

    stored: Stored
    fields: Fields
    told: Freshness
    validators: Validators
    served: Pairs
    """Its fields as they are served, but for Age; with the length of the body, which is known now."""
    simple: bool = False
    """Whether it is for every request that has nothing remarkable about it, for as long as it is fresh."""
    wire: Any = field(default=None, repr=False)
    """The fields in whatever form a server takes, kept here by who made it."""


def made_etag(digest: str) -> str:
    """Return the ETag for a response that has none, by the digest of its body."""
    return f'"{digest}"'


def is_for(stored: Stored, request: Request) -> bool:
    """Say whether a request selects a stored response (RFC 9111, 4.1)."""
    return stored.extras == request.extras and (
        not stored.names or matches(stored.names, stored.values, request.fields)
    )


def can_read(request: RequestFields, response: Fields) -> bool:
    """Say whether a client names all codings of a response in its Accept-Encoding (RFC 9110, 12.5.3)."""
    codings = {each.lower() for each in members(response.get("content-encoding") or "")} - {"identity"}
    if not codings:
        return True
    accepted: set[str] = set()
    for member in members(request.get("accept-encoding") or ""):
        name, _, weight = member.lower().partition(";")
        if weight.replace(" ", "").replace("0", "") not in {"q=", "q=."}:
            accepted.add(name.strip())
    return codings <= accepted


def is_sound_page(page: Page) -> bool:
    """Say whether all that a page holds may stand in a message: whoever can write to Redis could have made it."""
    return all(
        200 <= each.status <= 599
        and (each.body is None or len(each.body) == each.size)
        and len(each.names) == len(each.values)
        and all(is_sound(*pair) for pair in each.fields)
        for each in page.variants
    )


def variant_of(stored: Stored, rules: Rules) -> Variant:
    """Return a stored response, ready to be judged and served."""
    fields = Fields(stored.fields)
    told = freshness_of(stored.status, fields, stored.requested, stored.received, rules, anonymous=stored.anonymous)
    served = tuple([pair for pair in stored.fields if pair[0].lower() != "age"])
    if "content-length" not in fields and stored.status not in BODILESS:
        served += (("Content-Length", str(stored.size)),)
    validators = validators_of(fields, stored.received)
    if validators.etag == made_etag(stored.id[-DIGEST_SIZE:]):
        validators = validators._replace(etag=None)  # the app does not know it
    simple = not (stored.names or stored.extras or told.directives.no_cache)
    return Variant(stored, fields, told, validators, served, simple)
