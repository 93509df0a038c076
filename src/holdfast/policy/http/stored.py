"""What is stored of a URL: a page with one or more responses, its variants (RFC 9111, 3 and 4.1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from holdfast.policy.http.fields import Pairs

MOST_VARIANTS: Final = 16
"""Variants of one URL; the oldest gives way."""
LARGEST_INLINE: Final = 16 * 1024
"""Bytes of a body that may lie in the page itself; a longer one has a key of its own."""
MOST_INLINE: Final = 64 * 1024
"""Bytes of all bodies that lie in one page."""


class Stored(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One stored response. Its fields are latin-1 text, in the order and the case in which they were received."""

    id: str
    """Of no two responses the same; a body that has a key of its own begins with its first signs."""
    status: int
    fields: Pairs
    names: tuple[str, ...]
    """The request fields that select it, in lower case."""
    values: tuple[str | None, ...]
    """What these were in its request; None = absent."""
    requested: float
    """When the request was sent to the app that brought it, or validated it last; Unix seconds."""
    received: float
    """When the answer to that began; Unix seconds."""
    until: float
    """Until when it is of use to anybody; Unix seconds."""
    size: int
    """Bytes of its body."""
    body: bytes | None
    """None: it is under a key of its own."""
    anonymous: bool = True
    """Whether nothing in the exchange pointed to one user, so that its lifetime may be guessed."""
    extras: Pairs = ()
    """What else selects it: that of its request, see `Request.extras`."""
    place: int = 0
    """Which of the keys for bodies of its URL has its body, if that does not lie in the page."""


class Page(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """All that is stored of one URL."""

    variants: tuple[Stored, ...] = ()
    """The newest first."""
    passing: float = 0.0
    """Until when requests that find no variant do not wait for each other: the last answer was not to be stored."""


def free_place(page: Page) -> int:
    """Return which key for a body no variant of a page uses.

    There are few for each URL, and they are used again: what an invalidation leaves there, which does not know what the
    page had, is overwritten some time.
    """
    used = {each.place for each in page.variants if each.body is None}
    return next(place for place in range(2 * MOST_VARIANTS) if place not in used)


def is_inline(size: int, others: Iterable[Stored]) -> bool:
    """Say whether a body is to lie in the page, beside those of other variants."""
    return size <= LARGEST_INLINE and size + sum(len(each.body or b"") for each in others) <= MOST_INLINE


def remaining(page: Page, gone: Iterable[str], now: float) -> tuple[Stored, ...]:
    """Return the variants of a page that stay, without some, by their ids, and without what is of no use any more."""
    ids = frozenset(gone)
    return tuple([each for each in page.variants if each.id not in ids and each.until > now])


def joined(stored: Stored, others: Iterable[Stored]) -> Page:
    """Return a page with a new variant in front; the oldest may have to go."""
    return Page((stored, *others)[:MOST_VARIANTS])
