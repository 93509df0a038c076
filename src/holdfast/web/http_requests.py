"""From a request as a server has it to the one that the cache judges: its URL, its key, and what else selects it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from holdfast.policy.http.fields import Pair, Pairs, RequestFields
from holdfast.policy.http.request import READING, REMARKABLE, Request
from holdfast.policy.http.target import (
    OVERRIDING,
    ROUTING_FIELDS,
    Target,
    cookie_values,
    overrides_method,
    routing_of,
    select_query,
    target_of,
)
from holdfast.web.http_private import is_private

UNUSUAL: Final = REMARKABLE | {*ROUTING_FIELDS, *OVERRIDING, "content-length", "forwarded", "transfer-encoding"}
"""Fields that make a request one to look at closely. Most have none of them."""
UNQUOTED: Final = "/:@!$&'()*+,;=~-._"
"""Signs that stay as they are in the path of a URL (RFC 3986, section 3.3)."""
_PORT: Final = re.compile(r":([0-9]+)\Z")
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_MOST_PLACES: Final = 2048
_LONGEST_HELD: Final = 1024
"""Signs of a URL whose key is remembered."""


@dataclass(frozen=True, slots=True)
class CacheRequest:
    """A request as the `key=` of a cache sees it."""

    method: str
    scheme: str
    host: str
    """With the port, if it is not the scheme's own."""
    path: str
    """As it was sent, percent-encoded."""
    query: str
    """As it was sent, without the question mark."""
    fields: RequestFields

    def get(self, name: str) -> str | None:
        """Return a field by its name, its lines joined; None if it is absent."""
        return self.fields.get(name.lower())


KeyOption: TypeAlias = Callable[[CacheRequest], str | None]


@dataclass(slots=True, eq=False)
class Place:
    """Where what is stored of a URL is."""

    target: Target
    key: str
    private: bool
    hot: Any = None
    """What a middleware keeps of the page, to serve it by a short way."""


@dataclass(frozen=True, slots=True)
class Keying:
    """What of a request chooses what is stored for it."""

    private: Sequence[str]
    """Patterns of paths whose responses are never stored."""
    ignore_query: Sequence[str]
    cookies: Sequence[str]
    key: KeyOption | None

    def is_private(self, path: str) -> bool:
        """Say whether a path is in one of the private areas, however it is written."""
        return bool(self.private) and is_private(path, self.private)

    def target_of(self, scheme: str, host: str | None, path: str, query: str) -> Target | None:
        """Return the URL that responses are stored under; None if the request is not for the cache."""
        return target_of(scheme, host, path, select_query(query, self.ignore_query))

    def request(self, method: str, place: Place, fields: RequestFields, *, usual: bool) -> Request | None:
        """Return the request as the cache judges it; None if the cache is not for it.

        Args:
            method: of the request.
            place: of its URL.
            fields: of the request.
            usual: whether it has none of the `UNUSUAL` fields.
        """
        extras: Pairs = ()
        plain = True
        if method not in READING:  # it is looked at only for what it changes
            return Request(method, place.target, fields, place.key, plain)
        if place.private:
            return None
        if not usual:
            if _has_body(fields):
                return None  # nobody can tell what it does to the answer
            if overrides_method(fields.get):
                return None  # it may change things, but anybody can say so of any GET
            extras = _telling(routing_of(fields.get), place.target)
            plain = all(fields.get(name) is None for name in REMARKABLE)
        if self.cookies:
            values = cookie_values(fields.get("cookie"), self.cookies)
            extras += tuple(
                [(f"cookie {name}", v) for name, v in zip(self.cookies, values, strict=True) if v is not None]
            )
        if self.key is not None:
            scheme, host, path, query = place.target
            text = self.key(CacheRequest(method, scheme, host, path, query or "", fields))
            if text is None:
                return None
            extras += (("key", str(text)),)
        return Request(method, place.target, fields, place.key, plain, extras)


def _has_body(fields: RequestFields) -> bool:
    length = fields.get("content-length")
    return fields.get("transfer-encoding") is not None or bool(length and length.strip("0"))


def _telling(routing: Pairs, target: Target) -> Pairs:
    """Return the routing fields that say something else than the request itself."""
    return tuple([pair for pair in routing if not _repeats(pair, target)])


def _repeats(pair: Pair, target: Target) -> bool:
    name, value = pair
    if name in {"x-forwarded-proto", "x-forwarded-scheme", "x-scheme", "x-url-scheme", "x-forwarded-protocol"}:
        return value == target.scheme
    if name in {"x-forwarded-host", "x-host", "x-original-host"}:
        return value.lower() == target.authority
    if name == "x-forwarded-port":
        port = _PORT.search(target.authority)
        return value == (port[1] if port else _DEFAULT_PORTS[target.scheme])
    return False


class Places:
    """The places of URLs, remembered for those that come again and again."""

    def __init__(self, keying: Keying, key_of: Callable[[Target], str]) -> None:
        self._keying = keying
        self._key_of = key_of
        self.known: dict[tuple[object, ...], Place | None] = {}
        """What `find` has found, by what a server says of a URL in whatever form."""

    def find(self, said: tuple[object, ...], scheme: str, host: str | None, path: str, query: str) -> Place | None:
        """Return where what is stored of a URL is; None if it cannot be told for certain what the URL is.

        Args:
            said: all that the other arguments were made of, to be remembered in `known`.
            scheme: of the request.
            host: its Host field, or what stands for it.
            path: as it was sent.
            query: as it was sent.
        """
        target = self._keying.target_of(scheme, host, path, query)
        place = None
        if target is not None:
            place = Place(target, self._key_of(target), self._keying.is_private(path))
        if len(path) + len(query) + len(host or "") <= _LONGEST_HELD:
            if len(self.known) >= _MOST_PLACES:
                self.known.clear()
            self.known[said] = place
        return place
