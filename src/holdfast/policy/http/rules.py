"""What the owner of an HTTP cache has decided, as the decisions need it. Checked where it is made, not here."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

SetCookie: TypeAlias = Literal["public", "store", "strip", "refuse"]

MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Rules:
    """The options of a cache; durations in seconds, names of fields in lower case."""

    targets: tuple[str, ...] = ("cdn-cache-control",)
    """Fields that take the place of Cache-Control and Expires, the most specific first (RFC 9213)."""
    default_ttl: float = 0.0
    """For how long a 200 is fresh that says nothing about it; 0 = such ones are not stored."""
    heuristic: bool = True
    """Whether the age of a resource tells how long it is fresh, where it does not say (RFC 9111, 4.2.2)."""
    statuses: Collection[int] | None = None
    """Which statuses may be stored; None = all that the RFC permits."""
    max_body: int = MIB
    """Bytes of the longest body that is stored."""
    set_cookie: SetCookie = "public"
    vary: tuple[str, ...] = ()
    """Fields of requests that select a response whatever its Vary says."""
    ignore_vary: frozenset[str] = frozenset()
    """Names that count as if they were not in Vary."""
    tag_field: str = "cache-tag"
    """The field of responses that names their tags; empty = none does."""
    stale_if_raises: float = 300.0
    """For how long beyond its freshness a response is served if the app raises."""
    honour_clients: bool = True
    """Whether the directives of requests are followed (RFC 9111, 5.2.1)."""
    etag: bool = False
    """Whether stored responses without an ETag are given one."""
    posts: bool = False
    """Whether the answer to a POST may be stored (RFC 9110, 9.3.3)."""
