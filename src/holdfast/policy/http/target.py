"""What a request is for: the URL that responses are kept under, and all else in a request that chooses a resource.

A target is the URI of RFC 9110, section 7.1: scheme, authority, path and query. Nothing strange in a Host field may get
into a key, where it could be taken for another URL, so an authority is a name of plain labels or an address and
anything else makes the request one that is never cached. Path and query stay as they were sent, for an app may tell
`/a%2Fb` from `/a/b`.

Some apps build URLs of fields that clients can send (`X-Forwarded-Host` and its like), or change the method by one.
Whatever such a field can do to a response, it must not do to the response of somebody who did not send it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fnmatch import translate
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import unquote_plus

from holdfast.policy.http.fields import Pair

Get: TypeAlias = Callable[[str], str | None]
"""Looks up a request field by its name in lower case; None if it is absent."""

ROUTING_FIELDS: Final = (
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-scheme",
    "x-forwarded-protocol",
    "x-forwarded-ssl",
    "x-forwarded-server",
    "x-forwarded-path",
    "x-forwarded-uri",
    "x-host",
    "x-original-host",
    "x-http-host-override",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    "x-script-name",
    "x-scheme",
    "x-url-scheme",
    "front-end-https",
)
"""Fields that apps, frameworks and servers take for the host, the scheme or the path of a request."""

OVERRIDING: Final = ("x-http-method-override", "x-http-method", "x-method-override")
"""Fields that apps and frameworks take for the method of a request."""
_LONGEST_HOST: Final = 262
"""Signs of an authority: a name of 255 with a port. Longer ones are refused before they can fill a table."""
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_LABEL: Final = "[A-Za-z0-9_-]+"
_AUTHORITY: Final = re.compile(rf"(?:({_LABEL}(?:\.{_LABEL})*)|\[([0-9A-Fa-f:.]{{2,45}})\])(?::([0-9]{{0,5}}))?")
_PATH: Final = re.compile(r"/[!-\"$->@-~\x80-\xff]*").fullmatch
_QUERY: Final = re.compile(r"[!-\"$-~\x80-\xff]*").fullmatch
_REFERENCE: Final = re.compile(
    r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#.*)?", re.DOTALL
)
_BEYOND_ASCII: Final = re.compile(r"[\x80-\xff]")
_FORWARDED_PAIR: Final = re.compile(
    r"[ \t]*(?:([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(\"(?:[^\"\\]|\\.)*\"|[^\s\",;]*)[ \t]*)?(?:[,;]|\Z)", re.DOTALL
)


class Target(NamedTuple):
    """The URI that a request is for; two different ones never have one `url`."""

    scheme: str
    authority: str
    """Lower case, without the scheme's default port."""
    path: str
    """As it was sent; a slash if it was empty."""
    query: str | None
    """As it was sent; None without one. Servers do not tell apps a bare `?` from none, so it counts as none."""

    @property
    def url(self) -> str:
        """The whole of it as one text."""
        if self.query is None:
            return f"{self.scheme}://{self.authority}{self.path}"
        return f"{self.scheme}://{self.authority}{self.path}?{self.query}"


def target_of(scheme: str, host: str | None, path: str, query: str) -> Target | None:
    """Return what a request is for, or None if that cannot be told for certain: it must not be cached then.

    That is so of a Host that is missing, repeated or no plain authority, and of a path that does not begin with a
    slash, as in the absolute form (RFC 9112, section 3.2.2), where the Host that the app reads may be another.

    Args:
        scheme: `http` or `https`, in any case.
        host: the Host field.
        path: as it was sent, percent-encoded.
        query: as it was sent, without the question mark.
    """
    if host is None or len(host) > _LONGEST_HOST or len(scheme) > len("https"):
        return None
    origin = _origin(scheme, host)
    if origin is None or not _PATH(path or "/") or not _QUERY(query):
        return None
    return Target(origin[0], origin[1], path or "/", query or None)


def parse_url(url: str) -> Target | None:
    """Return the target that an absolute URL names, its fragment dropped; None if it is none of http or https."""
    found = _REFERENCE.fullmatch(url)
    if found is None or found[1] is None or found[2] is None:
        return None
    return target_of(found[1], found[2], found[3], found[4] or "")


def resolve(reference: str, base: Target) -> Target | None:
    """Return what a reference in a response field means (RFC 3986, section 5.2.2); None if nothing usable.

    Bytes beyond ASCII are percent-encoded, since that is how clients ask for what such a field names.

    Args:
        reference: the value of Location or Content-Location.
        base: what the request was for.
    """
    found = _REFERENCE.fullmatch(_BEYOND_ASCII.sub(_percent, reference.strip(" \t")))
    if found is None:
        return None
    scheme, authority, path, query = found.groups()
    if authority is not None:
        return target_of(scheme or base.scheme, authority, _without_dots(path), query or "")
    if scheme is not None:
        return None
    if not path:
        return target_of(base.scheme, base.authority, base.path, base.query or "" if query is None else query)
    if not path.startswith("/"):
        path = base.path[: base.path.rfind("/") + 1] + path
    return target_of(base.scheme, base.authority, _without_dots(path), query or "")


