"""Cache-Control of responses and of requests (RFC 9111, 5.2; RFC 5861; RFC 8246), and Pragma.

Where a field says two things, or says one badly, the reading that stores and reuses less is taken (4.2.1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from holdfast.policy.http.fields import members

LONGEST: Final = 2**31
"""Seconds, as good as for ever: a longer time is taken for this one (1.2.2)."""

Arguments: TypeAlias = Mapping[str, Sequence[str | None]]
"""What each directive, in lower case, was given: once for each time that it is there, None for no argument."""

_LONGEST_DIGITS: Final = len(str(LONGEST))
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_MALFORMED: Final = ""
"""An argument that no directive takes."""


class ResponseDirectives(NamedTuple):
    """What a response permits caches to do; times in seconds, None where it does not say.

    `no_cache` and `private` are true for their qualified forms, too: to take them for the whole is permitted
    (5.2.2.4, 5.2.2.7).
    """

    no_store: bool = False
    no_cache: bool = False
    private: bool = False
    public: bool = False
    must_revalidate: bool = False
    proxy_revalidate: bool = False
    must_understand: bool = False
    immutable: bool = False
    max_age: int | None = None
    s_maxage: int | None = None
    stale_while_revalidate: int | None = None
    stale_if_error: int | None = None


class RequestDirectives(NamedTuple):
    """What a request asks of caches; times in seconds, None where it does not say.

    `max_stale` is `LONGEST` where the client takes a response however stale.
    """

    no_store: bool = False
    no_cache: bool = False
    only_if_cached: bool = False
    max_age: int | None = None
    min_fresh: int | None = None
    stale_if_error: int | None = None
    max_stale: int | None = None


def delta_seconds(text: str) -> int | None:
    """Return a number of seconds (1.2.2): digits, as many as one likes, up to `LONGEST`; None for anything else."""
    if not (text.isdigit() and text.isascii()):
        return None
    digits = text.lstrip("0")
    if len(digits) > _LONGEST_DIGITS:  # a number of thousands of digits is refused by int()
        return LONGEST
    return min(int(digits or "0"), LONGEST)


@lru_cache(maxsize=512)
def parse_response(value: str | None) -> ResponseDirectives:
    """Return what the Cache-Control of a response says, its lines joined; nothing for None.

    A lifetime that is no number of seconds is 0; a stale one that is none is not there. Of several the least counts.

    Example:
        >>> parse_response('max-age=60, no-cache="set-cookie"')[8], parse_response("max-age=1m").max_age
        (60, 0)
    """
    return response_of(_arguments_of(value or ""))


def response_of(given: Arguments) -> ResponseDirectives:
    """Return the directives of a response by their arguments, wherever these come from."""
    return ResponseDirectives(
        no_store="no-store" in given,
        no_cache="no-cache" in given,
        private="private" in given,
        public="public" in given,
        must_revalidate="must-revalidate" in given,
        proxy_revalidate="proxy-revalidate" in given,
        must_understand="must-understand" in given,
        immutable="immutable" in given,
        max_age=_lifetime(given.get("max-age", ())),
        s_maxage=_lifetime(given.get("s-maxage", ())),
        stale_while_revalidate=min(_times(given.get("stale-while-revalidate", ())), default=None),
        stale_if_error=min(_times(given.get("stale-if-error", ())), default=None),
    )


@lru_cache(maxsize=128)  # few, for anybody can send long ones
def parse_request(cache_control: str | None, pragma: str | None) -> RequestDirectives:
    """Return what a request's Cache-Control says, or its Pragma where it has no Cache-Control (5.4).

    A `max-age` that is no number of seconds is 0, other times that are none are not there. Of several the strictest
    counts.
    """
    if cache_control is None:
        return RequestDirectives(no_cache="no-cache" in _arguments_of(pragma or ""))
    given = _arguments_of(cache_control)
    unlimited = [LONGEST for argument in given.get("max-stale", ()) if argument is None]
    return RequestDirectives(
        no_store="no-store" in given,
        no_cache="no-cache" in given,
        only_if_cached="only-if-cached" in given,
        max_age=_lifetime(given.get("max-age", ())),
        min_fresh=max(_times(given.get("min-fresh", ())), default=None),
        stale_if_error=min(_times(given.get("stale-if-error", ())), default=None),
        max_stale=min(_times(given.get("max-stale", ())) + unlimited, default=None),
    )


def _arguments_of(value: str) -> Arguments:
    given: dict[str, list[str | None]] = {}
    for member in members(value):
        name, equals, argument = member.partition("=")
        bare = name.rstrip(" \t").lower()
        if not equals:
            given.setdefault(bare, []).append(None)
        else:  # no space may stand around the sign (5.2); behind it, it stays in the argument
            given.setdefault(bare, []).append(_unquoted(argument) if len(bare) == len(name) else _MALFORMED)
    return given


def _unquoted(argument: str) -> str:
    if len(argument) > 1 and argument[0] == argument[-1] == '"':
        return _ESCAPED.sub(r"\1", argument[1:-1])
    return argument


def _times(arguments: Sequence[str | None]) -> list[int]:
    return [time for argument in arguments if (time := delta_seconds(argument or "")) is not None]


def _lifetime(arguments: Sequence[str | None]) -> int | None:
    return min([delta_seconds(argument or "") or 0 for argument in arguments], default=None)
