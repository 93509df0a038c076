"""A request of Django as users' functions see it, and the route that will answer it."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.urls import Resolver404, URLPattern, get_resolver

from holdfast.web.addresses import Peer
from holdfast.web.requests import WebRequest


class DjangoRequest(WebRequest):
    """A request by Django's own, which is `raw`: ``request.raw.user``, behind Django's middleware for that."""

    __slots__ = ()

    raw: Any

    @property
    def method(self) -> str:
        """The method."""
        return str(self.raw.method).upper()

    @property
    def scheme(self) -> str:
        """The scheme, by SECURE_PROXY_SSL_HEADER, too."""
        return str(self.raw.scheme)

    @property
    def host(self) -> str | None:
        """The Host field."""
        return self.get("host")

    @property
    def path(self) -> str:
        """The path, percent-decoded, with where the project is mounted."""
        return str(self.raw.path)

    @property
    def query(self) -> str:
        """The query as it was sent."""
        return str(self.raw.META.get("QUERY_STRING", ""))

    @property
    def peer(self) -> Peer:
        """The other end of the connection."""
        return self.raw.META.get("REMOTE_ADDR") or None

    def get(self, name: str) -> str | None:
        """Return a field by its name, as Django joined its lines."""
        value: object = self.raw.headers.get(name)
        return None if value is None else str(value)

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Return all fields."""
        for name, value in self.raw.headers.items():
            yield str(name).lower(), str(value)

    def find(self, name: str) -> Any:
        """Return what another middleware has left; a session only if it is ours, and loaded."""
        if name == "session":
            return getattr(getattr(self.raw, "session", None), "loaded", None)
        return getattr(self.raw, f"holdfast_{name}", None)


def find_route(request: Any) -> str | None:
    """Return the route of a request as Django writes it, such as ``"items/<int:pk>/"``; None if none fits."""
    try:
        route: object = get_resolver(getattr(request, "urlconf", None)).resolve(request.path_info).route
    except Resolver404:
        return None
    return str(route)


def templates_of(request: Any) -> frozenset[str]:
    """Return all routes of the project as `find_route` does; nothing where they depend on the language of a request."""
    resolver = get_resolver(getattr(request, "urlconf", None))
    try:
        return frozenset(_templates(resolver))
    except _Translated:
        return frozenset()


class _Translated(Exception):  # noqa: N818 - what was found; it never reaches a user
    """A route has another text in another language."""


def _templates(resolver: Any) -> Iterator[str]:
    for each in resolver.url_patterns:
        written: object = getattr(each.pattern, "_route", getattr(each.pattern, "_regex", None))
        if not isinstance(written, str):  # a text that is translated when it is read, or the prefix of a language
            raise _Translated
        start = str(each.pattern)
        if isinstance(each, URLPattern):
            yield start
        else:
            yield from (start + inner.removeprefix("^") if start else inner for inner in _templates(each))
