"""The alphabet of names: which signs stand for themselves, and how the others are written.

    {  }             mark the cluster hash tag; they stand in a full key only, around the name
    |                ours alone: before a version, before a digest, or as the whole of an otherwise empty name
    %XX              one byte of a sign that may not stand for itself
    :  ,  =          give a name its structure; a caller's whole name may hold them, a value inside a name may not

Invariants, which everything about keys rests on:

1. `escape` and `protect` are injective, and what they return holds no brace, bar, whitespace or control character,
   and can be encoded as UTF-8.
2. `shorten` returns at most `LONGEST` bytes, never an empty name, and gives two names one result only if their
   160-bit digests are equal.

Texts only; which text a value has is decided in `key_values`.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final

LONGEST: Final = 200
"""Bytes of UTF-8 that a name may have. Longer ones cost memory in every key and hide the rest of a log line."""

ALWAYS_SHORT: Final = LONGEST // 4
"""Characters that fit into `LONGEST` bytes whatever they are, so that nothing has to be measured."""

VERSION_MARK: Final = "|v"
"""Stands before a version. A digest has no `v`, so a name with a version is never taken for a shortened one."""

_UNSAFE: Final = r"\s\x00-\x1f\x7f-\x9f%{}|\ud800-\udfff"
_unsafe_in_value: Final = re.compile(rf"[{_UNSAFE}:,=]")
_unsafe_in_name: Final = re.compile(rf"[{_UNSAFE}]")
_DIGEST_BYTES: Final = 20
_HEAD_BYTES: Final = LONGEST - 2 * _DIGEST_BYTES - 1


def escape(text: str) -> str:
    """Return a value's text as it may stand inside a name, where it cannot reach beyond its own place."""
    # The first test is the quick one, and true of most values: letters and digits of any alphabet are safe.
    if text.isalnum() or not _unsafe_in_value.search(text):
        return text
    return _unsafe_in_value.sub(_percent, text)


def protect(text: str) -> str:
    """Return a text of the programmer's own, a template's literal or a whole name, with its structure kept."""
    return _unsafe_in_name.sub(_percent, text) if _unsafe_in_name.search(text) else text


def shorten(name: str) -> str:
    """Return an escaped or protected name, with all beyond a readable head replaced by a digest if it is too long.

    A name can come out empty when a template is nothing but fields; an empty hash tag would not count as one, so that
    name is written as a single bar.
    """
    if len(name) <= ALWAYS_SHORT:
        return name or "|"
    data = name.encode()
    if len(data) <= LONGEST:
        return name
    head = data[:_HEAD_BYTES].decode(errors="ignore")  # a character cut in two is left out
    return f"{head}|{blake2b(data, digest_size=_DIGEST_BYTES).hexdigest()}"


def _percent(match: re.Match[str]) -> str:
    # Half of a surrogate pair, which JSON and file names can bring in, has no UTF-8; its three bytes are those that
    # UTF-8 would give it, and no other character has them.
    return "".join(f"%{byte:02X}" for byte in match[0].encode(errors="surrogatepass"))
