"""Cache-Status (RFC 9211): one member, which tells how a cache dealt with a request."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from holdfast.policy.structured import LARGEST, write_string

_TOKEN: Final = re.compile(r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*")
_UNWRITABLE: Final = re.compile(r"[^ -~]")
_LATIN: Final = 0xFF


def cache_status(
    name: str,
    *,
    hit: bool = False,
    fwd: str | None = None,
    fwd_status: int | None = None,
    stored: bool = False,
    collapsed: bool = False,
    ttl: int | None = None,
    key: str | None = None,
    detail: str | None = None,
) -> str:
    """Return a member of Cache-Status, to stand behind those of the caches nearer to the origin (section 2).

    Any text can be given: what no Structured Field may carry is percent-encoded.

    Args:
        name: of the cache; a Token if it can be one, else a String.
        hit: the response comes from the store, and nothing was forwarded for it. It rules out the four of `fwd`.
        fwd: why the request went to the origin: `uri-miss`, `vary-miss`, `stale`, `bypass` or others of 2.2.
        fwd_status: the status that the origin answered with, if another than the client gets.
        stored: the response was stored.
        collapsed: the request waited for the answer to another.
        ttl: seconds for which the response stays fresh, negative for one that is stale.
        key: what the response is stored under.
        detail: anything else.

    Example:
        >>> cache_status("holdfast", hit=True, ttl=-5)
        'holdfast;hit;ttl=-5'
    """
    member = _word(name)
    if hit:
        member += ";hit"
    elif fwd is not None:
        member += _forwarded(fwd, fwd_status, stored=stored, collapsed=collapsed)
    if ttl is not None:
        member += f";ttl={min(max(ttl, -LARGEST), LARGEST)}"
    if key is not None:
        member += f";key={_string(key)}"
    if detail is not None:
        member += f";detail={_word(detail)}"
    return member


def _forwarded(why: str, status: int | None, *, stored: bool, collapsed: bool) -> str:
    parameters = f";fwd={_word(why)}"
    if status is not None:
        parameters += f";fwd-status={status}"
    if stored:
        parameters += ";stored"
    if collapsed:
        parameters += ";collapsed"
    return parameters


@lru_cache(maxsize=64)  # there are few names, reasons and details
def _word(text: str) -> str:
    return text if _TOKEN.fullmatch(text) else _string(text)


def _string(text: str) -> str:
    return write_string(_UNWRITABLE.sub(_percent, text))


def _percent(match: re.Match[str]) -> str:
    # Bytes of a path come as latin-1, and are told as they were; the rest is in UTF-8, halves of pairs included.
    sign = match[0]
    data = sign.encode("latin-1" if ord(sign) <= _LATIN else "utf-8", errors="surrogatepass")
    return "".join([f"%{byte:02X}" for byte in data])
