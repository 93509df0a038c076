"""What a request that is to be done once is known by, and what of its response is kept. Pure.

The header field is that of draft-ietf-httpapi-idempotency-key-header, section 2: a Structured Field (RFC 9651) whose
value is a String. Many clients send the bare text; it is read, too, where that is not to be strict.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final

import msgspec

from holdfast.policy.http.dictionary import parse_item
from holdfast.policy.http.fields import Fields, Pair, Pairs, storable

LONGEST_KEY: Final = 255
"""Signs of a key."""

_LONGEST_FIELD: Final = 2048
"""Signs of a whole field, with quotes, escapes and parameters."""
_BARE: Final = re.compile(r"[!#$%&'*+./:<=>?@\[\]^_`|~{}()0-9A-Za-z-]+")
"""Visible ASCII, but for what has a meaning in a Structured Field or joins the lines of one."""
_UNKEPT: Final = frozenset({"set-cookie", "set-cookie2", "date", "idempotency-replayed"})
"""Fields that belong to one client, or to one message, beside those about the connection."""
_TRY_AGAIN: Final = frozenset({408, 425, 429})
"""Refusals that ask the client to send the same again (RFC 9110, 15.5.9; RFC 8470, 5.2; RFC 6585, 4)."""
_COUNTING: Final = re.compile(
    r"_ga|_ga_[0-9A-Z]+|_gat|_gat_(?:gtag_)?UA[0-9_-]+|_gid|_gcl_(?:au|aw|dc|gb|gs)|_fbp|_fbc|_clck|_clsk"
    r"|_hjSession(?:User)?_[0-9]+|_hjFirstSeen|_hjAbsoluteSessionInProgress|_pk_(?:id|ses|ref|cvar|hsr)\.[0-9A-Za-z.]+"
    r"|__utm[abctvz]|_uetsid|_uetvid|_uetmsclkid"
)
"""Names of cookies that tell nobody who somebody is, and may change at any time. Whole names: many apps call their
session by a name of their own behind an underscore."""
_LENGTH: Final = 8
"""Bytes in front of each part of what is digested, which say how long it is: so no part can pass for two."""


class KeptResponse(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is kept of a response. Its fields are latin-1 text, in the order in which they were sent."""

    status: int
    fields: Pairs
    body: bytes


def parse_key(value: str, *, strict: bool) -> str | None:
    """Return the key in a field, or None if it is malformed, empty, too long, or more than one.

    A String and the same text without quotes are one key. Parameters are checked and left out.

    Args:
        value: of the field, its lines joined.
        strict: whether only a String is a key.

    Example:
        >>> parse_key('"8e03978e-40d5"', strict=True), parse_key("8e03978e-40d5", strict=False)
        ('8e03978e-40d5', '8e03978e-40d5')
    """
    text = value.strip(" \t")
    if len(text) > _LONGEST_FIELD:
        return None
    key = parse_item(text) if text.startswith('"') else None
    if key is None and not strict and _BARE.fullmatch(text):
        key = text
    return key if isinstance(key, str) and 0 < len(key) <= LONGEST_KEY else None


def name_of(*scope: str, key: str) -> str:
    """Return what the record of a request is called: a digest, so that it shows nothing of who asks for what.

    Args:
        scope: where the key counts: namespace, host, identity, method, path.
        key: of the request.
    """
    return f"http:{_digest(*[part.encode('utf-8', 'surrogatepass') for part in (*scope, key)])}"


def fingerprint_of(query: str, content_type: str, body: bytes) -> str:
    """Return what tells a request from others with the same key."""
    return _digest(query.encode("utf-8", "surrogatepass"), content_type.encode("utf-8", "surrogatepass"), body)


def digest_of(*parts: str) -> str:
    """Return a digest of some texts, in their order."""
    return _digest(*[part.encode("utf-8", "surrogatepass") for part in parts])


def told_cookies(value: str) -> str:
    """Return the cookies of a field in one order, but for those that only count visitors."""
    cookies = [each.strip() for each in value.split(";")]
    return ";".join(sorted(each for each in cookies if each and not _COUNTING.fullmatch(each.partition("=")[0])))


def _digest(*parts: bytes) -> str:
    digest = sha256()
    for part in parts:
        digest.update(len(part).to_bytes(_LENGTH, "big"))
        digest.update(part)
    return digest.hexdigest()


def is_outcome(status: int, fields: Pairs = (), *, keep_errors: bool) -> bool:
    """Return whether a response is the result of its request, and not a failure after which it may be tried again.

    A failure that says when to try again is none, such as a 409 of who is at work on the same (RFC 9110, 10.2.3).

    Args:
        status: of the response.
        fields: of the response.
        keep_errors: whether those of 500 and more are results, too.
    """
    if status >= 500:
        return keep_errors
    comes_again = status >= 400 and any(name.lower() == "retry-after" for name, _ in fields)
    return status not in _TRY_AGAIN and not comes_again


def kept_fields(pairs: Pairs) -> Pairs:
    """Return the fields of a response that are sent again with it."""
    return tuple([pair for pair in storable(Fields(pairs)) if pair[0].lower() not in _UNKEPT])


REPLAYED: Final[Pair] = ("Idempotency-Replayed", "true")
"""What a response has that was made for an earlier request."""