def same_origin(a: Target, b: Target) -> bool:
    """Tell whether two targets have one scheme, host and port (RFC 9110, section 4.3.1)."""
    return a.scheme == b.scheme and a.authority == b.authority


def select_query(query: str, ignored: Sequence[str]) -> str:
    """Return a query without the parameters that do not matter; the rest keeps its order and its bytes.

    A parameter with a semicolon in it is kept whatever its name: some apps see two parameters there.

    Args:
        query: as it was sent.
        ignored: patterns of names, as the shell has them, compared with the decoded names.
    """
    if not query or not ignored:
        return query
    matchers = _matchers(tuple(ignored))
    return "&".join([part for part in query.split("&") if ";" in part or not _is_ignored(part, matchers)])


def cookie_values(cookie: str | None, names: Sequence[str]) -> tuple[str | None, ...]:
    """Return the values of some cookies (RFC 6265, section 4.2.1), None for each that is not there.

    Apps differ in which of two cookies of one name they take, and in what a comma means, with which several lines of
    the field may have been joined. So all that any of them could see is in the value.

    Args:
        cookie: the Cookie field.
        names: of the cookies, in the case in which they are set.
    """
    if not cookie:
        return (None,) * len(names)
    found: dict[str, list[str]] = {name: [] for name in names}
    for part in cookie.split(";"):
        name, equals, value = part.partition("=")
        if equals and name.strip() in found:
            found[name.strip()].append(value.strip())
        if "," in part:
            behind = {piece.partition("=")[0].strip() for piece in part.split(",")[1:] if "=" in piece}
            for name in behind.intersection(found):
                found[name].append(part.strip())
    return tuple(";".join(found[name]) if found[name] else None for name in names)


def routing_of(get: Get) -> tuple[Pair, ...]:
    """Return the fields of a request of which an app may build URLs, and `host` and `proto` of Forwarded (RFC 7239).

    They belong to the key: a response made with one is never given to a request without it.
    """
    present = [(name, value) for name in ROUTING_FIELDS if (value := get(name)) is not None]
    forwarded = get("forwarded")
    if forwarded is not None and (said := _forwarded(forwarded)):
        present.append(("forwarded", said))
    return tuple(present)


def overrides_method(get: Get) -> bool:
    """Tell whether a request asks the app to take it for one of another method. Such a request is never cached."""
    return any(get(name) is not None for name in OVERRIDING)


@lru_cache(maxsize=512)
def _origin(scheme: str, host: str) -> tuple[str, str] | None:
    """Return scheme and authority in the one form that each has (RFC 3986, section 6.2), None for what is neither."""
    scheme = scheme.lower()
    found = _AUTHORITY.fullmatch(host)
    if found is None or scheme not in _DEFAULT_PORTS:
        return None
    name, literal, digits = found.groups()
    if literal is not None:
        try:
            name = f"[{IPv6Address(literal).compressed}]"
        except AddressValueError:
            return None
    if not digits:  # a colon without a port is as good as none
        return scheme, name.lower()
    port = int(digits)
    if not 0 < port < 1 << 16:
        return None
    return scheme, name.lower() if port == _DEFAULT_PORTS[scheme] else f"{name.lower()}:{port}"


def _without_dots(path: str) -> str:
    """Return a path without `.` and `..` (RFC 3986, section 5.2.4)."""
    if "/." not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    return "/" + "/".join([*kept, ""] if segments[-1] in {".", ".."} else kept)


def _percent(match: re.Match[str]) -> str:
    return f"%{ord(match[0]):02X}"


@lru_cache(maxsize=64)
def _matchers(patterns: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(translate(pattern)) for pattern in patterns)


def _is_ignored(part: str, matchers: tuple[re.Pattern[str], ...]) -> bool:
    name = part.partition("=")[0]
    if "%" in name or "+" in name:
        name = unquote_plus(name)
    return any(matcher.match(name) for matcher in matchers)


def _forwarded(value: str) -> str:
    """Return what a Forwarded field says of host and scheme; all of it if there is a doubt, nothing if nothing."""
    text = value.lower()
    if "host" not in text and "proto" not in text:
        return ""
    said: list[str] = []
    place = 0
    while place < len(value):
        pair = _FORWARDED_PAIR.match(value, place)
        if pair is None:
            return value
        if pair[1] and pair[1].lower() in {"host", "proto"}:
            said.append(f"{pair[1].lower()}={pair[2]}")
        place = pair.end()
    return ";".join(said)
