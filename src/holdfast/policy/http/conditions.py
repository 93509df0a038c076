"""Conditional requests, a client's and our own, and what a 304 or a HEAD does to what is stored.

A client's conditions are evaluated by RFC 9110, sections 13.1.2, 13.1.3 and 13.2.2, and RFC 9111, section 4.3.2; our
own are made, and their answers taken, by RFC 9111, sections 4.3.1, 4.3.4, 4.3.5 and 3.2.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from holdfast.policy.http.dates import parse_date
from holdfast.policy.http.fields import Fields, Pair, Pairs, RequestFields, storable

CONDITIONAL: Final = frozenset(
    {"if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "if-range", "range"}
)
"""Fields that a request to validate does not take over from the client: its 304 or 206 must be about our response."""

_ABOUT_THE_BODY: Final = frozenset(
    {
        "content-digest",
        "content-encoding",
        "content-language",
        "content-length",
        "content-md5",
        "content-range",
        "content-type",
    }
)
"""Representation metadata that a 304 does not carry (RFC 9110, section 15.4.5)."""
_KEPT_IN_UPDATES: Final = frozenset(
    {"content-digest", "content-encoding", "content-length", "content-md5", "content-range"}
)
"""Fields that tell how the stored bytes are to be read: those of another message would make them unreadable."""
_AGE: Final = "age"

# An entity-tag has no escapes and may hold commas (RFC 9110, section 8.8.3), so that it is no quoted string.
_TAG: Final = r'(?:W/)?"[!#-~\x80-\xff]*"'
_ENTITY_TAG: Final = re.compile(_TAG)
_MEMBER: Final = re.compile(rf"[ \t]*(?:({_TAG})[ \t]*|[^,]*)(?:,|\Z)")


class Validators(NamedTuple):
    """By what a stored response can be validated, as its fields have it."""

    etag: str | None
    last_modified: str | None


def validators_of(fields: Fields, now: float) -> Validators:
    """Return the validators of a response. An ETag that is no entity-tag, or a date that is none, is no validator.

    Args:
        fields: of the response.
        now: Unix seconds; tells the century of old dates.
    """
    modified = fields.get("last-modified")
    if modified is not None and parse_date(modified, now) is None:
        modified = None
    return Validators(_etag_of(fields), modified)


def entity_tags(value: str) -> list[str] | None:
    """Return the entity-tags of an If-None-Match, without members that are none; None for `*`, which means any."""
    if value.strip(" \t") == "*":
        return None
    return [tag for tag in _MEMBER.findall(value) if tag]


def weak_match(a: str, b: str) -> bool:
    """Tell whether two entity-tags are the same but for their being weak (RFC 9110, section 8.8.3.2)."""
    return a.removeprefix("W/") == b.removeprefix("W/")


def strong_match(a: str, b: str) -> bool:
    """Tell whether two entity-tags are the same and neither is weak (RFC 9110, section 8.8.3.2)."""
    return a == b and not a.startswith("W/")


def request_fields(held: Sequence[Validators]) -> Pairs:
    """Return the conditions that ask the app whether it would still answer with one of our responses.

    A date is sent only for a single response: of several, a 304 could not say which it is about.

    Args:
        held: the validators of each stored response that would do.
    """
    pairs: list[Pair] = []
    if tags := dict.fromkeys(each.etag for each in held if each.etag is not None):
        pairs.append(("if-none-match", ", ".join(tags)))
    if len(held) == 1 and held[0].last_modified is not None:
        pairs.append(("if-modified-since", held[0].last_modified))
    return tuple(pairs)


def not_modified(request: RequestFields, fields: Fields, received: float, now: float) -> bool:
    """Tell whether the client has the stored response already, as the conditions of its GET or HEAD say.

    Only for a response that is fresh or just validated, with a status of 2xx (RFC 9110, section 13.2.1).

    Args:
        request: the fields of the request.
        fields: of the stored response.
        received: when that came, in Unix seconds.
        now: Unix seconds; tells the century of old dates.
    """
    condition = request.get("if-none-match")
    if condition is not None:
        tags, etag = entity_tags(condition), _etag_of(fields)
        return tags is None or (etag is not None and any(weak_match(tag, etag) for tag in tags))
    condition = request.get("if-modified-since")
    since = None if condition is None else parse_date(condition.strip(" \t"), now)
    if since is None:
        return False
    for name in ("last-modified", "date"):
        modified = parse_date(fields.get(name) or "", now)
        if modified is not None:
            return modified <= since
    return received < since + 1  # it was received in that second or before, as a Date would have said


def has_unsafe_conditions(request: RequestFields) -> bool:
    """Tell whether a request has conditions that only the app may evaluate (RFC 9111, section 4.3.2)."""
    return request.get("if-match") is not None or request.get("if-unmodified-since") is not None


def fields_of_304(pairs: Pairs) -> Pairs:
    """Return the fields of a 304 for a response with these: all but those that describe the body it does not have.

    Last-Modified stays where there is no ETag to tell the client by what it may validate.

    Args:
        pairs: the fields that a 200 would have.
    """
    has_etag = any(name.lower() == "etag" for name, _ in pairs)
    gone = _ABOUT_THE_BODY | {"last-modified"} if has_etag else _ABOUT_THE_BODY
    return tuple([pair for pair in pairs if pair[0].lower() not in gone])


def selects(fields_304: Fields, held: Validators, *, only: bool) -> bool:
    """Tell whether a 304 is about a stored response (RFC 9111, section 4.3.4).

    A strong ETag selects what has the same and nothing else; where it fits nothing, nothing may be updated. A weak one
    selects by the weak comparison, a date alone by being the same. Without any validator it must be about the single
    response whose validators were sent, if it was a single one.

    Args:
        fields_304: of the 304.
        held: the validators of the stored response.
        only: whether these, and no others, were sent.
    """
    etag, modified = validators_of(fields_304, 0.0)
    if etag is not None:
        if not etag.startswith("W/"):
            return held.etag is not None and strong_match(etag, held.etag)
        if held.etag is not None:
            return weak_match(etag, held.etag)
    if modified is not None:
        return held.last_modified is not None and _same_date(modified, held.last_modified)
    return only and etag is None


def update(stored: Pairs, fields_304: Fields) -> Pairs:
    """Return the fields of a stored response, updated by those of a 304 or of a HEAD (RFC 9111, section 3.2).

    All lines of a name give way to the new lines of that name, in place of the first; new names come last. Excepted
    are Content-Length and others that tell how the stored bytes are to be read, and what must not be stored. An old Age
    goes even if there is no new one: it is the age of a message (section 4.2.3), and the response is now as old as the
    message that confirmed it.

    Args:
        stored: the fields of the stored response.
        fields_304: the fields as received.
    """
    fresh: dict[str, list[Pair]] = {}
    for pair in storable(fields_304):
        if (name := pair[0].lower()) not in _KEPT_IN_UPDATES:
            fresh.setdefault(name, []).append(pair)
    updated: list[Pair] = []
    known: set[str] = set()
    for pair in stored:
        name = pair[0].lower()
        if name not in fresh:
            updated += () if name == _AGE else (pair,)
        elif name not in known:
            known.add(name)
            updated += fresh[name]
    return (*updated, *(pair for name, pairs in fresh.items() if name not in known for pair in pairs))


def agrees_with_head(stored: Fields, head: Fields) -> bool:
    """Tell whether a 200 to a HEAD describes the stored response of a GET (RFC 9111, section 4.3.5).

    Each validator that it has, and its Content-Length, must be those of the stored response; if so, that is to be
    updated, and else it counts as stale.
    """
    for name in ("etag", "last-modified", "content-length"):
        value = head.get(name)
        if value is not None and value != stored.get(name):
            return False
    return True


def _etag_of(fields: Fields) -> str | None:
    etag = fields.get("etag")
    return etag if etag is not None and _ENTITY_TAG.fullmatch(etag) else None


def _same_date(a: str, b: str) -> bool:
    return a == b or parse_date(a, 0.0) == parse_date(b, 0.0)
