"""A request as the cache sees it."""

from __future__ import annotations

from typing import Final, NamedTuple

from holdfast.policy.http.directives import RequestDirectives, parse_request
from holdfast.policy.http.fields import Pairs, RequestFields
from holdfast.policy.http.target import Target

READING: Final = frozenset({"GET", "HEAD"})
"""Methods that are answered from what is stored."""
REMARKABLE: Final = frozenset(
    {
        "authorization",
        "cache-control",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "pragma",
        "range",
    }
)
"""Fields that decide about a stored response, beside those that its Vary names. Most requests have none of them."""

_CLIENTS_OWN: Final = REMARKABLE - {"authorization"}


class Without:
    """The fields of a request, without some."""

    __slots__ = ("_fields", "_names")

    def __init__(self, fields: RequestFields, names: frozenset[str]) -> None:
        self._fields = fields
        self._names = names

    def get(self, name: str, /) -> str | None:
        """Return the lines of a field joined; None if it is absent, or one of those that are left out."""
        return None if name in self._names else self._fields.get(name)


_NOTHING_SAID: Final = RequestDirectives()


class Request(NamedTuple):
    """What of a request decides about its answer."""

    method: str
    target: Target
    fields: RequestFields
    key: str
    """The key in Redis of its URL's page."""
    plain: bool
    """Whether it has none of the `REMARKABLE` fields."""
    extras: Pairs = ()
    """What of it selects a response whatever the app says: cookies, fields of which apps build URLs, the user's own."""

    @property
    def is_head(self) -> bool:
        """Whether its answer has no body."""
        return self.method == "HEAD"

    @property
    def is_anonymous(self) -> bool:
        """Whether nothing in it points to one user."""
        return self.fields.get("authorization") is None and self.fields.get("cookie") is None

    def unconditional(self) -> Request:
        """Return the same request without what its client has or wants apart: conditions, range, directives."""
        return self if self.plain else self._replace(fields=Without(self.fields, _CLIENTS_OWN), plain=False)

    def directives(self, *, honoured: bool) -> RequestDirectives:
        """Return what it asks of caches (RFC 9111, 5.2.1)."""
        if self.plain or not honoured:
            return _NOTHING_SAID
        return parse_request(self.fields.get("cache-control"), self.fields.get("pragma"))
