"""Which request fields select a stored response, and whether a request has them alike (RFC 9111, section 4.1).

Two values are alike only if one can be made from the other without a change of what it means. Space around a field and
around the commas of a list never means anything. Of a few fields the syntax is known well enough for more: there, the
case and the space around `;` and `=` do not matter either. What holds a quoted string is compared as it is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Final

from holdfast.policy.http.fields import Fields, RequestFields, is_token, members

_CASELESS: Final = frozenset({"accept-charset", "accept-encoding", "accept-language"})
"""Fields in which no part has a case (RFC 9110, sections 12.5.2 to 12.5.4)."""
_ACCEPT: Final = "accept"
"""Its types have no case, but what its parameters mean is the types' business (RFC 9110, section 8.3.1)."""
_NO_LISTS: Final = frozenset(
    {"authorization", "cookie", "host", "origin", "proxy-authorization", "referer", "user-agent"}
)
"""Fields in which a comma is a sign like others."""
_LONGEST_KNOWN: Final = 400
_LONGEST_READ: Final = 1024
"""Signs of a value that is brought into a normal form: anybody can send longer ones, to be read for each variant."""
"""Signs of a value whose normal form is remembered; with 512 of them, a table of a few hundred kilobytes."""

_COMMA: Final = re.compile(r"[ \t]*,[ \t]*")
_SIGN: Final = re.compile(r"[ \t]*([,;=])[ \t]*")
_MEDIA_TYPE: Final = re.compile(r"[^,;]*(?:;[^,]*)?")


def nominated(fields: Fields, ignored: Collection[str] = (), added: Sequence[str] = ()) -> tuple[str, ...] | None:
    """Return the request fields that select a response, or None if no later request can be known to be alike.

    Args:
        fields: of the response. A `*` anywhere in Vary, or a member that is no name, gives None whatever is ignored.
        ignored: names that do not count though Vary has them, in lower case.
        added: names that count though Vary does not have them, in lower case.

    Returns:
        Names in lower case, sorted and each once, so that two responses that vary alike have the same ones.
    """
    vary = fields.get("vary")
    if vary is None:
        return tuple(sorted(set(added))) if added else ()
    names = [member.lower() for member in members(vary)]
    if not all(name != "*" and is_token(name) for name in names):
        return None
    return tuple(sorted({*added, *(name for name in names if name not in ignored)}))


def values_of(names: Sequence[str], request: RequestFields) -> tuple[str | None, ...]:
    """Return what a request has in some fields, each in a normal form; None for one that is absent.

    Args:
        names: in lower case.
        request: the fields of the request.
    """
    return tuple([_value_of(name, request) for name in names])


def matches(names: Sequence[str], values: Sequence[str | None], request: RequestFields) -> bool:
    """Tell whether a request has in some fields what `values_of` found in another; what is absent matches nothing else.

    Args:
        names: in lower case.
        values: of these fields, in the same order.
        request: the fields of the request.
    """
    if len(names) != len(values):
        return False
    for name, value in zip(names, values, strict=True):  # noqa: SIM110 - a generator doubles the time, and hits wait
        if _value_of(name, request) != value:
            return False
    return True


def _value_of(name: str, request: RequestFields) -> str | None:
    value = request.get(name)
    if value is None:
        return None
    if len(value) <= _LONGEST_KNOWN:
        return _normal_of_known(name, value)
    return _normal(name, value) if len(value) <= _LONGEST_READ else value.strip(" \t")


def _normal(name: str, value: str) -> str:
    value = value.strip(" \t")
    if '"' in value or name in _NO_LISTS:
        return value
    if name in _CASELESS:
        return _SIGN.sub(r"\1", value).lower()
    if name == _ACCEPT:
        return _MEDIA_TYPE.sub(_lower_type, _SIGN.sub(r"\1", value))
    return _COMMA.sub(",", value)


_normal_of_known = lru_cache(maxsize=512)(_normal)


def _lower_type(match: re.Match[str]) -> str:
    """Return a member of Accept with its type in lower case, and its parameters only if they are but a weight."""
    kind, semicolon, rest = match[0].partition(";")
    is_weight = rest[:2].lower() == "q=" and ";" not in rest
    return kind.lower() + semicolon + (rest.lower() if is_weight else rest)
